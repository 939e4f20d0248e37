"""What comes beside an image: an extension, another file or an array, checked to be of its kind."""

import dataclasses
import re
from os import PathLike, fspath
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits

from numpyro_lens._types import ArrayLike
from numpyro_lens.io.extensions import (
    Extension,
    array,
    as_float,
    as_option,
    find,
    native,
    opened,
    shape_of,
    split_file,
)

#: an extension of the image's file, another file with or without ``[extension]``, or an array
Companion = Extension | PathLike | ArrayLike

#: What the words of a name say about what is in the map.
_WORDS = {
    "image": {"SCI", "DATA", "FLUX", "IMAGE"},
    "noise": {"RMS", "ERR", "ERROR", "SIGMA", "STD", "STDDEV", "UNCERT", "NOISE"},
    "weight": {"WHT", "WEIGHT", "IVAR", "INVVAR", "IVM", "WT"},
    "variance": {"VAR", "VARIANCE", "STAT"},
    "exposure": {"EXP", "EXPTIME", "EXPOSURE", "TEXP"},
    "mask": {"MASK", "GOOD"},
    "flags": {"DQ", "FLAG", "FLAGS", "BPM", "BADPIX", "QUALITY"},
    "psf": {"PSF"},
}
#: Kinds beside its own that an argument takes: a drizzled weight map may be an exposure time, and
#: what is zero where there are no data is a mask.
_ALSO = {"exposure": {"weight"}, "mask": {"weight", "exposure", "flags"}}
_MEANING = {
    "image": "an image",
    "noise": "standard deviations",
    "weight": "weights (inverse variances)",
    "variance": "variances",
    "exposure": "exposure times",
    "mask": "a mask",
    "flags": "data-quality flags",
    "psf": "a PSF",
}
_AS = {"flags": 'mask="{0}", flags="any"', "image": 'image_ext="{0}"'}


@dataclasses.dataclass(frozen=True)
class Map:
    """An array that came with a name: its unit and header too, where it has them."""

    values: np.ndarray
    name: str = ""
    unit: Any = None
    header: fits.Header | None = None
    #: its unit was given by the user, not copied by some pipeline
    is_quantity: bool = False


def kinds_of(name: str) -> list[str]:
    """What a name says is in a map, in the order of its words.

    Example:
        >>> kinds_of("FLUX_ERR"), kinds_of("hst_10_drz_wht")
        (['image', 'noise'], ['weight'])
    """
    words = [word for word in re.split(r"[^A-Z]+", name.upper()) if word]
    return [kind for word in words for kind, known in _WORDS.items() if word in known]


def check_kind(option: str, name: str) -> None:
    """Check that the name of a map does not say that it is of another kind.

    Args:
        option: the argument it is given as.
        name: of its extension or file.

    Raises:
        ValueError: it says so.

    Example:
        >>> check_kind("noise", "VIS_RMS")
    """
    said = kinds_of(name)
    if not said or {option, *_ALSO.get(option, ())} & set(said):
        return
    right = _AS.get(said[-1], said[-1] + '="{0}"').format(name)
    raise ValueError(
        f"{as_option(option)} holds {_MEANING[option]}; {name!r} is the name of "
        f"{_MEANING[said[-1]]}. Write {right}, or pass the array itself if the name is wrong."
    )


def companion(option: str, given: Any, hdus: fits.HDUList, image: Any) -> Map | None:
    """Read one companion of an image.

    Args:
        option: the argument, for errors.
        given: an extension, a file or an array; None for none.
        hdus: the extensions of the image's file.
        image: the image's extension.

    Returns:
        Its array, unit and name; None for none.

    Raises:
        ValueError: there is none such, or it is of another kind than its argument.
        FileNotFoundError: there is no such file.
    """
    if given is None:
        return None
    if isinstance(given, str | int | np.integer | tuple | PathLike):
        return _read(option, given, hdus, image)
    if hasattr(given, "header") and hasattr(given, "data"):
        return _of_hdu(option, given, "")
    return _of_array(option, given)


def _read(option: str, given: Any, hdus: fits.HDUList, image: Any) -> Map:
    file = split_file(fspath(given)) if isinstance(given, str | PathLike) else None
    if file is None:
        wanted = fspath(given) if isinstance(given, PathLike) else given
        hdu = find(hdus, wanted, option, beside=image.name)
        if hdu is image:
            raise ValueError(
                f"{option} is the extension of the image itself, {wanted!r}. Give the one that "
                f"holds {_MEANING[option]}."
            )
        return _of_hdu(option, hdu, "")
    path, wanted = file
    with opened(path) as others:
        hdu = _first_2d(others, path) if wanted is None else find(others, wanted, option, beside="")
        return _of_hdu(option, hdu, path)


def _first_2d(hdus: fits.HDUList, path: str) -> Any:
    for hdu in hdus:
        if len(shape_of(hdu)) == 2:
            return hdu
    raise ValueError(f"{path!r} must hold a 2-D array; it has none. Give another file.")


def _of_hdu(option: str, hdu: Any, path: str) -> Map:
    stem = re.split(r"[/\\]", path)[-1].split(".")[0]
    name = hdu.name if hdu.name not in ("", "PRIMARY") else stem
    check_kind(option, name)
    return Map(array(hdu), name, unit_of(hdu.header), hdu.header)


def _of_array(option: str, given: Any) -> Map:
    unit = given.unit if isinstance(given, units.Quantity) else None
    values = given.value if unit is not None else given
    if isinstance(values, np.ma.MaskedArray):
        # what is masked has no value
        values = np.ma.filled(values.astype(float), np.nan)
    values = np.asarray(values)
    if values.ndim != 2:
        advice = " A single number is background_rms." if option == "noise" else ""
        raise ValueError(
            f"{option} is an extension, a file or an array of the image's shape; got "
            f"{type(given).__name__} of shape {values.shape}.{advice}"
        )
    return Map(native(values), "", unit, is_quantity=unit is not None)


def unit_of(header: fits.Header) -> Any:
    """The unit in ``BUNIT``; None where there is none that astropy knows."""
    text = header.get("BUNIT")
    if not isinstance(text, str) or not text.strip():
        return None
    unit = units.Unit(text, parse_strict="silent")
    return None if isinstance(unit, units.UnrecognizedUnit) else unit


def in_unit(option: str, given: Map, wanted: Any) -> np.ndarray:
    """The values of a map in a unit.

    The unit of a ``Quantity`` is converted or refused. That of a header is converted where it can
    be: pipelines copy the image's ``BUNIT`` into everything.

    Args:
        option: the argument, for errors.
        given: the map.
        wanted: the unit; None where the image has none.

    Returns:
        Floats.

    Raises:
        ValueError: a Quantity is in another kind of unit.
    """
    values = as_float(given.values)
    if given.unit is None or (wanted is None and not given.is_quantity):
        return values
    factor = _factor(given.unit, units.dimensionless_unscaled if wanted is None else wanted)
    if factor is None:
        if given.is_quantity:
            raise _unit_error(option, given.unit, wanted)
        return values
    return values if factor == 1 else values * factor


def plain_number(option: str, value: Any, wanted: Any) -> Any:
    """A number without its unit, converted to the one that is wanted.

    Example:
        >>> plain_number("pixel_scale", 50 * units.mas, units.arcsec)
        0.05
    """
    if not isinstance(value, units.Quantity):
        return value
    factor = _factor(value.unit, units.dimensionless_unscaled if wanted is None else wanted)
    if factor is None:
        raise _unit_error(option, value.unit, wanted)
    return float(value.value * factor)


def _factor(unit: Any, wanted: Any) -> float | None:
    try:
        return float(unit.to(wanted))
    except units.UnitConversionError:
        return None


def _unit_error(option: str, unit: Any, wanted: Any) -> ValueError:
    right = "no unit, as the image has none in BUNIT" if wanted is None else f"{str(wanted)!r}"
    return ValueError(
        f"{option} must be in {right}; it is in {str(unit)!r}, which does not convert. Convert it, "
        f"or give its values alone: {option}={option}.value."
    )


def check_same_shape(option: str, given: Map | None, shape: tuple[int, ...]) -> None:
    """Check that a map has the pixels of the image."""
    if given is not None and given.values.shape != shape:
        raise ValueError(
            f"{option} must have the shape of the image, {shape}; it has {given.values.shape}. "
            "Give the one that belongs to the image."
        )
