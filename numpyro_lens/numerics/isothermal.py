"""Functions of isothermal ellipsoids, analytic where the textbook form divides zero by zero."""

import functools

import jax
import jax.numpy as jnp

from numpyro_lens._types import Field
from numpyro_lens.numerics.complex_pair import polynomial_pair, times
from numpyro_lens.numerics.hypergeometric import disk_factor, num_terms, series_coefficients


@functools.cache
def _isothermal_coefficients(num):
    return series_coefficients(1.0, num)


@jax.custom_jvp
def _arctanh_pair(ur, ui):
    """The pairs F and G with ``F = arctanh(sqrt(u)) / sqrt(u) = 1 + u G``."""
    coefficients = _isothermal_coefficients(num_terms(ur.dtype)).astype(ur.dtype)
    cr, ci, norm = disk_factor(ur, ui)
    vr, vi = times(ur, ui, cr, ci)
    vr, vi = vr / norm, vi / norm
    p, q = polynomial_pair(coefficients, 2.0 * vr, vr * vr + vi * vi)
    gr, gi = times(p - q * vr, q * vi, cr, ci)
    gr, gi = gr / norm, gi / norm
    fr, fi = times(ur, ui, gr, gi)
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
    in_f = times(0.5 * (fr - gr), 0.5 * (fi - gi), ir, ii)
    in_g = 0.5 * (ir - 3.0 * kr), 0.5 * (ii - 3.0 * ki)
    return ((fr, fi), (gr, gi)), (times(*in_f, *tangents), times(*in_g, *tangents))


def _third(ur, ui, gr, gi):
    """K = (G - 1/3) / u, by its Taylor series where u is small."""
    square = ur * ur + ui * ui
    near = square < 0.01
    # The unused branch of a `where` still has a derivative, so its argument must be harmless too.
    tr, ti = jnp.where(near, ur, 0.0), jnp.where(near, ui, 0.0)
    kr, ki = jnp.zeros_like(ur), jnp.zeros_like(ur)
    for n in range(6 if jnp.finfo(ur.dtype).bits <= 32 else 15, -1, -1):
        kr, ki = times(kr, ki, tr, ti)
        kr = kr + 1.0 / (2 * n + 5)
    inverse = 1.0 / jnp.where(near, 1.0, square)
    far = times(gr - 1.0 / 3.0, gi, ur * inverse, -ui * inverse)
    return jnp.where(near, kr, far[0]), jnp.where(near, ki, far[1])


def arctanh_ratio(ur: Field, ui: Field) -> tuple[Field, Field]:
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


def log1p_ratio(v: Field) -> Field:
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
