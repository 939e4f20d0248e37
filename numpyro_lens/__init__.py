"""Strong gravitational lenses as NumPyro models."""

from typing import Any

import lazy_loader

__version__ = "0.2.0.dev0"

# What there is stands in __init__.pyi. Nothing of it is imported before it is used: the command
# line answers at once, and a simulation needs neither ArviZ nor matplotlib.
_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_RETIRED = {
    "observe_marginal": "nl.observe(name, observation, mass=..., source=...), which integrates "
    "Linear amplitudes out by itself",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for; of a name of version 0.1 say what to write now."""
    if name in _RETIRED:
        raise AttributeError(f"numpyro_lens.{name} is gone since version 0.2: {_RETIRED[name]}.")
    return _load(name)
