"""Products of matrices in the precision of their numbers, on every device."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose products of matrices round like its other operations.

    By default JAX rounds the factors of a product in single precision to ten bits on recent GPUs
    (TF32), and to seven on TPUs. Normal equations and whitened coordinates do not bear that.

    Args:
        function: of arrays.

    Example:
        >>> import jax.numpy as jnp
        >>> product = full_precision(lambda a, b: a @ b)
        >>> product(jnp.ones((1, 2)), jnp.ones((2, 1)))
        Array([[2.]], dtype=float32)
    """

    @functools.wraps(function)
    def in_full_precision(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return in_full_precision
