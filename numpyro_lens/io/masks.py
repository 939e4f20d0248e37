"""Which pixels are fitted: masks, data-quality flags, regions, a disc, and pixels without data."""

import functools
import operator
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from astropy.wcs import WCS

from numpyro_lens.coordinates import pixel_grid
from numpyro_lens.io.companions import Map, kinds_of
from numpyro_lens.io.sky import Window

#: bits of a data-quality map: their sum, a list of them, or ``"any"``
Flags = int | Sequence[int] | str


def map_mask(given: Map | None, flags: Flags | None) -> np.ndarray | None:
    """True where a pixel is used, from a mask or from data-quality flags.

    Args:
        given: zero where a pixel is not to be fitted; with ``flags`` a map of bits.
        flags: the bits that leave a pixel out.

    Returns:
        A mask shaped like the map; None for none.

    Raises:
        ValueError: a map of flags without ``flags``, or the other way round.
    """
    if flags is not None:
        return _unflagged(given, _bits(flags))
    if given is None:
        return None
    values = given.values
    # a weight or an exposure is any number; where it is zero there are no data
    counts = set(kinds_of(given.name)) & {"weight", "exposure"}
    zero_or_one = np.isin(np.where(np.isfinite(values.astype(float)), values, 0), (0, 1)).all()
    if "flags" in kinds_of(given.name) or not (counts or zero_or_one):
        raise ValueError(
            "mask is zero where a pixel is not fitted and one where it is; "
            f"{given.name or 'this array'!r} holds data-quality flags, zero where a pixel is good. "
            'Say which of them leave a pixel out: flags="any" (--flags any) or flags=[1, 4096].'
        )
    return np.isfinite(values.astype(float)) & (values != 0)


def _unflagged(given: Map | None, bits: int | None) -> np.ndarray:
    if given is None:
        raise ValueError('flags are bits of a data-quality map. Give it too: mask="DQ".')
    values = given.values
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.rint(values)):
            raise ValueError(
                f"flags are bits of whole numbers; {given.name or 'the mask'!r} holds fractions. "
                "Leave flags out for a map that is zero where a pixel is not to be fitted."
            )
        values = values.astype(np.int64)
    return values == 0 if bits is None else (values.astype(np.int64) & bits) == 0


def _bits(flags: Flags) -> int | None:
    """Their sum; None for any of them."""
    words: Any = flags
    if isinstance(flags, str):
        if flags.strip().lower() == "any":
            return None
        words = flags.replace(",", " ").split()
    try:
        bits = [int(word) for word in np.atleast_1d(words)]
    except (TypeError, ValueError):
        bits = []
    if not bits or min(bits) <= 0:
        raise ValueError(
            f'flags are positive whole numbers or "any"; got {flags!r}. Write flags=[1, 4096] '
            "(--flags 1,4096), the bits that leave a pixel out."
        )
    return functools.reduce(operator.or_, bits)


def disc(shape: tuple[int, ...], matrix: np.ndarray, radius: float) -> np.ndarray:
    """True within ``radius`` arcsec of the centre of the image."""
    if not radius > 0:
        raise ValueError(f"mask_radius must be positive [arcsec]; got {radius}.")
    inside = np.hypot(*pixel_grid((shape[0], shape[1]), matrix)) <= radius
    if not inside.any():
        raise ValueError(f"mask_radius leaves no pixel; got {radius} arcsec. Give a larger one.")
    return inside


def outside_regions(path: str | PathLike, wcs: WCS | None, window: Window) -> np.ndarray:
    """True outside every region of a ds9 or astropy file.

    Args:
        path: the file.
        wcs: of the image, for regions on the sky.
        window: rows and columns of the cutout.

    Returns:
        A mask of the cutout.

    Raises:
        ImportError: the package ``regions`` is not installed.
        ValueError: the file cannot be read, or is on the sky and the image is not.
    """
    row, column = np.mgrid[window]
    used = np.ones(row.shape, dtype=bool)
    for region in _regions(path):
        if not region.meta.get("include", True):
            continue  # ds9 writes a minus before what is cut out of other regions
        used &= ~_inside(region, wcs, column, row)
    return used


def _inside(region: Any, wcs: WCS | None, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    from regions import PixCoord, SkyRegion

    if isinstance(region, SkyRegion):
        if wcs is None or not wcs.has_celestial:
            raise ValueError(
                "the regions are on the sky, and the image has no WCS in celestial coordinates. "
                "Save them in ds9 as image coordinates."
            )
        region = region.to_pixel(wcs)
    return region.contains(PixCoord(column, row))


def _regions(path: str | PathLike) -> Any:
    try:
        from regions import Regions
    except ImportError as error:
        raise ImportError(
            "regions= needs the package regions. Install it: pip install 'numpyro-lens[regions]'."
        ) from error
    try:
        return Regions.read(fspath(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {str(path)!r}. Give a ds9 region file.") from None
    except Exception as error:  # of many types, by the format
        raise ValueError(f"{str(path)!r} could not be read as regions: {error}.") from error


def combined(wanted: Sequence[np.ndarray | None], data: Mapping[str, np.ndarray]) -> np.ndarray:
    """The pixels to fit; those that are wanted and have no data are counted in a warning.

    Args:
        wanted: masks of the user's; None for none.
        data: True where there are data, by the words that say what is missing elsewhere.

    Returns:
        True where a pixel is used.

    Raises:
        ValueError: no pixel is left.
    """
    asked = np.ones_like(next(iter(data.values())))
    for mask in wanted:
        if mask is not None:
            asked = asked & mask
    used = np.logical_and.reduce([asked, *data.values()])
    missing = {words: int((asked & ~there).sum()) for words, there in data.items()}
    if not used.any():
        raise ValueError(
            "no pixel is left to fit: of "
            f"{used.size} pixels {int((~asked).sum())} are masked, "
            + ", ".join(f"{count} {words}" for words, count in missing.items())
            + ". Give another cutout or another mask."
        )
    if any(missing.values()):
        said = ", ".join(f"{count} {words}" for words, count in missing.items() if count)
        warnings.warn(f"left out of the fit, of {used.size} pixels: {said}.", stacklevel=2)
    return used


def warn_if_most_are_masked(mask: np.ndarray | None) -> None:
    """Warn where a mask leaves out most pixels, as one does that is the wrong way round."""
    if mask is not None and mask.mean() < 0.5:
        warnings.warn(
            f"mask leaves out {100 * (1 - mask.mean()):.0f} % of the pixels. It is zero where a "
            'pixel is not fitted; for a map of bad pixels write flags="any" (--flags any).',
            stacklevel=2,
        )
