"""What an observation refuses, and says how to mend."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array, ArrayLike, Mask
from numpyro_lens.coordinates import pixel_matrix
from numpyro_lens.noise import AbstractNoise, NoiseMap, PoissonNoise
from numpyro_lens.psf import PSF, GaussianPSF, cropped

MOST_SUB_PIXELS = 300_000_000


def check_replacement(image: Any, shape: tuple[int, ...], mask: Mask) -> None:
    """Check the shape; the values only where they are known, not those of a traced image."""
    if jnp.shape(image) != shape:
        raise ValueError(
            f"Another image has the shape of the first, {shape}; got {jnp.shape(image)}. "
            "Make a new Observation for other pixels."
        )
    if not any(isinstance(value, jax.core.Tracer) for value in (image, mask)):
        values, used = plain(image, "image"), np.asarray(mask)
        check_pixels(values, used, "`image`", np.isfinite, "finite")
        check_range(values, used, "image")


def plain(values: ArrayLike, name: str) -> np.ndarray:
    """Numbers of this machine's byte order; a unit is not stripped from them."""
    if (unit := getattr(values, "unit", None)) is not None:
        raise ValueError(
            f"`{name}` is numbers, all of an observation in one unit; got a Quantity in {unit}. "
            f"Write {name}.to_value(unit) with the unit of the image."
        )
    # A conversion, since FITS files are big-endian, which JAX does not read.
    return np.asarray(values, dtype=float)


def without_masked(values: ArrayLike, mask: ArrayLike | None) -> ArrayLike | None:
    """The mask without the pixels that a masked array of NumPy's leaves out."""
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return mask
    kept = ~np.ma.getmaskarray(values)
    if mask is None:
        return kept
    return np.asarray(mask) * kept if np.shape(mask) == kept.shape else mask


def check_range(values: np.ndarray, mask: np.ndarray, name: str) -> None:
    """Check that squares fit in the precision that is on: variances are computed, and summed."""
    dtype = jnp.result_type(float)
    # squares, and the sums over all pixels of their quotients, keep some digits of the exponent
    limit = 10.0 ** (0.4 * np.log10(float(jnp.finfo(dtype).max)))
    used = np.abs(values[mask])
    low, high = used.min(), used.max()
    if high > limit or (name != "image" and low < 1 / limit):
        wrong = high if high > limit else low
        raise ValueError(
            f"In {jnp.finfo(dtype).bits} bit the values of `{name}` lie between {1 / limit:.0e} "
            f"and {limit:.0e}, since their squares are computed; got {wrong:.3g}. Write "
            f"flux_unit={10.0 ** np.round(np.log10(wrong)):.0e}, by which image and noise are "
            'divided, or jax.config.update("jax_enable_x64", True) first.'
        )


def check_flux_unit(unit: Any) -> None:
    if not (isinstance(unit, int | float | np.number) and 0 < unit < np.inf):
        raise ValueError(
            "`flux_unit` is the flux that counts as one, in the unit of the image, a positive "
            f"number; got {unit}. Write flux_unit=1e-20 for an image of some 1e-20."
        )


def in_flux_unit(noise: AbstractNoise, unit: float) -> AbstractNoise:
    """The noise of an image that is divided by a unit."""
    if unit == 1:
        return noise
    if isinstance(noise, NoiseMap):
        sigma = plain(noise.sigma_map, "sigma_map") / unit
        return eqx.tree_at(lambda n: n.sigma_map, noise, sigma)
    if isinstance(noise, PoissonNoise):
        rms = plain(noise.background_rms, "background_rms") / unit
        time = plain(noise.exposure_time, "exposure_time") * unit
        return eqx.tree_at(lambda n: (n.background_rms, n.exposure_time), noise, (rms, time))
    raise ValueError(
        f"flux_unit changes the unit of NoiseMap and PoissonNoise; got {type(noise).__name__}. "
        "Divide the image and the values of the noise by it, and leave flux_unit out."
    )


def checked_image(image: ArrayLike) -> np.ndarray:
    image = plain(image, "image")
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(
            f"An observation has one image of shape (ny, nx); got shape {image.shape}. "
            "Make one Observation for each band: Observation(cube[0], ...)."
        )
    return image


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    if mask is None:
        return np.ones(shape, dtype=bool)
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(
            f"`mask` has the shape of the image, {shape}; got {mask.shape}. "
            f"Start from mask = np.ones({shape}, dtype=bool) and set pixels to False."
        )
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(
            "`mask` is True where a pixel is used and False where it is not; got other values. "
            "Write mask=(quality == 0)."
        )
    mask = mask.astype(bool)
    if not mask.any():
        raise ValueError(
            "`mask` is True where a pixel is used; got a mask without any such pixel. "
            "If True marks bad pixels in yours, write mask=~mask."
        )
    return mask


def check_pixels(
    values: np.ndarray, mask: np.ndarray, name: str, good: Callable, rule: str
) -> None:
    """Raise an error that says which pixels in use break a rule."""
    bad = mask & ~good(values)
    if count := int(bad.sum()):
        j, i = np.argwhere(bad)[0]
        raise ValueError(
            f"{name} is {rule} in every pixel in use; got {count} of {int(mask.sum())} that "
            f"are not, the "
            f"first at [y, x] = [{j}, {i}], where it is {values[j, i]}. "
            "Leave them out: mask=np.isfinite(image) & (sigma > 0)."
        )


def checked_matrix(pixel_scale: float | None, transform_pix2angle: ArrayLike | None) -> np.ndarray:
    if (pixel_scale is None) == (transform_pix2angle is None):
        got = "neither" if pixel_scale is None else "both"
        raise ValueError(
            "An observation has exactly one of `pixel_scale` and `transform_pix2angle`; got "
            f"{got}. Write pixel_scale=0.05 for square pixels, x right and y up."
        )
    if pixel_scale is not None:
        if not (np.ndim(pixel_scale) == 0 and np.isfinite(pixel_scale) and pixel_scale > 0):
            raise ValueError(
                f"`pixel_scale` is the side of a pixel in arcsec, a positive number; got "
                f"{pixel_scale}. "
                "For RA to the left write transform_pix2angle=[[-0.05, 0], [0, 0.05]]."
            )
        return pixel_matrix(float(pixel_scale))
    matrix = np.asarray(transform_pix2angle, dtype=float)
    if matrix.shape != (2, 2) or not np.isfinite(matrix).all():
        raise ValueError(
            "`transform_pix2angle` is a finite 2x2 matrix in arcsec per pixel; got shape "
            f"{matrix.shape}. Write transform_pix2angle=[[-0.05, 0], [0, 0.05]]."
        )
    if abs(np.linalg.det(matrix)) < 1e-12 * np.sum(matrix**2):
        raise ValueError(
            "`transform_pix2angle` has a determinant, whose modulus is the area of a pixel; got a "
            f"singular matrix {matrix.tolist()}. Its columns are the steps of a column and of "
            f"a row."
        )
    return matrix


def check_num_sub_pixels(shape: tuple[int, ...], supersampling: int) -> None:
    """Check that the model fits in memory, before anything of that size is made."""
    num = shape[0] * shape[1] * supersampling**2
    if num > MOST_SUB_PIXELS:
        largest = int((MOST_SUB_PIXELS / (shape[0] * shape[1])) ** 0.5)
        raise ValueError(
            f"The model is computed at every sub-pixel; supersampling={supersampling} of "
            f"{shape[0]}x{shape[1]} pixels has {num:.2g} of them, and {MOST_SUB_PIXELS:.0e} is "
            f"the most. Write supersampling={min(largest, 4) or 1}, or cut the image."
        )


def checked_psf(
    psf: PSF | GaussianPSF | None, matrix: np.ndarray, shape: tuple[int, ...], supersampling: int
) -> PSF | None:
    if psf is None:
        return None
    if isinstance(psf, GaussianPSF):
        kernel = np.asarray(psf.sampled(matrix, sampling=supersampling).kernel)
        return PSF(cropped(kernel, supersampling, 2 * (min(shape),)), sampling=supersampling)
    if not isinstance(psf, PSF):
        raise ValueError(
            f"`psf` is a PSF or a GaussianPSF; got {type(psf).__name__}. Write psf=PSF(kernel)."
        )
    if supersampling % psf.sampling:
        raise ValueError(
            "The supersampling is a multiple of the sampling of the PSF; got supersampling="
            f"{supersampling} and sampling={psf.sampling}. Write supersampling={psf.sampling}."
        )
    if any(k > psf.sampling * n for k, n in zip(psf.kernel.shape, shape, strict=True)):
        raise ValueError(
            f"A PSF is no larger than the image, {shape} pixels; got a kernel of "
            f"{psf.kernel.shape} "
            f"samples, {psf.sampling} per pixel. Cut its edges: PSF(kernel[c:-c, c:-c])."
        )
    # The kernel follows the precision in force here, not where it was made.
    return PSF(psf.kernel, sampling=psf.sampling)


def checked_noise(noise: AbstractNoise, mask: np.ndarray, dtype: Any) -> AbstractNoise:
    """The same noise with arrays of the dtype, and harmless values where no pixel is used."""
    values = {f.name: getattr(noise, f.name) for f in dataclasses.fields(noise)}
    checked = [checked_noise_value(n, v, mask, dtype) for n, v in values.items()]
    return eqx.tree_at(lambda n: [getattr(n, name) for name in values], noise, checked)


def check_is_noise(noise: Any) -> None:
    if not isinstance(noise, AbstractNoise):
        raise ValueError(
            f"`noise` is a noise model; got {type(noise).__name__}. Write noise=NoiseMap(sigma) or "
            "noise=PoissonNoise(background_rms=..., exposure_time=...)."
        )


def checked_noise_value(name: str, value: ArrayLike, mask: np.ndarray, dtype: Any) -> Array:
    value = plain(value, name)
    if value.ndim and value.shape != mask.shape:
        raise ValueError(
            f"`{name}` of the noise is a number or has the shape of the image, {mask.shape}; got "
            f"{value.shape}."
        )
    full = np.broadcast_to(value, mask.shape)

    def positive(v: np.ndarray) -> np.ndarray:
        return np.isfinite(v) & (v > 0)

    check_pixels(full, mask, f"`{name}` of the noise", positive, "positive and finite")
    if name != "exposure_time":  # a number of any size that is divided by
        check_range(full, mask, name)
    if value.ndim:
        # A masked pixel with bad noise would make the derivatives of the others NaN.
        value = np.where(mask | positive(value), value, 1.0)
    return jnp.asarray(value, dtype)
