"""Sums and integrals of which one term is compiled and one is held in memory."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Field

T = TypeVar("T")


def sum_over(term: Callable[[Any], T], members: Any) -> T:
    """Sum of ``term(member)`` over a leading axis: one term is compiled, one is held in memory.

    Args:
        term: function of one member that returns arrays.
        members: pytree of arrays with one leading axis.

    Returns:
        What term returns, summed.

    Example:
        >>> float(sum_over(lambda n: n**2, jnp.arange(4.0)))
        14.0
    """
    first = jax.tree.map(lambda leaf: leaf[0], members)
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(term, first))

    # The backward pass computes a term again rather than keep what every term computed.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def add(total, member):
        return jax.tree.map(jnp.add, total, term(member)), None

    return jax.lax.scan(add, zero, members)[0]


@functools.cache
def legendre(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on (0, 1), NumPy arrays."""
    nodes, weights = np.polynomial.legendre.leggauss(num)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def potential_along_rays(
    deflection: Callable[[Field, Field], tuple[Field, Field]], x: Field, y: Field, num: int
) -> Field:
    r"""Potential from the deflection along a ray, :math:`\psi = \int_0^1 x\cdot\alpha(px)\,dp`.

    The nodes are bunched at the centre: p = expm1(8t)/expm1(8).

    Args:
        deflection: function of (x, y) from the centre.
        x, y: positions from the centre [arcsec], arrays of one shape.
        num: number of Gauss-Legendre nodes.

    Returns:
        Potential [arcsec²], zero at the centre, shaped like x.
    """
    nodes, weights = legendre(num)
    p = np.expm1(8.0 * nodes) / np.expm1(8.0)
    weights = weights * 8.0 * np.exp(8.0 * nodes) / np.expm1(8.0)

    def term(node):
        ax, ay = deflection(node[0] * x, node[0] * y)
        return node[1] * (x * ax + y * ay)

    return sum_over(term, jnp.asarray(np.stack([p, weights], axis=1), x.dtype))
