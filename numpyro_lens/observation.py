"""One observed image with everything that explains its pixels, validated once."""

import base64
import html
import io
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._completion import own_names
from numpyro_lens._observation_checks import (
    check_flux_unit,
    check_is_noise,
    check_num_sub_pixels,
    check_pixels,
    check_range,
    check_replacement,
    checked_image,
    checked_mask,
    checked_matrix,
    checked_noise,
    checked_psf,
    in_flux_unit,
    without_masked,
)
from numpyro_lens._types import Array, ArrayLike, Image, Mask, Matrix, Scalar
from numpyro_lens.coordinates import pixel_grid, sub_pixel_grid
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
        flux_unit: the flux that counts as one [unit of the image]. Image and noise are divided by
            it, and amplitudes are in it per arcsec², as images of 1e-20 need in 32 bit.
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
        flux_unit: float = 1.0,
        sky_position: ArrayLike | None = None,
    ) -> None:
        mask = without_masked(image, mask)
        check_is_noise(noise)
        check_flux_unit(flux_unit)
        image = checked_image(image) / flux_unit
        noise = in_flux_unit(noise, flux_unit)
        mask = checked_mask(mask, image.shape)
        check_pixels(image, mask, "`image`", np.isfinite, "finite")
        check_range(image, mask, "image")
        matrix = checked_matrix(pixel_scale, transform_pix2angle)
        check_positive_integer("supersampling", supersampling)
        check_num_sub_pixels(image.shape, supersampling)
        psf = checked_psf(psf, matrix, image.shape, supersampling)
        sampling = 1 if psf is None else psf.sampling
        x, y = pixel_grid(image.shape, matrix)
        sub_x, sub_y = sub_pixel_grid(image.shape, matrix, supersampling, sampling)
        dtype = jnp.result_type(float)
        self.image = jnp.asarray(np.where(mask, image, 0.0), dtype)
        self.noise = checked_noise(noise, mask, dtype)
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
        check_replacement(image, self.image.shape, self.mask)
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
        check_is_noise(noise)
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


def __dir__() -> list[str]:
    return own_names(globals())
