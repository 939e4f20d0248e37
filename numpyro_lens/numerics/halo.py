"""Functions of NFW and Hernquist haloes, without the pole and the cancellations of the textbook."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

from numpyro_lens._types import Field, Scalar
from numpyro_lens.numerics.complex_pair import horner

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
    F, H, K, g, _ = shape
    t, near = _from_scale_radius(y)
    M = jnp.where(near, _taylor(y, 7), (0.2 - K) / jnp.where(near, 1.0, t))
    # Far outside H, 3K and 5M are 1/y in their first digits: there from the functions before them.
    far = t > 0.5
    unit = jnp.where(far, t * y, 1.0)
    slopes = (
        jnp.where(far, (1.0 - y * F) / unit, H - 1.0 / y),
        jnp.where(far, (1.0 - 3.0 * y * H) / unit, 3.0 * K - 1.0 / y),
        jnp.where(far, (1.0 - 5.0 * y * K) / unit, 5.0 * M - 1.0 / y),
        (H - 2.0 * g) / y,
        2.0 * g,
    )
    return shape, HaloShape(*(0.5 * slope * dot for slope in slopes))


def hernquist_column(y: Field) -> Field:
    r"""Column density of a Hernquist bulge, :math:`3K - H` of `HaloShape`.

    Args:
        y: squared radius over squared scale radius, array, positive.

    Returns:
        Convergence over sigma0, shaped like y.

    Example:
        >>> round(float(hernquist_column(jnp.ones(()))), 4)
        0.2667

    Reference: Keeton 2001, arXiv:astro-ph/0102341, equation 48.
    """
    F, H, K, _, _ = halo_shape(y)
    # Far outside 3K and H are both 1/y in their first digits.
    far = y > 2.0
    return jnp.where(far, (F - 3.0 * H) / jnp.where(far, y - 1.0, 1.0), 3.0 * K - H)


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
    arc = _excess(y, F, size, tau + (1.0 + tau * tau) / (root + _outer_root(y)))
    bend = _excess(y, F, root, (1.0 + tau * tau) / (root + _outer_root(y)))
    near = inside * (H + inverse * bend + contrast * log / (tau * root))
    far, series = _far_column(y, tau)
    return TruncatedShape(
        jnp.where(far, series, near),
        inside * (contrast * (g + log / (tau * size) - short / y) + inverse * arc),
        inside
        * (
            contrast * (h - short * (short + 2.0 * log + 2.0) + 2.0 * y * log / (tau * size))
            + inverse * (2.0 * y * arc - 4.0 * y * g + 2.0 * jnp.pi * tau * short)
        ),
    )


def _outer_root(y):
    """The root of y - 1 well outside the scale radius, something harmless elsewhere."""
    return jnp.sqrt(jnp.where(y > 2.0, y - 1.0, 1.0))


def _excess(y, F, length, difference):
    """2F - pi / length, where difference is length minus the root of y - 1.

    Far outside both terms are nearly pi over the radius, so their leading parts cancel on paper.
    """
    root = _outer_root(y)
    outside = jnp.pi * difference / (root * length) - 2.0 * jnp.arctan(1.0 / root) / root
    return jnp.where(y > 2.0, outside, 2.0 * F - jnp.pi / length)


def _far_column(y, tau):
    """Where the radius is above four scale and truncation radii; and H by its series there.

    The density is tau² x^-5 times a power series in 1/x, of which each term has a column density of
    its own. The closed form is a difference of terms that are y times as large as H.
    """
    length = jnp.maximum(tau, 1.0)
    far = y > 16.0 * length**2
    y = jnp.where(far, y, 32.0 * length**2)
    num = 18 if jnp.finfo(y.dtype).bits <= 32 else 32
    return far, (tau / y) ** 2 * horner(_column_terms(tau, length, num), length / jnp.sqrt(y))


def _column_terms(tau, length, num):
    """Coefficients in the powers of length over radius, times tau² / y²."""
    u, v = 1.0 / length, tau / length
    terms: list = []
    for m in range(num):
        before = terms[m - 2] if m > 1 else 0.0
        terms.append((m + 1) * (-u) ** m - v * v * before)
    # of x^-(m+5), along the line of sight from the tangent point on
    half = 0.5 * np.arange(num)
    columns = 0.5 * np.sqrt(np.pi) * np.exp(gammaln(2.0 + half) - gammaln(2.5 + half))
    return [float(column) * term for column, term in zip(columns, terms, strict=True)]
