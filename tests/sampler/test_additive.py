"""Coordinates that move by features of the others: found by least squares, and made flat."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from numpyro_lens.sampler import Additive, Affine, Quadratic
from numpyro_lens.sampler.additive import describe, fit_coefficients


@pytest.mark.usefixtures("double")
def test_what_follows_the_features_is_found_exactly():
    """Half of the draws of a sheet along cos are enough for its coefficient."""

    def log_density(z):
        return -0.5 * (z[0] ** 2 + ((z[1] - 2.0 * jnp.cos(z[0])) / 0.01) ** 2 + z[2] ** 2)

    u = jax.random.normal(jax.random.key(2), (128, 3))
    z = u.at[:, 1].set(2.0 * jnp.cos(u[:, 0]) + 0.01 * u[:, 1])
    gradient = jax.vmap(jax.grad(log_density))(z).at[::2].set(jnp.nan)
    draws = describe(lambda z: jnp.cos(z[:1]), z, gradient)
    assert draws.moved.tolist() == [False, True, True]
    metric = Affine(jnp.mean(z, axis=0), jnp.diag(jnp.std(z, axis=0)))
    coefficients, _ = fit_coefficients(draws, metric, jnp.full(1, 1e-5))
    np.testing.assert_allclose(coefficients.shift, [[0.0, 2.0, 0.0]], atol=2e-3)


def test_a_feature_below_its_resolution_moves_nothing():
    """Differences of rays over a pixel once came in with coefficients of 8,000."""

    def log_density(z):
        return -0.5 * (z[0] ** 2 + (z[1] - jnp.cos(z[0])) ** 2 / 0.01)

    z = jax.random.normal(jax.random.key(2), (128, 2))
    z = z.at[:, 1].set(jnp.cos(z[:, 0]) + 0.1 * z[:, 1])
    gradient = jax.vmap(jax.grad(log_density))(z)
    draws = describe(lambda z: 1e-6 * jnp.cos(z[:1]), z, gradient)
    metric = Affine(jnp.mean(z, axis=0), jnp.diag(jnp.std(z, axis=0)))
    for resolution, smallest, largest in ((0.0, 9e5, 1.1e6), (1e-5, 0.0, 1e5)):
        shift = fit_coefficients(draws, metric, jnp.full(1, resolution))[0].shift
        assert smallest <= float(jnp.max(jnp.abs(shift))) < largest


@pytest.mark.usefixtures("double")
def test_several_features_of_several_coordinates_are_found():
    def features(z):
        return jnp.stack([jnp.cos(2.0 * z[0]), z[3] ** 2, z[0] * z[3]])

    shift = jnp.array([[0.0, 2.0, 0.0, 0.0], [0.0, 0.5, -1.0, 0.0], [0.0, 0.0, 0.7, 0.0]])

    def log_density(z):
        return -0.5 * jnp.sum(((z - features(z) @ shift) / jnp.array([1.0, 0.1, 0.3, 1.0])) ** 2)

    v = jax.random.normal(jax.random.key(2), (256, 4)) * jnp.array([[1.0, 0.1, 0.3, 1.0]])
    z = v + jax.vmap(features)(v) @ shift
    draws = describe(features, z, jax.vmap(jax.grad(log_density))(z))
    metric = Affine(jnp.mean(z, axis=0), jnp.diag(jnp.std(z, axis=0)))
    coefficients, _ = fit_coefficients(draws, metric, jnp.full(3, 1e-5))
    np.testing.assert_allclose(coefficients.shift, shift, atol=2e-3)


def wave(z):
    """A thin sheet that no polynomial describes."""
    return -0.5 * (z[0] ** 2 + ((z[1] - jnp.sin(3.0 * z[0])) / 0.02) ** 2 + z[2] ** 2)


def wave_draws(seed):
    u = jax.random.normal(jax.random.key(seed), (256, 3))
    z = u.at[:, 1].set(jnp.sin(3.0 * u[:, 0]) + 0.02 * u[:, 1])
    return z, jax.vmap(jax.grad(wave))(z)


def divergence(map, z, gradient):
    u = map.whiten(z)
    return float(jnp.mean((u + map.pull_back(u, gradient)) ** 2))


def test_a_sheet_along_its_features_is_made_flat():
    z, gradient = wave_draws(0)
    plain = Quadratic.of(Affine(jnp.mean(z, axis=0), jnp.linalg.cholesky(jnp.cov(z.T))))
    moved = Additive.of(Partial(lambda z: jnp.sin(3.0 * z[:1])), jnp.full(1, 1e-5), plain)
    np.testing.assert_array_equal(moved(z), plain(z))
    assert divergence(moved.fit(z, gradient), *wave_draws(1)) < 0.02
    assert divergence(plain.fit(z, gradient), *wave_draws(1)) > 1.0


@pytest.mark.usefixtures("double")
def test_features_that_are_not_finite_move_nothing():
    z, gradient = wave_draws(0)
    features = Partial(lambda z: jnp.where(z[:1] > 1.0, jnp.nan, jnp.sin(3.0 * z[:1])))
    start = Additive.of(features, jnp.full(1, 1e-5), Quadratic.of(Affine(jnp.zeros(3), jnp.eye(3))))
    fitted = start.fit(z, gradient)
    for map in (start, fitted):
        np.testing.assert_allclose(map(map.whiten(z)), z, atol=1e-10)
    good = np.asarray(z[:, 0] < 1.0)
    assert divergence(fitted, z[good], gradient[good]) < 0.02
