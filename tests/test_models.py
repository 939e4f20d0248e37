import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

import numpyro_lens as nl
from numpyro_lens.infer import flat_model
from numpyro_lens.infer.batching import evaluate
from numpyro_lens.infer.map import prior_draws


@pytest.fixture
def observation():
    return nl.Observation(
        np.ones((20, 24)), pixel_scale=0.1, noise=nl.PoissonNoise(0.1, 100.0), supersampling=1
    )


def trace(model, *args):
    return handlers.trace(handlers.seed(model, 0)).get_trace(*args)


def test_sites_are_named_after_the_profile():
    def model():
        return nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.1), center_x=0.3)

    sites = trace(model)
    assert list(sites) == ["lens.theta_E"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"theta_e": 1.0},
            "unknown: theta_e; missing: theta_E.*Its parameters are: theta_E, center_x",
        ),
        ({}, "missing: theta_E"),
    ],
)
def test_wrong_parameters_list_the_right_ones(parameters, message):
    with pytest.raises(ValueError, match=message):
        nl.sample("lens", nl.mass.SIS, **parameters)


def test_observe_checks_the_shape(observation):
    with pytest.raises(ValueError, match=r"got \(3, 3\) and \(20, 24\)"):
        nl.observe("image", jnp.zeros((3, 3)), observation)


def test_likelihood_is_the_full_normal_density_inside_the_mask():
    mask = np.ones((4, 5), dtype=bool)
    mask[0] = False
    data = np.random.default_rng(0).normal(size=(4, 5))
    observation = nl.Observation(
        data, pixel_scale=0.1, noise=nl.PoissonNoise(0.5, 10.0), mask=mask, supersampling=1
    )
    image = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5)), dtype=observation.image.dtype)

    def model():
        nl.observe("image", image, observation)

    value = trace(model)["image"]["fn"].log_prob(observation.image)
    variance = 0.25 + np.maximum(image, 0) / 10.0
    expected = -0.5 * ((data - image) ** 2 / variance + np.log(2 * np.pi * variance))
    np.testing.assert_allclose(value, expected[mask].sum(), rtol=1e-5)


def test_amplitude_prior_follows_the_units(observation):
    bright = observation.with_image(1000.0 * observation.image)
    shift = nl.priors.amplitude(bright).loc - nl.priors.amplitude(observation).loc
    assert float(shift) == pytest.approx(np.log(1000.0), rel=1e-5)
    empty = observation.with_image(0.0 * observation.image)
    assert np.isfinite(float(nl.priors.amplitude(empty).loc))


def test_ready_model_is_finite_over_its_prior(x64, observation):
    """Value and gradient at 1,000 prior draws, in both precisions."""
    observation = nl.Observation(
        np.ones((20, 24)), pixel_scale=0.1, noise=nl.PoissonNoise(0.1, 100.0), supersampling=1
    )
    flat = flat_model(nl.models.epl_shear_sersic, (observation,))
    assert flat.dim == 22
    draws = prior_draws(flat, jax.random.split(jax.random.key(0), 1000), (observation,))
    value, gradient = evaluate(flat, draws, (observation,))
    assert bool(jnp.all(jnp.isfinite(value)))
    assert bool(jnp.all(jnp.isfinite(gradient)))


def test_handlers_plates_and_predictive_work(observation):
    def population(observations):
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.1))
        for i, observation in enumerate(observations):
            with handlers.scope(prefix=f"lens{i}"):
                lens = nl.sample("mass", nl.mass.SIS, theta_E=dist.LogNormal(jnp.log(scale), 0.1))
                source = nl.sample(
                    "source", nl.light.Gaussian, amp=dist.LogNormal(0.0, 1.0), sigma=0.2
                )
                nl.observe("image", nl.render(observation, mass=lens, source=source), observation)

    sites = trace(population, (observation, observation))
    assert {"scale", "lens0/mass.theta_E", "lens1/image"} <= set(sites)
    predictive = numpyro.infer.Predictive(population, num_samples=3)
    draws = predictive(jax.random.key(0), (observation, observation))
    assert draws["lens1/mass.theta_E"].shape == (3,)
    conditioned = handlers.condition(population, {"scale": 1.5})
    assert trace(conditioned, (observation,))["scale"]["value"] == 1.5
