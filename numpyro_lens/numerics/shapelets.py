"""Hermite functions, the factors of shapelets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Field


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def hermite_functions(t: Field, num: int) -> tuple[Field, ...]:
    r"""Normalised Hermite functions, :math:`H_n(t) e^{-t^2/2} / \sqrt{2^n \sqrt\pi\, n!}`.

    By their own three-term recursion: polynomials would overflow single precision, the functions
    are below one.

    Args:
        t: array of any shape.
        num: number of functions, static.

    Returns:
        Tuple of num arrays shaped like t, orders 0 to num - 1. Not one array: slices of one would
        make the derivative of their products forty times slower.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(value), 3) for value in hermite_functions(jnp.zeros(()), 3)]
        [0.751, 0.0, -0.531]

    Reference: Refregier 2003, MNRAS 338, 35, equation 1.
    """
    before, now, out = jnp.zeros_like(t), np.pi**-0.25 * jnp.exp(-0.5 * t * t), []
    for n in range(num):
        out.append(now)
        before, now = now, np.sqrt(2 / (n + 1)) * t * now - np.sqrt(n / (n + 1)) * before
    return tuple(out)


@hermite_functions.defjvp
def _hermite_functions_jvp(num, primals, tangents):
    (t,), (dot,) = primals, tangents
    values = hermite_functions(t, num)
    lower = (jnp.zeros_like(t), *values[:-1])
    slopes = (np.sqrt(2 * n) * lower[n] - t * values[n] for n in range(num))
    return values, tuple(slope * dot for slope in slopes)
