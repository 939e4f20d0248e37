"""A calibration on disk: a line of JSON that says what it is of, then a line for each fit."""

import json
import os
from pathlib import Path
from typing import Any

from numpyro_lens.infer.fingerprint import check_same

_KIND = "numpyro_lens calibration"


def begin(path: Path, header: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Write the header of a file, or check that it is that of the file.

    Args:
        path: the file, made if need be.
        header: what the calibration is of, as JSON can hold it.

    Returns:
        The lines that the file holds, by the number of the fit.

    Raises:
        ValueError: the file is of another calibration, of something else, or damaged.
    """
    header = json.loads(json.dumps(header))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, {"file": _KIND, **header})
        return {}
    old, lines = read(path)
    check_same(path, old, header)
    return lines


def add(path: Path, line: dict[str, Any]) -> None:
    """Add the line of a fit; it is on disk when this returns."""
    _append(path, line)


def read(path: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """The header, and the lines of the fits by their number.

    A last line without an end was cut off as it was written: it is removed, for that fit to be
    done again.

    Raises:
        ValueError: the file is of something else, or damaged.
    """
    text = path.read_text(encoding="utf-8")
    whole, _, cut_off = text.rpartition("\n")
    if cut_off:
        with path.open("r+b") as file:
            file.truncate(len(whole.encode()) + (1 if whole else 0))
    try:
        header, *lines = map(json.loads, whole.splitlines())
        numbered = {line["fit"]: line for line in reversed(lines)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{_no_calibration(path)} It is damaged: {error}.") from error
    if not isinstance(header, dict) or header.get("file") != _KIND:
        raise ValueError(_no_calibration(path))
    return header, dict(sorted(numbered.items()))


def _no_calibration(path: Path) -> str:
    return (
        f"{str(path)!r} must hold the lines of a calibration, or not exist yet. Give another file."
    )


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
