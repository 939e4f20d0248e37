"""What tab completion shows of a module."""

from typing import Any


def own_names(namespace: dict[str, Any]) -> list[str]:
    """Names of a module that its users want: not those that it is made of.

    Args:
        namespace: ``globals()`` of the module.

    Returns:
        The names of what the module defines, sorted.

    Example:
        >>> from numpyro_lens import priors
        >>> "jnp" in dir(priors), "amplitude" in dir(priors)
        (False, True)
    """
    own = namespace["__name__"]
    return sorted(name for name, value in namespace.items() if _is_shown(name, value, own))


def _is_shown(name: str, value: Any, module: str) -> bool:
    if name.startswith("__"):
        return True  # what Python and its tools ask a module for
    # (jitted functions keep the module of what they wrap)
    return not name.startswith("_") and getattr(value, "__module__", None) == module
