"""HDF5 files of others: nothing outside of the file is read."""

from os import PathLike, fspath
from typing import Any

import h5py


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

    def outside(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return name
        each = file[name] if isinstance(link, h5py.HardLink) else None
        is_elsewhere = isinstance(each, h5py.Dataset) and (each.is_virtual or each.external)
        return name if is_elsewhere else None

    found = file.visititems_links(outside)
    if found is not None:
        raise ValueError(
            f"An HDF5 file must hold its data itself: {found!r} of {fspath(path)!r} points into "
            "another file, which is not read. Write its values into the file."
        )
