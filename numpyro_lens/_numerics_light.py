"""Functions of light that stay finite, value and derivative, and own their derivative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._numerics import softening


def core_sersic_shape(square, break_square, n, gamma, alpha):
    r"""Core-Sersic profile of the squared radius, with both radii over the half-light radius.

    .. math:: [1 + (\rho_b/\rho)^\alpha]^{\gamma/\alpha}
              e^{-b_n [(\rho^\alpha + \rho_b^\alpha)^{1/(n\alpha)} - 1]}

    Args:
        square: squared radius over squared half-light radius, array, positive.
        break_square: squared break radius over the same, scalar; zero is a Sersic profile.
        n: Sersic index, scalar.
        gamma: inner slope, scalar.
        alpha: sharpness of the break, scalar, positive.

    Returns:
        Brightness, shaped like square.

    Example:
        >>> import jax.numpy as jnp
        >>> core_sersic_shape(jnp.ones(()), 0.0, 4.0, 0.1, 3.0)
        Array(1., dtype=float32)
    """
    log_radius = 0.5 * alpha * jnp.log(square)
    # Without a break its logarithm would be infinite, and the derivative 0 * inf.
    log_break = 0.5 * alpha * jnp.log(break_square + softening(log_radius.dtype))
    log_sum = jnp.logaddexp(log_radius, log_break)
    b = 1.9992 * n - 0.3271
    power = jnp.exp(jnp.minimum(log_sum / (n * alpha), 20.0))
    return jnp.exp(gamma / alpha * (log_sum - log_radius) - b * (power - 1.0))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def hermite_functions(t, num):
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
