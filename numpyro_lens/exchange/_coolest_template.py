"""COOLEST's JSON files as data of known kinds."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: what a part of a template is, by its name; all may be missing
_KINDS: dict[str, tuple[type, ...]] = {
    "redshift": (int, float),
    "mass_model": (list,),
    "light_model": (list,),
    "type": (str,),
    "parameters": (Mapping,),
    "point_estimate": (Mapping,),
    "posterior_stats": (Mapping,),
}


def entities_of(path: Path) -> list[Mapping[str, Any]]:
    """The galaxies and fields of a template, every part of the kind that it has there.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no template.
    """
    try:
        entities = _plain(json.loads(path.read_text(encoding="utf-8"))["lensing_entities"])
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {str(path)!r}. Give a COOLEST template.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} is no COOLEST template: {type(error).__name__} {error}. Give the JSON "
            "file that has lensing_entities."
        ) from None
    if not isinstance(entities, list):
        raise ValueError(f"{str(path)!r} is no COOLEST template: lensing_entities is no list.")
    for entity in entities:
        _check(entity, "an entity of lensing_entities", path)
        for model in ("mass_model", "light_model"):
            for profile in entity.get(model) or []:
                _check_profile(profile, model, path)
    return entities


def _plain(part: Any) -> Any:
    """Lists where jsonpickle has objects with a sequence, as in the files ``*_pyAPI.json``."""
    if isinstance(part, Mapping):
        sequence = part.get("py/seq")
        if isinstance(sequence, list):
            return _plain(sequence)
        return {name: _plain(value) for name, value in part.items()}
    return [_plain(value) for value in part] if isinstance(part, list) else part


def _check_profile(profile: Any, model: str, path: Path) -> None:
    _check(profile, f"a profile of {model}", path)
    for name, parameter in (profile.get("parameters") or {}).items():
        _check(parameter, f"the parameter {name}", path)


def _check(part: Any, name: str, path: Path) -> None:
    if not isinstance(part, Mapping):
        _refuse(name, part, path)
    for key, kinds in _KINDS.items():
        value = part.get(key)
        is_finite = not isinstance(value, float) or math.isfinite(value)
        if value is not None and not (isinstance(value, kinds) and is_finite):
            _refuse(f"{key} of {name}", value, path)


def _refuse(name: str, value: Any, path: Path) -> None:
    raise ValueError(
        f"{str(path)!r} is no COOLEST template: {name} is {repr(value)[:60]}. Mend that part."
    )
