"""What a fit was called with, kept in the folder of its checkpoint."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import typer

from numpyro_lens.cli._shared import InputError

_FILE = "command.json"
#: may change when a run goes on: where the results go, and how many draws are enough
_FREE = {"out", "target_ess"}


def keep_call(folder: Path, call: dict[str, Any]) -> None:
    """Write the call into the folder, which is made if need be.

    Raises:
        ValueError: the folder holds a run of another call.
    """
    from numpyro_lens.infer.files import write_atomically
    from numpyro_lens.infer.fingerprint import check_same

    folder.mkdir(parents=True, exist_ok=True)
    if (folder / _FILE).exists():
        fixed = {name: value for name, value in call.items() if name not in _FREE}
        check_same(folder, read_call(folder), fixed)
    kept = {"call": call, "folder": str(folder.resolve())}
    text = json.dumps(kept | {"sha256": _digest(kept)}, indent=2) + "\n"
    write_atomically(folder / _FILE, lambda path: path.write_text(text, encoding="utf-8"))


def _digest(kept: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def holds_call(folder: Path | None) -> bool:
    """Whether a fit was begun with this checkpoint: its results may be written again."""
    return folder is not None and (folder / _FILE).exists()


def read_call(folder: Path) -> dict[str, Any]:
    """The call that `keep_call` wrote."""
    return _read(folder)["call"]


def check_trusted(folder: Path) -> None:
    """Ask before a model file is run that a folder from elsewhere names: it is code.

    Raises:
        InputError: there is nobody to ask, or the answer is no.
    """
    kept = _read(folder)
    model, was = kept["call"]["model"], kept["folder"]
    if ":" not in model or was == str(folder.resolve()):
        return
    line = f"{folder} comes from {was}, and going on runs the code in {model}."
    if not (sys.stdin.isatty() and typer.confirm(f"{line} Run it?", err=True)):
        raise InputError(f"{line} Read that file, and give --trust to run it.")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / _FILE
    if not path.is_file():
        raise InputError(
            f"{str(folder)!r} holds no interrupted fit: there is no {_FILE} in it. Give the folder "
            "that `numpyro-lens fit --checkpoint` named."
        )
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        sha256 = kept.pop("sha256")
    except (ValueError, KeyError, AttributeError, TypeError):
        kept, sha256 = {}, None
    if sha256 != _digest(kept):
        raise InputError(
            f"{str(path)!r} is damaged: it is not what was written, by its checksum. Give fit "
            "another --checkpoint and begin again."
        )
    return kept


def absolute_model(spec: str) -> str:
    """A model that is found from any working directory: a ready model's name stays."""
    path, colon, name = spec.rpartition(":")
    return f"{Path(path).resolve()}:{name}" if colon else spec
