"""Numbers as automatic differentiation needs them: floating, of one shape, never zero."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from numpyro_lens._types import Coordinates, Field


def as_float(*values: ArrayLike) -> list[jax.Array]:
    """Arrays of the session's floating dtype, of one common shape, as AD needs them.

    Args:
        *values: numbers or arrays that broadcast against each other.

    Returns:
        A list of arrays.
    """
    arrays = [jnp.asarray(v, dtype=jnp.result_type(float, v)) for v in values]
    return list(jnp.broadcast_arrays(*arrays))


def softening(dtype: DTypeLike) -> float:
    """Least squared radius [arcsec²], so that r = 0 is an ordinary point.

    Small against any pixel, large enough that its inverse cubed is a number of the dtype.
    """
    return 1e-10 if jnp.finfo(dtype).bits <= 32 else 1e-20


def soft_square(x: Coordinates, y: Coordinates) -> Field:
    """Squared radius ``x² + y²`` that never vanishes, exact beyond 1e-5" (1e-10" in 64 bit)."""
    square = jnp.asarray(x * x + y * y)
    return jnp.maximum(square, softening(square.dtype))


def safe_hypot(x: Coordinates, y: Coordinates) -> Field:
    """Radius whose derivatives of every order are finite at the origin."""
    return jnp.sqrt(soft_square(x, y))
