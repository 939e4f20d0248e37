"""Special functions of lens modelling, analytic where the textbook form divides zero by zero."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._numerics import (
    _disk_factor,
    _exact_coefficients,
    _num_terms,
    _polynomial,
    _times,
)


def sum_over(term, members):
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


# --- isothermal ellipsoids -----------------------------------------------------------------------


@functools.cache
def _isothermal_coefficients(num):
    return _exact_coefficients(1.0, num)


@jax.custom_jvp
def _arctanh_pair(ur, ui):
    """The pairs F and G with ``F = arctanh(sqrt(u)) / sqrt(u) = 1 + u G``."""
    coefficients = _isothermal_coefficients(_num_terms(ur.dtype)).astype(ur.dtype)
    cr, ci, norm = _disk_factor(ur, ui)
    vr, vi = _times(ur, ui, cr, ci)
    vr, vi = vr / norm, vi / norm
    p, q = _polynomial(coefficients, 2.0 * vr, vr * vr + vi * vi)
    gr, gi = _times(p - q * vr, q * vi, cr, ci)
    gr, gi = gr / norm, gi / norm
    fr, fi = _times(ur, ui, gr, gi)
    return (1.0 + fr, fi), (gr, gi)


@_arctanh_pair.defjvp
def _arctanh_pair_jvp(primals, tangents):
    """F' = (F - G) / 2(1-u) and G' = (1/(1-u) - 3K) / 2: no series is differentiated."""
    ur, ui = primals
    (fr, fi), (gr, gi) = _arctanh_pair(ur, ui)
    ar = 1.0 - ur
    inverse = 1.0 / (ar * ar + ui * ui)
    ir, ii = ar * inverse, ui * inverse
    kr, ki = _third(ur, ui, gr, gi)
    in_f = _times(0.5 * (fr - gr), 0.5 * (fi - gi), ir, ii)
    in_g = 0.5 * (ir - 3.0 * kr), 0.5 * (ii - 3.0 * ki)
    return ((fr, fi), (gr, gi)), (_times(*in_f, *tangents), _times(*in_g, *tangents))


def _third(ur, ui, gr, gi):
    """K = (G - 1/3) / u, by its Taylor series where u is small."""
    square = ur * ur + ui * ui
    near = square < 0.01
    # The unused branch of a `where` still has a derivative, so its argument must be harmless too.
    tr, ti = jnp.where(near, ur, 0.0), jnp.where(near, ui, 0.0)
    kr, ki = jnp.zeros_like(ur), jnp.zeros_like(ur)
    for n in range(6 if jnp.finfo(ur.dtype).bits <= 32 else 15, -1, -1):
        kr, ki = _times(kr, ki, tr, ti)
        kr = kr + 1.0 / (2 * n + 5)
    inverse = 1.0 / jnp.where(near, 1.0, square)
    far = _times(gr - 1.0 / 3.0, gi, ur * inverse, -ui * inverse)
    return jnp.where(near, kr, far[0]), jnp.where(near, ki, far[1])


def arctanh_ratio(ur, ui):
    r"""The analytic function :math:`\operatorname{arctanh}(\sqrt u)/\sqrt u`, one at u = 0.

    It is the hypergeometric function of the power law at the isothermal slope, and owns its
    derivatives.

    Args:
        ur, ui: real and imaginary part of u, arrays of one shape and dtype; abs(u) < 1.

    Returns:
        Real and imaginary part, shaped like ur.

    Example:
        >>> real, imag = arctanh_ratio(jnp.float32(0.25), jnp.float32(0.0))
        >>> round(float(real), 4)  # 2 arctanh(1/2)
        1.0986
    """
    return _arctanh_pair(ur, ui)[0]


def log1p_ratio(v):
    r"""The analytic function :math:`\ln(1+v)/v`, one at v = 0.

    Args:
        v: array, above -1.

    Returns:
        Array shaped like v.

    Example:
        >>> round(float(log1p_ratio(jnp.float32(1.0))), 4)
        0.6931
    """
    near = jnp.abs(v) < 0.1
    far, t = jnp.where(near, 1.0, v), jnp.where(near, -v, 0.0)
    series = jnp.zeros_like(v)
    for n in range(7 if jnp.finfo(v.dtype).bits <= 32 else 16, -1, -1):
        series = series * t + 1.0 / (n + 1)
    return jnp.where(near, series, jnp.log1p(far) / far)


# --- NFW haloes ----------------------------------------------------------------------------------


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
def halo_shape(y) -> HaloShape:
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
    """What takes the place of H, g / y and h of `HaloShape` in a truncated halo."""

    H: jax.Array
    g_over_y: jax.Array
    h: jax.Array


def truncated_shape(y, tau) -> TruncatedShape:
    r"""The functions of a truncated NFW halo, those of `halo_shape` at large tau.

    The published forms are sums of large terms that cancel at small radius and at large tau; here
    every bracket is proportional to y and the powers of tau are taken out.

    Args:
        y: squared radius over squared scale radius, array, positive.
        tau: truncation radius over scale radius, scalar, positive.

    Returns:
        A `TruncatedShape` of arrays shaped like y.
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


# --- elliptical Gaussians ------------------------------------------------------------------------


@functools.cache
def legendre(num):
    """Gauss-Legendre nodes and weights on (0, 1), NumPy arrays."""
    nodes, weights = np.polynomial.legendre.leggauss(num)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _gaussian_moments(a, br, bi):
    """Integrals of 1, s and s (1 - s) times exp(-s a - s (1-s) b), as pairs."""
    single = jnp.finfo(a.dtype).bits <= 32
    # Beyond, the integrand is below the precision of the dtype.
    end = (18.0 if single else 38.0) / (a + jnp.minimum(br, 0.0))
    end = jax.lax.stop_gradient(jnp.minimum(1.0, end))
    nodes, weights = (jnp.asarray(v, a.dtype) for v in legendre(16 if single else 40))

    def term(node):
        s, weight = node[0] * end, node[1] * end
        scale = weight * jnp.exp(-s * (a + (1.0 - s) * br))
        phase = -s * (1.0 - s) * bi
        real, imag = scale * jnp.cos(phase), scale * jnp.sin(phase)
        square = s * (1.0 - s)
        return (real, imag), (s * real, s * imag), (square * real, square * imag)

    return sum_over(term, jnp.stack([nodes, weights], axis=1))


@jax.custom_jvp
def gaussian_integral(a, br, bi):
    r"""The entire function :math:`\int_0^1 e^{-sa - s(1-s)b}\,\mathrm ds` behind Gaussian lenses.

    Gauss-Legendre nodes on the part of the interval where the integrand is above rounding.

    Args:
        a: array, positive.
        br, bi: real and imaginary part of b, shaped like a; abs(b) < a.

    Returns:
        Real and imaginary part, shaped like a.

    Example:
        >>> real, imag = gaussian_integral(*map(jnp.float32, (1.0, 0.0, 0.0)))
        >>> round(float(real), 4)  # 1 - exp(-1)
        0.6321
    """
    return _gaussian_moments(a, br, bi)[0]


@gaussian_integral.defjvp
def _gaussian_integral_jvp(primals, tangents):
    value, first, second = _gaussian_moments(*primals)
    real, imag = _times(*second, *tangents[1:])
    return value, (-first[0] * tangents[0] - real, -first[1] * tangents[0] - imag)


def potential_along_rays(deflection, x, y, num):
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
