"""Fewer pixels of an observation: a part of the image, or sums of neighbouring pixels."""

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import ArrayLike
from numpyro_lens.noise import AbstractNoise, NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF, check_positive_integer, cropped_aloud


def cutout(
    observation: Observation, radius: float, center: tuple[float, float] = (0.0, 0.0)
) -> Observation:
    """The pixels within a radius: the square around them is kept, its corners are out of use.

    Coordinates stay what they were: (0, 0) is the centre of the whole image. The square has an even
    number of tenths of the image's pixels a side, so that functions compiled for one lens serve
    others.

    Args:
        observation: the whole image.
        radius: of the circle [arcsec], positive.
        center: of the circle (x, y) [arcsec].

    Returns:
        An observation of the same instrument.

    Raises:
        ValueError: the circle holds no pixel in use.

    Example:
        >>> from numpyro_lens.noise import NoiseMap
        >>> image = Observation.blank((100, 100), pixel_scale=0.1, noise=NoiseMap(1.0))
        >>> cutout(image, 2.0).shape
        (40, 40)
    """
    distance = np.hypot(
        *(np.asarray(a) - c for a, c in zip(_grid(observation), center, strict=True))
    )
    inside = np.asarray(observation.mask) & (distance <= radius)
    if not inside.any():
        raise ValueError(
            f"A cutout holds pixels in use; got none within {radius} arcsec of {center}. Its "
            f"centre is in arcsec from the centre of an image of {observation.shape} pixels."
        )
    rows, columns = (_span(inside, axis) for axis in (1, 0))
    part = np.s_[rows, columns]
    return _rebuilt(
        observation,
        image=np.asarray(observation.image)[part],
        noise=_part(observation.noise, observation.shape, part),
        mask=inside[part],
        psf=observation.psf,
        first=np.array([columns.start, rows.start]),
    )


def binned(observation: Observation, factor: int) -> Observation:
    r"""Sums of squares of neighbouring pixels, with the PSF and the sub-pixels that belong to them.

    .. math:: d_P = \sum_{p \in P} d_p, \quad \sigma_P^2 = \sum_{p \in P} \sigma_p^2

    A sum is out of use when one of its pixels is. The model of a sum is the sum of the models, to
    rounding; the noise is that of the data. Where the factor does not divide the image, its last
    rows and columns are left out.

    Args:
        observation: the image.
        factor: pixels per side of a square, a positive integer.

    Returns:
        An observation of pixels ``factor`` times as wide.

    Raises:
        ValueError: the factor is not a positive integer, or no square is wholly in use.

    Example:
        >>> from numpyro_lens.noise import NoiseMap
        >>> image = Observation.blank((100, 100), pixel_scale=0.1, noise=NoiseMap(1.0))
        >>> small = binned(image, 2)
        >>> small.shape, small.supersampling, float(small.noise.sigma(small.image)[0, 0])
        ((50, 50), 4, 2.0)
    """
    check_positive_integer("factor", factor)
    sigma = np.asarray(observation.noise.sigma(observation.image), dtype=float)
    mask = np.all(_squares(np.asarray(observation.mask), factor), axis=(1, 3))
    variance = _squares(sigma**2, factor).sum(axis=(1, 3))
    psf = observation.psf
    return _rebuilt(
        observation,
        image=_squares(np.asarray(observation.image, dtype=float), factor).sum(axis=(1, 3)),
        noise=NoiseMap(np.where(mask, np.sqrt(variance), 1.0)),
        mask=mask,
        psf=None if psf is None else PSF(psf.kernel, sampling=psf.sampling * factor),
        first=np.full(2, 0.5 * (factor - 1)),
        factor=factor,
    )


def coarsened(observation: Observation, supersampling: int = 2) -> Observation:
    """The same pixels, seen through a PSF of one sample per pixel: an approximation, and faster.

    Convolution and rays take a share of the time that falls with the square of the sampling. Good
    for a first search, after `binned`.

    Args:
        observation: the image.
        supersampling: sub-pixels per pixel side, a positive integer.

    Returns:
        An observation of the same data.

    Raises:
        ValueError: the supersampling is not a positive integer.

    Example:
        >>> from numpyro_lens.noise import NoiseMap
        >>> seeing = PSF([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]])
        >>> image = Observation.blank((8, 8), pixel_scale=0.1, noise=NoiseMap(1.0), psf=seeing)
        >>> coarsened(binned(image, 2)).psf
        PSF(kernel=3x3, sampling=1)
    """
    psf = observation.psf
    return _rebuilt(
        observation,
        image=np.asarray(observation.image),
        noise=observation.noise,
        mask=np.asarray(observation.mask),
        psf=None if psf is None else psf.coarsened(psf.sampling),
        supersampling=supersampling,
    )


def _rebuilt(
    observation: Observation,
    *,
    image: np.ndarray,
    noise: AbstractNoise,
    mask: np.ndarray,
    psf: PSF | None,
    first: ArrayLike = (0.0, 0.0),
    factor: int = 1,
    supersampling: int | None = None,
) -> Observation:
    """Another image of the same sky; ``first`` is the old (column, row) of its first pixel."""
    matrix = np.asarray(observation.transform_pix2angle, dtype=float)
    if psf is not None:
        kernel = cropped_aloud(np.asarray(psf.kernel), psf.sampling, image.shape)
        psf = PSF(kernel, sampling=psf.sampling)
    new = Observation(
        image,
        transform_pix2angle=factor * matrix,
        noise=noise,
        psf=psf,
        mask=mask,
        supersampling=supersampling or factor * observation.supersampling,
        sky_position=observation.sky_position,
    )
    x, y = (float(axis[0, 0]) for axis in _grid(observation))
    dx, dy = (
        np.array([x, y]) + matrix @ np.asarray(first) - [float(axis[0, 0]) for axis in _grid(new)]
    )
    return new.moved(dx=dx, dy=dy)


def _grid(observation: Observation) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(observation.x, dtype=float), np.asarray(observation.y, dtype=float)


def _span(inside: np.ndarray, axis: int) -> slice:
    """Rows or columns with pixels inside, and as many more as make an even number of tenths."""
    size, used = inside.shape[1 - axis], np.flatnonzero(inside.any(axis=axis))
    length = used[-1] - used[0] + 1
    step = max(size // 20, 1) * 2
    length = min(-(-length // step) * step, size)
    start = int(np.clip((used[0] + used[-1] + 1 - length) // 2, 0, size - length))
    return slice(start, start + int(length))


def _part(noise: AbstractNoise, shape: tuple[int, int], part: tuple[slice, slice]) -> AbstractNoise:
    return jax.tree.map(lambda leaf: leaf[part] if jnp.shape(leaf) == shape else leaf, noise)


def _squares(values: np.ndarray, factor: int) -> np.ndarray:
    """(rows, factor, columns, factor)."""
    ny, nx = (size // factor for size in values.shape)
    return values[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor)
