"""Factorisation of small positive matrices, also of many at once."""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.scipy.linalg import solve_triangular

from numpyro_lens._precision import full_precision
from numpyro_lens._types import Array

# JAX's LAPACK is OpenBLAS, which gives larger matrices than these to threads of its own, beside
# those of XLA: when they are done they wait for the next in a loop, and take a core for longer than
# a gradient of a lens needs. It does so from 32 rows on for an inverse, some 200 for a factor.
_MAX_INVERTED = 31
_MAX_FACTORISED = 128


@jax.custom_jvp
def inverse_cholesky(matrix: Array) -> Array:
    r"""Inverse of the Cholesky factor, the lower triangular M with :math:`M A M^T = 1`.

    .. math:: A^{-1} = M^T M, \quad \ln\det A = -2 \sum_k \ln M_{kk}, \quad
              \dot M = -\Phi(M \dot A M^T)\, M

    where :math:`\Phi` takes the lower triangle and half the diagonal. The derivative, of any order,
    needs products only.

    Under ``vmap`` on a CPU the matrices are factorised one after the other. JAX spreads a batch
    over XLA's threads, from a thread of the same pool, and waits: as many independent batches as
    there are threads, two images on two cores, wait for each other for ever.

    Args:
        matrix: (n, n), symmetric and positive definite.

    Returns:
        M, (n, n).

    Example:
        >>> import jax.numpy as jnp
        >>> inverse_cholesky(jnp.diag(jnp.array([4.0, 16.0]))).diagonal()
        Array([0.5 , 0.25], dtype=float32)

    Reference: Murray 2016, arXiv:1602.07527, equation 8. Tested to condition numbers of 1e5 in both
    precisions.
    """
    return _alone(matrix)


@inverse_cholesky.defjvp
@full_precision
def _inverse_cholesky_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    root = inverse_cholesky(*primals)
    change = root @ tangents[0] @ root.T
    return root, -(jnp.tril(change) - 0.5 * jnp.diag(jnp.diag(change))) @ root


@full_precision
def _factorised(matrix: Array) -> Array:
    return _factors(matrix)[1]


def _factors(matrix: Array) -> tuple[Array, Array]:
    """The Cholesky factor and its inverse, of a large matrix by halves."""
    if len(matrix) <= _MAX_FACTORISED:
        lower = jnp.linalg.cholesky(matrix)
        return lower, _inverse(lower)
    half = len(matrix) // 2
    (first, inverse), below = _factors(matrix[:half, :half]), matrix[half:, :half]
    cross = below @ inverse.T
    # The second step makes it as accurate as substitution, whatever the condition number.
    cross += (below - cross @ first.T) @ inverse.T
    rest, inverse_rest = _factors(matrix[half:, half:] - cross @ cross.T)
    inverse = _lower(inverse, -inverse_rest @ cross @ inverse, inverse_rest)
    return _lower(first, cross, rest), inverse


def _inverse(lower: Array) -> Array:
    """Inverse of a lower triangular matrix, of a large one by halves."""
    if len(lower) <= _MAX_INVERTED:
        return solve_triangular(lower, jnp.eye(len(lower), dtype=lower.dtype), lower=True)
    half = len(lower) // 2
    first, rest = _inverse(lower[:half, :half]), _inverse(lower[half:, half:])
    return _lower(first, -rest @ lower[half:, :half] @ first, rest)


def _lower(first: Array, cross: Array, rest: Array) -> Array:
    return jnp.block([[first, jnp.zeros_like(cross.T)], [cross, rest]])


_alone = custom_vmap(_factorised)


@_alone.def_vmap
def _each(size: int, is_batched: list[bool], matrices: Array) -> tuple[Array, bool]:
    del size, is_batched  # there is one argument, and it is batched
    one_by_one = jax.lax.platform_dependent(
        matrices, cpu=lambda a: jax.lax.map(_alone, a), default=jax.vmap(_factorised)
    )
    return one_by_one, True
