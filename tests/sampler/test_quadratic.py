import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens.sampler import Affine, Quadratic
from numpyro_lens.sampler.quadratic import Layer, _fit_along, fit_coefficients, fit_single

DIM = 4


def twisted(z):
    """Log density of Haario's twisted Gaussian, stretched and off the origin."""
    x, y = 0.5 * (z[0] - 3.0), z[1] + 1.0
    return -0.5 * (x**2 + (y - 0.3 * (x**2 - 1.0)) ** 2 + jnp.sum(z[2:] ** 2))


def gaussian(z):
    offset = z - jnp.arange(DIM)
    return -0.5 * jnp.sum(jnp.array([1.0, 0.1, 10.0, 1.0]) * offset**2)


def divergence(log_density, map, draws=1000):
    """Fisher divergence from the standard normal, in the coordinates of the map."""
    u = jax.random.normal(jax.random.key(9), (draws, DIM))
    score = jax.vmap(jax.grad(lambda u: log_density(map(u[None])[0])))(u)
    return float(jnp.mean(jnp.sum((u + score) ** 2, axis=1)))


def test_a_curved_valley_is_straightened():
    start = Quadratic.of(Affine(jnp.array([3.0, -1.0, 0.0, 0.0]), 0.8 * jnp.eye(DIM)), num_single=3)
    z = start(jax.random.normal(jax.random.key(3), (512, DIM)))
    fitted = start.fit(z, jax.vmap(jax.grad(twisted))(z))
    assert divergence(twisted, fitted) < 0.2 * divergence(twisted, start)


@pytest.mark.parametrize(
    "make", [lambda metric: metric, lambda metric: Quadratic.of(metric, (2,), 1)]
)
def test_draws_without_a_finite_gradient_are_as_if_they_were_not_there(make):
    """Padding to a common number of draws changes no fit."""
    start = make(Affine(jnp.zeros(DIM), jnp.eye(DIM)))
    z = jax.random.normal(jax.random.key(3), (64, DIM))
    gradient = jax.vmap(jax.grad(gaussian))(z)
    padded = jnp.concatenate([z, z[-1:], z[-1:]])
    missing = jnp.concatenate([gradient, jnp.full((2, DIM), jnp.nan)])
    found, expected = start.fit(padded, missing), start.fit(z, gradient)
    # The direction of a layer that does next to nothing has no sign of its own.
    np.testing.assert_allclose(found(z), expected(z), atol=1e-2)


def saddle(z):
    """A thin sheet over a plane: two layers in one direction make it, or one in two."""
    return -0.5 * (z[0] ** 2 + z[1] ** 2 + z[2] ** 2 + ((z[3] - 0.5 * z[0] * z[1]) / 0.05) ** 2)


def test_a_sheet_over_the_widest_directions_is_made_flat_by_one_layer():
    u = jax.random.normal(jax.random.key(6), (512, DIM))
    z = u.at[:, 3].set(0.5 * u[:, 0] * u[:, 1] + 0.05 * u[:, 3])
    start = Quadratic.of(Affine(jnp.zeros(DIM), jnp.diag(jnp.std(z, axis=0))), (4,), 0)
    fitted = start.fit(z, jax.vmap(jax.grad(saddle))(z))
    np.testing.assert_allclose(fitted.layers.direction[1, 3:], 0.0)  # the sheet itself is left over
    assert divergence(saddle, fitted) < 0.02 * divergence(saddle, start)


def test_one_dimension_is_left_affine():
    start = Quadratic.of(Affine(jnp.zeros(1), jnp.eye(1)), num_single=1)
    z = jax.random.normal(jax.random.key(7), (64, 1))
    fitted = start.fit(z, -(z**3))
    np.testing.assert_array_equal(
        fitted.layers.coefficients, np.zeros_like(start.layers.coefficients)
    )
    np.testing.assert_allclose(fitted.whiten(fitted(z)), z, atol=1e-5)


def test_a_gaussian_is_left_affine():
    start = Quadratic.of(Affine(jnp.zeros(DIM), jnp.eye(DIM)), num_single=1)
    z = start(jax.random.normal(jax.random.key(4), (256, DIM)))
    fitted = start.fit(z, jax.vmap(jax.grad(lambda z: -0.5 * jnp.sum(z**2)))(z))
    np.testing.assert_allclose(
        fitted.layers.coefficients, np.zeros_like(start.layers.coefficients), atol=1e-4
    )


def test_draws_without_a_finite_gradient_are_left_out():
    start = Quadratic.of(Affine(jnp.zeros(DIM), jnp.eye(DIM)), (4,), 0)
    z = start(jax.random.normal(jax.random.key(5), (256, DIM)))
    gradient = jax.vmap(jax.grad(gaussian))(z).at[::10].set(jnp.nan)
    fitted = start.fit(z, gradient)
    assert np.isfinite(fitted.layers.loc).all()
    assert divergence(gaussian, fitted) < 0.1 * divergence(gaussian, start)


def test_settings_are_those_of_the_map():
    map = Quadratic.of(Affine(jnp.zeros(DIM), jnp.eye(DIM)), widest=(2, 3, 3), num_single=5)
    assert map.layers.direction.shape == (9, 3, DIM)
    assert map.upon(map.metric).layers.coefficients.shape == (9, 6, DIM)
    z = jax.random.normal(jax.random.key(8), (300, DIM))
    directions = map.fit(z, jax.vmap(jax.grad(saddle))(z)).layers.direction
    used = np.any(np.asarray(directions) != 0.0, axis=2).sum(axis=1)
    np.testing.assert_array_equal(used, [0, 2, 3, 3, 1, 1, 1, 1, 1])


def test_no_quadratic_layer_is_no_more_than_affine():
    map = Quadratic.of(Affine(jnp.ones(DIM), 2.0 * jnp.eye(DIM)), widest=(), num_single=0)
    z = jax.random.normal(jax.random.key(8), (30, DIM))
    np.testing.assert_array_equal(map.fit(z, -z)(z), map.metric(z))


def layer_draws(direction, coefficients, number):
    """Draws of the density that one layer makes normal, their scores, and equal weights."""
    layer = Layer(jnp.zeros(DIM), jnp.eye(DIM), direction, coefficients)
    u = layer(jax.random.normal(jax.random.key(2), (number, DIM)))
    score = jax.vmap(jax.grad(lambda u: -0.5 * jnp.sum(layer.whiten(u[None]) ** 2)))(u)
    return u, score, jnp.full(number, 1.0 / number)


@pytest.mark.usefixtures("double")
def test_the_coefficients_of_a_layer_are_found():
    direction = jnp.eye(DIM)[:2]
    coefficients = (
        jnp.zeros((3, DIM)).at[:, 2:].set(jnp.array([[0.5, 0.1], [-0.3, 0.2], [0.4, -0.6]]))
    )
    draws = layer_draws(direction, coefficients, 200)
    found = fit_coefficients(direction, *draws, ridge=0.0)
    np.testing.assert_allclose(found, coefficients, atol=1e-3)


@pytest.mark.usefixtures("double")
def test_the_coefficients_of_a_single_direction_are_found():
    direction, coefficients = jnp.eye(DIM)[:1], jnp.array([[0.0, 0.5, 0.0, -0.3]])
    draws = layer_draws(direction, coefficients, 4000)
    found, divergence_left = _fit_along(direction[0], *draws)
    np.testing.assert_allclose(found, coefficients[0], atol=3e-3)
    assert float(divergence_left) < 1e-4
    # The direction comes from moments of draws, by a power iteration: close, and not exact.
    assert abs(float(fit_single(*draws)[0][0])) > 0.9
