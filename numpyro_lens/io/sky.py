"""World coordinate systems: the pixel matrix and the place on the sky, as astropy has them."""

import math
import re
import warnings
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from numpyro_lens.coordinates import pixel_matrix
from numpyro_lens.io.extensions import as_option, shape_of

_MATRIX_CARD = re.compile(r"(?:CD|PC)\d_\d|CDELT\d")
_NUMBER_CARD = re.compile(r"(?:CD|PC)\d_\d|CDELT\d|CRPIX\d|CRVAL\d|CROTA\d|EQUINOX|LONPOLE|LATPOLE")
_DEGREES = {"DEG", "DEGREE", "DEGREES"}

Window = tuple[slice, slice]


def read_wcs(header: fits.Header, hdus: fits.HDUList) -> WCS:
    """The coordinate system of a header, its common slips mended.

    Args:
        header: of the image.
        hdus: the extensions of its file, where tables of distortions are.

    Returns:
        astropy's WCS.

    Raises:
        ValueError: astropy cannot read it.
    """
    with warnings.catch_warnings():
        # astropy tells what it repaired in the dates and names of old headers: no matter here
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            return WCS(_mended(header), fobj=hdus, naxis=2)
        except Exception as error:  # of many types, from wcslib and from astropy
            raise ValueError(
                f"the WCS of the image could not be read: {' '.join(str(error).split())} "
                f"Repair the header or give {as_option('pixel_scale')} in arcsec."
            ) from error


def _mended(header: fits.Header) -> fits.Header:
    """Numbers written as text, spellings of degree, and half a SIP polynomial."""
    header = header.copy()
    for card, value in list(header.items()):
        if isinstance(value, str) and _NUMBER_CARD.fullmatch(card):
            header[card] = _number(card, value)
        if re.fullmatch(r"CUNIT\d", card) and str(value).strip().upper() in _DEGREES:
            header[card] = "deg"
    if ("A_ORDER" in header) != ("B_ORDER" in header):
        warnings.warn(
            "the header has one of A_ORDER and B_ORDER: half a SIP distortion, which is left out.",
            stacklevel=2,
        )
        for card in [card for card in header if re.fullmatch(r"[AB]P?_(ORDER|\d+_\d+)", card)]:
            del header[card]
    return header


def _number(card: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"the card {card} of the image must be a number; it is {text!r}. Repair the header or "
            f"give {as_option('pixel_scale')} in arcsec."
        ) from None


def given_matrix(pixel_scale: float) -> np.ndarray:
    """The pixel matrix of square pixels, x to the right and y up."""
    if not (math.isfinite(pixel_scale) and pixel_scale > 0):
        raise ValueError(f"pixel_scale must be positive [arcsec]; got {pixel_scale}.")
    return pixel_matrix(pixel_scale)


def local_matrix(hdu: Any, wcs: WCS, window: Window) -> np.ndarray:
    """The 2x2 matrix from pixel offsets (column, row) to (x, y) in arcsec, at the cutout's centre.

    x grows with right ascension and y with declination (ICRS), whatever the frame, the projection
    and the distortions of the header are.

    Args:
        hdu: the image.
        wcs: its coordinate system.
        window: the rows and columns of the cutout.

    Returns:
        The matrix.

    Raises:
        ValueError: the header has no scale, no angles, or no invertible matrix.
    """
    if not any(_MATRIX_CARD.fullmatch(card) for card in hdu.header):
        raise ValueError(
            f"the pixel scale is unknown: the header of extension {hdu.name!r} has none of the WCS "
            f"cards CDi_j, PCi_j, CDELTi. Give {as_option('pixel_scale')} in arcsec."
        )
    matrix = _celestial_matrix(wcs, window, hdu) if wcs.has_celestial else _linear_matrix(wcs)
    if not (np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 0):
        raise ValueError(
            f"the WCS of the image must have an invertible pixel matrix; got {matrix.tolist()} "
            f"arcsec. Repair the header or give {as_option('pixel_scale')}."
        )
    return matrix


def _celestial_matrix(wcs: WCS, window: Window, hdu: Any) -> np.ndarray:
    """Finite differences over half the cutout, so that distortions count by their mean."""
    column, row = _centre(window, shape_of(hdu))
    half = [max(1.0, (end - start) / 4) for start, end in _limits(window, shape_of(hdu))[::-1]]
    steps = np.array([[half[0], 0], [-half[0], 0], [0, half[1]], [0, -half[1]]]).T
    centre = _icrs(wcs, column, row)
    along = centre.spherical_offsets_to(_icrs(wcs, column + steps[0], row + steps[1]))
    x, y = (angle.to_value(units.arcsec) for angle in along)
    return np.array([[axis[0] - axis[1], axis[2] - axis[3]] for axis in (x, y)]) / (
        2 * np.array(half)
    )


def _linear_matrix(wcs: WCS) -> np.ndarray:
    """That of axes which are offsets, in any unit of angle."""
    unit = np.array([_arcsec(wcs, axis) for axis in (0, 1)])
    return np.asarray(wcs.pixel_scale_matrix[:2, :2], dtype=float) * unit[:, None]


def _arcsec(wcs: WCS, axis: int) -> float:
    unit = wcs.wcs.cunit[axis]
    try:
        return float(unit.to(units.arcsec))
    except units.UnitConversionError:
        raise ValueError(
            f"the WCS of the image must be in angles; its axis {axis + 1} is in {str(unit)!r}. "
            f"Give {as_option('pixel_scale')} in arcsec to replace the WCS."
        ) from None


def _icrs(wcs: WCS, column: Any, row: Any) -> SkyCoord:
    try:
        return wcs.pixel_to_world(column, row).icrs
    except Exception as error:  # of many types: frames and projections that astropy lacks
        raise ValueError(
            f"the WCS of the image gives no place on the sky: {' '.join(str(error).split())} "
            f"Repair the header or give {as_option('pixel_scale')} in arcsec."
        ) from error


def sky_position(wcs: WCS, window: Window, shape: tuple[int, ...]) -> np.ndarray | None:
    """Right ascension and declination [degree, ICRS] of the centre of the cutout."""
    if not wcs.has_celestial:
        return None
    place = _icrs(wcs, *_centre(window, shape))
    position = np.array([place.ra.deg, place.dec.deg])
    return position if np.isfinite(position).all() else None


def _limits(window: Window, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [cut.indices(size)[:2] for cut, size in zip(window, shape, strict=True)]


def _centre(window: Window, shape: tuple[int, ...]) -> tuple[float, float]:
    """Column and row."""
    row, column = ((start + end - 1) / 2 for start, end in _limits(window, shape))
    return column, row


def cut_window(shape: tuple[int, ...], cutout: Any, center: tuple[float, float] | None) -> Window:
    """Rows and columns of ``cutout`` pixels a side around a pixel.

    Args:
        shape: of the image.
        cutout: pixels a side; None for all.
        center: column and row, counted from zero; None for the centre of the image.

    Returns:
        Two slices.

    Raises:
        ValueError: the cutout is no whole number of pixels, or does not lie in the image.

    Example:
        >>> cut_window((24, 30), 10, None)
        (slice(7, 17, None), slice(10, 20, None))
    """
    if cutout is None:
        if center is not None:
            raise ValueError("center goes with a cutout. Give cutout (--cutout) too, in pixels.")
        return slice(0, shape[0]), slice(0, shape[1])
    size = _whole(cutout)
    if size is None or not 1 <= size <= min(shape):
        raise ValueError(
            f"cutout must be a whole number between 1 and {min(shape)} pixels, the image is "
            f"{shape[0]} by {shape[1]}; got {cutout}."
        )
    column, row = center or ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    first = [math.ceil(middle - size / 2) for middle in (row, column)]
    if any(f < 0 or f + size > n for f, n in zip(first, shape, strict=True)):
        raise ValueError(
            f"the cutout must lie in the image, {shape[0]} rows and {shape[1]} columns; {size} "
            f"pixels around column {column:.1f}, row {row:.1f} do not. Give a smaller cutout "
            "or another center."
        )
    return slice(first[0], first[0] + size), slice(first[1], first[1] + size)


def _whole(value: Any) -> int | None:
    try:
        return int(value) if float(value) == int(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def center_pixel(center: Any, wcs: WCS | None) -> tuple[float, float] | None:
    """Column and row of a centre that is given in pixels or on the sky.

    Args:
        center: ``(column, row)`` counted from zero, a ``SkyCoord``, or either as text.
        wcs: of the image; None where there is none.

    Returns:
        Column and row; None for None.

    Raises:
        ValueError: it is neither, or a place on the sky without a WCS.

    Example:
        >>> center_pixel("12, 30", None)
        (12.0, 30.0)
    """
    if center is None:
        return None
    place = _as_place(center)
    if not isinstance(place, SkyCoord):
        return place
    if wcs is None or not wcs.has_celestial:
        raise ValueError(
            "center is a place on the sky, and the image has no WCS in celestial coordinates. "
            "Give center (--center) in pixels: column and row, counted from zero."
        )
    column, row = (float(value) for value in wcs.world_to_pixel(place))
    if not (math.isfinite(column) and math.isfinite(row)):
        raise ValueError(f"center is not in the image: the WCS has no pixel for {place}.")
    return column, row


def _as_place(center: Any) -> SkyCoord | tuple[float, float]:
    if isinstance(center, SkyCoord):
        return center
    words = center.replace(",", " ").split() if isinstance(center, str) else center
    try:
        column, row = (float(word) for word in words)
    except (TypeError, ValueError):
        try:
            return SkyCoord(center) if isinstance(center, str) else SkyCoord(*center)
        except Exception as error:
            raise ValueError(
                "center is a column and a row counted from zero, or a place on the sky; got "
                f'{center!r}. Write center=(120, 80) or center=SkyCoord("10h02m +01d30m"); on the '
                'command line --center 120,80 or --center "150.5d +1.5d".'
            ) from error
    return column, row
