"""Free-form light: its modes, its prior and its envelope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens import light


def test_orders_lie_in_a_quarter_of_a_disk_long_waves_first():
    orders = light.hsgp_orders(9)
    assert len(orders) == 54
    square = np.sum(orders**2, axis=1)
    assert (np.diff(square) >= 0).all()
    assert square.max() <= 81
    assert len({tuple(pair) for pair in orders}) == 54


def test_modes_solve_the_eigenvalue_equation(double):
    """Without the envelope, minus the Laplacian of a mode is its eigenvalue times the mode."""
    from numpyro_lens.numerics.trigonometric import sine_functions

    def mode(u, j, k):
        return sine_functions(u[0], 5)[j - 1] * sine_functions(u[1], 5)[k - 1]

    u = jnp.array([0.23, -0.41])
    for j, k in light.hsgp_orders(5):
        laplacian = jnp.trace(jax.hessian(mode)(u, j, k))
        np.testing.assert_allclose(
            -laplacian, (np.pi / 2) ** 2 * (j**2 + k**2) * mode(u, j, k), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_the_prior_has_the_covariance_of_matern(nu, double):
    """Of the process at two points near the centre, with all modes that matter."""
    length, order = 0.25, 60
    scale = light.matern_scale(order, length, nu)
    points = np.array([[0.0, 0.0], [0.1, 0.0], [0.1, -0.15]])
    orders = light.hsgp_orders(order)
    basis = np.prod(np.sin(orders[:, None] * np.pi * (points[None] + 1.0) / 2), axis=2)
    covariance = (basis * np.asarray(scale)[:, None] ** 2).T @ basis
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    s = np.sqrt(2 * nu) * distance / length
    exact = {0.5: 1.0, 1.5: 1.0 + s, 2.5: 1.0 + s + s**2 / 3}[nu] * np.exp(-s)
    # The rough process has power beyond any finite number of modes.
    np.testing.assert_allclose(covariance, exact, atol={0.5: 0.06, 1.5: 4e-3, 2.5: 3e-3}[nu])


def test_it_ends_smoothly_at_its_width(double):
    profile = light.HSGP(amp=jnp.array([1.0, 0.4, -0.2, 0.3]), width=0.5, center_x=0.1)

    def along(r):
        return profile.brightness(0.1 + r, 0.0)

    assert float(along(0.5)) == 0.0
    assert float(along(3.0)) == 0.0
    for r in (0.4999999, 0.5000001, 3.0):
        np.testing.assert_allclose(jax.grad(along)(r), 0.0, atol=1e-10)
        np.testing.assert_allclose(jax.grad(jax.grad(along))(r), 0.0, atol=1e-4)


@pytest.mark.parametrize("order", [2, 5, 9])
def test_brightness_is_the_sum_of_the_basis(order, x64):
    num = len(light.hsgp_orders(order))
    amp = jnp.asarray(np.random.default_rng(0).normal(size=num))
    profile = light.HSGP(amp=amp, width=0.6, center_y=-0.1)
    x, y = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (2, 40)))
    basis = light.basis(profile, x, y)
    np.testing.assert_allclose(amp @ basis, profile.brightness(x, y), atol=1e-11 if x64 else 1e-5)
    assert profile.order == order


@pytest.mark.wrong_types
@pytest.mark.parametrize("shape", [(), (3,), (4, 1)])
def test_it_teaches_its_number_of_amplitudes(shape):
    with pytest.raises(ValueError, match="1, 4, 8, 15"):
        light.HSGP(amp=jnp.zeros(shape), width=0.1)
