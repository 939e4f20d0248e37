import warnings
from importlib.metadata import version

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.infer.posterior import at_bounds


def model(observation):
    sky = nl.sample("sky", nl.light.Uniform, amp=dist.Uniform(0.0, 10.0))
    blob = nl.sample("blob", nl.light.Gaussian, amp=dist.LogNormal(1.0, 1.0), sigma=0.2)
    lens = nl.mass.SIS(theta_E=0.1)
    nl.observe("image", observation, mass=lens, source=blob, lens_light=sky)


@pytest.fixture(scope="module")
def observation():
    instrument = nl.Observation.blank(
        (7, 9), pixel_scale=0.2, noise=nl.PoissonNoise(0.05, 500.0), supersampling=1
    )
    mass = nl.mass.SIS(theta_E=0.1)
    source = nl.light.Gaussian(amp=3.0, sigma=0.2)
    sky = nl.light.Uniform(amp=3.0)
    return nl.mock(instrument, jax.random.key(0), mass=mass, source=source, lens_light=sky)


@pytest.fixture(scope="module")
def fit(observation):
    return nl.fit(model, observation, seed=0, progress=False)


def test_fit_finds_the_truth(fit):
    draws = fit.samples["sky.amp"]
    assert fit.verdict.converged
    assert abs(draws.mean() - 3.0) < 5 * draws.std()


def test_samples_are_the_constrained_chains(fit):
    assert fit.shape == np.asarray(fit).shape == (fit.z.shape[1], fit.z.shape[0], 2)
    again = fit.target.constrain(jnp.asarray(fit.z[2, 3]))
    np.testing.assert_allclose(fit.samples["sky.amp"][2, 3], again["sky.amp"], rtol=1e-5)


def test_best_is_the_draw_of_highest_density(fit):
    index = np.unravel_index(fit.log_density.argmax(), fit.log_density.shape)
    assert fit.best["sky.amp"] == fit.samples["sky.amp"][index]


def test_scene_holds_the_profiles_of_the_best_draw(fit):
    scene = fit.scene()
    assert float(scene.lens_light.amp) == pytest.approx(float(fit.best["sky.amp"]), rel=1e-4)
    assert float(scene.mass.theta_E) == pytest.approx(0.1)


def test_predictions_scatter_around_the_data(fit, observation):
    images = fit.predict(20)["image"]
    assert images.shape == (20, 7, 9)
    residual = (observation.image - images.mean(0)) / observation.noise.sigma(images.mean(0))
    assert 0.5 < float(np.mean(np.square(residual))) < 1.5


def test_arviz_groups_and_round_trip(fit, tmp_path):
    data = fit.to_arviz(posterior_predictive=True, num=64)
    data.to_netcdf(str(tmp_path / "posterior.nc"))
    read = az.from_netcdf(str(tmp_path / "posterior.nc"))
    for found in (data, read):
        groups = ("posterior", "sample_stats", "observed_data", "constant_data")
        assert all(group in found for group in groups)
        statistics = set(found["sample_stats"].data_vars)
        expected = {"acceptance_rate", "step_size", "n_steps", "energy", "diverging", "lp"}
        assert expected <= statistics
        assert found["observed_data"]["image"].dims == ("y", "x")
        assert found["posterior_predictive"]["image"].shape[-2:] == (7, 9)
        np.testing.assert_allclose(found["observed_data"]["x"][:2], [-0.8, -0.6], atol=1e-6)
        assert found["posterior"].attrs["numpyro_lens_version"]
        np.testing.assert_array_equal(found["posterior"]["sky.amp"].values, fit.samples["sky.amp"])


def test_log_likelihood_is_that_of_each_pixel(fit, observation):
    data = fit.to_arviz(log_likelihood=True, num=16)
    pixels = data["log_likelihood"]["image"].values[0, 0]
    step = fit.z.shape[1] // data["log_likelihood"]["image"].shape[1]
    image = fit.target.trace(jnp.asarray(fit.z[0, 0]))["image"]["fn"].mean
    sigma = observation.noise.sigma(image)
    expected = dist.Normal(image, sigma).log_prob(observation.image)
    assert step >= 1
    np.testing.assert_allclose(pixels, np.ravel(expected), rtol=1e-3, atol=1e-3)


def test_loo_counts_the_pixels_in_use(tmp_path):
    result = fitted()  # of 12 x 14 pixels, the first row masked
    used = np.asarray(result.observations["image"].mask)
    data = result.to_arviz(log_likelihood=True, posterior_predictive=True, num=120)
    data.to_netcdf(str(tmp_path / "posterior.nc"))
    for found in (data, az.from_netcdf(str(tmp_path / "posterior.nc"))):
        pixels = found["log_likelihood"]["image"]
        assert pixels.dims == ("chain", "draw", "image_pixel")
        np.testing.assert_array_equal(pixels["image_pixel"], np.flatnonzero(used))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the draws are no posterior: Pareto k is large
            assert az.loo(found, var_name="image").n_data_points == 11 * 14
        assert found["observed_data"]["image"].dims == ("image_pixel",)
        assert found["posterior_predictive"]["image"].dims == pixels.dims


def test_loo_pit_of_an_image_with_a_mask():
    """The replicates of a wide posterior are wide: the data are in their middle."""
    data = fitted().to_arviz(log_likelihood=True, posterior_predictive=True, num=120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        is_old = version("arviz").startswith("0.")
        found = az.loo_pit(data, y="image") if is_old else az.loo_pit(data, "image")["image"]
    found = np.asarray(found)
    assert found.shape == (11 * 14,)
    assert np.all((found >= 0) & (found <= 1))


def test_summary_has_arvizs_columns(fit):
    table = fit.summary()
    assert {"mean", "sd", "ess_bulk", "ess_tail", "r_hat"} <= set(table.columns)
    assert set(table.index) == {"sky.amp", "blob.amp"}


def test_repr_says_what_matters(fit):
    assert "Converged" in repr(fit)
    assert "Converged" in fit._repr_html_()


def test_piling_up_at_a_bound_is_seen(fit):
    from scipy.special import ndtri

    generator = np.random.default_rng(0)
    piled, free = generator.exponential(0.05, size=(4, 500)), generator.uniform(size=(4, 500))
    z = ndtri(np.clip(np.stack([piled, piled], axis=-1), 1e-6, 1 - 1e-6))
    assert at_bounds(fit.target, z) == ["sky.amp"]
    z = ndtri(np.stack([0.4 + 0.1 * free, free], axis=-1))
    assert at_bounds(fit.target, z) == []


def test_the_one_image_needs_no_name(fit, observation):
    assert fit.site() == fit.site("image") == "image"
    assert fit.observations["image"] is observation
    assert float(fit.scene("image").lens_light.amp) == float(fit.scene().lens_light.amp)


def test_the_observation_of_version_0_1_says_what_replaces_it(fit):
    with pytest.raises(AttributeError, match=r'fit\.observations\["image"\]'):
        _ = fit.observation


def test_a_result_of_another_kind_keeps_what_is_known(fit):
    plain = nl.infer.HMCResult.of(fit)
    assert plain.samples is fit.samples
    assert plain.layout().dims == {}
    assert nl.LensFit.of(plain).layout().dims == {"image": ["y", "x"]}
