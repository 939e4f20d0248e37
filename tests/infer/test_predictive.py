"""Replicates from the prior: parameters and noise are drawn, the data are not given back."""

import numpy as np
import numpyro
import numpyro.distributions as dist

import numpyro_lens as nl


def model(y):
    mu = numpyro.sample("mu", dist.Normal(3.0, 2.0))
    numpyro.deterministic("twice", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, 1.0).expand([4]).to_event(1), obs=y)


def test_draws_have_the_moments_of_prior_and_noise():
    draws = nl.prior_predictive(model, np.full(4, 100.0), num=4000, seed=1)
    assert draws["y"].shape == (4000, 4)
    np.testing.assert_allclose(draws["y"].mean(), 3.0, atol=0.15)
    np.testing.assert_allclose(draws["y"].std(), np.sqrt(5.0), rtol=0.05)
    np.testing.assert_allclose((draws["y"] - draws["mu"][:, None]).std(), 1.0, rtol=0.03)
    np.testing.assert_allclose(draws["twice"], 2 * draws["mu"], rtol=1e-6)


def test_amplitudes_that_are_integrated_out_are_drawn_too():
    def sky(observation):
        numpyro.sample("nothing", dist.Normal(0, 1))
        uniform = nl.sample("sky", nl.light.Uniform, amp=nl.Linear(scale=10.0))
        nl.observe("image", observation, lens_light=uniform)

    camera = nl.Observation(np.full((5, 5), 7.0), pixel_scale=1.0, noise=nl.NoiseMap(0.1))
    images = nl.prior_predictive(sky, camera, num=500)["image"]
    np.testing.assert_allclose(images.mean(axis=(1, 2)).std(), 10.0, rtol=0.1)
