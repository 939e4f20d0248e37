"""A result survives the disk: everything but the model function."""

from types import SimpleNamespace

import arviz as az
import h5py
import numpy as np
import pytest
import xarray as xr
from synthetic import fitted, model

import numpyro_lens as nl
from numpyro_lens.infer.checksum import add_checksum


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


def test_arviz_writes_zarr(result, tmp_path):
    pytest.importorskip("zarr")
    container = result.to_arviz(posterior_predictive=True, num=8)
    # ArviZ 0.23 knows an older Zarr only, and says to go by way of xarray
    tree = container.to_datatree() if hasattr(container, "to_datatree") else container
    tree.to_zarr(tmp_path / "posterior.zarr", consolidated=False)
    with xr.open_datatree(tmp_path / "posterior.zarr", engine="zarr", consolidated=False) as again:
        for name, values in result.samples.items():
            np.testing.assert_array_equal(again["posterior"][name], values)
        assert again["posterior_predictive"]["image"].shape == (4, 2, 12, 14)


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


# --- files that were changed, or cannot be written -----------------------------------------------


@pytest.mark.parametrize("part", np.linspace(0.0, 1.0, 9))
def test_a_flipped_byte_is_an_error_that_names_the_file(path, tmp_path, part):
    content = bytearray(path.read_bytes())
    content[int(part * (len(content) - 1))] ^= 0x20
    (tmp_path / "flipped.nc").write_bytes(content)
    with pytest.raises(ValueError, match=r"flipped\.nc' is (damaged|no netCDF file)"):
        nl.load(tmp_path / "flipped.nc")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.999])
def test_a_file_that_is_cut_is_refused(path, tmp_path, part):
    content = path.read_bytes()
    (tmp_path / "cut.nc").write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"cut\.nc' is (damaged|no netCDF file)"):
        nl.load(tmp_path / "cut.nc")


def test_nothing_outside_of_the_file_is_read(path, tmp_path):
    changed = tmp_path / "changed.nc"
    changed.write_bytes(path.read_bytes())
    with h5py.File(changed, "a") as file:
        del file["numpyro_lens_hmc/z"]
        file["numpyro_lens_hmc/z"] = h5py.ExternalLink(str(path), "/numpyro_lens_hmc/z")
    add_checksum(changed)
    with pytest.raises(ValueError, match=r"'numpyro_lens_hmc/z'.*points into another file"):
        nl.load(changed)
    with pytest.raises(FileNotFoundError, match="https"):
        nl.load("https://localhost:1/posterior.nc")


@pytest.mark.parametrize("free", [0, 20_000])
def test_a_full_disk_is_an_error_and_an_older_file_stays(result, tmp_path, monkeypatch, free):
    path = tmp_path / "posterior.nc"
    path.write_text("older")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(OSError, match="No space left"):
        result.save(path)
    assert path.read_text() == "older"
    assert [each.name for each in tmp_path.iterdir()] == ["posterior.nc"]


def test_hdf5_that_cannot_write_is_an_error_of_the_disk(result, tmp_path, monkeypatch):
    def full(self, path, **_):
        raise RuntimeError("unable to extend file properly")

    monkeypatch.setattr(type(result.to_arviz()), "to_netcdf", full)
    with pytest.raises(OSError, match="HDF5 could not write: unable to extend"):
        result.save(tmp_path / "posterior.nc")
    assert not list(tmp_path.iterdir())
