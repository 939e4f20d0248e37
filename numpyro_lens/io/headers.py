"""What the headers of a FITS file claim, before anything is made of it."""

import bz2
import gzip
import lzma
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from astropy.io import fits

_BLOCK = 2880
#: of a standard header; nobody's history is longer
_LONGEST = 20_000
#: also where something stands behind it, which astropy passes over
_END = re.compile(rb"END *(?:[^A-Z0-9_ -]|$)")
#: axes and columns of the standard
_MOST = 999
#: no tile and no deflate stream shrinks more than this
_SHRINKS = 1100
_COMPRESSED: dict[bytes, Callable] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


def check_headers(path: str) -> None:
    """Check that a file can hold what its headers claim.

    Readers make room for what a header claims, whatever the size of the file.

    Args:
        path: the file, perhaps compressed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a header claims more than there can be, or more than the standard allows.
    """
    path = os.path.expanduser(path)  # as astropy does
    with open(path, "rb") as file:
        opener = _COMPRESSED.get(file.read(2))
    size = os.path.getsize(path)
    with open(path, "rb") if opener is None else opener(path, "rb") as file:
        available = size if opener is None else _SHRINKS * size
        for number, (header, start) in enumerate(_headers(file)):
            problem = _problem(header) or _excess(header, available - start)
            if problem:
                raise ValueError(
                    f"{path!r} cannot hold what it claims: extension {number} has {problem}. The "
                    "file is damaged, or not whole; get it again."
                )
        if opener is not None and len(file.read(2 * _BLOCK)) == 2 * _BLOCK:
            raise ValueError(f"{path!r} goes on behind its last extension. Uncompress it first.")


def _headers(file: IO[bytes]) -> Iterator[tuple[fits.Header, int]]:
    """The headers of a file, each with the place where its data begin."""
    place, first = 0, b"SIMPLE  ="
    while (text := _header_text(file, first)) is not None:
        header = fits.Header.fromstring(text)
        place += len(text)
        yield header, place
        length = -(-_data_size(header) // _BLOCK) * _BLOCK
        place, first = place + length, b"XTENSION="
        file.seek(place)


def _header_text(file: IO[bytes], first: bytes) -> bytes | None:
    """The next header, None behind the last; what is none is left to the reader's own message."""
    blocks: list[bytes] = []
    while len(blocks) < _LONGEST:
        place = file.tell()
        block = file.read(_BLOCK)
        if len(block) < _BLOCK or not (blocks or block.startswith(first)):
            file.seek(place)
            return None
        blocks.append(block)
        if any(_END.match(block[i : i + 80]) for i in range(0, _BLOCK, 80)):
            return b"".join(blocks)
    raise ValueError(f"a header has no end within {_LONGEST} blocks: the file is damaged.")


def _integer(header: fits.Header, card: str, default: int = 0) -> int:
    value: Any = header.get(card, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"the card {card} must be a whole number; it is {value!r}.")
    return value


def _bytes(header: fits.Header, card: str) -> int:
    """Of one value."""
    value: Any = header.get(card, 8)
    if value not in (8, 16, 32, 64, -32, -64):
        raise ValueError(f"the card {card} must be 8, 16, 32, 64, -32 or -64; it is {value!r}.")
    return abs(value) // 8


def _problem(header: fits.Header) -> str | None:
    for card in ("NAXIS", "ZNAXIS", "TFIELDS"):
        if _integer(header, card) > _MOST:
            return f"{card} = {header[card]}, and the standard ends at {_MOST}"
    return None


def _excess(header: fits.Header, available: int) -> str | None:
    size = _data_size(header)
    if size > available:
        return f"{size} bytes, and there are {max(available, 0)}"
    shown = _pixels(header, "Z") * _bytes(header, "ZBITPIX")
    if shown > _SHRINKS * size:
        return f"{shown} bytes of pixels in {size} compressed bytes"
    return None


def _pixels(header: fits.Header, prefix: str = "") -> int:
    num = _integer(header, f"{prefix}NAXIS")
    # random groups say so by a first axis of no length
    axes = [_integer(header, f"{prefix}NAXIS{axis}") for axis in range(1, num + 1)]
    return math.prod(axes[1:] if header.get("GROUPS") and axes[0] == 0 else axes) if axes else 0


def _data_size(header: fits.Header) -> int:
    values = _pixels(header) + _integer(header, "PCOUNT")
    return _bytes(header, "BITPIX") * _integer(header, "GCOUNT", 1) * values
