"""Models by their name, as a command line or a table can give them."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import Any

from numpyro_lens.models._ready import READY


def load_model(spec: str) -> Callable:
    """A ready model by its name, or the function in ``path/to/file.py:function``.

    Args:
        spec: name of a ready model, a file and a function, or a module and a function.

    Returns:
        The model function.

    Raises:
        ValueError: there is no such model, or importing it failed.

    Example:
        >>> from numpyro_lens import models
        >>> models.load_model("epl-shear-sersic") is models.epl_shear_sersic
        True
        >>> models.load_model("numpyro_lens.models:galaxy") is models.galaxy
        True
    """
    if spec in READY:
        return READY[spec]
    place, colon, name = spec.rpartition(":")
    if not colon or not (place.endswith(".py") or _is_dotted(place)):
        raise ValueError(
            "MODEL must be a ready model, path/to/file.py:function or package.module:function; "
            f"got {spec!r}. Ready models: {', '.join(sorted(READY))}."
        )
    module = _of_file(Path(place)) if place.endswith(".py") else _imported(place)
    return _function_in(module, name, place)


def _is_dotted(place: str) -> bool:
    return all(part.isidentifier() for part in place.split("."))


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"MODEL must name a Python file; there is no file {str(path)!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # noqa: PT018  it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # as `python file.py` does
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"importing {str(path)!r} failed: {_described(error)}") from error
    return module


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"importing {name!r} failed: {_described(error)}") from error


def _function_in(module: ModuleType, name: str, place: str) -> Callable:
    function = getattr(module, name, None)
    if not callable(function):
        functions = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        ]
        raise ValueError(
            f"{place!r} must define the model {name!r}; it defines "
            f"{', '.join(functions) or 'no function'}."
        )
    return function


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def arguments(model: Callable, data: Any, named: Collection[str] = ()) -> tuple:
    """What a model is called with: bands one by one if it takes so many arguments, else a dict.

    Args:
        model: the model function.
        data: an observation, or a dict of those of each band.
        named: arguments of the model that are something else.

    Returns:
        Its first arguments.

    Example:
        >>> from numpyro_lens import models
        >>> models.arguments(lambda vis, nir: None, {"vis": 1, "nir": 2})
        (1, 2)
        >>> models.arguments(lambda bands, redshift: None, {"vis": 1, "nir": 2}, ["redshift"])
        ({'vis': 1, 'nir': 2},)
    """
    if not isinstance(data, dict):
        return (data,)
    return tuple(data.values()) if _num_required(model, named) > 1 else (data,)


def _num_required(model: Callable, named: Collection[str]) -> int:
    parameters = inspect.signature(model).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        p.kind in positional and p.default is inspect.Parameter.empty and p.name not in named
        for p in parameters
    )
