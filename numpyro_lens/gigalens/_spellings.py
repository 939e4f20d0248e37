"""One set of modules under the three spellings of GIGA-Lens."""

import importlib
import sys

_ROOT = "numpyro_lens.gigalens"
_MODULES = (
    "model",
    "simulator",
    "inference",
    "profile",
    "profiles",
    "profiles.light",
    "profiles.light.sersic",
    "profiles.light.shapelets",
    "profiles.mass",
    "profiles.mass.epl",
    "profiles.mass.nfw",
    "profiles.mass.shear",
    "profiles.mass.sie",
    "profiles.mass.sis",
    "profiles.mass.tnfw",
)


def spell(package: str, *, own: tuple[str, ...] = ()) -> None:
    """Make the modules importable below another package, ``package.profiles.mass.epl`` and so on.

    Args:
        package: name of the package.
        own: modules that it has itself.
    """
    for name in _MODULES:
        if name not in own:
            module = importlib.import_module(f"{_ROOT}.{name}")
            sys.modules[f"{package}.{name}"] = module
            if "." not in name:
                setattr(sys.modules[package], name, module)
