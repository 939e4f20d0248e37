"""What a fleet is to fit: a lens for each row of a table, each file or each array."""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from numpyro_lens.bands import read_bands
from numpyro_lens.io import read_fits
from numpyro_lens.io.extensions import split_file
from numpyro_lens.observation import Observation

#: Columns that say how to read the image, as `read_fits` calls them.
READING = tuple(
    name
    for name, parameter in inspect.signature(read_fits).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)
COMPANIONS = ("psf", "noise", "weight", "variance", "exposure", "mask")
ENDINGS = (".csv", ".ecsv", ".parquet")
_NAME = re.compile(r"[^./\\\0-\x1f][^/\\\0-\x1f]{0,199}")
Bands = Sequence[str] | Mapping[str, str] | None


@dataclass(frozen=True)
class Lens:
    """One lens to fit.

    Attributes:
        name: of its folder.
        data: an `Observation` or those of each band, an image, or the path of a file or of each
            band's.
        reading: settings of `read_fits`, or of `Observation` for an image.
        bands: names of the bands in one file.
        columns: values of its row.
    """

    name: str
    data: Any
    reading: Mapping[str, Any] = field(default_factory=dict)
    bands: tuple[str, ...] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> Observation | dict[str, Observation]:
        """The observation, or that of each band by its name."""
        if isinstance(self.data, np.ndarray):
            return Observation(self.data, **self.reading)
        if self.bands is not None:
            return read_bands(self.data, self.bands, **self.reading)
        if isinstance(self.data, Mapping):
            first = next(iter(self.data.values()))
            is_read = isinstance(first, Observation)
            return dict(self.data) if is_read else read_bands(self.data, **self.reading)
        if isinstance(self.data, Observation):
            return self.data
        return read_fits(self.data, **self.reading)


def lenses(observations: Any, read: Mapping[str, Any] | None = None, bands: Bands = None) -> list:
    """The lenses of a table, of files or of arrays.

    Args:
        observations: see `fit_many`.
        read: settings of `read_fits` for all.
        bands: names of the bands in one file, or the column that holds the file of each band.

    Returns:
        A `Lens` for each, with names that differ.

    Raises:
        ValueError: a column is missing, or names repeat.
        FileNotFoundError: there is no such table.

    Example:
        >>> [lens.name for lens in lenses(["first.fits", "second.fits"], {"psf": "PSF"})]
        ['first', 'second']
    """
    read = dict(read or {})
    if is_table_file(observations):
        path = Path(observations)
        found = _of_rows(_read_table(path), read, bands, path.resolve().parent)
    elif hasattr(observations, "columns"):  # pandas and astropy alike
        found = _of_rows(_records(observations), read, bands, Path.cwd())
    else:
        found = list(_of_items(observations, read, bands))
    if not found:
        raise ValueError("A fleet has at least one lens; got none. Give files, arrays or a table.")
    _check_names(found)
    return found


def is_table_file(observations: Any) -> bool:
    """Whether this is the path of a table."""
    is_path = isinstance(observations, str | PathLike)
    return is_path and fspath(observations).lower().endswith(ENDINGS)


def _of_items(items: Any, read: dict[str, Any], bands: Bands) -> Iterator[Lens]:
    if isinstance(items, Observation | Mapping):
        items = [items]
    if isinstance(items, str | PathLike):
        raise ValueError(
            f"A fleet's table ends in {', '.join(ENDINGS)}, or its files come in a list; got "
            f"{fspath(items)!r}. Write [{fspath(items)!r}] for that one lens."
        )
    if isinstance(bands, Mapping):
        raise ValueError("bands={band: column} names columns of a table; these lenses have none.")
    for index, item in enumerate(items):
        yield _of_item(item, index, read, bands)


def _of_item(item: Any, index: int, read: dict[str, Any], bands: Sequence[str] | None) -> Lens:
    if isinstance(item, str | PathLike):
        file, _ = split_file(fspath(item)) or (fspath(item), None)
        names = None if bands is None else tuple(bands)
        return Lens(_stem(file), _file(fspath(item), Path.cwd()), read, names)
    is_read = isinstance(item, Observation | Mapping)
    return Lens(f"lens_{index:06d}", item if is_read else np.asarray(item), {} if is_read else read)


def _read_table(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"no such table: {str(path)!r}. Give a CSV, ECSV or Parquet file.")
    if path.suffix.lower() == ".parquet":
        import pandas as pd

        return _records(pd.read_parquet(path))
    from astropy.table import Table

    try:
        # text stays text: a lens may be called 0037
        kinds = {"converters": {"name": str}} if path.suffix.lower() == ".csv" else {}
        return _records(Table.read(path, format=f"ascii.{path.suffix[1:].lower()}", **kinds))
    except Exception as error:  # a file that is no table fails in many ways
        raise ValueError(f"{str(path)!r} is no table that can be read: {error}") from error


def _records(table: Any) -> list[dict[str, Any]]:
    """The rows of an astropy or a pandas table, without what is empty."""
    names = [str(name) for name in table.columns]
    columns = [list(table[name]) for name in table.columns]
    rows = zip(*columns, strict=True)
    return [
        {name: _plain(v) for name, v in zip(names, row, strict=True) if not _is_empty(v)}
        for row in rows
    ]


def _is_empty(value: Any) -> bool:
    import pandas as pd

    return value is np.ma.masked or (np.ndim(value) == 0 and bool(pd.isna(value)))


def _plain(value: Any) -> Any:
    """A number without its unit, a text, a path as text, or whatever else the table holds."""
    value = getattr(value, "value", value)
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    return value.item() if isinstance(value, np.generic) else value


def _of_rows(
    rows: list[dict[str, Any]], read: dict[str, Any], bands: Bands, folder: Path
) -> list[Lens]:
    return [_of_row(row, index, read, bands, folder) for index, row in enumerate(rows)]


def _of_row(
    row: dict[str, Any], index: int, read: dict[str, Any], bands: Bands, folder: Path
) -> Lens:
    wanted = dict(bands) if isinstance(bands, Mapping) else {"": "file"}
    for column in wanted.values():
        if not isinstance(row.get(column), str):
            raise ValueError(
                f"Row {index} (the first is 0) must name a file in the column {column!r}; it has "
                f"{', '.join(row) or 'nothing'}. Add it, or name the files' columns: "
                'bands={"VIS": "vis_file"}.'
            )
    files = {band: _file(row[column], folder) for band, column in wanted.items()}
    own = {name: row[name] for name in READING if name in row}
    if "ra" in row and "dec" in row and "center" not in own:
        own["center"] = f"{row['ra']}d {row['dec']}d"
    own |= {name: _absolute(own[name], folder) for name in COMPANIONS if name in own}
    if "regions" in own:
        own["regions"] = str(folder / own["regions"])
    name = str(row.get("name", _stem(next(iter(files.values())))))
    if isinstance(bands, Mapping):
        return Lens(name, files, read | own, None, row)
    return Lens(name, files[""], read | own, None if bands is None else tuple(bands), row)


def _absolute(spec: Any, folder: Path) -> Any:
    """A companion found from any working directory; an extension's name stays."""
    return _file(spec, folder) if isinstance(spec, str) and split_file(spec) else spec


def _file(spec: str, folder: Path) -> str:
    """A file beside the table, found from any working directory."""
    file, extension = split_file(spec) or (spec, None)
    return f"{folder / file}" + ("" if extension is None else f"[{extension}]")


def _stem(file: str) -> str:
    return Path(file.partition("[")[0]).name.removesuffix(".gz").removesuffix(".fits")


def _check_names(found: Iterable[Lens]) -> None:
    seen: set[str] = set()
    for lens in found:
        if not _NAME.fullmatch(lens.name):
            raise ValueError(
                "The name of a lens names its folder: at most 200 characters, no slash, no point "
                f"in front; got {lens.name!r}. Write another in the column 'name'."
            )
        if lens.name.lower() in seen:  # some disks do not tell capitals
            raise ValueError(
                f"Each lens has a folder by its name; {lens.name!r} occurs twice. Give the table a "
                "column 'name', or the files names that differ."
            )
        seen.add(lens.name.lower())


def columns_of(model: Callable, found: Sequence[Lens]) -> tuple[str, ...]:
    """Arguments of a model that columns of the table have the names of.

    Args:
        model: the model function.
        found: the lenses.

    Returns:
        Their names, those that every lens has a value of.

    Raises:
        ValueError: some lenses lack a value that the model cannot do without.

    Example:
        >>> lens = Lens("a", "a.fits", columns={"redshift": 0.5, "note": "ring"})
        >>> columns_of(lambda observation, redshift, other=1: None, [lens])
        ('redshift',)
    """
    parameters = inspect.signature(model).parameters
    known = {name for lens in found for name in lens.columns} - {*READING, "file", "name"}
    wanted = [name for name in list(parameters)[1:] if name in known]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        wanted += sorted(known - {*wanted, *parameters})
    for name in wanted:
        lacking = [lens.name for lens in found if name not in lens.columns]
        if lacking:
            raise ValueError(
                f"The model wants {name!r} of each lens; {len(lacking)} have none, the first "
                f"{lacking[0]!r}. Fill the column in, or call it otherwise."
            )
    _check_all_given(list(parameters.values())[1:], wanted, found)
    return tuple(wanted)


def _check_all_given(
    parameters: Sequence[inspect.Parameter], wanted: Sequence[str], found: Sequence[Lens]
) -> None:
    """Check that what has no default has a column; further positions may be bands."""
    bands = any(lens.bands or isinstance(lens.data, Mapping) for lens in found)
    optional = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    for p in parameters:
        if p.kind in optional or (bands and p.kind is not inspect.Parameter.KEYWORD_ONLY):
            continue
        if p.default is inspect.Parameter.empty and p.name not in wanted:
            columns = ", ".join(found[0].columns) or "no columns"
            raise ValueError(
                f"The model wants {p.name!r} of each lens; the table has {columns}. Add a column "
                f"{p.name!r}, or give the argument a default."
            )
