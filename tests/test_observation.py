"""The observation: what it computes, what it refuses."""

import base64
import io
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units
from matplotlib.image import imread

from numpyro_lens.light import Gaussian, Sersic
from numpyro_lens.noise import AbstractNoise, NoiseMap, PoissonNoise
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF, GaussianPSF
from numpyro_lens.simulate import render

LEFT = [[-0.05, 0.0], [0.0, 0.05]]


def make(image=None, **changes):
    settings = {"pixel_scale": 0.05, "noise": NoiseMap(1.0)} | changes
    return Observation(np.zeros((6, 8)) if image is None else image, **settings)


def test_grid_area_and_extent(x64):
    observation = make(pixel_scale=None, transform_pix2angle=LEFT)
    np.testing.assert_allclose(observation.extent, (0.2, -0.2, -0.15, 0.15), rtol=1e-6)
    np.testing.assert_allclose(observation.pixel_area, 0.0025, rtol=1e-6)
    assert observation.shape == observation.x.shape == (6, 8)
    assert observation.x[0, 0] > observation.x[0, 1]
    assert observation.image.dtype == observation.x.dtype == (jnp.float64 if x64 else jnp.float32)
    assert "6x8 pixels of 0.05" in repr(observation)


def test_pytree_and_vmap():
    one = make(psf=PSF(np.ones((3, 3))))
    leaves, tree = jax.tree.flatten(one)
    assert jax.tree.structure(jax.tree.unflatten(tree, leaves)) == tree
    assert repr(jax.tree.unflatten(tree, [object()] * len(leaves)))
    two = jax.tree.map(lambda *a: jnp.stack(a), one, one.with_image(np.ones((6, 8))))
    light = Gaussian(amp=1.0, sigma=0.1)
    images = jax.vmap(lambda o: render(o, lens_light=light) + o.image)(two)
    assert images.shape == (2, 6, 8)
    assert two.shape == (6, 8)
    assert repr(two)


def test_one_compilation_serves_every_observation_of_a_shape():
    traces = []

    @jax.jit
    def f(observation, light):
        traces.append(1)
        return render(observation, lens_light=light).sum()

    for seed in (0, 1):
        kernel, image = np.random.default_rng(seed).random((2, 5, 5))
        f(make(image, psf=PSF(kernel[:3, :3])), Gaussian(amp=1.0, sigma=0.1))
    assert len(traces) == 1


def test_big_endian_pixels_are_converted():
    image = np.arange(48.0).reshape(6, 8)
    np.testing.assert_array_equal(make(image.astype(">f4")).image, image)


def test_masked_pixels_are_harmless():
    image, sigma, mask = np.ones((6, 8)), np.ones((6, 8)), np.ones((6, 8), bool)
    image[1, 2], sigma[1, 2], mask[1, 2] = np.nan, np.nan, False
    observation = make(image, noise=NoiseMap(sigma), mask=mask)
    assert observation.image[1, 2] == 0

    def log_density(amp):
        model = render(observation, lens_light=Gaussian(amp=amp, sigma=0.1))
        chi = (observation.image - model) / observation.noise.sigma(model)
        return jnp.sum(jnp.where(observation.mask, chi**2, 0.0))

    assert all(np.isfinite(v) for v in jax.value_and_grad(log_density)(1.0))


def bad(value):
    image = np.ones((6, 8))
    image[3, 4] = value
    return image


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": bad(np.nan)}, r"1 of 48 .* \[3, 4\]"),
        ({"image": np.ones((2, 6, 8))}, "one image of shape"),
        ({"noise": NoiseMap(bad(0.0))}, r"1 of 48 .* \[3, 4\]"),
        ({"noise": NoiseMap(np.ones((8, 6)))}, "shape of the image"),
        ({"noise": PoissonNoise(0.0, 1.0)}, "background_rms"),
        ({"noise": PoissonNoise(1.0, bad(-1.0))}, "exposure_time"),
        ({"noise": 0.1}, "noise=NoiseMap"),
        ({"mask": np.ones((8, 6), bool)}, r"np.ones\(\(6, 8\)"),
        ({"mask": np.zeros((6, 8), bool)}, "mask=~mask"),
        ({"mask": np.full((6, 8), 3)}, "quality == 0"),
        ({"psf": np.ones((3, 3))}, r"psf=PSF\(kernel\)"),
        ({"psf": PSF(np.ones((9, 9)))}, "no larger than the image"),
        ({"psf": PSF(np.ones((3, 3)), sampling=3)}, "supersampling=3"),
        ({"supersampling": 0}, "positive integer"),
        ({"pixel_scale": -0.1}, "positive number"),
        ({"pixel_scale": None}, "exactly one"),
        ({"transform_pix2angle": LEFT}, "exactly one"),
        ({"pixel_scale": None, "transform_pix2angle": [[1, 1], [1, 1]]}, "singular"),
        ({"pixel_scale": None, "transform_pix2angle": [1, 1]}, "2x2"),
    ],
)
def test_errors_teach(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_gaussian_psf_is_sampled_at_the_sub_pixels_and_fits():
    observation = make(psf=GaussianPSF(0.3), supersampling=2)
    assert observation.psf.sampling == 2
    assert max(observation.psf.kernel.shape) <= 12


def test_notebook_shows_the_image_and_its_signal_to_noise():
    image, mask = np.zeros((20, 30)), np.ones((20, 30), dtype=bool)
    image[10, 5], mask[:, 20:] = 3.0, False
    observation = Observation(image, pixel_scale=0.1, noise=NoiseMap(0.1), mask=mask)
    page = observation._repr_html_()
    assert "brightest at S/N 30" in page
    data = re.search(r"base64,([^\"]+)", page)[1]
    pixels = imread(io.BytesIO(base64.b64decode(data)))[..., :3]
    assert pixels.shape == (20, 30, 3)
    brightest = np.unravel_index(np.argmax(pixels[:, :20].sum(-1)), (20, 20))
    assert brightest == (9, 5)  # the first row of a picture is its top
    np.testing.assert_allclose(pixels[:, 20:], 0.75, atol=0.01)


def test_position_on_the_sky_keeps_its_digits():
    position = (150.123456789, -2.123456789)
    observation = Observation(
        np.zeros((4, 4)), pixel_scale=0.1, noise=NoiseMap(0.1), sky_position=position
    )
    np.testing.assert_array_equal(observation.sky_position, position)
    assert Observation(np.zeros((4, 4)), pixel_scale=0.1, noise=NoiseMap(0.1)).sky_position is None


def test_a_blank_is_an_instrument_without_data():
    mask = np.ones((6, 8), dtype=bool)
    mask[2, 3] = False
    settings = {"pixel_scale": 0.05, "noise": NoiseMap(1.0), "mask": mask, "supersampling": 3}
    blank, zeros = Observation.blank((6, 8), **settings), make(**settings)
    assert repr(blank) == repr(zeros)
    for one, other in zip(jax.tree.leaves(blank), jax.tree.leaves(zeros), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="exactly one"):
        Observation.blank((6, 8), noise=NoiseMap(1.0))


@pytest.mark.wrong_types
def test_another_noise_leaves_the_data_as_they_are():
    mask = np.ones((6, 8), dtype=bool)
    mask[0] = False
    data = make(np.arange(48.0).reshape(6, 8), mask=mask)
    seen = data.with_noise(PoissonNoise(0.5, 10.0))
    np.testing.assert_array_equal(seen.image, data.image)
    np.testing.assert_array_equal(seen.mask, data.mask)
    expected = np.sqrt(0.25 + np.asarray(data.image) / 10.0)
    np.testing.assert_allclose(seen.noise.sigma(seen.image), expected, rtol=1e-6)
    slope = jax.grad(lambda s: data.with_noise(NoiseMap(s)).noise.sigma(data.image).sum())(2.0)
    np.testing.assert_allclose(slope, 48.0, rtol=1e-6)
    with pytest.raises(ValueError, match="noise=NoiseMap"):
        data.with_noise(0.1)


def test_another_image_keeps_the_mask():
    mask = np.ones((6, 8), dtype=bool)
    mask[0] = False
    image = np.full((6, 8), np.nan)
    image[1:] = 3.0
    np.testing.assert_array_equal(make(mask=mask).with_image(image).image, 3.0 * mask)


def test_residuals_are_normalised_and_masked():
    mask = np.ones((6, 8), dtype=bool)
    mask[0] = False
    data = make(np.full((6, 8), 5.0), mask=mask, noise=NoiseMap(2.0))
    model = jnp.where(jnp.asarray(mask), 1.0, jnp.nan)
    np.testing.assert_allclose(data.residuals(model), 2.0 * mask)
    np.testing.assert_allclose(data.mean_square(model), 4.0)


# --- what is given as data -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "image", [3.0, np.ones(6), np.ones((5, 1)), np.ones((1, 5, 6)), np.full((5, 6), np.nan)]
)
def test_another_image_has_the_shape_of_the_first_and_is_finite(image):
    observation = Observation.blank((5, 6), pixel_scale=0.1, noise=NoiseMap(0.1))
    with pytest.raises(ValueError, match=r"shape of the first|finite in every pixel"):
        observation.with_image(image)


def test_another_image_may_be_traced():
    observation = Observation.blank((5, 6), pixel_scale=0.1, noise=NoiseMap(0.1))
    total = jax.jit(lambda image: observation.with_image(image).image.sum())
    assert float(total(jnp.ones((5, 6)))) == 30.0


def test_units_are_not_stripped():
    image = np.ones((5, 6)) * units.nJy
    with pytest.raises(ValueError, match="Quantity in nJy"):
        Observation(image, pixel_scale=0.1, noise=NoiseMap(0.1))
    with pytest.raises(ValueError, match="Quantity in nJy"):
        Observation(image.value, pixel_scale=0.1, noise=NoiseMap(0.1 * image))


def test_masked_arrays_leave_pixels_out():
    image = np.ma.array(np.ones((5, 6)), mask=False)
    image[2, 3] = np.ma.masked
    mask = np.ones((5, 6), bool)
    mask[0] = False
    both = Observation(image, pixel_scale=0.1, noise=NoiseMap(0.1), mask=mask).mask
    np.testing.assert_array_equal(both, mask & ~image.mask)
    alone = Observation(image, pixel_scale=0.1, noise=NoiseMap(0.1)).mask
    np.testing.assert_array_equal(alone, ~image.mask)


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_fluxes_whose_squares_do_not_fit_are_an_error(unit):
    """In 32 bit the variance of a noise of 5e-22 is zero, and the log density NaN."""
    image = np.full((5, 6), unit)
    for noise in (NoiseMap(0.05 * unit), PoissonNoise(0.05 * unit, 100 / unit)):
        with pytest.raises(ValueError, match=r"Write flux_unit=1e[-+]\d\d, by"):
            Observation(image, pixel_scale=0.1, noise=noise)
        with jax.enable_x64(True):
            Observation(image, pixel_scale=0.1, noise=noise)
    Observation.blank((5, 6), pixel_scale=0.1, noise=NoiseMap(1e-14))
    with pytest.raises(ValueError, match="Write flux_unit"):
        Observation.blank((5, 6), pixel_scale=0.1, noise=NoiseMap(1.0)).with_image(
            1e20 * image / unit
        )


NOISES = {
    "number": lambda unit: NoiseMap(0.05 * unit),
    "map": lambda unit: NoiseMap(np.full((5, 6), 0.05 * unit)),
    "photons": lambda unit: PoissonNoise(0.05 * unit, 100 / unit),
    "exposure map": lambda unit: PoissonNoise(0.05 * unit, np.full((5, 6), 100 / unit)),
}


@pytest.mark.parametrize("unit", [1e-30, 1e-19, 1e30])
@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_a_flux_unit_gives_the_image_of_that_unit(unit, noise):
    image = np.linspace(-1.0, 3.0, 30).reshape(5, 6)
    found = Observation(image * unit, pixel_scale=0.1, noise=noise(unit), flux_unit=unit)
    expected = Observation(image, pixel_scale=0.1, noise=noise(1.0))
    assert eqx.tree_equal(found, expected, rtol=1e-6)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_the_posterior_in_another_flux_unit_is_the_same(noise):
    r"""The log density of n pixels differs by :math:`n \log u`, whatever the parameters."""
    unit, image = 1e-6, np.linspace(-1.0, 3.0, 30).reshape(5, 6)

    def log_density(observation, amp):
        light = Sersic(amp=amp, R_sersic=0.2, n_sersic=1.0)
        model = render(observation, lens_light=light)
        sigma = observation.noise.sigma(model)
        return jax.scipy.stats.norm.logpdf(observation.image, model, sigma).sum()

    with jax.enable_x64(True):
        data = {"pixel_scale": 0.1, "noise": noise(unit)}
        plain = Observation(image * unit, **data)
        scaled = Observation(image * unit, flux_unit=unit, **data)
        found = [log_density(scaled, a) - log_density(plain, a * unit) for a in (3.0, 200.0)]
    np.testing.assert_allclose(found, 30 * np.log(unit), rtol=1e-12)


def test_a_noise_of_ones_own_is_divided_by_its_author():
    class OwnNoise(AbstractNoise):
        rms: float

        def variance(self, model_image):
            return self.rms**2 + 0.0 * model_image

    with pytest.raises(ValueError, match="NoiseMap and PoissonNoise; got OwnNoise"):
        Observation.blank((5, 6), pixel_scale=0.1, noise=OwnNoise(1.0), flux_unit=1e-3)


@pytest.mark.wrong_types
@pytest.mark.parametrize("unit", [0.0, -1.0, np.nan, np.inf, units.nJy, "1e-20"])
def test_a_flux_unit_is_a_positive_number(unit):
    with pytest.raises(ValueError, match="`flux_unit` is the flux that counts as one"):
        Observation.blank((5, 6), pixel_scale=0.1, noise=NoiseMap(1.0), flux_unit=unit)


def test_more_sub_pixels_than_memory_holds_are_an_error():
    with pytest.raises(ValueError, match="Write supersampling=4"):
        Observation.blank((60, 60), pixel_scale=0.1, noise=NoiseMap(1.0), supersampling=3000)
