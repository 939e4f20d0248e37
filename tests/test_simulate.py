"""Rendering, recording and mock data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens.light import Footprint, Gaussian, Sersic, Uniform
from numpyro_lens.linear import unit_images
from numpyro_lens.mass import EPL, SIS, Shear
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.simulate import Scene, mock, record_scenes, render


@pytest.fixture
def instrument():
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    return Observation(np.zeros((12, 14)), pixel_scale=0.1, noise=NoiseMap(0.5), psf=PSF(kernel))


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
    with pytest.raises(TypeError, match="source=Sersic"):
        render(instrument, mass=lens, source=lens)


def test_scenes_are_recorded_only_while_open(instrument):
    light = Gaussian(1.0, 0.1)
    with record_scenes() as outer:
        render(instrument, mass=SIS(1.0), source=light)
        with record_scenes() as inner:
            render(instrument, lens_light=light)
    render(instrument, lens_light=light)
    assert [len(outer), len(inner)] == [2, 1]
    assert isinstance(outer[0], Scene)
    assert outer[0].mass.theta_E == 1.0
    assert jax.tree.leaves(inner[0]) == jax.tree.leaves(light)


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
    instrument = Observation(np.zeros((6, 7)), **settings, supersampling=supersampling)
    side = 0.1 / supersampling
    diagonal = side * np.hypot(1 - gamma1, 1 + gamma1)
    lens, place = Shear(gamma1=gamma1, gamma2=0.0), {"center_x": 0.03, "e1": 0.2}
    by_hand = render(instrument, mass=lens, source=cuspy(diagonal / 4, **place))
    light = cuspy(Footprint(0.25), **place)
    np.testing.assert_allclose(render(instrument, mass=lens, source=light), by_hand, rtol=1e-10)
    together = [light, Uniform(amp=1.0)]
    first = unit_images(instrument, mass=lens, source=together)[0]
    np.testing.assert_allclose(first, by_hand, rtol=1e-10)
    of_lens = render(instrument, mass=lens, lens_light=light)
    plain = cuspy(side * np.sqrt(2) / 4, **place)
    np.testing.assert_allclose(of_lens, render(instrument, lens_light=plain), rtol=1e-10)


def test_no_flare_when_a_ray_meets_the_central_image(double):
    """The flux around the centre of a lens of slope 1.7 that moves by a sub-pixel of 0.0325"."""
    telescope = Observation(np.zeros((6, 6)), pixel_scale=0.065, noise=NoiseMap(1.0))

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
    telescope = Observation(
        np.zeros((5, 5)), pixel_scale=0.1, noise=NoiseMap(1.0), supersampling=supersampling
    )

    def flux(p):
        lens = EPL(theta_E=p[0], gamma=p[1], center_x=p[2], center_y=p[3])
        return jnp.sum(render(telescope, mass=lens, source=cuspy(Footprint())))

    for place in ((0.0, 0.0), (0.025, 0.025)):
        assert np.isfinite(jax.grad(flux)(jnp.array([0.2, 1.3, *place]))).all()
