"""How a pytree of profiles prints: with its values."""

from typing import Any

import equinox as eqx
import jax
import numpy as np


def with_values(module: eqx.Module) -> str:
    """A module with its numbers to four digits; of longer arrays the shape.

    Args:
        module: any.

    Returns:
        Text of one line, or of several.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_lens.light import Uniform
        >>> with_values(Uniform(amp=jnp.asarray(2.34567)))
        'Uniform(amp=2.346)'
    """
    return eqx.tree_pformat(jax.tree.map(_number, module))


def _number(leaf: Any) -> Any:
    is_known = isinstance(leaf, jax.Array | np.ndarray | np.generic) and np.ndim(leaf) == 0
    if not is_known or isinstance(leaf, jax.core.Tracer) or not _is_real(leaf):
        return leaf
    return float(f"{float(leaf):.4g}")


def _is_real(leaf: Any) -> bool:
    return np.issubdtype(leaf.dtype, np.number) and not np.issubdtype(
        leaf.dtype, np.complexfloating
    )
