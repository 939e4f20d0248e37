import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro_lens.infer.batching import evaluate

import numpyro_lens as nl
from numpyro_lens.infer import flat_model
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


@pytest.mark.parametrize(
    ("model", "dim"),
    [(nl.models.epl_shear_sersic, 22), (nl.models.epl_shear_shapelets, 17)],
    ids=["sersic", "shapelets"],
)
def test_ready_model_is_finite_over_its_prior(x64, model, dim):
    """Value and gradient at many prior draws, in both precisions."""
    observation = nl.Observation(
        np.ones((20, 24)), pixel_scale=0.1, noise=nl.PoissonNoise(0.1, 100.0), supersampling=1
    )
    flat = flat_model(model, (observation,))
    assert flat.dim == dim
    num = 1000 if dim == 22 else 300
    draws = prior_draws(flat, jax.random.split(jax.random.key(0), num), (observation,))
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


# --- linear amplitudes ---------------------------------------------------------------------------


def test_linear_amplitudes_are_named_and_no_site():
    def model():
        return nl.sample("disc", nl.light.Gaussian, amp=nl.Linear(scale=2.0), sigma=0.3)

    with handlers.seed(rng_seed=0):
        assert model().amp.name == "disc.amp"
    assert trace(model) == {}


def test_only_amp_can_be_linear():
    with pytest.raises(ValueError, match=r"Only the `amp`.*sigma"):
        nl.sample("disc", nl.light.Gaussian, amp=1.0, sigma=nl.Linear())


def test_a_class_is_no_value():
    with pytest.raises(ValueError, match=r"`sigma` got the class Normal itself.*sigma=Normal\("):
        nl.sample("disc", nl.light.Gaussian, amp=1.0, sigma=dist.Normal)


def test_only_smoothing_takes_a_footprint():
    with pytest.raises(ValueError, match=r"Only the `smoothing`.*sigma"):
        nl.sample("disc", nl.light.Gaussian, amp=1.0, sigma=nl.light.Footprint())
    with pytest.raises(TypeError, match=r"Write smoothing=Footprint\(\)"):
        nl.light.Sersic(amp=1.0, R_sersic=0.2, n_sersic=4.0, smoothing=nl.light.Footprint)


def mixed(observation):
    """A linear source, a sampled lens and a fixed sky."""
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(-0.7, 0.2))
    amp = nl.Linear(1.0, np.array([20.0, 5.0, 5.0]))
    source = nl.sample("source", nl.light.Shapelets, amp=amp, beta=dist.LogNormal(-1.5, 0.2))
    sky, glow = nl.light.Uniform(amp=0.5), nl.Linear(scale=3.0)
    glow = nl.sample("glow", nl.light.Gaussian, amp=glow, sigma=0.3)
    nl.observe_marginal("image", observation, mass=lens, source=source, lens_light=[sky, glow])


@pytest.fixture(scope="module")
def mixed_fit():
    instrument = nl.Observation(
        np.zeros((16, 18)), pixel_scale=0.12, noise=nl.PoissonNoise(0.02, 200.0), supersampling=1
    )
    amp = jnp.array([20.0, 4.0, -3.0])
    observation = nl.mock(
        instrument,
        jax.random.key(0),
        mass=nl.mass.SIS(0.5),
        source=nl.light.Shapelets(amp, 0.22),
        lens_light=[nl.light.Uniform(0.5), nl.light.Gaussian(2.0, 0.3)],
    )
    return nl.fit(mixed, observation, seed=0, progress=False)


def test_marginal_model_fits_and_predicts(mixed_fit):
    fit, observation = mixed_fit, mixed_fit.observation
    assert fit.verdict.converged, str(fit.verdict)
    assert set(fit.samples) == {"lens.theta_E", "source.beta"}
    drawn = fit.predict(200)
    assert {k: v.shape for k, v in drawn.items()} == {
        "image": (200, 16, 18),
        "glow.amp": (200,),
        "source.amp": (200, 3),
    }
    offset = (drawn["source.amp"].mean(0) - [20.0, 4.0, -3.0]) / drawn["source.amp"].std(0)
    assert np.abs(offset).max() < 4.0
    residual = (observation.image - drawn["image"].mean(0)) / observation.noise.sigma(
        observation.image
    )
    assert 0.7 < float(jnp.mean(residual**2)) < 1.3


def test_marginal_scene_pictures_and_arviz(mixed_fit):
    scene = mixed_fit.scene()
    expected = mixed_fit.predict(300)["source.amp"]
    assert np.abs((scene.source.amp - expected.mean(0)) / expected.std(0)).max() < 3.0
    assert scene.lens_light.components[0].amp == 0.5
    figure, _ = nl.plot.plot_fit(mixed_fit)
    assert figure.axes
    data = mixed_fit.to_arviz(log_likelihood=True, posterior_predictive=True, num=32)
    assert data["log_likelihood"]["image"].shape[-1] == 16 * 18
    noisy = data["posterior_predictive"]["image"].values.reshape(-1, 16, 18)
    # Drawn given the data, not from the wide prior of the amplitudes.
    assert np.abs(noisy.mean(0) - mixed_fit.observation.image).max() < 0.5


def test_amplitude_draws_have_the_conditional_mean_and_covariance(mixed_fit):
    site = mixed_fit.flat.trace(jnp.asarray(mixed_fit.z[0, 0]), mixed_fit.args)["image"]
    fn, value = site["fn"], site["value"]
    keys = jax.random.split(jax.random.key(1), 20_000)
    draws = jax.jit(jax.vmap(lambda key: fn.amplitudes(value, key)["source.amp"]))(keys)
    mean, factor = nl.linear.conditional_amplitudes(fn.image, value, fn.sigma, fn.used)
    covariance = np.asarray(factor @ factor.T)[1:, 1:]
    spread = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(0) - mean[1:]) / spread).max() < 4 / np.sqrt(20_000)
    correlation = covariance / np.outer(spread, spread)
    found = np.cov(np.asarray(draws).T) / np.outer(spread, spread)
    np.testing.assert_allclose(found, correlation, atol=0.05)


def test_marginal_image_is_the_distribution_that_it_samples(mixed_fit):
    """Mean and variance of 20,000 images; Predictive and handlers see one site."""
    fn = mixed_fit.flat.trace(jnp.asarray(mixed_fit.z[0, 0]), mixed_fit.args)["image"]["fn"]
    images = fn.sample(jax.random.key(0), (20_000,))
    assert images.shape == (20_000, 16, 18)
    error = (images.mean(0) - fn.mean) / jnp.sqrt(fn.variance / 20_000)
    assert jnp.abs(error).max() < 6.0
    np.testing.assert_allclose(images.var(0) / fn.variance, 1.0, atol=0.08)
    predictive = numpyro.infer.Predictive(mixed, num_samples=3)
    assert set(predictive(jax.random.key(0), *mixed_fit.args)) == {
        "lens.theta_E",
        "source.beta",
        "image",
    }
    sites = trace(handlers.condition(mixed, {"source.beta": 0.2}), *mixed_fit.args)
    assert list(sites) == ["lens.theta_E", "source.beta", "image"]


def two_sersics(observation, amplitude, place):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(-0.4, 0.1))
    disc = nl.sample(
        "disc",
        nl.light.Sersic,
        amp=amplitude(5.0, 5.0),
        R_sersic=dist.LogNormal(-1, 0.3),
        n_sersic=2.0,
    )
    source = nl.sample(
        "source",
        nl.light.Sersic,
        amp=amplitude(10.0, 10.0),
        R_sersic=dist.LogNormal(-1.6, 0.3),
        n_sersic=dist.Uniform(0.5, 2.5),
        center_x=0.1,
    )
    place(observation, mass=lens, source=source, lens_light=disc)


def six_shapelets(observation, amplitude, place):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(-0.4, 0.1))
    source = nl.sample(
        "source",
        nl.light.Shapelets,
        amp=amplitude(np.zeros(6), np.full(6, 10.0)),
        beta=dist.LogNormal(-1.6, 0.2),
    )
    place(observation, mass=lens, source=source)


def sampled(observation, **scene):
    nl.observe("image", nl.render(observation, **scene), observation)


def marginal(observation, **scene):
    nl.observe_marginal("image", observation, **scene)


def normal(loc, scale):
    return dist.Normal(jnp.asarray(loc), scale).to_event(np.ndim(loc))


TRUTHS = {
    two_sersics: {
        "source": nl.light.Sersic(12.0, 0.2, 1.2, center_x=0.1),
        "lens_light": nl.light.Sersic(4.0, 0.4, 2.0),
    },
    six_shapelets: {
        "source": nl.light.Shapelets(jnp.array([9.0, 2.0, -2.0, 1.0, 0.5, 1.5]), 0.2),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("scene", TRUTHS, ids=lambda scene: scene.__name__)
def test_marginal_posterior_is_that_of_sampling_the_amplitudes(scene):
    instrument = nl.Observation(
        np.zeros((24, 24)), pixel_scale=0.1, noise=nl.NoiseMap(0.03), psf=nl.GaussianPSF(0.15)
    )
    truth = {"mass": nl.mass.SIS(0.67)} | TRUTHS[scene]
    observation = nl.mock(instrument, jax.random.key(1), **truth)
    full, short = (
        nl.fit(lambda o, a=a, p=p: scene(o, a, p), observation, seed=0, progress=False)
        for a, p in ((normal, sampled), (nl.Linear, marginal))
    )
    assert full.verdict.converged, str(full.verdict)
    assert short.verdict.converged, str(short.verdict)
    assert len(short.names) == len(full.names) - (2 if scene is two_sersics else 6)
    drawn = short.predict(2000)
    for name, values in full.samples.items():
        ours = short.samples.get(name, drawn.get(name))
        axes = tuple(range(ours.ndim - values.ndim + 2))
        mean, spread = values.mean((0, 1)), values.std((0, 1))
        # 400 effective draws each: 0.07 spreads in the mean, 5 % in the spread.
        assert np.abs((ours.mean(axes) - mean) / spread).max() < 0.3, name
        assert np.abs(ours.std(axes) / spread - 1.0).max() < 0.2, name
