"""Named functions that stay finite, value and derivative, and own their derivative where it pays.

The one hard function of lens modelling is the deflection of an elliptical power law. With
``w = z - eps conj(z)`` it is (Tessore & Metcalf 2015, A&A 580, A79, rewritten without angles)

    alpha = k |w|^(-t) w F(u),   k = theta_E^t (1 - |eps|^2)^(t/2),   u = -conj(eps) w / conj(w),

with ``F(u) = 2F1(1, b; 2 - b; u) = 1 + u G(u)`` and ``b = t / 2``. What makes it cheap:

* All pixels have the same ``|u| = |eps|``, so G is a function of one real number per pixel:
  ``G = A(s) + i Im(u) B(s)``. A and B are real polynomials over (1 - s)^2, whose coefficients
  depend on t and |eps| alone: they are scalars.
* With ``eta = sqrt(1 - |eps|^2)`` the number ``s = (Re u - |eps|^2) / (1 - Re u + eta |1 - u|)``
  makes them short: A and B are regular for |s| < 1, and at q = 0.2 |s| is at most 0.38.
* With ``P = k |w|^(-t) w^2/conj(w) G`` the deflection is ``alpha = k |w|^(-t) w - conj(eps) P``,
  and F obeys ``(1 - u) F' = b F - (1 - b) G``, so all slopes but that in t are products of alpha,
  P and the convergence. docs/performance.md has the steps.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from numpyro_lens._types import Coordinates, Field, Scalar
from numpyro_lens.numerics.complex_pair import horner, polynomial_pair, times
from numpyro_lens.numerics.ellipse import ELLIPTICITY_KNEE, bounded_ellipticity, elliptical_frame
from numpyro_lens.numerics.hypergeometric import series_coefficients
from numpyro_lens.numerics.safe import as_float, soft_square


def _halves(t, eta, s):
    """A and B of ``G = A + i Im(u) B`` in terms of eta and s, by the long series in v; NumPy."""
    distance = eta * (1.0 - s) / (1.0 + s)
    roots = np.sqrt(2.0 * eta * (eta * (1.0 + s * s) + 1.0 - s * s)) / (1.0 + s)
    total = 2.0 * (1.0 - distance) / (1.0 + roots + distance)
    product = (1.0 - roots + distance) / (1.0 + roots + distance)
    # u = 4v/(1+v)², so G = sum g_n v^(n-1) (1+v)²/4 is a polynomial in v too.
    g = np.pad(series_coefficients(t, 90), [(2, 2), (0, 0), (0, 0), (0, 0)])
    p, q = polynomial_pair((g[2:] + 2.0 * g[1:-1] + g[:-2]) / 4.0, total, product)
    return p - 0.5 * q * total, q * (1.0 + total + product) ** 2 / (4.0 * (1.0 - product))


def _reach(eta):
    """A length somewhat above that of s, ``|s| <= sqrt((1-eta)/(1+eta))``, without its root."""
    return 0.17 + 0.85 * (1.0 - eta)


# The least eta that the table is fitted to; it is still good to 1e-4 at the bound of |eps|.
_LEAST_ETA = np.sqrt(1.0 - ELLIPTICITY_KNEE**2)


def _table_size(dtype):
    """Powers of t, of eta and of s for the precision of the dtype."""
    return (13, 16, 11) if jnp.finfo(dtype).bits <= 32 else (22, 28, 24)


@functools.cache
def _table(size):
    """Chebyshev interpolation of ``(1-s)² A`` and ``(1-s)² B``, as powers (t, eta, 2, s).

    The factor takes away most of what is singular at s = 1, where u = 1.
    """
    nodes = [np.cos(np.pi * (np.arange(num) + 0.5) / num) for num in size]
    t, eta = 1.0 + nodes[0][:, None, None], _eta_at(nodes[1])[:, None]
    s = _reach(eta) * nodes[2]
    out = np.stack(_halves(t, eta, s)) * (1.0 - s) ** 2
    chebyshev = np.polynomial.chebyshev
    for axis, (x, num) in enumerate(zip(nodes, size, strict=True), start=1):
        fit = np.linalg.inv(chebyshev.chebvander(x, num - 1))
        out = np.moveaxis(np.tensordot(fit, out, (1, axis)), 0, axis)
    # What is only rounding error would be blown up by the powers.
    out[np.abs(out) < 1e-16] = 0.0
    for axis, num in enumerate(size, start=1):
        powers = [np.pad(p, (0, num - p.size)) for p in map(chebyshev.cheb2poly, np.eye(num))]
        out = np.moveaxis(np.tensordot(np.stack(powers, axis=1), out, (1, axis)), 0, axis)
    return np.moveaxis(out, 0, 2)


def _eta_at(node):
    """From (-1, 1) to the range of eta."""
    return 0.5 * (1.0 + _LEAST_ETA) + 0.5 * (1.0 - _LEAST_ETA) * node


def _node_at(eta):
    return (2.0 * eta - (1.0 + _LEAST_ETA)) / (1.0 - _LEAST_ETA)


def _half_coefficients(t, eta):
    """Coefficients (2, num) of the two polynomials in s."""
    table = jnp.asarray(_table(_table_size(eta.dtype)), eta.dtype)
    units = _reach(eta) ** np.arange(table.shape[-1])
    return horner(horner(table, t - 1.0), _node_at(eta)) / units[None]


class _EPL(NamedTuple):
    """What the deflection and its derivatives share; twist is w²/conj(w), scale k |w|^(-t)."""

    flat: jax.Array
    wx: jax.Array
    wy: jax.Array
    twist: tuple[jax.Array, jax.Array]
    s: jax.Array
    ui: jax.Array
    log_ratio: jax.Array
    scale: jax.Array


def _epl(t, theta_e, e1, e2, x, y):
    square = e1 * e1 + e2 * e2
    flat = 1.0 - square
    wx, wy = elliptical_frame(x, y, e1, e2)
    inverse = 1.0 / soft_square(wx, wy)
    # p = w²/|w|² and u = -conj(eps) p.
    pr, pi = (wx * wx - wy * wy) * inverse, 2.0 * wx * wy * inverse
    ur, ui = -(e1 * pr + e2 * pi), e2 * pr - e1 * pi
    ar = 1.0 - ur
    s = (ur - square) / (ar + jnp.sqrt(flat * (ar * ar + ui * ui)))
    log_ratio = jnp.log(theta_e) + 0.5 * jnp.log(flat * inverse)
    scale = jnp.exp(t * log_ratio)
    return _EPL(flat, wx, wy, times(wx, wy, pr, pi), s, ui, log_ratio, scale)


def _twisted(coefficients, lens: _EPL):
    """``P = k |w|^(-t) w²/conj(w) G``, of G or of its slope in t."""
    # A division at the end keeps XLA from repeating the series in every array that uses it.
    weight = (1.0 - lens.s) ** 2
    a, b = (horner(c, lens.s) / weight for c in coefficients)
    pr, pi = times(*lens.twist, a, lens.ui * b)
    return lens.scale * pr, lens.scale * pi


@jax.custom_jvp
def _epl_deflection(t, theta_e, e1, e2, x, y):
    return _deflection(t, e1, e2, _epl(t, theta_e, e1, e2, x, y))[0]


def _deflection(t, e1, e2, lens):
    """``alpha = k |w|^(-t) w - conj(eps) P``, and P."""
    pr, pi = _twisted(_half_coefficients(t, jnp.sqrt(lens.flat)), lens)
    alpha_x = lens.scale * lens.wx - (e1 * pr + e2 * pi)
    alpha_y = lens.scale * lens.wy - (e1 * pi - e2 * pr)
    return (alpha_x, alpha_y), (pr, pi)


def _along_position(t, kappa, alpha, x, y, dx, dy):
    """``kappa dz + Gamma conj(dz)``; the shear Gamma follows from Euler's theorem."""
    inverse = 1.0 / soft_square(x, y)
    ux, uy = (1.0 - t) * alpha[0] - kappa * x, (1.0 - t) * alpha[1] - kappa * y
    g1, g2 = (ux * x - uy * y) * inverse, (ux * y + uy * x) * inverse
    return (kappa + g1) * dx + g2 * dy, g2 * dx + (kappa - g1) * dy


def _along_ellipticity(lens, alpha, p, e1, e2, de1, de2):
    """``P conj(deps) - (conj(eps) alpha + k |w|^(-t) conj(w)) deps``."""
    mr = e1 * alpha[0] + e2 * alpha[1] + lens.scale * lens.wx
    mi = e1 * alpha[1] - e2 * alpha[0] - lens.scale * lens.wy
    return (p[0] - mr) * de1 + (p[1] + mi) * de2, (p[1] - mi) * de1 - (p[0] + mr) * de2


def _along_slope(t, lens, alpha, e1, e2, dt):
    """``(alpha log - conj(eps) dP/dt) dt``."""
    eta = jnp.sqrt(lens.flat)
    slope = jax.jvp(lambda t: _half_coefficients(t, eta), (t,), (jnp.ones_like(t),))[1]
    pr, pi = _twisted(slope, lens)
    tx = alpha[0] * lens.log_ratio - (e1 * pr + e2 * pi)
    return tx * dt, (alpha[1] * lens.log_ratio - (e1 * pi - e2 * pr)) * dt


def _is_zero(tangent):
    return isinstance(tangent, SymbolicZero)


@functools.partial(_epl_deflection.defjvp, symbolic_zeros=True)
def _epl_deflection_jvp(primals, tangents):
    t, theta_e, e1, e2, x, y = primals
    lens = _epl(*primals)
    alpha, p = _deflection(t, e1, e2, lens)
    # As arrays from here on, so that the derivative in each scalar is one sum over the pixels.
    dt, dtheta, de1, de2, dx, dy = (
        None if _is_zero(dot) else jnp.broadcast_to(dot, x.shape) for dot in tangents
    )
    terms = []
    if dx is not None or dy is not None:
        kappa = (1.0 - 0.5 * t) * lens.scale
        terms.append(_along_position(t, kappa, alpha, x, y, _or_zero(dx, x), _or_zero(dy, y)))
    if de1 is not None or de2 is not None:
        q = (1.0 - 0.5 * t) / lens.flat
        de = q * _or_zero(de1, x), q * _or_zero(de2, x)
        terms.append(_along_ellipticity(lens, alpha, p, e1, e2, *de))
    if dtheta is not None:
        terms.append(tuple(a * (t / theta_e * dtheta) for a in alpha))
    if dt is not None:
        # Not as an array: within one sum XLA would evaluate the series as a slow chain.
        terms.append(_along_slope(t, lens, alpha, e1, e2, tangents[0]))
    return alpha, tuple(sum(term[i] for term in terms) for i in (0, 1))


def _or_zero(tangent, like):
    return jnp.zeros_like(like) if tangent is None else tangent


def epl_deflection(
    t: Scalar, theta_e: Scalar, e1: Scalar, e2: Scalar, x: Coordinates, y: Coordinates
) -> tuple[Field, Field]:
    r"""Deflection of an elliptical power law, :math:`\kappa = (2-t)/2\,(\theta_E/R)^t`.

    Args:
        t: slope of the convergence, scalar, ``gamma - 1``; 0 < t < 2.
        theta_e: Einstein radius [arcsec], scalar, positive.
        e1, e2: ellipticity components, scalars.
        x, y: positions from the centre [arcsec], arrays of one shape.

    Returns:
        ``(alpha_x, alpha_y)`` [arcsec], shaped like x.

    Reference: Tessore & Metcalf 2015, A&A 580, A79, equation 13.
    """
    x, y = as_float(x, y)
    e1, e2, _ = bounded_ellipticity(e1, e2)
    scalars = (jnp.asarray(p, x.dtype) for p in (t, theta_e, e1, e2))
    return _epl_deflection(*scalars, x, y)
