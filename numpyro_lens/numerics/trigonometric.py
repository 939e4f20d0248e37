"""Sines of the multiples of an angle, the factors of a Hilbert-space Gaussian process."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Field


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def sine_functions(t: Field, num: int) -> tuple[Field, ...]:
    r"""Eigenfunctions of the Laplacian on an interval, :math:`\sin(j \pi (t + 1)/2)`.

    By the recursion of the multiples of an angle. Outside of [-1, 1] they go on periodically.

    Args:
        t: array of any shape.
        num: number of functions, static.

    Returns:
        Tuple of num arrays shaped like t, j = 1 to num. Not one array: slices of one would make the
        derivative of their products many times slower.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(value), 3) for value in sine_functions(jnp.full((), 0.5), 3)]
        [0.707, -1.0, 0.707]

    Reference: Solin & Särkkä 2020, Stat. Comput. 30, 419, equation 56.
    """
    angle = 0.5 * np.pi * (t + 1.0)
    return tuple(_multiples(jnp.zeros_like(t), jnp.sin(angle), jnp.cos(angle), num))


def _multiples(before: Field, now: Field, cosine: Field, num: int) -> list[Field]:
    r"""Chebyshev's recursion :math:`f_{j+1} = 2 \cos\theta\\, f_j - f_{j-1}`."""
    out = []
    for _ in range(num):
        out.append(now)
        before, now = now, 2.0 * cosine * now - before
    return out


@sine_functions.defjvp
def _sine_functions_jvp(num, primals, tangents):
    (t,), (dot,) = primals, tangents
    angle = 0.5 * np.pi * (t + 1.0)
    cosine = jnp.cos(angle)
    slopes = _multiples(jnp.ones_like(t), cosine, cosine, num)
    pairs = enumerate(slopes, start=1)
    return sine_functions(t, num), tuple(0.5 * np.pi * j * slope * dot for j, slope in pairs)
