"""Parts of an observation, and sums of its pixels."""

import jax.numpy as jnp
import numpy as np
import pytest

import numpyro_lens as nl
from numpyro_lens.pixels import binned, coarsened, cutout


def observation(shape=(31, 42), **changes):
    rng = np.random.default_rng(0)
    settings = {
        "transform_pix2angle": [[-0.05, 0.004], [0.003, 0.06]],
        "noise": nl.NoiseMap(rng.uniform(0.5, 1.5, shape)),
        "psf": nl.PSF(rng.uniform(size=(5, 3))),
        "mask": rng.uniform(size=shape) < 0.9,
    }
    return nl.Observation(rng.normal(size=shape), **(settings | changes))


SCENE = {
    "mass": nl.mass.SIE(theta_E=0.5, e1=0.1, center_x=0.02),
    "source": nl.light.Gaussian(amp=3.0, sigma=0.2, center_x=0.1),
}


def test_a_cutout_keeps_pixels_where_they_are(double):
    whole = observation(psf=None)
    part = cutout(whole, 0.4, center=(0.2, -0.1))
    assert part.shape < whole.shape
    inside = np.hypot(whole.x - 0.2, whole.y + 0.1) <= 0.4
    used = np.asarray(whole.mask) & inside
    assert int(part.mask.sum()) == used.sum()
    for name in ("image", "x", "y"):
        kept, old = (np.asarray(getattr(o, name)) for o in (part, whole))
        np.testing.assert_allclose(kept[np.asarray(part.mask)], old[used], rtol=0, atol=1e-12)
    sigma = part.noise.sigma(part.image)[part.mask]
    np.testing.assert_allclose(sigma, whole.noise.sigma(whole.image)[used], rtol=1e-12)
    np.testing.assert_allclose(
        nl.render(part, **SCENE)[part.mask], nl.render(whole, **SCENE)[used], rtol=1e-10
    )


def test_a_cutout_of_a_moved_observation_stays_moved(double):
    whole = observation(psf=None).moved(dx=0.3, dy=-0.2, rotation=0.2)
    part = cutout(whole, 0.3, center=(0.3, -0.2))
    used = np.asarray(part.mask)
    new, old = (
        np.stack([np.asarray(o.x)[at], np.asarray(o.y)[at]], axis=1)
        for o, at in ((part, used), (whole, np.ones(whole.shape, dtype=bool)))
    )
    nearest = np.linalg.norm(new[:, None] - old[None], axis=2).min(axis=1)
    np.testing.assert_allclose(nearest, 0.0, atol=1e-12)


def test_cutouts_of_like_size_share_a_shape():
    whole = observation((100, 100), transform_pix2angle=[[0.05, 0.0], [0.0, 0.05]])
    shapes = {cutout(whole, radius).shape for radius in (1.31, 1.35, 1.42)}
    assert shapes == {(60, 60)}


def test_a_cutout_without_pixels_teaches():
    with pytest.raises(ValueError, match="none within"):
        cutout(observation(), 0.1, center=(9.0, 9.0))


@pytest.mark.parametrize("psf", [None, nl.PSF(np.random.default_rng(1).uniform(size=(5, 7)))])
def test_a_sum_of_pixels_has_the_sum_of_their_models(psf, double):
    whole = observation((32, 42), psf=psf, mask=None)
    small = binned(whole, 2)
    assert small.shape == (16, 21)
    sums = np.asarray(nl.render(whole, **SCENE)).reshape(16, 2, 21, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(nl.render(small, **SCENE), sums, rtol=1e-9, atol=1e-12)
    variance = np.asarray(whole.noise.variance(whole.image)).reshape(16, 2, 21, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(small.noise.variance(small.image), variance, rtol=1e-12)


def test_a_sum_with_a_pixel_out_of_use_is_out_of_use():
    mask = np.ones((8, 8), dtype=bool)
    mask[3, 4] = False
    used = np.asarray(binned(observation((8, 8), mask=mask, psf=None), 2).mask)
    assert used.sum() == 15
    assert not used[1, 2]


def test_rows_that_make_no_square_are_left_out(double):
    whole = observation((31, 42), psf=None, mask=None)
    small = binned(whole, 4)
    assert small.shape == (7, 10)
    np.testing.assert_allclose(small.x[0, 0], np.mean(whole.x[:4, :4]), atol=1e-12)
    np.testing.assert_allclose(small.y[-1, -1], np.mean(whole.y[24:28, 36:40]), atol=1e-12)
    assert jnp.all(jnp.isfinite(small.image))


def test_coarsened_pixels_are_nearly_those_of_the_whole(double):
    """The same places and data. Wide samples blur by their own width, 0.03" of a source of 0.2"."""
    fine = binned(observation(mask=None), 2)
    coarse = coarsened(fine)
    assert coarse.psf.sampling == 1
    assert coarse.supersampling == 2
    for name in ("image", "x", "y", "mask"):
        np.testing.assert_allclose(getattr(coarse, name), getattr(fine, name), atol=1e-12)
    expected = nl.render(fine, **SCENE)
    error = np.abs(nl.render(coarse, **SCENE) - expected).max()
    assert 0.0 < error < 0.03 * np.abs(expected).max()


def test_a_psf_wider_than_the_part_is_cut_with_a_word():
    grid = np.arange(-15, 16)
    kernel = np.exp(-0.5 * (grid**2 + grid[:, None] ** 2) / 3.0**2)
    settings = {"pixel_scale": 0.1, "noise": nl.NoiseMap(1.0)}
    whole = nl.Observation.blank((40, 40), psf=nl.PSF(kernel), **settings)
    with pytest.warns(UserWarning, match="larger than the image: it is cut to 19 by 19"):
        part = cutout(whole, 0.95)
    assert part.psf.kernel.shape == (19, 19)
