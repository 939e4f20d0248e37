"""One observed image with everything that explains its pixels, validated once."""

import base64
import dataclasses
import html
import io
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array, ArrayLike, Image, Mask, Matrix, Scalar
from numpyro_lens.coordinates import pixel_grid, pixel_matrix, sub_pixel_grid
from numpyro_lens.noise import AbstractNoise
from numpyro_lens.psf import PSF, Blur, GaussianPSF, check_positive_integer


class Observation(eqx.Module):
    """An image, its pixels, noise, PSF and mask: a frozen pytree whose leaves are the data.

    What a likelihood needs at every evaluation is computed here, once. Functions take the
    observation as an argument, so one compiled function serves every observation of a shape.
    `Observation.blank` is an instrument without data.

    Args:
        image: ``(ny, nx)`` array, indexed ``image[y, x]`` [any unit; amplitudes are in it per
            arcsec²].
        pixel_scale: side of a square pixel [arcsec], for x to the right and y up.
        transform_pix2angle: ``(2, 2)`` pixel matrix [arcsec per pixel] instead, ``(x, y) = matrix @
            (column, row)``; RA that increases to the left is a negative first entry.
        noise: `PoissonNoise` or `NoiseMap`, in the units of the image.
        psf: `PSF` or `GaussianPSF`; none by default.
        mask: ``(ny, nx)``, True uses the pixel; all of them by default.
        supersampling: sub-pixels per pixel side, a multiple of the sampling of the PSF.
        sky_position: right ascension and declination of (0, 0) [degree], for files and for the
            compass on pictures; x then grows with right ascension, y with declination.

    Raises:
        ValueError: the pieces do not fit together, or a pixel in use has no finite value or no
            positive noise. The message says which and what to type.

    Example:
        >>> import numpy as np
        >>> from numpyro_lens.noise import NoiseMap
        >>> Observation(np.zeros((60, 50)), pixel_scale=0.05, noise=NoiseMap(0.1))
        Observation(60x50 pixels of 0.05", supersampling=2, noise=NoiseMap, psf=None,
                    3000 pixels in use, brightest at S/N 0)
    """

    image: Image
    noise: AbstractNoise
    psf: PSF | None
    mask: Mask
    transform_pix2angle: Matrix
    x: Image
    y: Image
    sub_x: Array
    sub_y: Array
    blur: Blur | None
    pixel_area: Array
    # NumPy's, since 32 bit would round a right ascension to a tenth of an arcsecond
    sky_position: np.ndarray | None
    supersampling: int = eqx.field(static=True)

    def __init__(
        self,
        image: ArrayLike,
        *,
        pixel_scale: float | None = None,
        transform_pix2angle: ArrayLike | None = None,
        noise: AbstractNoise,
        psf: PSF | GaussianPSF | None = None,
        mask: ArrayLike | None = None,
        supersampling: int = 2,
        sky_position: ArrayLike | None = None,
    ) -> None:
        mask = _without_masked(image, mask)
        image = _checked_image(image)
        mask = _checked_mask(mask, image.shape)
        _check_pixels(image, mask, "`image`", np.isfinite, "finite")
        _check_range(image, mask, "image")
        matrix = _checked_matrix(pixel_scale, transform_pix2angle)
        check_positive_integer("supersampling", supersampling)
        psf = _checked_psf(psf, matrix, image.shape, supersampling)
        sampling = 1 if psf is None else psf.sampling
        x, y = pixel_grid(image.shape, matrix)
        sub_x, sub_y = sub_pixel_grid(image.shape, matrix, supersampling, sampling)
        dtype = jnp.result_type(float)
        self.image = jnp.asarray(np.where(mask, image, 0.0), dtype)
        self.noise = _checked_noise(noise, mask, dtype)
        self.psf = psf
        self.mask = jnp.asarray(mask)
        self.transform_pix2angle = jnp.asarray(matrix, dtype)
        self.x, self.y = jnp.asarray(x, dtype), jnp.asarray(y, dtype)
        self.sub_x, self.sub_y = jnp.asarray(sub_x, dtype), jnp.asarray(sub_y, dtype)
        self.blur = None if psf is None else Blur(psf, image.shape)
        self.pixel_area = jnp.asarray(abs(np.linalg.det(matrix)), dtype)
        self.supersampling = int(supersampling)
        self.sky_position = None if sky_position is None else np.asarray(sky_position, dtype=float)

    @classmethod
    def blank(cls, shape: tuple[int, int], **instrument: Any) -> "Observation":
        """An instrument without data, to simulate with: an image of zeros.

        Args:
            shape: ``(ny, nx)``.
            **instrument: all other arguments of `Observation`.

        Returns:
            An observation.

        Raises:
            ValueError: as for `Observation`.

        Example:
            >>> from numpyro_lens.noise import NoiseMap
            >>> Observation.blank((60, 50), pixel_scale=0.05, noise=NoiseMap(0.1)).shape
            (60, 50)
        """
        return cls(np.zeros(shape), **instrument)

    @property
    def sampling(self) -> int:
        """Samples of the PSF per pixel side, 1 without a PSF."""
        return 1 if self.psf is None else self.psf.sampling

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image, ``(ny, nx)``."""
        ny, nx = self.image.shape[-2:]
        return ny, nx

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Edges ``(left, right, bottom, top)`` [arcsec], for imshow with ``origin="lower"``.

        Left is the edge of the first column, so it is the larger one where x increases to the
        left. Pixels at an angle have no such edges; those given are of the image turned upright.
        """
        (a, b), (c, d) = np.asarray(self.transform_pix2angle, dtype=float)
        width = 0.5 * self.shape[1] * np.copysign(np.hypot(a, c), a)
        height = 0.5 * self.shape[0] * np.copysign(np.hypot(b, d), d)
        return float(-width), float(width), float(-height), float(height)

    def with_image(self, image: ArrayLike) -> "Observation":
        """The same instrument with another image.

        Args:
            image: ``(ny, nx)`` array.

        Returns:
            An observation.

        Raises:
            ValueError: it has another shape, or a pixel in use is not finite.
        """
        _check_replacement(image, self.image.shape, self.mask)
        image = jnp.where(self.mask, jnp.asarray(image, self.image.dtype), 0.0)
        return eqx.tree_at(lambda o: o.image, self, image)

    def moved(self, dx: Scalar = 0.0, dy: Scalar = 0.0, rotation: Scalar = 0.0) -> "Observation":
        r"""The same data with their pixels moved on the sky, by amounts that may be sampled.

        .. math:: (x, y) \to R(\rho)\,(x, y) + (dx, dy)

        For bands whose astrometry is known to a fraction of a pixel only. One image of a model
        stays where it is: the offset of all of them is the centre of everything.

        Args:
            dx, dy: offset [arcsec], scalars.
            rotation: counter-clockwise about (0, 0) [radian], scalar.

        Returns:
            An observation.

        Example:
            >>> from numpyro_lens.noise import NoiseMap
            >>> image = Observation.blank((3, 3), pixel_scale=0.1, noise=NoiseMap(1.0))
            >>> float(image.moved(dx=0.25).x.mean())
            0.25
        """
        cosine, sine = jnp.cos(rotation), jnp.sin(rotation)

        def turned(x: Array, y: Array) -> tuple[Array, Array]:
            return cosine * x - sine * y, sine * x + cosine * y

        def placed(x: Array, y: Array) -> tuple[Array, Array]:
            along_x, along_y = turned(x, y)
            return along_x + dx, along_y + dy

        new = (
            *placed(self.x, self.y),
            *placed(self.sub_x, self.sub_y),
            jnp.stack(turned(*self.transform_pix2angle)),
        )
        return eqx.tree_at(lambda o: (o.x, o.y, o.sub_x, o.sub_y, o.transform_pix2angle), self, new)

    def with_noise(self, noise: AbstractNoise) -> "Observation":
        """The same data with another noise, whose values may be sampled in a model.

        Args:
            noise: in the units of the image.

        Returns:
            An observation.

        Raises:
            ValueError: it is no noise model.
        """
        _check_is_noise(noise)
        return eqx.tree_at(lambda o: o.noise, self, noise)

    def residuals(self, model_image: Image) -> Image:
        r"""Normalised residuals, :math:`(d - m)/\sigma(m)`; zero where a pixel is out of use.

        Args:
            model_image: noise-free image ``(ny, nx)``.

        Returns:
            ``(ny, nx)``, standard normal if the model is right.

        Example:
            >>> from numpyro_lens.noise import NoiseMap
            >>> data = Observation(np.ones((2, 2)), pixel_scale=0.1, noise=NoiseMap(0.5))
            >>> float(data.residuals(jnp.zeros((2, 2)))[0, 0])
            2.0
        """
        normalised = (self.image - model_image) / self.noise.sigma(model_image)
        return jnp.where(self.mask, normalised, 0.0)

    def mean_square(self, model_image: Image) -> Array:
        """Mean square of the normalised residuals over the pixels in use, the reduced chi-square.

        Args:
            model_image: noise-free image ``(ny, nx)``.

        Returns:
            Scalar, near one if the model is right.

        Example:
            >>> from numpyro_lens.noise import NoiseMap
            >>> data = Observation(np.ones((2, 2)), pixel_scale=0.1, noise=NoiseMap(0.5))
            >>> float(data.mean_square(jnp.zeros((2, 2))))
            4.0
        """
        return jnp.sum(self.residuals(model_image) ** 2) / jnp.sum(self.mask)

    def _repr_html_(self) -> str:
        return f"{_thumbnail(self)}<div>{html.escape(repr(self))}</div>"

    def __repr__(self) -> str:
        if any(not isinstance(leaf, jax.Array) for leaf in (self.image, self.mask)):
            return f"Observation(supersampling={self.supersampling})"
        size = "x".join(map(str, self.image.shape))
        pieces = f"noise={type(self.noise).__name__}, psf={self.psf}"
        if self.image.ndim != 2 or isinstance(self.image, jax.core.Tracer):
            return f"Observation({size} pixels, supersampling={self.supersampling}, {pieces})"
        return (
            f'Observation({size} pixels of {float(self.pixel_area) ** 0.5:.4g}", '
            f"supersampling={self.supersampling}, {pieces}, {int(self.mask.sum())} pixels in use, "
            f"brightest at S/N {self._peak_signal_to_noise():.0f})"
        )

    def _peak_signal_to_noise(self) -> float:
        ratio = self.image / self.noise.sigma(self.image)
        return float(jnp.max(jnp.where(self.mask, ratio, -jnp.inf)))


def _thumbnail(observation: Observation, height: int = 240) -> str:
    """The image as HTML, linear through the noise and logarithmic above; grey where masked."""
    from matplotlib import colormaps, image

    values, mask = np.asarray(observation.image, dtype=float), np.asarray(observation.mask)
    noise = 3.0 * float(np.median(np.asarray(observation.noise.sigma(observation.image))[mask]))
    stretched = np.arcsinh(values / noise)
    low, high = np.arcsinh(-1.0), max(float(stretched[mask].max()), 1.0)
    pixels = colormaps["inferno"](np.clip((stretched - low) / (high - low), 0.0, 1.0))
    pixels[~mask] = (0.75, 0.75, 0.75, 1.0)
    buffer = io.BytesIO()
    image.imsave(buffer, pixels, origin="lower", format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    style = f"height: {height}px; image-rendering: pixelated"
    return f'<img style="{style}" src="data:image/png;base64,{data}">'


def _check_replacement(image: Any, shape: tuple[int, ...], mask: Mask) -> None:
    """Check the shape; the values only where they are known, not those of a traced image."""
    if jnp.shape(image) != shape:
        raise ValueError(
            f"Another image has the shape of the first, {shape}; got {jnp.shape(image)}. "
            "Make a new Observation for other pixels."
        )
    if not any(isinstance(value, jax.core.Tracer) for value in (image, mask)):
        _check_pixels(_plain(image, "image"), np.asarray(mask), "`image`", np.isfinite, "finite")


def _plain(values: ArrayLike, name: str) -> np.ndarray:
    """Numbers of this machine's byte order; a unit is not stripped from them."""
    if (unit := getattr(values, "unit", None)) is not None:
        raise ValueError(
            f"`{name}` is numbers, all of an observation in one unit; got a Quantity in {unit}. "
            f"Write {name}.to_value(unit) with the unit of the image."
        )
    # A conversion, since FITS files are big-endian, which JAX does not read.
    return np.asarray(values, dtype=float)


def _without_masked(values: ArrayLike, mask: ArrayLike | None) -> ArrayLike | None:
    """The mask without the pixels that a masked array of NumPy's leaves out."""
    if not isinstance(values, np.ma.MaskedArray) or not np.ma.is_masked(values):
        return mask
    kept = ~np.ma.getmaskarray(values)
    if mask is None:
        return kept
    return np.asarray(mask) * kept if np.shape(mask) == kept.shape else mask


def _check_range(values: np.ndarray, mask: np.ndarray, name: str) -> None:
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
            f"and {limit:.0e}, since their squares are computed; got {wrong:.3g}. Multiply image "
            f"and noise by {10.0 ** -np.round(np.log10(wrong)):.0e} (and exposure_time by the "
            'inverse), or write jax.config.update("jax_enable_x64", True) first.'
        )


def _checked_image(image: ArrayLike) -> np.ndarray:
    image = _plain(image, "image")
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(
            f"An observation has one image of shape (ny, nx); got shape {image.shape}. "
            "Make one Observation for each band: Observation(cube[0], ...)."
        )
    return image


def _checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
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


def _check_pixels(
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


def _checked_matrix(pixel_scale: float | None, transform_pix2angle: ArrayLike | None) -> np.ndarray:
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


def _checked_psf(
    psf: PSF | GaussianPSF | None, matrix: np.ndarray, shape: tuple[int, ...], supersampling: int
) -> PSF | None:
    if psf is None:
        return None
    if isinstance(psf, GaussianPSF):
        psf = psf.sampled(matrix, sampling=supersampling)
        return _cropped(psf, shape)
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


def _cropped(psf: PSF, shape: tuple[int, ...]) -> PSF:
    """The centre of a kernel, no larger than the image."""
    limit = min(shape) * psf.sampling
    cut = max(0, (psf.kernel.shape[0] - limit + 1) // 2)
    return PSF(
        psf.kernel[cut : psf.kernel.shape[0] - cut, cut : psf.kernel.shape[1] - cut],
        sampling=psf.sampling,
    )


def _checked_noise(noise: AbstractNoise, mask: np.ndarray, dtype: Any) -> AbstractNoise:
    """The same noise with arrays of the dtype, and harmless values where no pixel is used."""
    _check_is_noise(noise)
    values = {f.name: getattr(noise, f.name) for f in dataclasses.fields(noise)}
    checked = [_checked_noise_value(n, v, mask, dtype) for n, v in values.items()]
    return eqx.tree_at(lambda n: [getattr(n, name) for name in values], noise, checked)


def _check_is_noise(noise: Any) -> None:
    if not isinstance(noise, AbstractNoise):
        raise ValueError(
            f"`noise` is a noise model; got {type(noise).__name__}. Write noise=NoiseMap(sigma) or "
            "noise=PoissonNoise(background_rms=..., exposure_time=...)."
        )


def _checked_noise_value(name: str, value: ArrayLike, mask: np.ndarray, dtype: Any) -> Array:
    value = _plain(value, name)
    if value.ndim and value.shape != mask.shape:
        raise ValueError(
            f"`{name}` of the noise is a number or has the shape of the image, {mask.shape}; got "
            f"{value.shape}."
        )
    full = np.broadcast_to(value, mask.shape)

    def positive(v: np.ndarray) -> np.ndarray:
        return np.isfinite(v) & (v > 0)

    _check_pixels(full, mask, f"`{name}` of the noise", positive, "positive and finite")
    if name != "exposure_time":  # a number of any size that is divided by
        _check_range(full, mask, name)
    if value.ndim:
        # A masked pixel with bad noise would make the derivatives of the others NaN.
        value = np.where(mask | positive(value), value, 1.0)
    return jnp.asarray(value, dtype)
