"""Functions of NFW and Hernquist haloes, without the pole and the cancellations of the textbook."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Field, Scalar

NFW_AT_RS = 1.0 - np.log(2.0).item()
"""Deflection of an NFW lens at Rs in units of 4 rho0 Rs²."""


class HaloShape(NamedTuple):
    r"""The functions of :math:`y = (r/R_s)^2` that NFW and Hernquist lenses are made of.

    With t = y - 1, F is arctan(√t)/√t, and ``F = 1 - t H``, ``H = 1/3 - t K``,
    ``g = ln(√y/2) + F``, ``h = ln²(√y/2) + t F²``.
    """

    F: jax.Array
    H: jax.Array
    K: jax.Array
    g_over_y: jax.Array
    h: jax.Array


@jax.custom_jvp
def halo_shape(y: Field) -> HaloShape:
    """The functions of `HaloShape`: no pole at y = 1, no cancellation at small y.

    Their derivatives are combinations of themselves.

    Args:
        y: squared radius over squared scale radius, array, positive.

    Returns:
        A `HaloShape` of arrays shaped like y.

    Example:
        >>> shape = halo_shape(jnp.ones(()))
        >>> round(float(shape.F), 4), round(float(shape.H), 4), round(float(shape.K), 4)
        (1.0, 0.3333, 0.2)
    """
    t, near = _from_scale_radius(y)
    inside, outside = (t < 0.0) & ~near, (t > 0.0) & ~near
    K = _taylor(y, 5)
    F_in, g_in, h_in = _inner_shape(jnp.where(inside, y, 0.5))
    root = jnp.sqrt(jnp.where(outside, t, 1.0))
    F = jnp.where(inside, F_in, jnp.arctan(root) / root)
    far = jnp.where(near, 1.0, t)
    H = jnp.where(near, 1.0 / 3.0 - t * K, (1.0 - F) / far)
    K = jnp.where(near, K, (1.0 / 3.0 - H) / far)
    F = jnp.where(near, 1.0 - t * H, F)
    log = 0.5 * jnp.log(0.25 * y)
    g_over_y = jnp.where(inside, g_in, (log + F) / y)
    return HaloShape(F, H, K, g_over_y, jnp.where(inside, h_in, log**2 + t * F**2))


@halo_shape.defjvp
def _halo_shape_jvp(primals, tangents):
    (y,), (dot,) = primals, tangents
    shape = halo_shape(y)
    _, H, K, g, _ = shape
    t, near = _from_scale_radius(y)
    M = jnp.where(near, _taylor(y, 7), (0.2 - K) / jnp.where(near, 1.0, t))
    slopes = (H - 1.0 / y, 3.0 * K - 1.0 / y, 5.0 * M - 1.0 / y, (H - 2.0 * g) / y, 2.0 * g)
    return shape, HaloShape(*(0.5 * slope * dot for slope in slopes))


def _from_scale_radius(y):
    """The difference t = y - 1, and where it is small: Taylor series there, divisions elsewhere."""
    t = y - 1.0
    return t, jnp.abs(t) < (0.5 if jnp.finfo(y.dtype).bits <= 32 else 0.2)


def _taylor(y, first):
    """The sum of (-t)^n / (2n + first) near t = 0, something finite elsewhere."""
    t, near = _from_scale_radius(y)
    # The unused branch of a `where` still has a derivative, so its argument must be harmless too.
    t = jnp.where(near, -t, 0.0)
    total = jnp.zeros_like(t)
    for n in range(17 if jnp.finfo(t.dtype).bits <= 32 else 23, -1, -1):
        total = total * t + 1.0 / (2 * n + first)
    return total


def _inner_shape(y):
    """F, g / y and h for y < 1, where ln(√y/2) would cancel against F."""
    r = jnp.sqrt(1.0 - y)
    log = jnp.log1p(r) - 0.5 * jnp.log(y)
    short = jnp.log1p(-0.5 * y / (1.0 + r))
    return log / r, log / (r * (1.0 + r)) + short / y, short * (short - 2.0 * log)


class TruncatedShape(NamedTuple):
    r"""What takes the place of H, g / y and h of `HaloShape` in a truncated halo.

    Of the density :math:`\rho(x) = \tau^2 / [x (1+x)^2 (x^2+\tau^2)]`, at :math:`y = (r/R_s)^2`:

    .. math:: H(y) = \int_0^\infty \rho(\sqrt{y + z^2})\, dz, \quad
        g(y) = \int_0^{\sqrt y} x\, H(x^2)\, dx, \quad
        h(y) = \int_0^y \frac{g(y')}{y'}\, dy'
    """

    H: jax.Array
    g_over_y: jax.Array
    h: jax.Array


def truncated_shape(y: Field, tau: Scalar) -> TruncatedShape:
    r"""The functions of a truncated NFW halo, those of `halo_shape` at large tau.

    With F, H, g and h of `HaloShape`, :math:`P = \sqrt{\tau^2 + y}`, :math:`S = \tau + P`,
    :math:`l = -\operatorname{arcsinh}(\tau/\sqrt y)`, :math:`m = \ln(1 + y / 2\tau S)`,
    :math:`a = \tau^2/(1+\tau^2)` and :math:`c = (\tau^2-1)/(1+\tau^2)`, and a subscript for the
    truncated ones,

    .. math::
        H_\tau &= a \left[H + \frac{2F - \pi/P}{1+\tau^2} + \frac{c\, l}{\tau P}\right] \\
        \frac{g_\tau}{y} &= a \left[c \left(\frac gy + \frac{l}{\tau S} - \frac my\right)
            + \frac{2F - \pi/S}{1+\tau^2}\right] \\
        h_\tau &= a \left[c \left(h - m (m + 2l + 2) + \frac{2 y l}{\tau S}\right)
            + \frac{4y (F - g/y) + 2\pi (\tau m - y/S)}{1+\tau^2}\right].

    The published forms are sums of large terms that cancel at small radius and at large tau; here
    every bracket is proportional to y and the powers of tau are taken out.

    Args:
        y: squared radius over squared scale radius, array, positive.
        tau: truncation radius over scale radius, scalar, positive.

    Returns:
        A `TruncatedShape` of arrays shaped like y.

    Example:
        >>> shape, whole = truncated_shape(jnp.ones(()), 1e3), halo_shape(jnp.ones(()))
        >>> round(float(shape.H), 2), round(float(whole.H), 2)
        (0.33, 0.33)

    Reference: Baltz, Marshall & Oguri 2009, JCAP 01, 015, appendix A.
    """
    F, H, _, g, h = halo_shape(y)
    inverse = 1.0 / (1.0 + tau * tau)
    inside, contrast = tau * tau * inverse, (tau * tau - 1.0) * inverse
    root = jnp.sqrt(tau * tau + y)
    size = tau + root
    log = -jnp.arcsinh(tau / jnp.sqrt(y))
    short = jnp.log1p(0.5 * y / (tau * size))
    arc = 2.0 * F - jnp.pi / size
    return TruncatedShape(
        inside * (H + inverse * (2.0 * F - jnp.pi / root) + contrast * log / (tau * root)),
        inside * (contrast * (g + log / (tau * size) - short / y) + inverse * arc),
        inside
        * (
            contrast * (h - short * (short + 2.0 * log + 2.0) + 2.0 * y * log / (tau * size))
            + inverse * (4.0 * y * (F - g) + 2.0 * jnp.pi * (tau * short - y / size))
        ),
    )
