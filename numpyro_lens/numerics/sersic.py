"""Sersic profiles with their own derivatives."""

import jax
import jax.numpy as jnp

from numpyro_lens._types import Field, Scalar
from numpyro_lens.numerics.safe import softening

# Where 2 gamma(2n, b_n) = Gamma(2n), to a part in a thousand from n = 0.5 to 10.
_B_SLOPE, _B_OFFSET = 1.9992, 0.3271


def b_n(n: Scalar) -> Scalar:
    r"""The :math:`b_n = 1.9992\,n - 0.3271` that makes R_sersic the half-light radius.

    Args:
        n: Sersic index, scalar, at least 0.36 for the formula to hold.

    Returns:
        b_n, scalar.

    Example:
        >>> round(b_n(4.0), 4)
        7.6697

    Reference: Capaccioli 1989, in The World of Galaxies, 208, as in lenstronomy.
    """
    return _B_SLOPE * n - _B_OFFSET


def sersic_shape(square: Field, n: Scalar) -> Field:
    r"""Sersic profile of the squared radius, :math:`e^{-b_n (\rho^{1/2n} - 1)}`, one at 1.

    The derivative is a few products of what the value has computed.

    Args:
        square: squared radius over squared half-light radius, array, positive.
        n: Sersic index, scalar.

    Returns:
        Brightness over that at the half-light radius, shaped like square.

    Example:
        >>> import jax.numpy as jnp
        >>> sersic_shape(jnp.ones(()), 4.0)
        Array(1., dtype=float32)
    """
    return _sersic_shape(square, jnp.asarray(n, square.dtype))


@jax.custom_jvp
def _sersic_shape(square, n):
    return _sersic(square, n)[0]


def _sersic(square, n):
    """The profile and what its derivative needs again."""
    b, log_square = b_n(n), jnp.log(square)
    # Far outside a flat profile the power overflows and its derivative would be 0 * inf.
    power = jnp.exp(jnp.minimum((0.5 / n) * log_square, 20.0))
    return jnp.exp(-b * (power - 1.0)), b, power, log_square


@_sersic_shape.defjvp
def _sersic_shape_jvp(primals, tangents):
    square, n = primals
    out, b, power, log_square = _sersic(square, n)
    dsquare, dn = jnp.broadcast_arrays(*tangents)
    in_square = (-0.5 * b / n) * power / square
    in_n = (0.5 * b / n**2) * power * log_square - _B_SLOPE * (power - 1.0)
    return out, out * (in_square * dsquare + in_n * dn)


def core_sersic_shape(
    square: Field, break_square: Scalar, n: Scalar, gamma: Scalar, alpha: Scalar
) -> Field:
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
    b = b_n(n)
    power = jnp.exp(jnp.minimum(log_sum / (n * alpha), 20.0))
    return jnp.exp(gamma / alpha * (log_sum - log_radius) - b * (power - 1.0))
