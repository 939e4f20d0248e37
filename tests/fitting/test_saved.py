"""A result survives the disk: everything but the model function."""

import arviz as az
import numpy as np
import pytest
import xarray as xr
from synthetic import fitted, model

import numpyro_lens as nl


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
    before, after = result.observations["image"], loaded.observations["image"]
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
    with pytest.raises(ValueError, match=r"synthetic\.model.*model=your_function"):
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
