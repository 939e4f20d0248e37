"""Named functions that stay finite, value and derivative, and own their derivative where it pays.

The one hard function of lens modelling is the deflection of an elliptical power law. With
``w = z - eps conj(z)`` it is (Tessore & Metcalf 2015, A&A 580, A79, rewritten without angles)

    alpha = theta_E^t (1 - |eps|^2)^(t/2) |w|^(-t) w F(u),   u = -conj(eps) w / conj(w),

with ``F(u) = 2F1(1, b; 2 - b; u)`` and ``b = t / 2``. Three observations make it cheap:

* ``v = (1 - sqrt(1 - u)) / (1 + sqrt(1 - u))`` maps the plane cut along [1, inf) onto the unit
  disk, so a series in v converges about three times faster than the one in u (|v| = 0.27 at q =
  0.2);
* its coefficients are real and depend on t alone: they are scalars, and the polynomial at a complex
  point is a recurrence in real arithmetic, two multiply-adds a term;
* F solves a first-order equation, so its derivative in u needs no further series; the one in t is
  one more polynomial with other coefficients.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

# Where |eps| starts to be bent, and the bound that it approaches: q = 0.05 and q = 0.026.
_ELLIPTICITY_KNEE = 0.9
_ELLIPTICITY_BOUND = 0.95


def as_float(*values):
    """Arrays of the session's floating dtype, of one common shape, as AD needs them.

    Args:
        *values: numbers or arrays that broadcast against each other.

    Returns:
        A list of arrays.
    """
    arrays = [jnp.asarray(v, dtype=jnp.result_type(float, v)) for v in values]
    return list(jnp.broadcast_arrays(*arrays))


def softening(dtype):
    """Squared length [arcsec²] added to squared radii so that r = 0 is an ordinary point.

    Small against any pixel, large enough that its inverse cubed is a number of the dtype.
    """
    return 1e-10 if jnp.finfo(dtype).bits <= 32 else 1e-20


def soft_square(x, y):
    """Squared radius ``x² + y²`` that never vanishes."""
    square = x * x + y * y
    return square + softening(square.dtype)


def safe_hypot(x, y):
    """Radius whose derivatives of every order are finite at the origin."""
    return jnp.sqrt(soft_square(x, y))


def bounded_ellipticity(e1, e2):
    r"""Ellipticity below one, the identity for :math:`|\epsilon| \le 0.9` (q ≥ 0.05).

    Beyond, the modulus bends towards 0.95 with a continuous slope, so that every draw of a prior,
    even one outside the unit disk, has a finite value and gradient.

    Args:
        e1, e2: ellipticity components, scalars.

    Returns:
        The bounded components and ``1 - |eps|²``.
    """
    knee, room = _ELLIPTICITY_KNEE, _ELLIPTICITY_BOUND - _ELLIPTICITY_KNEE
    square = e1 * e1 + e2 * e2
    # The unused branch of a `where` still has a derivative, so its argument must be harmless too.
    modulus = jnp.sqrt(jnp.maximum(square, knee**2))
    scale = (knee + room * jnp.tanh((modulus - knee) / room)) / modulus
    scale = jnp.where(square > knee**2, scale, 1.0)
    e1, e2 = e1 * scale, e2 * scale
    return e1, e2, 1.0 - (e1 * e1 + e2 * e2)


def elliptical_frame(x, y, e1, e2):
    r"""The linear map in which ellipses are circles, :math:`w = z - \epsilon \bar z`.

    The product-average elliptical radius is :math:`R^2 = |w|^2 / (1 - |\epsilon|^2)`.

    Args:
        x, y: positions from the centre [arcsec].
        e1, e2: ellipticity components, scalars, already bounded.

    Returns:
        ``(wx, wy)`` [arcsec], shaped like x.
    """
    return (1.0 - e1) * x - e2 * y, (1.0 + e1) * y - e2 * x


def elliptical_square(x, y, e1, e2):
    r"""Squared product-average elliptical radius :math:`R^2 = q x'^2 + y'^2 / q`, never zero.

    Args:
        x, y: positions from the centre [arcsec].
        e1, e2: ellipticity components, scalars, of any modulus.

    Returns:
        R² [arcsec²], shaped like x.
    """
    e1, e2, flat = bounded_ellipticity(e1, e2)
    return soft_square(*elliptical_frame(x, y, e1, e2)) / flat


# --- the hypergeometric series of the elliptical power law ---------------------------------------


def _num_terms(dtype):
    """Terms for the precision of the dtype at |eps| = 0.85, static since |eps| is bounded."""
    return 20 if jnp.finfo(dtype).bits <= 32 else 46


def _exact_coefficients(t, num):
    """Coefficients g_1 ... g_num of F = 1 + sum g_n v^n, from the differential equation of F in v.

    ``v(1-v²) F' = (4bv - (1-b)(1+v)²) F + (1-b)(1+v)²``, order by order, where b = t/2.
    """
    b = 0.5 * t
    m = 1.0 - b
    known = {1: 2.0 * m, 2: m}
    older, old, out = 0.0 * t, 0.0 * t + 1.0, []
    for n in range(1, num + 1):
        new = ((6.0 * b - 2.0) * old + (n - 2 - m) * older + known.get(n, 0.0)) / (n + m)
        out.append(new)
        older, old = old, new
    return np.stack(out)


@functools.cache
def _coefficient_table(num, degree):
    """Chebyshev interpolation in t - 1 of the coefficients, as powers (degree + 1, num).

    They are rational in t with the nearest pole at t = 4, so an interpolant on 0 < t < 2 gains a
    factor of 5.8 with each degree.
    """
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    fit = np.polynomial.chebyshev.chebfit(nodes, _exact_coefficients(1.0 + nodes, num).T, degree)
    return np.stack([np.polynomial.chebyshev.cheb2poly(column) for column in fit.T], axis=1)


def _series_coefficients(t, num):
    """The coefficients as one array operation; their recurrence would be a hundred scalar ones."""
    table = _coefficient_table(num, 13 if jnp.finfo(t.dtype).bits <= 32 else 25)
    out = jnp.zeros(num, t.dtype)
    for row in table[::-1]:
        out = out * (t - 1.0)[None] + jnp.asarray(row, t.dtype)
    return out


def _polynomial(coefficients, twice_real, square):
    """Real polynomial at a complex point: the pair (p, q) with ``P(v) = p - q conj(v)``.

    Goertzel's recurrence ``s_k = c_k + 2 Re(v) s_{k+1} - |v|² s_{k+2}``, real arithmetic only.
    """
    after = next_ = jnp.zeros_like(twice_real)
    for k in range(coefficients.shape[0] - 1, -1, -1):
        next_, after = coefficients[k] + twice_real * next_ - square * after, next_
    return next_, after


def _disk_factor(ur, ui):
    """``conj(1 + sqrt(1 - u))²`` and its modulus squared: v = u over the square without conj."""
    ar = 1.0 - ur
    sr = jnp.sqrt(0.5 * (jnp.sqrt(ar * ar + ui * ui) + ar))
    si = -0.5 * ui / sr
    sr = 1.0 + sr
    square = sr * sr + si * si
    return sr * sr - si * si, -2.0 * sr * si, square * square


def _times(ar, ai, br, bi):
    return ar * br - ai * bi, ar * bi + ai * br


class _EPLState(NamedTuple):
    flat: jax.Array
    wx: jax.Array
    wy: jax.Array
    inverse: jax.Array
    pr: jax.Array
    pi: jax.Array
    ur: jax.Array
    ui: jax.Array
    cr: jax.Array
    ci: jax.Array
    norm: jax.Array
    vr: jax.Array
    vi: jax.Array
    log_ratio: jax.Array


def _epl_state(theta_e, e1, e2, x, y):
    """Everything of the deflection that its derivatives need again."""
    flat = 1.0 - (e1 * e1 + e2 * e2)
    wx, wy = elliptical_frame(x, y, e1, e2)
    inverse = 1.0 / soft_square(wx, wy)
    # The twist p = w²/|w|², and u = -conj(eps) p.
    pr, pi = (wx * wx - wy * wy) * inverse, 2.0 * wx * wy * inverse
    ur, ui = -(e1 * pr + e2 * pi), e2 * pr - e1 * pi
    cr, ci, norm = _disk_factor(ur, ui)
    vr, vi = _times(ur, ui, cr, ci)
    vr, vi = vr / norm, vi / norm
    log_ratio = jnp.log(theta_e) + 0.5 * jnp.log(flat * inverse)
    return _EPLState(flat, wx, wy, inverse, pr, pi, ur, ui, cr, ci, norm, vr, vi, log_ratio)


def _series(coefficients, s: _EPLState):
    """Sum of c_n v^n without its constant, over u.

    Ends in a division on purpose: XLA repeats cheap arithmetic, here the whole recurrence, in each
    of the dozen arrays that use the result, but never a division.
    """
    p, q = _polynomial(coefficients, 2.0 * s.vr, s.vr * s.vr + s.vi * s.vi)
    real, imag = _times(p - q * s.vr, q * s.vi, s.cr, s.ci)
    return real / s.norm, imag / s.norm


def _deflection(t, coefficients, s: _EPLState):
    """``(alpha, F, G)`` as pairs of real and imaginary parts, with F = 1 + u G."""
    gr, gi = _series(coefficients, s)
    fr, fi = _times(s.ur, s.ui, gr, gi)
    fr = 1.0 + fr
    scale = jnp.exp(t * s.log_ratio)
    ax, ay = _times(s.wx, s.wy, fr, fi)
    return (scale * ax, scale * ay), (fr, fi), (gr, gi), scale


@jax.custom_jvp
def _epl_deflection(t, theta_e, e1, e2, x, y):
    state = _epl_state(theta_e, e1, e2, x, y)
    return _deflection(t, _series_coefficients(t, _num_terms(x.dtype)), state)[0]


def _slope_in_t(t, s, alpha, scale):
    """Slope d alpha / dt: the power of the radius, and one more series."""
    num = _num_terms(s.wx.dtype)
    _, coefficients = jax.jvp(lambda t: _series_coefficients(t, num), (t,), (jnp.ones_like(t),))
    dr, di = _times(s.ur, s.ui, *_series(coefficients, s))
    tr, ti = _times(s.wx, s.wy, dr, di)
    return alpha[0] * s.log_ratio + scale * tr, alpha[1] * s.log_ratio + scale * ti


def _slopes_in_frame(t, s, f, g, scale):
    """Wirtinger derivatives of alpha in w, conj(w) and the explicit conj(eps)."""
    b = 0.5 * t
    ar = 1.0 - s.ur
    norm = 1.0 / (ar * ar + s.ui * s.ui)
    # (1 - u) F' = b F - (1 - b) G, so F needs no series of its own for its derivative.
    hr, hi = _times(
        b * f[0] - (1.0 - b) * g[0], b * f[1] - (1.0 - b) * g[1], ar * norm, s.ui * norm
    )
    kr, ki = _times(s.ur, s.ui, hr, hi)
    m = (s.wx * s.wx + s.wy * s.wy) * s.inverse
    in_w = (
        scale * (f[0] * (1.0 - b * m) + kr * (2.0 - m)),
        scale * (f[1] * (1.0 - b * m) + ki * (2.0 - m)),
    )
    cr, ci = _times(s.pr, s.pi, b * f[0] + kr, b * f[1] + ki)
    in_wbar = -scale * cr, -scale * ci
    qr, qi = _times(s.wx, s.wy, s.pr, s.pi)
    er, ei = _times(qr, qi, hr, hi)
    return in_w, in_wbar, (-scale * er, -scale * ei)


def _slopes_in_position(in_w, in_wbar, e1, e2):
    """Slopes d alpha / dx and d alpha / dy, with dw = (1 - eps) dx + i (1 + eps) dy."""
    (ar, ai), (br, bi) = in_w, in_wbar
    in_x = (1 - e1) * (ar + br) + e2 * (ai - bi), (1 - e1) * (ai + bi) - e2 * (ar - br)
    in_y = -(1 + e1) * (ai - bi) - e2 * (ar + br), (1 + e1) * (ar - br) - e2 * (ai + bi)
    return in_x, in_y


def _slopes_in_ellipticity(t, s, alpha, slopes, e1, e2, x, y):
    """Slopes d alpha / de1 and d alpha / de2, with dw = -conj(z) deps."""
    (ar, ai), (br, bi), (cr, ci) = slopes
    pr, pi = ar * x + ai * y, ai * x - ar * y
    mr, mi = br * x - bi * y, bi * x + br * y
    k1, k2 = -t * e1 / s.flat, -t * e2 / s.flat
    in_e1 = k1 * alpha[0] - pr - mr + cr, k1 * alpha[1] - pi - mi + ci
    in_e2 = k2 * alpha[0] + pi - mi + ci, k2 * alpha[1] - pr + mr - cr
    return in_e1, in_e2


def _is_zero(tangent):
    return isinstance(tangent, SymbolicZero)


def _epl_deflection_jvp(primals, tangents):
    t, theta_e, e1, e2, x, y = primals
    s = _epl_state(*primals[1:])
    alpha, f, g, scale = _deflection(t, _series_coefficients(t, _num_terms(x.dtype)), s)
    terms = []
    if not _is_zero(tangents[0]):
        terms.append((_slope_in_t(t, s, alpha, scale), tangents[0]))
    if not _is_zero(tangents[1]):
        terms.append(((t / theta_e * alpha[0], t / theta_e * alpha[1]), tangents[1]))
    if not all(map(_is_zero, tangents[2:])):
        slopes = _slopes_in_frame(t, s, f, g, scale)
        derivatives = (
            *_slopes_in_ellipticity(t, s, alpha, slopes, e1, e2, x, y),
            *_slopes_in_position(slopes[0], slopes[1], e1, e2),
        )
        terms += [
            (d, dot) for d, dot in zip(derivatives, tangents[2:], strict=True) if not _is_zero(dot)
        ]
    out = tuple(sum(d[i] * dot for d, dot in terms) for i in (0, 1))
    return alpha, out


_epl_deflection.defjvp(_epl_deflection_jvp, symbolic_zeros=True)


def epl_deflection(t, theta_e, e1, e2, x, y):
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


# --- light ---------------------------------------------------------------------------------------


def sersic_shape(square, n):
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
    b = 1.9992 * n - 0.3271
    # Far outside a flat profile the power overflows and its derivative would be 0 * inf.
    power = jnp.exp(jnp.minimum(jnp.log(square) / (2.0 * n), 20.0))
    return jnp.exp(-b * (power - 1.0))
