"""What is true of every map."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from numpyro_lens import sampler
from numpyro_lens.sampler import AbstractMap, Additive, Affine, Quadratic
from numpyro_lens.sampler.additive import Coefficients
from numpyro_lens.sampler.maps import fit_affine
from numpyro_lens.sampler.quadratic import Layer

pytestmark = pytest.mark.usefixtures("double")
DIM = 4


def affine():
    key_loc, key_tril = jax.random.split(jax.random.key(3))
    tril = jnp.tril(0.3 * jax.random.normal(key_tril, (DIM, DIM))) + jnp.eye(DIM)
    return Affine(jax.random.normal(key_loc, (DIM,)), tril), jnp.prod(jnp.diag(tril))


def quadratic():
    """Two layers, each of them quadratic in two directions."""
    keys = jax.random.split(jax.random.key(0), 4)
    tril = jnp.tril(0.3 * jax.random.normal(keys[0], (2, DIM, DIM))) + 1.5 * jnp.eye(DIM)[None]
    rotation = jnp.linalg.qr(jax.random.normal(keys[3], (2, DIM, DIM)))[0]
    direction, across = rotation[:, :2], rotation[:, 2:]
    coefficients = 0.4 * jax.random.normal(keys[1], (2, 3, DIM - 2)) @ across
    layers = Layer(jax.random.normal(keys[2], (2, DIM)), tril, direction, coefficients)
    return Quadratic(layers, (2,), 0.1), jnp.prod(jnp.diagonal(tril, axis1=1, axis2=2))


def additive():
    """Features that are curved, and coefficients on what they leave alone."""
    keys = jax.random.split(jax.random.key(0), 4)
    shift = jax.random.normal(keys[0], (2, DIM)).at[:, :2].set(0.0)
    slope = jax.random.normal(keys[1], (DIM, 2)).at[2:].set(0.0)
    coefficients = Coefficients(jax.random.normal(keys[2], (2,)), slope, shift)
    features = Partial(lambda z: jnp.stack([jnp.sin(z[0]) * z[1], z[1] ** 3]))
    inner, determinant = quadratic()
    return Additive(features, jnp.full(2, 1e-8), coefficients, inner), determinant


MAPS = {"Affine": affine, "Quadratic": quadratic, "Additive": additive}


@pytest.fixture(params=MAPS)
def case(request):
    """A map, and the determinant of its Jacobian."""
    return MAPS[request.param]()


def log_density(z):
    """Twisted, stretched and off the origin, with tails lighter than normal."""
    x, y = 0.5 * (z[0] - 3.0), z[1] + 1.0
    return -0.5 * (x**2 + (y - 0.3 * (x**2 - 1.0)) ** 2 + jnp.sum(z[2:] ** 2)) - 0.01 * z[3] ** 4


def test_every_map_is_in_the_catalogue():
    maps = {
        name
        for name, value in vars(sampler).items()
        if inspect.isclass(value) and issubclass(value, AbstractMap) and value is not AbstractMap
    }
    assert maps == set(MAPS)


def test_whiten_is_the_inverse(case):
    map, _ = case
    u = jax.random.normal(jax.random.key(1), (7, DIM))
    np.testing.assert_allclose(map.whiten(map(u)), u, atol=1e-11)
    np.testing.assert_allclose(map(map.whiten(u)), u, atol=1e-11)


def test_volume_changes_by_the_same_factor_everywhere(case):
    map, determinant = case
    u = jax.random.normal(jax.random.key(1), (5, DIM))
    jacobian = jax.vmap(jax.jacfwd(lambda u: map(u[None])[0]))(u)
    np.testing.assert_allclose(jnp.linalg.det(jacobian), np.full(5, determinant), rtol=1e-11)


def test_pull_back_is_the_gradient_of_the_composition(case):
    map, _ = case
    u = jax.random.normal(jax.random.key(1), (5, DIM))
    gradient = jax.vmap(jax.grad(log_density))(map(u))
    direct = jax.vmap(jax.grad(lambda u: log_density(map(u[None])[0])))(u)
    np.testing.assert_allclose(map.pull_back(u, gradient), direct, rtol=1e-10)


def divergence(map, z, gradient):
    """Fisher divergence from the standard normal for each dimension."""
    u = map.whiten(z)
    return float(jnp.mean((u + map.pull_back(u, gradient)) ** 2))


def test_a_fit_lowers_the_divergence_and_keeps_the_shapes(case):
    wide = Affine(jnp.array([3.0, -1.0, 0.0, 0.0]), jnp.diag(jnp.array([2.0, 1.5, 1.0, 1.0])))
    z = wide(jax.random.normal(jax.random.key(1), (500, DIM)))
    gradient = jax.vmap(jax.grad(log_density))(z)
    map, fitted = case[0], case[0].fit(z, gradient.at[::10].set(jnp.nan))
    # Quadratic layers are upon the metric as it is, and this one is far off.
    assert divergence(fitted, z, gradient) < 0.5 * divergence(map, z, gradient)
    assert jax.tree.structure(fitted) == jax.tree.structure(map)
    for before, after in zip(jax.tree.leaves(map), jax.tree.leaves(fitted), strict=True):
        assert before.shape == after.shape
        assert before.dtype == after.dtype


def test_a_fit_to_nothing_finite_is_finite(case):
    z = jax.random.normal(jax.random.key(1), (50, DIM))
    fitted = case[0].fit(z, jnp.full_like(z, jnp.nan))
    assert np.isfinite(fitted(z)).all()


def test_the_gaussian_of_an_affine_map():
    map, determinant = affine()
    z = map(jnp.zeros((1, DIM)))
    expected = -0.5 * DIM * np.log(2 * np.pi) - np.log(determinant)
    np.testing.assert_allclose(map.log_prob(z), [expected])
    np.testing.assert_allclose(map.log_prob(map(jnp.ones((1, DIM)))), [expected - 0.5 * DIM])


def test_few_draws_from_elsewhere_find_a_gaussian_exactly():
    """Gradients carry no noise: 2 d draws of the wrong Gaussian are enough."""

    def gaussian(z):
        offset = z - jnp.arange(DIM)
        return -0.5 * jnp.sum(jnp.array([1.0, 0.1, 10.0, 1.0]) * offset**2)

    u = 3.0 * jax.random.normal(jax.random.key(2), (2 * DIM, DIM)) + 5.0
    score = jax.vmap(jax.grad(gaussian))(u)
    metric = fit_affine(u, score, jnp.full(2 * DIM, 0.5 / DIM), prior_count=0.0)
    np.testing.assert_allclose(metric.loc, np.arange(DIM), atol=1e-8)
    covariance = metric.scale_tril @ metric.scale_tril.T
    np.testing.assert_allclose(covariance, np.diag([1.0, 10.0, 0.1, 1.0]), atol=1e-8)
