import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens.infer.density import Affine
from numpyro_lens.infer.transport import Transport, fit_affine, refine

DIM = 4


@pytest.fixture
def bent():
    """A map of two layers, each of them bent along two directions."""
    keys = jax.random.split(jax.random.key(0), 4)
    tril = jnp.tril(0.3 * jax.random.normal(keys[0], (2, DIM, DIM))) + 1.5 * jnp.eye(DIM)[None]
    rotation = jnp.linalg.qr(jax.random.normal(keys[3], (2, DIM, DIM)))[0]
    direction, across = rotation[:, :2], rotation[:, 2:]
    bend = 0.4 * jax.random.normal(keys[1], (2, 3, DIM - 2)) @ across
    return Transport(jax.random.normal(keys[2], (2, DIM)), tril, direction, bend)


def twisted(z):
    """Log density of Haario's twisted Gaussian, stretched and off the origin."""
    x, y = 0.5 * (z[0] - 3.0), z[1] + 1.0
    return -0.5 * (x**2 + (y - 0.3 * (x**2 - 1.0)) ** 2 + jnp.sum(z[2:] ** 2))


def gaussian(z):
    offset = z - jnp.arange(DIM)
    return -0.5 * jnp.sum(jnp.array([1.0, 0.1, 10.0, 1.0]) * offset**2)


def divergence(log_density, transport, draws=1000):
    """Fisher divergence from the standard normal, in the coordinates of the map."""
    u = jax.random.normal(jax.random.key(9), (draws, DIM))
    score = jax.vmap(jax.grad(lambda u: log_density(transport(u[None])[0])))(u)
    return float(jnp.mean(jnp.sum((u + score) ** 2, axis=1)))


@pytest.mark.usefixtures("double")
def test_whiten_is_the_inverse(bent):
    u = jax.random.normal(jax.random.key(1), (7, DIM))
    np.testing.assert_allclose(bent.whiten(bent(u)), u, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_volume_changes_by_the_same_factor_everywhere(bent):
    u = jax.random.normal(jax.random.key(1), (5, DIM))
    jacobian = jax.vmap(jax.jacfwd(lambda u: bent(u[None])[0]))(u)
    expected = jnp.prod(jnp.diagonal(bent.scale_tril, axis1=1, axis2=2))
    np.testing.assert_allclose(jnp.linalg.det(jacobian), np.full(5, expected), rtol=1e-12)


@pytest.mark.usefixtures("double")
def test_pull_back_is_the_gradient_of_the_composition(bent):
    u = jax.random.normal(jax.random.key(1), (5, DIM))
    gradient = jax.vmap(jax.grad(twisted))(bent(u))
    direct = jax.vmap(jax.grad(lambda u: twisted(bent(u[None])[0])))(u)
    np.testing.assert_allclose(bent.pull_back(u, gradient), direct, rtol=1e-10)


@pytest.mark.usefixtures("double")
def test_few_draws_from_elsewhere_find_a_gaussian_exactly():
    """Gradients carry no noise: 2 d draws of the wrong Gaussian are enough."""
    u = 3.0 * jax.random.normal(jax.random.key(2), (2 * DIM, DIM)) + 5.0
    score = jax.vmap(jax.grad(gaussian))(u)
    metric = fit_affine(u, score, jnp.full(2 * DIM, 0.5 / DIM), prior_count=0.0)
    np.testing.assert_allclose(metric.loc, np.arange(DIM), atol=1e-8)
    covariance = metric.scale_tril @ metric.scale_tril.T
    np.testing.assert_allclose(covariance, np.diag([1.0, 10.0, 0.1, 1.0]), atol=1e-8)


def test_a_curved_valley_is_straightened():
    start = Transport.of(Affine(jnp.array([3.0, -1.0, 0.0, 0.0]), 0.8 * jnp.eye(DIM)), 6)
    z = start(jax.random.normal(jax.random.key(3), (512, DIM)))
    fitted = refine(start, z, jax.vmap(jax.grad(twisted))(z))
    assert divergence(twisted, fitted) < 0.2 * divergence(twisted, start)


def saddle(z):
    """A thin sheet over a plane: two single bends would make it, or one layer along both."""
    return -0.5 * (z[0] ** 2 + z[1] ** 2 + z[2] ** 2 + ((z[3] - 0.5 * z[0] * z[1]) / 0.05) ** 2)


def test_a_sheet_over_the_widest_directions_is_made_flat_by_one_layer():
    u = jax.random.normal(jax.random.key(6), (512, DIM))
    z = u.at[:, 3].set(0.5 * u[:, 0] * u[:, 1] + 0.05 * u[:, 3])
    start = Transport.of(Affine(jnp.zeros(DIM), jnp.diag(jnp.std(z, axis=0))), 2)
    fitted = refine(start, z, jax.vmap(jax.grad(saddle))(z))
    np.testing.assert_allclose(fitted.direction[1, 3:], 0.0)  # the sheet itself is left over
    assert divergence(saddle, fitted) < 0.02 * divergence(saddle, start)


def test_one_dimension_has_nothing_to_bend():
    start = Transport.of(Affine(jnp.zeros(1), jnp.eye(1)), 4)
    z = jax.random.normal(jax.random.key(7), (64, 1))
    fitted = refine(start, z, -(z**3))
    np.testing.assert_array_equal(fitted.bend, np.zeros_like(start.bend))
    np.testing.assert_allclose(fitted.whiten(fitted(z)), z, atol=1e-5)


def test_a_gaussian_is_not_bent():
    start = Transport.of(Affine(jnp.zeros(DIM), jnp.eye(DIM)), 4)
    z = start(jax.random.normal(jax.random.key(4), (256, DIM)))
    fitted = refine(start, z, jax.vmap(jax.grad(lambda z: -0.5 * jnp.sum(z**2)))(z))
    np.testing.assert_allclose(fitted.bend, np.zeros_like(start.bend), atol=1e-4)


def test_draws_without_a_finite_gradient_are_left_out():
    start = Transport.of(Affine(jnp.zeros(DIM), jnp.eye(DIM)), 2)
    z = start(jax.random.normal(jax.random.key(5), (256, DIM)))
    gradient = jax.vmap(jax.grad(gaussian))(z).at[::10].set(jnp.nan)
    fitted = refine(start, z, gradient)
    assert np.isfinite(fitted.loc).all()
    assert divergence(gaussian, fitted) < 0.1 * divergence(gaussian, start)
