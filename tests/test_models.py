import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.integrate
import scipy.stats
from numpyro import handlers
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.density import Target, evaluate
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


@pytest.mark.wrong_types
def test_observe_checks_the_shape(observation):
    with pytest.raises(ValueError, match=r"got \(3, 3\) and \(20, 24\)"):
        nl.observe_image("image", jnp.zeros((3, 3)), observation)


def test_likelihood_is_the_full_normal_density_inside_the_mask():
    mask = np.ones((4, 5), dtype=bool)
    mask[0] = False
    data = np.random.default_rng(0).normal(size=(4, 5))
    observation = nl.Observation(
        data, pixel_scale=0.1, noise=nl.PoissonNoise(0.5, 10.0), mask=mask, supersampling=1
    )
    image = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5)), dtype=observation.image.dtype)

    def model():
        nl.observe_image("image", image, observation)

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


def test_masked_pixels_set_no_unit():
    image, noise, mask = np.full((4, 5), 1e-3), np.full((4, 5), 1e-4), np.ones((4, 5), bool)
    image[1, 1], noise[1, 1], mask[1, 1] = np.nan, 0.0, False
    noise[2, 2], mask[2, 2] = 7.0, False
    data = nl.Observation(image, pixel_scale=1.0, noise=nl.NoiseMap(noise), mask=mask)
    assert float(nl.priors.brightest(data)) == pytest.approx(1e-3, rel=1e-6)
    np.testing.assert_allclose(nl.priors.isophote(data, jnp.array([0.1, 9.0])), 1e-3, rtol=1e-6)


def test_isophotes_need_no_centre():
    """Of an ellipse whose radius is the product average they are those of its profile."""
    camera = nl.Observation.blank((201, 201), pixel_scale=0.02, noise=nl.NoiseMap(1e-4))
    galaxy = nl.light.Gaussian(1.0, 0.4, e1=0.2, e2=-0.1, center_x=0.3, center_y=-0.2)
    radius = np.array([0.1, 0.3, 0.6])
    found = nl.priors.isophote(
        camera.with_image(nl.render(camera, lens_light=galaxy)), jnp.asarray(radius)
    )
    expected = np.exp(-0.5 * (radius / 0.4) ** 2) / (2 * np.pi * 0.4**2)
    np.testing.assert_allclose(found, expected, rtol=0.01)


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
    target = Target.of(model, observation)
    assert target.dim == dim
    num = 1000 if dim == 22 else 300
    draws = prior_draws(target, jax.random.split(jax.random.key(0), num))
    value, gradient = evaluate(target.log_density, draws)
    assert bool(jnp.all(jnp.isfinite(value)))
    assert bool(jnp.all(jnp.isfinite(gradient)))


@pytest.mark.parametrize("name", ["epl_shear_sersic", "epl_shear_shapelets", "double_source_plane"])
def test_a_sky_is_one_parameter_more_and_the_same_in_every_pixel(observation, name):
    model = getattr(nl.models, name)
    plain = Target.of(model, observation)
    target = Target.of(functools.partial(model, sky=nl.priors.sky), observation)
    assert set(target.names) - set(plain.names) == {"sky.amp"}
    values = plain.constrain(jnp.zeros(plain.dim))
    without, dark, bright = (
        nl.models.scenes(each.trace(each.unconstrain(values | {"sky.amp": amp})))["image"]
        for each, amp in ((plain, 0.0), (target, 0.0), (target, 0.3))
    )
    if name == "epl_shear_shapelets":  # their amplitudes are not in a scene
        return
    images = [nl.simulate.render_scene(observation, each) for each in (without, dark, bright)]
    np.testing.assert_allclose(images[1], images[0], atol=1e-5)
    np.testing.assert_allclose(images[2] - images[1], 0.3 * observation.pixel_area, atol=1e-4)


def test_handlers_plates_and_predictive_work(observation):
    def population(observations):
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 0.1))
        for i, observation in enumerate(observations):
            with handlers.scope(prefix=f"lens{i}"):
                lens = nl.sample("mass", nl.mass.SIS, theta_E=dist.LogNormal(jnp.log(scale), 0.1))
                source = nl.sample(
                    "source", nl.light.Gaussian, amp=dist.LogNormal(0.0, 1.0), sigma=0.2
                )
                nl.observe("image", observation, mass=lens, source=source)

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
    with pytest.raises(ValueError, match=r"Only `amp` of Gaussian.*sigma"):
        nl.sample("disc", nl.light.Gaussian, amp=1.0, sigma=nl.Linear())


@pytest.mark.wrong_types
def test_a_class_is_no_value():
    with pytest.raises(ValueError, match=r"`sigma` got the class Normal itself.*sigma=Normal\("):
        nl.sample("disc", nl.light.Gaussian, amp=1.0, sigma=dist.Normal)


@pytest.mark.wrong_types
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
    nl.observe("image", observation, mass=lens, source=source, lens_light=[sky, glow])


@pytest.fixture(scope="module")
def mixed_fit():
    instrument = nl.Observation.blank(
        (16, 18), pixel_scale=0.12, noise=nl.PoissonNoise(0.02, 200.0), supersampling=1
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
    fit, observation = mixed_fit, mixed_fit.observations["image"]
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
    assert np.abs(noisy.mean(0) - mixed_fit.observations["image"].image).max() < 0.5


def test_amplitude_draws_have_the_conditional_mean_and_covariance(mixed_fit):
    site = mixed_fit.target.trace(jnp.asarray(mixed_fit.z[0, 0]))["image"]
    fn, value = site["fn"], site["value"]
    keys = jax.random.split(jax.random.key(1), 20_000)
    draws = jax.jit(jax.vmap(lambda key: fn.conditional(value, key)["source.amp"]))(keys)
    mean, factor = nl.linear.conditional_amplitudes(fn.image, value, fn.sigma, fn.used)
    covariance = np.asarray(factor @ factor.T)[1:, 1:]
    spread = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(0) - mean[1:]) / spread).max() < 4 / np.sqrt(20_000)
    correlation = covariance / np.outer(spread, spread)
    found = np.cov(np.asarray(draws).T) / np.outer(spread, spread)
    np.testing.assert_allclose(found, correlation, atol=0.05)


def test_marginal_image_is_the_distribution_that_it_samples(mixed_fit):
    """Mean and variance of 20,000 images; Predictive and handlers see one site."""
    fn = mixed_fit.target.trace(jnp.asarray(mixed_fit.z[0, 0]))["image"]["fn"]
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


def two_sersics(observation, amplitude):
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
    nl.observe("image", observation, mass=lens, source=source, lens_light=disc)


def six_shapelets(observation, amplitude):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(-0.4, 0.1))
    source = nl.sample(
        "source",
        nl.light.Shapelets,
        amp=amplitude(np.zeros(6), np.full(6, 10.0)),
        beta=dist.LogNormal(-1.6, 0.2),
    )
    nl.observe("image", observation, mass=lens, source=source)


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


# --- observe -------------------------------------------------------------------------------------


def blank(shape=(6, 7), **changes):
    settings = {"pixel_scale": 0.1, "noise": nl.NoiseMap(0.3), "supersampling": 1} | changes
    return nl.Observation.blank(shape, **settings)


@pytest.mark.wrong_types
def test_the_call_of_version_0_1_shows_the_new_line(observation):
    image = nl.render(observation, lens_light=nl.light.Uniform(amp=1.0))
    line = r'nl\.observe\("image", observation, mass=\.\.\., source=\.\.\.\)'
    for call in (
        lambda: nl.observe("image", image, observation),
        lambda: nl.observe("image", observation, image),
        lambda: nl.observe_image("image", image, observation, image),
    ):
        with pytest.raises(TypeError, match=line):
            call()
    with pytest.raises(TypeError, match=r"compares with an Observation; got ndarray"):
        nl.observe("image", np.zeros((3, 3)), lens_light=nl.light.Uniform(amp=1.0))


def test_the_second_verb_of_version_0_1_shows_the_new_line():
    with pytest.raises(AttributeError, match=r"is gone.*nl\.observe\(name, observation, mass="):
        _ = nl.observe_marginal
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = nl.no_such_name


def test_observe_is_observe_image_of_the_rendered_image(observation):
    lens, source = nl.mass.SIS(0.5), nl.light.Gaussian(2.0, 0.2, center_x=0.1)
    scene = {"mass": lens, "source": source, "lens_light": nl.light.Uniform(0.3)}

    def one():
        nl.observe("image", observation, **scene)

    def other():
        nl.observe_image("image", nl.render(observation, **scene), observation)

    found, expected = (trace(model)["image"] for model in (one, other))
    np.testing.assert_allclose(found["fn"].mean, expected["fn"].mean, rtol=1e-6)
    value = observation.image
    np.testing.assert_allclose(found["fn"].log_prob(value), expected["fn"].log_prob(value))


def test_planes_are_observed_as_they_are_rendered(observation):
    planes = [
        nl.Plane(mass=nl.mass.SIS(0.3)),
        nl.Plane(mass=nl.mass.SIS(0.2, 0.1), light=nl.light.Gaussian(1.0, 0.2)),
        nl.Plane(light=nl.light.Gaussian(2.0, 0.2)),
    ]
    scaling = jnp.array([[1.0, 0.4, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])

    def model():
        nl.observe("image", observation, planes=planes, scaling=scaling)

    site = trace(model)["image"]
    expected = nl.render(observation, planes=planes, scaling=scaling)
    np.testing.assert_allclose(site["fn"].mean, expected, rtol=1e-6)
    assert len(nl.models.scenes(trace(model))["image"].planes) == 3


def with_sampled_noise(observation):
    sigma = numpyro.sample("sigma", dist.LogNormal(-1.0, 0.5))
    amp = numpyro.sample("sky", dist.Normal(0.0, 1.0))
    sky = nl.light.Uniform(amp=amp)
    nl.observe("image", observation, lens_light=sky, noise=nl.NoiseMap(sigma))


@pytest.mark.parametrize("sigma", [0.2, 0.5])
def test_noise_may_be_sampled(sigma):
    """The data keep the noise that they came with out of it: sigma alone is in the density."""
    data = np.random.default_rng(0).normal(size=(6, 7))
    target = Target.of(with_sampled_noise, blank(noise=nl.NoiseMap(99.0)).with_image(data))
    z = target.unconstrain({"sigma": jnp.asarray(sigma), "sky": jnp.asarray(30.0)})
    pixels = scipy.stats.norm(30.0 * 0.01, sigma).logpdf(data).sum()
    priors = scipy.stats.norm(-1.0, 0.5).logpdf(np.log(sigma)) + scipy.stats.norm.logpdf(30.0)
    np.testing.assert_allclose(target.log_density(z), pixels + priors, rtol=1e-5)


def test_sampled_noise_is_that_of_the_observations_of_a_fit():
    data = np.random.default_rng(0).normal(size=(6, 7))
    fit = fitted(with_sampled_noise, blank().with_image(data))
    seen = fit.observations["image"]
    np.testing.assert_allclose(seen.noise.sigma(seen.image), fit.best["sigma"], rtol=1e-5)
    np.testing.assert_allclose(seen.image, data, rtol=1e-6)
    np.testing.assert_array_equal(
        fit.views["image"].observation.noise.sigma_map, seen.noise.sigma_map
    )


def test_sampled_noise_goes_into_the_marginal_density():
    def model(observation, sigma):
        sky = nl.light.Uniform(amp=nl.Linear(2.0, 3.0, name="sky.amp"))
        nl.observe("image", observation, lens_light=sky, noise=nl.NoiseMap(sigma))

    data = np.random.default_rng(0).normal(size=(2, 3))
    site = trace(model, blank((2, 3)).with_image(data), 0.7)["image"]
    covariance = 0.7**2 * np.eye(6) + (0.01 * 3.0) ** 2
    expected = scipy.stats.multivariate_normal(np.full(6, 0.02), covariance).logpdf(data.ravel())
    np.testing.assert_allclose(site["fn"].log_prob(site["value"]), expected, rtol=1e-5)


@pytest.mark.wrong_types
def test_no_noise_model_is_refused(observation):
    with pytest.raises(ValueError, match=r"noise=NoiseMap\(sigma\)"):
        nl.observe("image", observation, lens_light=nl.light.Uniform(amp=1.0), noise=0.1)


# --- given amplitudes ----------------------------------------------------------------------------


def marginal_of(observation, lights):
    def model():
        nl.observe("image", observation, lens_light=lights)

    site = trace(model)["image"]
    return site["fn"], site["value"]


def masked(seed=0):
    rng = np.random.default_rng(seed)
    mask = rng.uniform(size=(6, 7)) < 0.7
    return blank(mask=mask, noise=nl.NoiseMap(rng.uniform(0.2, 0.5, (6, 7)))).with_image(
        rng.normal(size=(6, 7))
    )


@pytest.mark.usefixtures("double")
def test_given_amplitudes_leave_independent_pixels_inside_the_mask():
    observation = masked()
    lights = [
        nl.light.Uniform(nl.Linear(1.0, 5.0, name="sky.amp")),
        nl.light.MultiGaussian(
            nl.Linear(3.0, np.array([1.0, 2.0]), name="pair.amp"), jnp.array([0.1, 0.4])
        ),
        nl.light.Gaussian(2.0, 0.3),
    ]
    fn, value = marginal_of(observation, lights)
    given = {"pair.amp": jnp.array([4.0, -2.0]), "sky.amp": jnp.asarray(7.0)}
    filled = nl.linear.with_amplitudes(lights, given)
    image = np.asarray(nl.render(observation, lens_light=filled))
    mask, sigma = np.asarray(observation.mask), observation.noise.sigma(value)
    expected = scipy.stats.norm(image, sigma).logpdf(value)
    found = fn.given(given)
    np.testing.assert_allclose(found.mean, image, rtol=1e-9)
    np.testing.assert_allclose(found.log_prob(value), expected[mask].sum(), rtol=1e-9)
    np.testing.assert_allclose(
        found.base_dist.log_prob(value), np.where(mask, expected, 0.0), rtol=1e-9
    )
    poisoned = jnp.where(mask, value, 1e30)
    np.testing.assert_allclose(found.log_prob(poisoned), expected[mask].sum(), rtol=1e-9)


@pytest.mark.usefixtures("double")
def test_the_marginal_density_is_the_integral_over_the_amplitude():
    """By quadrature of the joint density, the prior by SciPy, inside a mask."""
    light = nl.light.Gaussian(nl.Linear(20.0, 15.0, name="glow.amp"), 0.2)
    fn, value = marginal_of(masked(), light)
    amplitudes = np.linspace(20.0 - 12 * 15.0, 20.0 + 12 * 15.0, 4001)
    pixels = jax.vmap(lambda a: fn.given({"glow.amp": a}).log_prob(value))(jnp.asarray(amplitudes))
    joint = np.asarray(pixels) + scipy.stats.norm(20.0, 15.0).logpdf(amplitudes)
    expected = joint.max() + np.log(
        scipy.integrate.trapezoid(np.exp(joint - joint.max()), amplitudes)
    )
    np.testing.assert_allclose(fn.log_prob(value), expected, rtol=1e-9)


@pytest.mark.usefixtures("double")
def test_bayes_theorem_holds_for_the_amplitudes():
    """Marginal times conditional is prior times likelihood, at any amplitude."""
    light = nl.light.Gaussian(nl.Linear(20.0, 15.0, name="glow.amp"), 0.2)
    fn, value = marginal_of(masked(), light)
    mean, factor = nl.linear.conditional_amplitudes(fn.image, value, fn.sigma, fn.used)
    np.testing.assert_allclose(fn.conditional(value)["glow.amp"], mean[0])
    for amp in (-10.0, 5.0, 40.0):
        posterior = scipy.stats.norm(mean[0], abs(factor[0, 0])).logpdf(amp)
        joint = fn.given({"glow.amp": jnp.asarray(amp)}).log_prob(value)
        joint = joint + scipy.stats.norm(20.0, 15.0).logpdf(amp)
        np.testing.assert_allclose(fn.log_prob(value) + posterior, joint, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("scene", TRUTHS, ids=lambda scene: scene.__name__)
def test_marginal_posterior_is_that_of_sampling_the_amplitudes(scene):
    instrument = nl.Observation.blank(
        (24, 24), pixel_scale=0.1, noise=nl.NoiseMap(0.03), psf=nl.GaussianPSF(0.15)
    )
    truth = {"mass": nl.mass.SIS(0.67)} | TRUTHS[scene]
    observation = nl.mock(instrument, jax.random.key(1), **truth)
    full, short = (
        nl.fit(lambda o, a=a: scene(o, a), observation, seed=0, progress=False)
        for a in (normal, nl.Linear)
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
