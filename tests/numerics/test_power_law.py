"""The deflection of an elliptical power law against an independent hypergeometric function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens.numerics.power_law import epl_deflection

mpmath = pytest.importorskip("mpmath")
PARAMETERS = (1.1, 1.3, 0.2, -0.15)


def reference(t, theta_e, e1, e2, x, y):
    """Tessore & Metcalf with mpmath's hypergeometric function."""
    eps, z = mpmath.mpc(e1, e2), mpmath.mpc(x, y)
    w = z - eps * mpmath.conj(z)
    series = mpmath.hyp2f1(1, t / 2, 2 - t / 2, -mpmath.conj(eps) * w / mpmath.conj(w))
    return complex((theta_e * mpmath.sqrt(1 - abs(eps) ** 2) / abs(w)) ** t * w * series)


@pytest.mark.parametrize("q", [0.2, 0.35, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("gamma", [1.2, 1.6, 2.0, 2.4, 2.8])
def test_epl_deflection_is_accurate(q, gamma, x64):
    rng = np.random.default_rng(0)
    modulus, phi = (1 - q) / (1 + q), 0.7
    radius = 10 ** rng.uniform(-1, 1, 12)
    angle = np.linspace(0, 2 * np.pi, 12)
    inputs = (gamma - 1, 1.25, modulus * np.cos(phi), modulus * np.sin(phi))
    # The same rounded numbers for both, so that only the function is compared.
    t, theta_e, e1, e2 = (float(np.float32(v)) for v in inputs)
    x, y = (np.float32(radius * f(angle)).astype(float) for f in (np.cos, np.sin))
    exact = np.array([reference(t, theta_e, e1, e2, *p) for p in zip(x, y, strict=True)])
    ax, ay = epl_deflection(t, theta_e, e1, e2, jnp.asarray(x), jnp.asarray(y))
    error = np.abs(np.asarray(ax, float) + 1j * np.asarray(ay, float) - exact) / np.abs(exact)
    assert error.max() < (1e-12 if x64 else 1e-6)


def test_epl_deflection_of_very_flat_lenses(x64):
    """q = 0.08 and, beyond what a lens needs, q = 0.053: the polynomials lose digits slowly."""
    for modulus, tolerance in ((0.85, 1e-12 if x64 else 3e-6), (0.9, 1e-10 if x64 else 5e-5)):
        for t in (0.2, 1.0, 1.8):
            inputs = [float(np.float32(v)) for v in (t, 1.25, modulus, 0.0, 0.9, -0.4)]
            exact, (ax, ay) = reference(*inputs), epl_deflection(*inputs)
            assert abs(complex(ax, ay) - exact) < tolerance * abs(exact)


@pytest.mark.parametrize("argument", range(6))
def test_epl_owned_derivative_equals_finite_differences(argument, double):
    points = jnp.array([0.3, -0.7, 1.2]), jnp.array([0.5, 0.1, -0.9])
    primals = tuple(jnp.asarray(p) for p in (*PARAMETERS, *points))
    direction = tuple(
        jnp.ones_like(p) if i == argument else jnp.zeros_like(p) for i, p in enumerate(primals)
    )
    _, slope = jax.jvp(epl_deflection, primals, direction)

    def moved(h):
        return np.array(
            epl_deflection(*(p + h * d for p, d in zip(primals, direction, strict=True)))
        )

    h = 1e-4
    difference = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
    np.testing.assert_allclose(slope, difference, rtol=1e-9, atol=1e-10)


def test_epl_second_derivative_equals_finite_differences(double):
    x, y = jnp.array([0.3, -0.7]), jnp.array([0.5, 0.1])

    def f(p):
        ax, ay = epl_deflection(*p, x, y)
        return jnp.sum(ax**2 + 0.3 * ay)

    p, h = jnp.array(PARAMETERS), 1e-4

    @jax.jit
    def slope_and_hessian(p):
        slope = jax.grad(f)
        return slope(p), jax.jacfwd(slope)(p)

    def slope(p):
        return slope_and_hessian(p)[0]

    hessian = slope_and_hessian(p)[1]
    rows = [(slope(p + h * e) - slope(p - h * e)) / (2 * h) for e in jnp.eye(4)]
    np.testing.assert_allclose(hessian, np.array(rows), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-10)
