"""Extensions of FITS files: how they are named, found and turned into arrays."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from astropy.io import fits

from numpyro_lens.io.headers import check_headers

#: a number, a name (or the unique end of one), or a name and a version
Extension = str | int | tuple[str, int]

_FILE = re.compile(
    r"(?P<file>.+\.(?:fits?|fts)(?:\.(?:gz|bz2|xz|fz|z))?|.+\.fz)(?:\[(?P<ext>[^\]]*)\])?",
    re.IGNORECASE,
)


def as_option(name: str) -> str:
    """An argument as Python and the command line call it."""
    return f"{name} (--{name.replace('_', '-')})"


def split_file(text: str) -> tuple[str, str | None] | None:
    """File and extension of ``psf.fits[1]``; None where no file is named.

    Example:
        >>> split_file("psf.fits[SCI,2]"), split_file("SCI")
        (('psf.fits', 'SCI,2'), None)
    """
    match = _FILE.fullmatch(text.strip())
    return None if match is None else (match["file"], match["ext"] or None)


@contextlib.contextmanager
def opened(source: str | PathLike | fits.HDUList) -> Iterator[fits.HDUList]:
    """The file's extensions; a list that is open already stays open."""
    if isinstance(source, fits.HDUList):
        yield source
        return
    path = fspath(source)
    with _readable(path):
        check_headers(path)
        # no memory map: the arrays outlive the file
        with fits.open(path, memmap=False) as hdus:
            yield hdus


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """Whatever a damaged file makes astropy raise is one error of ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, Warning) or _is_of_this_package(error):
            raise
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(
                f"no such file: {path!r}. Give the path of a FITS file."
            ) from None
        raise ValueError(
            f"{path!r} could not be read as a FITS file: {type(error).__name__} {error}. Give the "
            "path of a FITS file that holds the image."
        ) from error


def _is_of_this_package(error: BaseException) -> bool:
    """Whether an error says what is wrong in our words already."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    # a file that open() does not find has an errno; that which we say is missing has none
    is_taught = isinstance(error, ValueError | TypeError | FileNotFoundError)
    return is_taught and name.startswith("numpyro_lens.") and not getattr(error, "errno", None)


def shape_of(hdu: Any) -> tuple[int, ...]:
    """Shape by the header, without leading axes of length one; empty where there is no image."""
    # the header's: reading the data of a table or of a compressed image costs time
    # (what astropy cannot make sense of calls itself an image, and has no shape)
    shape = tuple(getattr(hdu, "shape", ())) if getattr(hdu, "is_image", False) else ()
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def listing(hdus: Sequence) -> str:
    """Every extension with its number, name and shape: what an error offers to choose from."""
    return ", ".join(
        f"{number} {hdu.name or '(unnamed)'} {shape_of(hdu) or 'no array'}"
        for number, hdu in enumerate(hdus)
    )


def find(hdus: fits.HDUList, wanted: Any, option: str, *, beside: str) -> Any:
    """The extension that ``wanted`` names.

    Args:
        hdus: the extensions of a file.
        wanted: a number, a name, the unique end of a name, or a name and a version.
        option: the argument that an error is about.
        beside: name of the image, to choose among several that end alike.

    Returns:
        The extension.

    Raises:
        ValueError: none or several are named so.
    """
    name, version = _name_and_version(wanted, option)
    if isinstance(name, int):
        return _by_number(hdus, name, option)
    found = _named(hdus, name, beside)
    if version is not None:
        found = [hdu for hdu in found if hdu.ver == version]
    if len(found) == 1:
        return found[0]
    several = ", ".join(f"({hdu.name!r}, {hdu.ver})" for hdu in found)
    problem = f"matches {several}" if found else "is not in the file"
    raise ValueError(
        f"{option} must name one extension: {wanted!r} {problem}. The file has {listing(hdus)}. "
        f"Give {as_option(option)} one of these names, numbers, or a name and its version."
    )


def _named(hdus: fits.HDUList, name: str, beside: str) -> list:
    """Those of this name, else of this end of a name, of the image's band where several match."""
    exact = [hdu for hdu in hdus if hdu.name.upper() == name]
    found = exact or [hdu for hdu in hdus if hdu.name.upper().endswith("_" + name)]
    if exact or len(found) < 2:
        return found
    # those that share with the image all but the last word of its name: VIS_FLUX, VIS_RMS
    band = beside.upper().rpartition("_")[0]
    return [h for h in found if band and h.name.upper().rpartition("_")[0] == band] or found


def _name_and_version(wanted: Any, option: str) -> tuple[str | int, int | None]:
    if isinstance(wanted, str):
        name, _, version = (word.strip() for word in wanted.partition(","))
        if name.lstrip("-").isdigit() and not version:
            return int(name), None
        return name.upper(), int(version) if version.isdigit() else None
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
        return int(wanted), None
    if isinstance(wanted, tuple) and len(wanted) == 2 and isinstance(wanted[0], str):
        return wanted[0].strip().upper(), int(wanted[1])
    raise ValueError(
        f"{option} is the name or the number of an extension, or a name with a version; got "
        f'{wanted!r}. Write {option}="SCI", {option}=1 or {option}=("SCI", 2).'
    )


def _by_number(hdus: fits.HDUList, number: int, option: str) -> Any:
    if 0 <= number < len(hdus):
        return hdus[number]
    raise ValueError(
        f"{option} must name one extension: there is no number {number}. The file has "
        f"{listing(hdus)}. Give {as_option(option)} one of these names or numbers."
    )


def check_is_image(hdu: Any) -> None:
    """Check that an extension holds one 2-D array."""
    shape = shape_of(hdu)
    if len(shape) != 2:
        raise ValueError(
            f"extension {hdu.name!r} must hold a 2-D array; it has shape {shape or None}. "
            "Choose another extension, or cut the plane you want out of the cube first."
        )


def array(hdu: Any) -> np.ndarray:
    """The extension's 2-D array in this machine's byte order; what it holds stays exact."""
    check_is_image(hdu)
    return native(hdu.data).reshape(shape_of(hdu))


def native(data: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order; integers stay integers."""
    data = np.asarray(data)
    return data.astype(data.dtype.newbyteorder("="))


def as_float(data: np.ndarray) -> np.ndarray:
    """32 or 64 bit float, whichever holds the values exactly."""
    data = np.asarray(data)
    small = data.dtype.itemsize <= (4 if data.dtype.kind == "f" else 2)
    return data.astype(np.float32 if small else np.float64)
