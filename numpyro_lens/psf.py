"""Point spread functions and the convolution with them."""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._completion import own_names
from numpyro_lens._types import Array, ArrayLike, Kernel, Matrix, Scalar

_SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


class PSF(eqx.Module):
    """A point spread function given as an image, normalised to one.

    The image is convolved at the kernel's own sampling: sub-pixels are averaged down to it first,
    and its samples to pixels afterwards.

    Args:
        kernel: ``(ky, kx)`` array, both odd so that its centre is a sample. Any byte order.
        sampling: samples per pixel side; it must divide the supersampling of the observation.

    Raises:
        ValueError: the kernel is not a finite, odd-sized image with a positive sum, or the sampling
            is not a positive integer.

    Example:
        >>> psf = PSF([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]])
        >>> psf.kernel.shape, float(psf.kernel.sum()), psf.sampling
        ((3, 3), 1.0, 1)
    """

    kernel: Kernel
    sampling: int = eqx.field(static=True)

    def __init__(self, kernel: ArrayLike, *, sampling: int = 1) -> None:
        kernel = np.asarray(kernel, dtype=float)
        _check_kernel(kernel, sampling)
        self.kernel = jnp.asarray(kernel / kernel.sum(), dtype=jnp.result_type(float))
        self.sampling = int(sampling)

    def refined(self, factor: int) -> "PSF":
        """The same PSF on a finer sampling.

        Interpolated linearly between the samples of a corrected kernel, the one whose interpolation
        averages over each original sample to the original kernel. The new kernel is odd-sized:
        13x13 refined twice is 25x25.

        Args:
            factor: new samples per old sample and side, a positive integer.

        Returns:
            A PSF of sampling ``factor * sampling``.

        Raises:
            ValueError: the factor is not a positive integer.

        Example:
            >>> PSF([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]]).refined(2).kernel.shape
            (5, 5)
        """
        check_positive_integer("factor", factor)
        kernel = np.asarray(self.kernel, dtype=float)
        if factor == 1:
            return self
        rows, columns = (_refinement(size, factor) for size in kernel.shape)
        return PSF(rows @ kernel @ columns.T, sampling=factor * self.sampling)

    def coarsened(self, factor: int) -> "PSF":
        r"""This PSF between samples that are ``factor`` times as wide.

        Light that is spread evenly over a wide sample falls on others with the shares

        .. math:: K_m = \sum_o k_o\, \max(0,\, 1 - |o - m f| / f)

        Args:
            factor: old samples per new sample and side, a divisor of the sampling.

        Returns:
            A PSF of sampling ``sampling / factor``.

        Raises:
            ValueError: the factor is not a positive integer that divides the sampling.

        Example:
            >>> PSF([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]], sampling=2).coarsened(2)
            PSF(kernel=3x3, sampling=1)
        """
        check_positive_integer("factor", factor)
        if self.sampling % factor:
            raise ValueError(
                f"`factor` divides the sampling; got {factor} for a sampling of {self.sampling}. "
                f"Write coarsened({self.sampling}) for one sample per pixel."
            )
        if factor == 1:
            return self
        kernel = np.asarray(self.kernel, dtype=float)
        rows, columns = (_shares(size, factor) for size in kernel.shape)
        return PSF(rows @ kernel @ columns.T, sampling=self.sampling // factor)

    def __repr__(self) -> str:
        return f"PSF(kernel={'x'.join(map(str, self.kernel.shape))}, sampling={self.sampling})"


class GaussianPSF(eqx.Module):
    """A round Gaussian point spread function; the observation samples it at its sub-pixels.

    Args:
        fwhm: full width at half maximum [arcsec], positive.

    Raises:
        ValueError: the width is not positive and finite.

    Example:
        >>> GaussianPSF(0.1).sampled(0.05, sampling=1).kernel.shape
        (11, 11)
    """

    fwhm: float = eqx.field(static=True)

    def __init__(self, fwhm: float):
        self.fwhm = float(fwhm)
        if not (np.isfinite(self.fwhm) and self.fwhm > 0):
            raise ValueError(
                f"`fwhm` is a width in arcsec, positive and finite; got {fwhm}. "
                "Write GaussianPSF(fwhm=0.1)."
            )

    def sampled(self, pixel_scale: Scalar | Matrix | np.ndarray, *, sampling: int = 1) -> PSF:
        """The kernel out to five standard deviations.

        Args:
            pixel_scale: side of a pixel [arcsec], or the ``(2, 2)`` pixel matrix.
            sampling: samples per pixel side.

        Returns:
            A PSF.
        """
        matrix = np.asarray(pixel_scale) * np.eye(2) if np.ndim(pixel_scale) == 0 else pixel_scale
        step = np.asarray(matrix, dtype=float) / sampling
        sigma = self.fwhm * _SIGMA_PER_FWHM
        side = np.sqrt(abs(np.linalg.det(step)))
        half = max(1, int(np.ceil(5.0 * sigma / side)))
        row, column = np.mgrid[-half : half + 1, -half : half + 1]
        x, y = (step[k, 0] * column + step[k, 1] * row for k in (0, 1))
        return PSF(np.exp(-0.5 * (x**2 + y**2) / sigma**2), sampling=sampling)


def check_positive_integer(name: str, value: Any) -> None:
    """Check that a number of samples is a positive integer.

    Args:
        name: of the argument, for the error.
        value: what came.

    Raises:
        ValueError: it is not a positive integer.

    Example:
        >>> check_positive_integer("sampling", 2)
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` is a positive integer; got {value!r}. Write {name}=2.")


def cropped(kernel: np.ndarray, sampling: int, shape: tuple[int, ...]) -> np.ndarray:
    """The centre of a kernel, no larger than an image.

    Args:
        kernel: ``(ky, kx)``.
        sampling: samples per pixel side.
        shape: of the image in pixels.

    Returns:
        The kernel, or its centre.

    Example:
        >>> cropped(np.ones((9, 5)), 1, (6, 8)).shape
        (5, 5)
    """
    room = [sampling * n for n in shape]
    cut = [max(0, -(-(k - n) // 2)) for k, n in zip(kernel.shape, room, strict=True)]
    rows, columns = (slice(edge, size - edge) for edge, size in zip(cut, kernel.shape, strict=True))
    return kernel[rows, columns]


def cropped_aloud(kernel: np.ndarray, sampling: int, shape: tuple[int, ...]) -> np.ndarray:
    """Like `cropped`, with a warning that names what is cut off.

    Example:
        >>> cropped_aloud(np.ones((5, 5)), 1, (6, 8)).shape
        (5, 5)
    """
    kept = cropped(kernel, sampling, shape)
    if kept.shape != kernel.shape:
        lost = 1 - float(np.sum(kept, dtype=float) / np.sum(kernel, dtype=float))
        old, new = (f"{rows} by {columns}" for rows, columns in (kernel.shape, kept.shape))
        warnings.warn(
            f"the PSF, {old} samples, is larger than the image: it is cut to {new}, without "
            f"{100 * lost:.2g} % of its light.",
            stacklevel=2,
        )
    return kept


def _check_kernel(kernel: np.ndarray, sampling: int) -> None:
    check_positive_integer("sampling", sampling)
    if kernel.ndim != 2 or 0 in kernel.shape:
        raise ValueError(
            f"A PSF kernel is one image of shape (ky, kx); got shape {kernel.shape}. "
            "Pass one band: PSF(cube[0])."
        )
    if any(size % 2 == 0 for size in kernel.shape):
        raise ValueError(
            "A PSF kernel has an odd number of rows and columns, so that its centre is a "
            "sample; got "
            f"{kernel.shape[0]}x{kernel.shape[1]}. If the centre lies on a sample, cut the "
            f"empty edge: "
            "PSF(kernel[1:, 1:]) or PSF(kernel[:-1, :-1]); if it lies between samples, resample it."
        )
    if bad := int(np.sum(~np.isfinite(kernel))):
        raise ValueError(
            f"A PSF kernel is finite; got {bad} NaN or infinite samples. If they are empty edges, "
            "write PSF(np.where(np.isfinite(kernel), kernel, 0.0))."
        )
    if not kernel.sum() > 0:
        raise ValueError(
            f"A PSF kernel has a positive sum, by which it is normalised; got {kernel.sum():g}. "
            "Check that the right extension was read and that no background was over-subtracted."
        )


def _refinement(size: int, factor: int) -> np.ndarray:
    """The matrix from old samples to new ones along an axis, whose averages are the old samples."""
    fine = size * factor - (1 - size * factor % 2)
    old, new = (np.arange(n) - (n - 1) / 2 for n in (size, fine))
    interpolate = np.stack([np.interp(new / factor, old, unit) for unit in np.eye(size)], axis=1)
    # Share of each old sample that each new one covers; an even factor halves those on an edge.
    upper = np.minimum((new + 0.5) / factor, old[:, None] + 0.5)
    lower = np.maximum((new - 0.5) / factor, old[:, None] - 0.5)
    share = np.clip(upper - lower, 0.0, None) * factor
    return interpolate @ np.linalg.inv(share @ interpolate)


def _shares(size: int, factor: int) -> np.ndarray:
    """What each wide sample receives of each narrow one along an axis."""
    old = np.arange(size) - size // 2
    reach = -(-(size // 2) // factor)
    new = factor * np.arange(-reach, reach + 1)
    return np.maximum(0.0, 1.0 - np.abs(old - new[:, None]) / factor)


# --- convolution ---------------------------------------------------------------------------------


def _fast_length(minimum: int) -> int:
    """Smallest length of at least `minimum` without a prime factor above 7."""

    def remainder(n: int) -> int:
        for prime in (2, 3, 5, 7):
            while n % prime == 0:
                n //= prime
        return n

    return next(n for n in range(minimum, 2 * minimum + 1) if remainder(n) == 1)


class Blur(eqx.Module):
    """Convolution with a PSF and averaging to pixels, prepared for images of one shape.

    Convolution at the kernel's sampling followed by averaging to pixels is, for each place within a
    pixel, a convolution of pixel-sized images. So all transforms are pixel-sized, and averaging
    takes no time of its own. Outside the image there is no light.

    Args:
        psf: the point spread function.
        shape: ``(ny, nx)`` of the image.

    Example:
        >>> import jax.numpy as jnp
        >>> blur = Blur(PSF([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), (4, 5))
        >>> blur(jnp.ones((1, 4, 5))).shape
        (4, 5)
    """

    transform: Array
    canvas: Array

    def __init__(self, psf: PSF, shape: tuple[int, int]):
        kernel, s = np.asarray(psf.kernel, dtype=float), psf.sampling
        (rows, ny), (columns, nx) = (
            _destinations(k, s, n) for k, n in zip(kernel.shape, shape, strict=True)
        )
        planes = np.zeros((s, s, ny, nx))
        for i in range(s):
            for j in range(s):
                np.add.at(planes[i, j], np.ix_(rows[i], columns[j]), kernel / s**2)
        transform = np.fft.rfft2(planes.reshape(s * s, ny, nx))
        self.transform = jnp.asarray(
            transform, dtype=jnp.result_type(jnp.result_type(float), jnp.complex64)
        )
        # Padding with a constant would be compiled into one slow loop with all that precedes it.
        self.canvas = jnp.zeros((s * s, ny, nx), dtype=jnp.result_type(float))

    def __call__(self, planes: Array) -> Array:
        """The image ``(ny, nx)`` of one plane for each sample of a pixel ``(s², ny, nx)``."""
        ny, nx = planes.shape[1:]
        padded = self.canvas.at[:, :ny, :nx].set(planes)
        spectrum = jnp.sum(jnp.fft.rfft2(padded) * self.transform, axis=0)
        return jnp.fft.irfft2(spectrum, s=self.canvas.shape[1:])[:ny, :nx]

    def many(self, planes: Array) -> Array:
        """The images ``(num, ny, nx)`` of many sets of planes ``(num, s², ny, nx)``.

        Two of them are the real and the imaginary part of one complex transform: it costs as much
        as two real ones, and its derivative half as much as theirs.
        """
        num, _, ny, nx = planes.shape
        # The fainter of two would have the rounding errors of the brighter.
        peak = jax.lax.stop_gradient(jnp.max(jnp.abs(planes), axis=(1, 2, 3), keepdims=True))
        unit = planes / jnp.where(peak > 0.0, peak, 1.0)
        even = jnp.concatenate([unit, jnp.zeros_like(planes[: num % 2])])
        half = len(even) // 2
        canvas = jnp.broadcast_to(self.canvas, (2 * half, *self.canvas.shape))
        padded = canvas.at[:, :, :ny, :nx].set(even)
        kernel = jnp.fft.fft2(jnp.fft.irfft2(self.transform, s=self.canvas.shape[1:]))
        spectrum = jnp.fft.fft2(jax.lax.complex(padded[:half], padded[half:])) * kernel[None]
        pairs = jnp.fft.ifft2(jnp.sum(spectrum, axis=1))[:, :ny, :nx]
        return jnp.concatenate([pairs.real, pairs.imag])[:num] * peak[:, 0]


def _destinations(size: int, sampling: int, length: int) -> tuple[np.ndarray, int]:
    """Pixels on which the samples of an axis fall, from each place in a pixel; and a period."""
    offset = np.arange(size) - size // 2
    pixels = (offset + np.arange(sampling)[:, None]) // sampling
    period = _fast_length(length + int(np.abs(pixels).max()))
    return pixels % period, period


def __dir__() -> list[str]:
    return own_names(globals())
