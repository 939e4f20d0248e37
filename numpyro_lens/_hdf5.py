"""HDF5 files of others: nothing outside of the file is read."""

from os import PathLike, fspath
from typing import Any

import h5py

#: no deflate stream shrinks more than this
_SHRINKS = 1100


def check_self_contained(file: h5py.File, path: str | PathLike) -> None:
    """Check that everything a file shows is in it.

    HDF5 can point into other files, by a link or by the storage of a data set: a file from
    elsewhere would then show what it names on this machine.

    Args:
        file: the open file.
        path: its path, for the error.

    Raises:
        ValueError: a part of it is in another file.

    Example:
        >>> import h5py
        >>> with h5py.File("plain.h5", "w") as file:
        ...     file["a"] = 1.0
        ...     check_self_contained(file, "plain.h5")
    """
    if problem := _elsewhere(file, path):
        raise ValueError(problem)


def _elsewhere(file: h5py.File, path: str | PathLike) -> str | None:
    def outside(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return name
        each = file[name] if isinstance(link, h5py.HardLink) else None
        is_elsewhere = isinstance(each, h5py.Dataset) and (each.is_virtual or each.external)
        return name if is_elsewhere else None

    found = file.visititems_links(outside)
    return found and (
        f"An HDF5 file must hold its data itself: {found!r} of {fspath(path)!r} points into "
        "another file, which is not read. Write its values into the file."
    )


def arrays_of(path: str | PathLike) -> dict[str, Any]:
    """The data sets at the top of a file of others, by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no HDF5 file, points into another file, or claims more than it holds.

    Example:
        >>> import h5py
        >>> with h5py.File("plain.h5", "w") as file:
        ...     file["a"] = [1.0, 2.0]
        >>> arrays_of("plain.h5")["a"]
        array([1., 2.])
    """
    try:
        with h5py.File(path, "r") as file:
            entries = {n: each for n, each in file.items() if isinstance(each, h5py.Dataset)}
            problem = _elsewhere(file, path) or _too_large(entries, path)
            arrays = {} if problem else {name: each[()] for name, each in entries.items()}
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {fspath(path)!r}. Give an HDF5 file.") from None
    except Exception as error:  # of a damaged file HDF5 raises whatever its parts do
        raise ValueError(f"{fspath(path)!r} is no HDF5 file: {error}.") from error
    if problem:
        raise ValueError(problem)
    return arrays


def _too_large(entries: dict[str, h5py.Dataset], path: str | PathLike) -> str | None:
    """Chunks that were never written have a size, and no bytes."""
    for name, each in entries.items():
        stored = each.id.get_storage_size()
        if each.size and each.nbytes > _SHRINKS * stored:
            return (
                f"{name!r} of {fspath(path)!r} claims the shape {each.shape} in {stored} bytes: "
                "the file is damaged, or was never filled. Get it again."
            )
    return None
