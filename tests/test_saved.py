"""A result survives the disk: everything but the model function."""

import arviz as az
import jax
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import numpyro_lens as nl
from numpyro_lens.infer import HMCResult, MAPResult, SVIResult, flat_model


def model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Uniform(0.2, 0.8))
    amp = nl.sample("sky", nl.light.Uniform, amp=dist.Normal(0, 1))
    source = nl.light.Gaussian(amp=1.0, sigma=0.1)
    image = nl.render(observation, mass=lens, source=source, lens_light=amp)
    nl.observe("image", image, observation)


def observation():
    mask = np.ones((12, 14), dtype=bool)
    mask[0] = False
    empty = nl.Observation(
        np.zeros((12, 14)),
        transform_pix2angle=[[-0.1, 0.0], [0.0, 0.1]],
        noise=nl.PoissonNoise(0.01, np.full((12, 14), 500.0)),
        psf=nl.GaussianPSF(0.2),
        mask=mask,
        sky_position=(150.1, 2.2),
    )
    return nl.mock(empty, jax.random.key(0), mass=nl.mass.SIS(theta_E=0.5))


def fitted(model=model):
    """A result with the shape of a real one, without the fitting."""
    data, rng = observation(), np.random.default_rng(0)
    flat = flat_model(model, (data,))
    shared = {"flat": flat, "args": (data,), "timing": {"compile_s": 1.0, "run_s": 2.0}}
    start = MAPResult(
        params=rng.normal(size=(3, flat.dim)),
        log_density=np.array([1.0, 2.0, np.nan]),
        losses=np.arange(4.0),
        num_nonfinite={"log_density": 1, "gradient": 0},
        basins=(nl.infer.Basin(2.0, 2, 1),),
        hessian=np.eye(flat.dim),
        num_gradients={"screening": 3, "map": 4},
        **shared,
    )
    svi = SVIResult(
        mean=np.zeros(flat.dim),
        scale_tril=np.eye(flat.dim),
        losses=np.arange(5.0),
        pareto_k=0.25,
        num_gradients={"svi": 5},
        **shared,
    )
    shape = (4, 30)
    return HMCResult(
        z=rng.normal(size=(*shape, flat.dim)).astype(np.float32),
        statistics={"lp": rng.normal(size=shape), "diverging": np.zeros(shape, dtype=bool)},
        svi=svi,
        map=start,
        stage_gradients={"burn_in": 6, "sampling": 7},
        hmc_settings=None,
        seed=3,
        settings={"hmc": {"num_chains": 4}},
        **shared,
    )


@pytest.fixture(scope="module")
def result():
    return fitted()


@pytest.fixture(scope="module")
def path(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "posterior.nc"
    result.save(path)
    return path


@pytest.fixture(scope="module")
def loaded(path):
    return nl.load(path)


def test_draws_and_judgement_come_back(result, loaded):
    assert loaded.names == result.names
    np.testing.assert_array_equal(loaded.z, result.z)
    assert set(loaded.samples) == set(result.samples)
    for name, values in result.samples.items():
        np.testing.assert_array_equal(loaded.samples[name], values)
    assert str(loaded.verdict) == str(result.verdict)
    assert loaded.summary().equals(result.summary())


def test_stages_and_settings_come_back(result, loaded):
    assert loaded.num_gradients == result.num_gradients
    assert loaded.timings == result.timings
    assert (loaded.seed, loaded.settings) == (3, {"hmc": {"num_chains": 4}})
    assert repr(loaded.map) == repr(result.map)
    assert repr(loaded.svi) == repr(result.svi)
    np.testing.assert_array_equal(loaded.map.hessian, result.map.hessian)


def test_observation_comes_back(result, loaded):
    before, after = result.observation, loaded.observation
    assert repr(after) == repr(before)
    for name in ("image", "mask", "transform_pix2angle", "sub_x", "sky_position"):
        # the grid is made anew, of a pixel matrix that was rounded to 32 bit
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=1e-6)
    np.testing.assert_array_equal(after.noise.exposure_time, before.noise.exposure_time)
    np.testing.assert_allclose(after.psf.kernel, before.psf.kernel, rtol=1e-6)


def test_arviz_reads_the_same_file(path):
    data = az.from_netcdf(str(path))
    assert data["posterior"]["lens.theta_E"].shape == (4, 30)


def test_what_needs_the_model_asks_for_it(result, path, loaded):
    with pytest.raises(ValueError, match=r"test_saved\.model.*model=your_function"):
        loaded.predict(3)
    again = nl.load(path, model=model)
    predicted = result.predict(3)["image"]
    np.testing.assert_allclose(again.predict(3)["image"], predicted, atol=1e-5 * predicted.max())


def test_ready_model_is_found_by_its_name(tmp_path):
    fitted(nl.models.epl_shear_sersic).save(tmp_path / "posterior.nc")
    assert nl.load(tmp_path / "posterior.nc").model is nl.models.epl_shear_sersic


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.nc"):
        nl.load(tmp_path / "no.nc")
    xr.Dataset({"a": (("chain",), np.zeros(3))}).to_netcdf(str(tmp_path / "other.nc"))
    with pytest.raises(ValueError, match=r"no numpyro_lens result.*arviz\.from_netcdf"):
        nl.load(tmp_path / "other.nc")
    (tmp_path / "text.nc").write_text("text")
    with pytest.raises(ValueError, match="no netCDF file"):
        nl.load(tmp_path / "text.nc")


def test_figures_are_methods(result):
    assert len(result.plot().axes) >= 4
    corner = result.plot_corner(["lens.theta_E", "sky.amp"], other=result.svi)
    assert corner.legends
