"""Special functions against mpmath, in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens.numerics import gaussian, halo, isothermal, quadrature

mpmath = pytest.importorskip("mpmath")


def rounded(*values):
    """Numbers that the session's precision holds, as arrays and as Python floats."""
    arrays = [jnp.asarray(v, jnp.result_type(float)) for v in values]
    return arrays, [np.asarray(a, float) for a in arrays]


def test_arctanh_ratio(x64):
    modulus, angle = np.meshgrid([1e-9, 0.1, 0.5, 0.7], np.linspace(0, np.pi, 7))
    (ur, ui), (real, imag) = rounded(modulus * np.cos(angle), modulus * np.sin(angle))
    got = np.array(isothermal.arctanh_ratio(ur, ui), float)
    exact = np.vectorize(lambda u: complex(mpmath.atanh(mpmath.sqrt(u)) / mpmath.sqrt(u)))
    expected = exact(real + 1j * imag)
    assert np.abs(got[0] + 1j * got[1] - expected).max() < (1e-14 if x64 else 5e-7)


def test_gaussian_integral(x64):
    cases = [(a, e, t) for a in (1e-3, 0.3, 3, 60, 1e4) for e in (0.1, 0.6) for t in (0, 1.1, 2.9)]
    a, e, t = np.array(cases).T
    (aa, br, bi), exact = rounded(a, e * a * np.cos(t), e * a * np.sin(t))
    got = np.array(gaussian.gaussian_integral(aa, br, bi), float)
    for i, (a, real, imag) in enumerate(zip(*exact, strict=True)):
        ends = [0, *(n / a for n in (1, 4, 10, 30, 60) if n < a), 1]
        b = mpmath.mpc(real, imag)

        def integrand(s, a=a, b=b):
            return mpmath.exp(-s * a - s * (1 - s) * b)

        expected = complex(mpmath.quad(integrand, ends))
        error = abs(got[0, i] + 1j * got[1, i] - expected) / abs(expected)
        assert error < (1e-12 if x64 else 1e-6)


def exact_halo(y):
    """The definitions of `HaloShape`, with 50 digits."""
    with mpmath.workdps(50):
        t = mpmath.mpf(y) - 1
        root = mpmath.sqrt(mpmath.mpc(t))
        F = (mpmath.atan(root) / root).real if t else mpmath.mpf(1)
        H = (1 - F) / t if t else mpmath.mpf(1) / 3
        K = (mpmath.mpf(1) / 3 - H) / t if t else mpmath.mpf(1) / 5
        log = mpmath.log(mpmath.sqrt(y) / 2)
        return [float(v) for v in (F, H, K, (log + F) / y, log**2 + t * F**2)]


def test_halo_shape(x64):
    (y,), (exact,) = rounded([1e-8, 1e-4, 0.3, 0.5, 0.51, 0.999, 1, 1.001, 1.49, 1.5, 3, 50, 1e4])
    got = np.array(halo.halo_shape(y), float)
    expected = np.array([exact_halo(v) for v in exact]).T
    np.testing.assert_allclose(got, expected, rtol=1e-14 if x64 else 5e-6)


def test_truncated_shape(x64):
    """Baltz et al.'s g over y and projected density, by quadrature of the density."""
    (y,), (exact,) = rounded([1e-4, 0.3, 1.0, 30.0])
    for tau in (0.5, 3.0, 100.0):
        got = halo.truncated_shape(y, tau)

        def column(x, tau=tau):
            """The projected density over 2 rho0 Rs."""
            return mpmath.quad(lambda z: _density(mpmath.sqrt(x * x + z * z), tau), _ENDS)

        expected = [float(column(mpmath.sqrt(v))) for v in exact]
        np.testing.assert_allclose(got.H, expected, rtol=1e-12 if x64 else 1e-4)
        inside = [
            float(mpmath.quad(lambda x: x * column(x), [0, mpmath.sqrt(v)], maxdegree=4) / v)
            for v in exact[:3]
        ]
        np.testing.assert_allclose(got.g_over_y[:3], inside, rtol=1e-7 if x64 else 1e-5)


def exact_truncated(y, tau):
    """The formulas of the docstring with 60 digits, of which cancellation leaves enough."""
    with mpmath.workdps(60):
        y, tau = mpmath.mpf(y), mpmath.mpf(tau)
        t, inverse = y - 1, 1 / (1 + tau**2)
        F = (mpmath.atan(mpmath.sqrt(mpmath.mpc(t))) / mpmath.sqrt(mpmath.mpc(t))).real
        H, c = (1 - F) / t, (tau**2 - 1) * inverse
        P = mpmath.sqrt(tau**2 + y)
        S, log = tau + P, -mpmath.asinh(tau / mpmath.sqrt(y))
        g = (mpmath.log(mpmath.sqrt(y) / 2) + F) / y - mpmath.log1p(y / (2 * tau * S)) / y
        column = H + inverse * (2 * F - mpmath.pi / P) + c * log / (tau * P)
        inside = c * (g + log / (tau * S)) + inverse * (2 * F - mpmath.pi / S)
        return [float(tau**2 * inverse * value) for value in (column, inside)]


@pytest.mark.parametrize("tau", [0.01, 0.5, 1.0, 3.0, 1000.0])
def test_truncated_shape_far_and_near(x64, tau):
    """Over twenty decades: far out it is a small difference of large terms."""
    (y, tau), (exact, at) = rounded(1.00013 * np.geomspace(1e-8, 1e12, 61), tau)
    got = halo.truncated_shape(y, tau)
    expected = np.array([exact_truncated(v, float(at)) for v in exact]).T
    np.testing.assert_allclose([got.H, got.g_over_y], expected, rtol=3e-14 if x64 else 1e-5)


def test_slopes_of_haloes_far_and_near(x64):
    """Every function's derivative; those of the deflection are what shears images."""
    (y,), (exact,) = rounded(1.00013 * np.geomspace(1e-6, 1e8, 29))
    got = jax.vmap(jax.jacfwd(lambda v: jnp.stack(halo.halo_shape(v))))(y)
    expected = [
        [
            mpmath.diff(lambda v, i=i: exact_halo_value(v, i), mpmath.mpf(float(v)), h=1e-12 * v)
            for i in range(5)
        ]
        for v in exact
    ]
    np.testing.assert_allclose(got, np.array(expected, float), rtol=2e-12 if x64 else 2e-5)


def exact_halo_value(y, i):
    with mpmath.workdps(60):
        t = y - 1
        root = mpmath.sqrt(mpmath.mpc(t))
        F = (mpmath.atan(root) / root).real
        H = (1 - F) / t
        log = mpmath.log(mpmath.sqrt(y) / 2)
        return (F, H, (mpmath.mpf(1) / 3 - H) / t, (log + F) / y, log**2 + t * F**2)[i]


def test_hernquist_column_far_and_near(x64):
    (y,), (exact,) = rounded(1.00013 * np.geomspace(1e-8, 1e10, 61))
    with mpmath.workdps(60):
        values = [mpmath.mpf(float(v)) for v in exact]
        expected = [float(3 * exact_halo_value(v, 2) - exact_halo_value(v, 1)) for v in values]
    np.testing.assert_allclose(halo.hernquist_column(y), expected, rtol=1e-13 if x64 else 2e-6)


_ENDS = [0, 0.01, 0.1, 1, 10, 100, mpmath.inf]


def _density(r, tau):
    return tau**2 / (r * (1 + r) ** 2 * (r * r + tau**2))


def test_log1p_ratio(x64):
    (v,), (exact,) = rounded([-0.9, -0.1, -1e-9, 0.0, 1e-5, 0.0999, 0.1, 5.0])
    expected = [float(mpmath.log1p(w) / w) if w else 1.0 for w in exact]
    np.testing.assert_allclose(isothermal.log1p_ratio(v), expected, rtol=1e-14 if x64 else 5e-7)


def test_sum_over_is_a_sum_with_its_gradient(double):
    members = {"a": jnp.arange(4.0), "b": jnp.ones((4, 2))}

    def total(members, x):
        return quadrature.sum_over(lambda m: m["a"] * x + m["b"].sum(), members).sum()

    x = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(total(members, x), 6 * 3 + 2 * 8)
    np.testing.assert_allclose(jax.grad(total)(members, x)["a"], [3.0] * 4)
