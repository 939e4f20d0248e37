"""Rendering, and mock data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens._types import Scalar
from numpyro_lens.light import AbstractLight, Footprint, Gaussian, Sersic, Uniform
from numpyro_lens.linear import unit_images
from numpyro_lens.mass import EPL, SIS, Shear
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.scene import Scene
from numpyro_lens.simulate import mock, render, render_scene


@pytest.fixture
def instrument():
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    return Observation.blank((12, 14), pixel_scale=0.1, noise=NoiseMap(0.5), psf=PSF(kernel))


def test_pixels_are_brightness_times_area(instrument):
    image = render(instrument, lens_light=Uniform(amp=3.0))
    np.testing.assert_allclose(image[1:-1, 1:-1], 0.03, rtol=1e-5)
    # No light comes from outside the image.
    np.testing.assert_allclose(image[0, 1:-1], 0.0225, rtol=1e-5)


def test_lists_sums_and_nothing(instrument):
    lens, shear, light = SIS(0.3), Shear(0.05, 0.0), Gaussian(1.0, 0.1)
    a = render(instrument, mass=[lens, shear], source=[light, light], lens_light=light)
    b = render(instrument, mass=lens + shear, source=light + light, lens_light=(light,))
    np.testing.assert_allclose(a, b)
    assert not render(instrument, mass=None).any()
    plain = render(instrument, mass=None, source=light)
    np.testing.assert_allclose(plain, render(instrument, mass=None, lens_light=light))


@pytest.mark.wrong_types
def test_a_deflector_does_not_shine(instrument):
    lens = SIS(0.3)
    with pytest.raises(TypeError, match="source=Sersic"):
        render(instrument, mass=lens, source=lens)


def test_a_scene_is_rendered_as_its_parts(instrument):
    parts = {"mass": SIS(1.0), "source": Gaussian(1.0, 0.1), "lens_light": Uniform(2.0)}
    scene = Scene.of(**parts)
    np.testing.assert_array_equal(render_scene(instrument, scene), render(instrument, **parts))
    assert scene.mass.theta_E == 1.0
    assert jax.tree.leaves(scene.source) == jax.tree.leaves(parts["source"])
    data = mock(instrument, jax.random.key(0), **parts)
    noise = (data.image - render(instrument, **parts)) / 0.5
    assert 0.8 < float(jnp.std(noise)) < 1.2


# --- pixels, by hand -----------------------------------------------------------------------------


def convolved(image, kernel):
    """Each pixel spreads the kernel around itself, index by index; the rest leaves the image."""
    out, (ny, nx) = np.zeros_like(image), image.shape
    cy, cx = (k // 2 for k in kernel.shape)
    for j, i in np.ndindex(ny, nx):
        for l, k in np.ndindex(*kernel.shape):
            y, x = j + l - cy, i + k - cx
            if 0 <= y < ny and 0 <= x < nx:
                out[y, x] += image[j, i] * kernel[l, k]
    return out


KERNEL = np.array(
    [[1.0, 5.0, 0.5, 0.0, 2.0], [0.0, 9.0, 30.0, 7.0, 0.3], [4.0, 0.0, 2.0, 0.0, 0.0]]
)
BLOB = Gaussian(amp=3.0, sigma=0.15, e1=0.3, e2=-0.2, center_x=0.12, center_y=-0.07)


@pytest.mark.parametrize("shape", [(9, 14), (14, 9)])
def test_an_asymmetric_psf_is_not_turned(shape, double):
    """Neither transposed nor mirrored: rows of the kernel go along y, columns along x."""
    settings = {"pixel_scale": 0.1, "noise": NoiseMap(1.0), "supersampling": 1}
    sharp = render(Observation.blank(shape, **settings), lens_light=BLOB)
    blurred = render(Observation.blank(shape, **settings, psf=PSF(KERNEL)), lens_light=BLOB)
    expected = convolved(np.asarray(sharp), KERNEL / KERNEL.sum())
    np.testing.assert_allclose(blurred, expected, rtol=1e-10, atol=1e-12)
    assert (
        np.abs(blurred - convolved(np.asarray(sharp), KERNEL[::-1, ::-1] / KERNEL.sum())).max()
        > 1e-3
    )


@pytest.mark.parametrize("shape", [(9, 14), (14, 9)])
def test_a_psf_of_sub_pixels_is_not_turned(shape, double):
    """Convolved on an image of finer pixels, then averaged."""
    psf = PSF(KERNEL, sampling=2)
    settings = {"noise": NoiseMap(1.0), "supersampling": 2}
    coarse = Observation.blank(shape, pixel_scale=0.1, psf=psf, **settings)
    fine = Observation.blank(
        tuple(2 * n for n in shape), pixel_scale=0.05, noise=NoiseMap(1.0), supersampling=1
    )
    expected = convolved(np.asarray(render(fine, lens_light=BLOB)), KERNEL / KERNEL.sum())
    expected = expected.reshape(shape[0], 2, shape[1], 2).sum(axis=(1, 3))
    np.testing.assert_allclose(render(coarse, lens_light=BLOB), expected, rtol=1e-10, atol=1e-12)


class Gradient(AbstractLight):
    """Brightness that grows along x and y: its integral over any pixel is that at its centre."""

    along_x: Scalar
    along_y: Scalar

    def brightness(self, x, y):
        return 1.0 + self.along_x * x + self.along_y * y


class Stripes(AbstractLight):
    """Periodic along one direction, of an integral over a rectangle that is known."""

    wave_x: Scalar
    wave_y: Scalar

    def brightness(self, x, y):
        return 1.0 + jnp.sin(self.wave_x * x + self.wave_y * y)


@pytest.mark.parametrize("sampling", [1, 2])
@pytest.mark.parametrize("matrix", [[[0.1, 0.0], [0.0, 0.1]], [[-0.08, 0.03], [0.05, 0.12]]])
def test_pixels_are_integrals_of_a_brightness_that_grows(matrix, sampling, double):
    """Any order of the sub-pixels within a pixel averages to this; none between pixels does."""
    psf = PSF(np.ones((1, 1)), sampling=sampling)
    instrument = Observation.blank(
        (5, 8), transform_pix2angle=matrix, noise=NoiseMap(1.0), psf=psf, supersampling=4
    )
    row, column = np.mgrid[:5, :8]
    x, y = np.einsum("ij,jyx->iyx", matrix, np.stack([column - 3.5, row - 2.0]))
    expected = (1.0 + 0.7 * x - 0.4 * y) * abs(np.linalg.det(matrix))
    found = render(instrument, lens_light=Gradient(0.7, -0.4))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


class Bowl(AbstractLight):
    """Brightness with another curvature along x than along y."""

    along_x: Scalar
    along_y: Scalar

    def brightness(self, x, y):
        return 1.0 + self.along_x * x**2 + self.along_y * y**2


@pytest.mark.parametrize("shape", [(5, 8), (8, 5)])
@pytest.mark.parametrize("step", [(0, 1), (1, 0)], ids=["x", "y"])
def test_samples_of_a_pixel_are_in_the_order_of_the_psf(shape, step, double):
    """A kernel of one sample beside the centre moves the image by half a pixel along that axis.

    Transposed, the samples that meet in a pixel would be others, with another mean square.
    """
    scale, (dy, dx) = 0.1, step
    kernel = np.zeros((3, 3))
    kernel[1 + dy, 1 + dx] = 1.0
    psf = PSF(kernel, sampling=2)
    instrument = Observation.blank(shape, pixel_scale=scale, noise=NoiseMap(1.0), psf=psf)
    row, column = np.mgrid[: shape[0], : shape[1]]
    x = scale * (column - (shape[1] - 1) / 2 - 0.5 * dx)
    y = scale * (row - (shape[0] - 1) / 2 - 0.5 * dy)
    within = scale**2 / 16  # mean square of the two midpoints of a pixel
    expected = (1.0 + 7.0 * (x**2 + within) - 4.0 * (y**2 + within)) * scale**2
    # at the first row or column half of the light would come from outside the image
    found = render(instrument, lens_light=Bowl(7.0, -4.0))
    np.testing.assert_allclose(found[1:, 1:], expected[1:, 1:], rtol=1e-10)


def test_sub_pixels_converge_to_the_integral_over_a_pixel(double):
    """The error of midpoints falls with the square of their number; pixels are no squares."""
    matrix, (ny, nx) = np.diag([0.2, 0.1]), (4, 7)
    k, q = 3.0, 5.0
    row, column = np.mgrid[:ny, :nx]
    x, y = 0.2 * (column - 3.0), 0.1 * (row - 1.5)
    # of sin(kx + qy) over a rectangle: the sine at its centre times two sinc factors
    factor = np.sinc(k * 0.2 / 2 / np.pi) * np.sinc(q * 0.1 / 2 / np.pi)
    exact = 0.02 * (1.0 + np.sin(k * x + q * y) * factor)
    errors = []
    for supersampling in (2, 4, 8):
        instrument = Observation.blank(
            (ny, nx), transform_pix2angle=matrix, noise=NoiseMap(1.0), supersampling=supersampling
        )
        errors.append(np.abs(render(instrument, lens_light=Stripes(k, q)) - exact).max())
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4.0, rtol=0.05)
    assert errors[-1] < 1e-4


def test_mock_has_the_noise_that_it_says(instrument):
    light = Uniform(amp=1.0)
    keys = jax.random.split(jax.random.key(0), 200)
    images = jax.vmap(lambda k: mock(instrument, k, lens_light=light).image)(keys)
    residual = (images - render(instrument, lens_light=light)[None]) / 0.5
    np.testing.assert_allclose(jnp.std(residual), 1.0, atol=0.02)
    np.testing.assert_allclose(jnp.mean(residual), 0.0, atol=0.02)


def cuspy(smoothing, **fields):
    return Sersic(
        **({"amp": 1.0, "R_sersic": 0.2, "n_sersic": 6.0, "smoothing": smoothing} | fields)
    )


@pytest.mark.parametrize(("supersampling", "sampling"), [(1, 1), (2, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("gamma1", [0.0, 0.3])
def test_footprint_is_the_diagonal_of_a_sub_pixel_in_the_source_plane(
    supersampling, sampling, gamma1, double
):
    psf = PSF(np.outer([1, 2, 1], [1, 2, 1]), sampling=sampling)
    settings = {"pixel_scale": 0.1, "noise": NoiseMap(1.0), "psf": psf}
    instrument = Observation.blank((6, 7), **settings, supersampling=supersampling)
    side = 0.1 / supersampling
    diagonal = side * np.hypot(1 - gamma1, 1 + gamma1)
    lens, place = Shear(gamma1=gamma1, gamma2=0.0), {"center_x": 0.03, "e1": 0.2}
    by_hand = render(instrument, mass=lens, source=cuspy(diagonal / 4, **place))
    light = cuspy(Footprint(0.25), **place)
    np.testing.assert_allclose(render(instrument, mass=lens, source=light), by_hand, rtol=1e-10)
    together = [light, Uniform(amp=1.0)]
    first = unit_images(instrument, Scene.of(mass=lens, source=together))[0]
    np.testing.assert_allclose(first, by_hand, rtol=1e-10)
    of_lens = render(instrument, mass=lens, lens_light=light)
    plain = cuspy(side * np.sqrt(2) / 4, **place)
    np.testing.assert_allclose(of_lens, render(instrument, lens_light=plain), rtol=1e-10)


def test_no_flare_when_a_ray_meets_the_central_image(double):
    """The flux around the centre of a lens of slope 1.7 that moves by a sub-pixel of 0.0325"."""
    telescope = Observation.blank((6, 6), pixel_scale=0.065, noise=NoiseMap(1.0))

    def flux(x, y, smoothing):
        lens = EPL(theta_E=2.7, gamma=1.7, e1=0.1, center_x=x, center_y=y)
        source = cuspy(smoothing, center_x=0.5, center_y=0.7)
        return jnp.sum(render(telescope, mass=lens, source=source))

    x, y = jnp.meshgrid(jnp.linspace(0.0, 0.0325, 500), jnp.linspace(0.0, 0.0325, 20))
    bumps = [
        np.abs(np.diff(jax.vmap(jax.vmap(lambda x, y, s=s: flux(x, y, s)))(x, y), 2)).max()
        for s in (0.01, Footprint())
    ]
    assert bumps[1] < 0.02 * bumps[0]


@pytest.mark.parametrize("supersampling", [1, 2])
def test_footprint_has_a_finite_gradient_at_the_centre_of_a_lens(supersampling, x64):
    telescope = Observation.blank(
        (5, 5), pixel_scale=0.1, noise=NoiseMap(1.0), supersampling=supersampling
    )

    def flux(p):
        lens = EPL(theta_E=p[0], gamma=p[1], center_x=p[2], center_y=p[3])
        return jnp.sum(render(telescope, mass=lens, source=cuspy(Footprint())))

    for place in ((0.0, 0.0), (0.025, 0.025)):
        assert np.isfinite(jax.grad(flux)(jnp.array([0.2, 1.3, *place]))).all()
