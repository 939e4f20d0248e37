"""Arguments of a model, as compiled functions take them."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import equinox as eqx
import numpy as np


class Fixed(eqx.Module):
    """A value that is part of the compiled function, such as a number of components or a name.

    Args:
        value: hashable.
    """

    value: Any = eqx.field(static=True)


def as_leaf(argument: Any) -> Any:
    """An argument whose leaves are arrays in this machine's byte order.

    Args:
        argument: of a model. Python's whole numbers and texts, which choose what a model does, and
            functions become `Fixed`.

    Returns:
        A pytree.

    Example:
        >>> as_leaf(6), as_leaf(0.5)
        (Fixed(value=6), 0.5)
    """
    if isinstance(argument, bool | int | str | bytes | Enum) or _is_function(argument):
        return Fixed(argument)
    if isinstance(argument, np.ndarray) and not argument.dtype.isnative:
        return argument.astype(argument.dtype.newbyteorder("="))
    return argument


def _is_function(argument: Any) -> bool:
    return isinstance(argument, Callable) and not isinstance(argument, eqx.Module)  # type: ignore[arg-type]


def as_given(argument: Any) -> Any:
    """The argument that `as_leaf` was given.

    Example:
        >>> as_given(as_leaf(6))
        6
    """
    return argument.value if isinstance(argument, Fixed) else argument
