"""The public names of the package, and the reference pages that list them.

A name is public when a public namespace holds it, has no leading underscore and was not merely
imported there. No list is kept by hand: a new profile is in the reference once it is exported.
"""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpyro_lens


def namespaces() -> dict[str, ModuleType]:
    """The package itself and the modules that it exports, by dotted name."""
    modules = {
        f"numpyro_lens.{name}": value
        for name, value in _members(numpyro_lens).items()
        if inspect.ismodule(value)
    }
    return {"numpyro_lens": numpyro_lens} | dict(sorted(modules.items()))


def _members(module: ModuleType) -> dict[str, Any]:
    """What a namespace holds; the package imports its own names when they are first used."""
    if module is numpyro_lens:
        return {name: getattr(numpyro_lens, name) for name in numpyro_lens.__all__}
    return vars(module)


def public_names(module: ModuleType) -> list[str]:
    """Classes and functions that belong to a namespace, in the order in which it lists them."""
    inside = "numpyro_lens." if module is numpyro_lens else module.__name__
    return [
        name
        for name, value in _members(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or callable(value))
        and getattr(value, "__module__", "").startswith(inside)
    ]


def reference() -> dict[str, list[str]]:
    """Names by the page that documents them: that of the package, or else of their namespace."""
    everyday = {id(getattr(numpyro_lens, name)) for name in public_names(numpyro_lens)}
    pages = {}
    for dotted, module in namespaces().items():
        names = public_names(module)
        if module is not numpyro_lens:
            names = [name for name in names if id(getattr(module, name)) not in everyday]
        pages[dotted] = names
    return pages


def undocumented() -> Iterator[str]:
    """Public names, and methods and properties of public classes, without a docstring."""
    for dotted, names in reference().items():
        module = importlib.import_module(dotted)
        for name in names:
            value = getattr(module, name)
            if not inspect.getdoc(value):
                yield f"{dotted}.{name}"
            if inspect.isclass(value):
                yield from (f"{dotted}.{name}.{own}" for own in _bare_members(value))


def _bare_members(cls: type) -> Iterator[str]:
    for name, value in vars(cls).items():
        is_member = inspect.isfunction(value) or isinstance(value, property | classmethod)
        if is_member and not name.startswith("_") and not inspect.getdoc(getattr(cls, name)):
            yield name


def write_reference(folder: Path) -> None:
    """Write one page for each namespace, and the page that lists them."""
    folder.mkdir(exist_ok=True)
    pages = {dotted: names for dotted, names in reference().items() if names}
    for dotted, names in pages.items():
        _write(folder / f"{dotted}.rst", _page(dotted, names))
    listing = "\n".join(f"   {dotted}" for dotted in pages)
    title = "Reference\n=========\n\nEvery public name, from its docstring.\n\n"
    _write(folder / "index.rst", f"{title}.. toctree::\n   :maxdepth: 1\n\n{listing}\n")


def _page(dotted: str, names: list[str]) -> str:
    module = importlib.import_module(dotted)
    table = "\n".join(f"   {name}" for name in names)
    parts = [
        f"{dotted}\n{'=' * len(dotted)}",
        inspect.getdoc(module) or "",
        f".. currentmodule:: {dotted}",
        f".. autosummary::\n   :nosignatures:\n\n{table}",
        *(_entry(name, getattr(module, name)) for name in names),
    ]
    return "\n\n".join(parts) + "\n"


def _entry(name: str, value) -> str:
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:"
    return f".. autofunction:: {name}"


def _write(path: Path, text: str) -> None:
    """Leave an unchanged page alone, so that Sphinx does not read it again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
