"""Files that know when they were changed: their SHA-256 stands in a last line."""

import hashlib
from pathlib import Path

_MARK = b"\nnumpyro_lens sha256 "
_LENGTH = len(_MARK) + 64 + 1
_CHUNK = 1 << 20


def add_checksum(path: Path) -> None:
    """Append the checksum to a finished file.

    Readers of HDF5 and of NumPy's archives find their data from the beginning, or from their own
    directory at the end, and pass over the line.
    """
    size = path.stat().st_size
    line = _MARK + _digest(path, size).encode() + b"\n"
    with path.open("ab") as file:
        file.write(line)


def check_checksum(path: Path) -> None:
    """Check that a file holds what was written.

    Raises:
        ValueError: it was changed, or is not whole.
    """
    size = path.stat().st_size - _LENGTH
    line = _last(path, size)
    if not line.startswith(_MARK) or line != _MARK + _digest(path, size).encode() + b"\n":
        raise ValueError(
            f"{str(path)!r} is damaged: it is not what was written, by its checksum. Copy it "
            "again, or remove it and run again."
        )


def has_checksum(path: Path) -> bool:
    """Whether a file ends in a checksum, of whatever content."""
    return _last(path, path.stat().st_size - _LENGTH).startswith(_MARK)


def checked_bytes(path: Path) -> bytes:
    """The content of a file, without its checksum.

    Raises:
        ValueError: it was changed, or is not whole.
    """
    check_checksum(path)
    return path.read_bytes()[:-_LENGTH]


def _last(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(size, 0))
        return file.read(_LENGTH + 1)


def _digest(path: Path, size: int) -> str:
    """Of the first ``size`` bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(_CHUNK, size))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()
