"""Noise models."""

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens.noise import NoiseMap, PoissonNoise


def test_poisson_variance(x64):
    noise = PoissonNoise(0.5, jnp.array([[10.0, 20.0]]))
    np.testing.assert_allclose(noise.variance(jnp.array([[5.0, 5.0]])), [[0.75, 0.5]], rtol=1e-6)


def test_negative_model_flux_has_background_noise_and_a_slope(x64):
    noise = PoissonNoise(0.5, 10.0)
    sigma, pull_back = jax.vjp(noise.sigma, jnp.full((1, 1), -3.0))
    (slope,) = pull_back(jnp.ones((1, 1)))
    assert (float(sigma[0, 0]), float(slope[0, 0])) == (0.5, 0.0)
    assert np.isnan(noise.sigma(jnp.full((1, 1), jnp.nan))).all()


def test_noise_map_is_what_was_given():
    np.testing.assert_allclose(NoiseMap(2.0).sigma(jnp.zeros((2, 3))), np.full((2, 3), 2.0))
