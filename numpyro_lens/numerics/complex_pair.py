"""Complex numbers as pairs of real ones, and polynomials at them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpyro_lens._types import Coordinates, Field


def times(ar: Coordinates, ai: Coordinates, br: Coordinates, bi: Coordinates) -> tuple[Any, Any]:
    """Product of two complex numbers.

    Args:
        ar, ai: real and imaginary part of the first.
        br, bi: those of the second.

    Returns:
        Real and imaginary part; Python numbers of Python numbers, arrays otherwise.

    Example:
        >>> times(1.0, 2.0, 3.0, 4.0)
        (-5.0, 10.0)
    """
    return ar * br - ai * bi, ar * bi + ai * br


def polynomial_pair(
    coefficients: Field | np.ndarray, total: Coordinates, product: Coordinates
) -> tuple[Any, Any]:
    """Real polynomial P at two points of this sum and product: the pair (p, q).

    ``P(v1) = p - q v2`` and ``(P(v1) - P(v2)) / (v1 - v2) = q``, by Goertzel's recurrence
    ``s_k = c_k + (v1 + v2) s_{k+1} - v1 v2 s_{k+2}``: real arithmetic for conjugate points.

    Args:
        coefficients: lowest power first, along the first axis of an array.
        total: v1 + v2, real.
        product: v1 v2, real.

    Returns:
        ``(p, q)``, shaped like total.

    Example:
        >>> p, q = polynomial_pair(np.array([1.0, 0.0, 2.0]), 4.0, 3.0)  # 1 + 2v² at 1 and 3
        >>> float(p - q * 3.0), float(q)
        (3.0, 8.0)
    """
    after: Any = 0.0
    next_: Any = 0.0
    for k in range(coefficients.shape[0] - 1, -1, -1):
        next_, after = coefficients[k] + total * next_ - product * after, next_
    return next_, after


def horner(rows: Sequence[Field] | Field, x: Field) -> Field:
    """Polynomial in x whose coefficients are the rows.

    Args:
        rows: coefficients, lowest power first.
        x: array.

    Returns:
        Array of the shape to which a row and x broadcast.

    Example:
        >>> import jax.numpy as jnp
        >>> float(horner(jnp.array([1.0, 0.0, 2.0]), jnp.float32(3.0)))
        19.0
    """
    out = rows[-1]
    for row in rows[-2::-1]:
        out = out * x + row
    return out
