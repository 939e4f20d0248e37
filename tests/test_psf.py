"""Kernels, their refinement and the convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from numpyro_lens.coordinates import pixel_matrix
from numpyro_lens.psf import PSF, Blur, GaussianPSF


def gaussian(size, sigma):
    x = np.arange(size) - size // 2
    return np.exp(-0.5 * (x**2 + x[:, None] ** 2) / sigma**2)


def averaged(kernel, factor, size):
    """Average over the old samples; a new sample on an edge is shared by its neighbours."""
    steps = 2 * factor
    fine = np.kron(kernel, np.ones((2, 2))) / 4
    pad = (size * steps - fine.shape[0]) // 2
    fine = np.pad(fine, pad)
    return fine.reshape(size, steps, size, steps).sum(axis=(1, 3))


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_refined_kernel_averages_to_the_original(factor, double):
    psf = PSF(gaussian(13, 1.5) + 0.1 * np.random.default_rng(0).random((13, 13)))
    fine = psf.refined(factor)
    assert fine.kernel.shape == (13 * factor - (factor % 2 == 0),) * 2
    assert fine.sampling == factor
    np.testing.assert_allclose(
        averaged(np.asarray(fine.kernel), factor, 13), psf.kernel, atol=1e-12
    )


def test_refined_real_kernel_averages_to_the_original(data_dir, x64):
    path = data_dir / "gigalens_demo" / "psf.npy"
    if not path.exists():
        pytest.skip(f"no {path}")
    psf = PSF(np.load(path))
    fine = np.asarray(psf.refined(2).kernel)
    np.testing.assert_allclose(averaged(fine, 2, psf.kernel.shape[0]), psf.kernel, atol=1e-6)


@pytest.mark.parametrize("sampling", [1, 2, 3])
@pytest.mark.parametrize("shape", [(20, 20), (17, 24)])
def test_blur_is_convolution_then_average(sampling, shape, double):
    rng = np.random.default_rng(0)
    psf = PSF(rng.random((7, 9)), sampling=sampling)
    ny, nx = shape
    fine = rng.random((ny * sampling, nx * sampling))
    planes = fine.reshape(ny, sampling, nx, sampling).transpose(1, 3, 0, 2).reshape(-1, ny, nx)
    direct = scipy.signal.convolve2d(fine, psf.kernel, mode="same")
    direct = direct.reshape(ny, sampling, nx, sampling).mean(axis=(1, 3))
    np.testing.assert_allclose(Blur(psf, shape)(jnp.asarray(planes)), direct, rtol=1e-12)


def test_blur_is_linear_in_both_modes_of_differentiation(double):
    blur = Blur(PSF(gaussian(5, 1.0), sampling=2), (8, 9))
    rng = np.random.default_rng(0)
    planes, image = jnp.asarray(rng.random((4, 8, 9))), jnp.asarray(rng.random((8, 9)))
    value, pullback = jax.vjp(blur, planes)
    np.testing.assert_allclose(jnp.vdot(value, image), jnp.vdot(pullback(image)[0], planes))
    np.testing.assert_allclose(jax.jvp(blur, (planes,), (planes,))[1], value)
    np.testing.assert_allclose(jax.vmap(blur)(planes[None])[0], value)


def test_gaussian_has_its_width(double):
    psf = GaussianPSF(0.2).sampled(pixel_matrix(0.05), sampling=2)
    half = psf.kernel.shape[0] // 2
    np.testing.assert_allclose(psf.kernel[half, half + 4] / psf.kernel[half, half], 0.5)


def test_kernel_is_normalised_and_converted():
    psf = PSF(gaussian(5, 1.0).astype(">f4") * 7)
    np.testing.assert_allclose(psf.kernel.sum(), 1.0, rtol=1e-6)
    assert repr(psf) == "PSF(kernel=5x5, sampling=1)"


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((4, 5)), "odd number of rows"),
        (np.ones((1, 3, 3)), "one image"),
        (np.full((3, 3), np.nan), "9 NaN"),
        (np.zeros((3, 3)), "positive sum"),
    ],
)
def test_bad_kernels_teach(kernel, message):
    with pytest.raises(ValueError, match=message):
        PSF(kernel)


@pytest.mark.wrong_types
def test_bad_numbers_teach():
    with pytest.raises(ValueError, match="positive integer"):
        PSF(np.ones((3, 3)), sampling=0)
    with pytest.raises(ValueError, match="positive integer"):
        PSF(np.ones((3, 3))).refined(1.5)
    with pytest.raises(ValueError, match="positive and finite"):
        GaussianPSF(-1.0)


@pytest.mark.parametrize("sampling", [1, 2])
def test_many_images_at_once_equal_one_by_one(sampling, x64):
    """Also beside an image a million times brighter, and one without light."""
    rng = np.random.default_rng(0)
    blur = Blur(PSF(rng.uniform(size=(5, 7)), sampling=sampling), (9, 11))
    planes = rng.normal(size=(5, sampling**2, 9, 11))
    planes = jnp.asarray(planes * np.array([1.0, 1e6, 1.0, 0.0, 1e-6])[:, None, None, None])
    many = jax.jit(lambda b, p: b.many(p))(blur, planes)
    single = jnp.stack([blur(p) for p in planes])
    scale = np.abs(single).max(axis=(1, 2), keepdims=True) + 1e-30
    np.testing.assert_allclose(many / scale, single / scale, atol=1e-12 if x64 else 2e-6)


@pytest.mark.parametrize(("sampling", "factor"), [(2, 2), (3, 3), (4, 2)])
def test_coarsened_is_exact_for_light_that_is_even_over_wide_samples(double, sampling, factor):
    kernel = np.random.default_rng(1).uniform(size=(7, 9))
    coarse = PSF(kernel, sampling=sampling).coarsened(factor)
    assert coarse.sampling == sampling // factor
    wide = np.random.default_rng(2).uniform(size=(12, 14))
    narrow = np.kron(wide, np.ones((factor, factor)))
    seen = scipy.signal.convolve(narrow, kernel / kernel.sum(), mode="same")
    expected = seen.reshape(12, factor, 14, factor).mean(axis=(1, 3))
    found = scipy.signal.convolve(wide, coarse.kernel, mode="same")
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_coarsened_by_a_divisor_of_the_sampling():
    with pytest.raises(ValueError, match=r"divides the sampling; got 2 .* Write coarsened\(3\)"):
        PSF(np.ones((3, 3)), sampling=3).coarsened(2)
