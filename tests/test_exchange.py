"""Other codes' formats: what goes out comes back, and means the same there."""

import warnings
from types import SimpleNamespace

import h5py
import jax
import numpy as np
import pytest
from catalogue import LIGHTS, MASSES

import numpyro_lens as nl
from numpyro_lens import exchange
from numpyro_lens.exchange import from_lenstronomy, read_lenstronomy, to_lenstronomy

SCENE = nl.Scene.of(
    mass=nl.mass.EPL(theta_E=1.1, gamma=2.1, e1=0.1, e2=-0.05, center_x=0.02, center_y=0.01)
    + nl.mass.Shear(gamma1=0.03, gamma2=-0.02),
    source=nl.light.Sersic(amp=3.0, R_sersic=0.3, n_sersic=1.5, e1=0.1, e2=0.0, center_x=0.1),
    lens_light=nl.light.Gaussian(amp=2.0, sigma=0.4, e1=0.05, e2=0.1),
)


def test_lists_come_back_as_the_same_scene():
    lists = to_lenstronomy(SCENE)
    assert lists["lens_model_list"] == ["EPL", "SHEAR"]
    assert lists["kwargs_lens"][1] == {"gamma1": 0.03, "gamma2": -0.02}
    lens = lists.pop("lens_model_list"), lists.pop("kwargs_lens")
    again = from_lenstronomy(*lens, **lists)
    assert jax.tree.structure(again) == jax.tree.structure(SCENE)
    assert jax.tree.leaves(again) == jax.tree.leaves(SCENE)


@pytest.fixture(scope="module")
def lenstronomy():
    """lenstronomy's two model classes; importing it warns."""
    pytest.importorskip("lenstronomy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel
    return SimpleNamespace(lens=LensModel, light=LightModel)


X, Y = np.random.default_rng(0).normal(size=(2, 50))


@pytest.mark.parametrize("kind", exchange._lenstronomy._MASSES, ids=lambda kind: kind.__name__)
def test_every_mass_means_the_same_there(double, lenstronomy, kind):
    profile = next(m for m in MASSES if type(m) is kind)
    lists = to_lenstronomy(nl.Scene.of(mass=profile))
    theirs = lenstronomy.lens(lists["lens_model_list"]).alpha(X, Y, lists["kwargs_lens"])
    np.testing.assert_allclose(profile.deflection(X, Y), theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", exchange._lenstronomy._LIGHTS, ids=lambda kind: kind.__name__)
def test_every_light_means_the_same_there(double, lenstronomy, kind):
    profile = next(m for m in LIGHTS if type(m) is kind)
    lists = to_lenstronomy(nl.Scene.of(source=profile))
    model = lenstronomy.light(lists["source_light_model_list"])
    theirs = model.surface_brightness(X, Y, lists["kwargs_source"])
    np.testing.assert_allclose(profile.brightness(X, Y), theirs, rtol=1e-6)


def test_empty_parts_stay_empty():
    scene = nl.Scene.of(mass=nl.mass.SIS(theta_E=1.0))
    lists = to_lenstronomy(scene)
    assert lists["source_light_model_list"] == lists["kwargs_source"] == []
    assert from_lenstronomy(lists["lens_model_list"], lists["kwargs_lens"]).source is None


def test_profiles_without_counterpart_are_named():
    class Other(nl.mass.AbstractPotential):
        def potential(self, x, y):
            return 0.0 * x

    with pytest.raises(ValueError, match=r"Other has no counterpart.*SIE"):
        to_lenstronomy(nl.Scene.of(mass=Other()))
    with pytest.raises(ValueError, match=r"unknown: PEMD.*SIE"):
        from_lenstronomy(["PEMD"], [{}])
    with pytest.raises(ValueError, match="1 and 0"):
        from_lenstronomy(["SIS"], [])


def write(path, **entries):
    with h5py.File(path, "w") as file:
        for name, value in entries.items():
            file[name] = value
    return path


IMAGE = {"image_data": np.arange(20.0).reshape(4, 5), "transform_pix2angle": 0.1 * np.eye(2)}


def test_hdf5_files_make_an_observation(tmp_path):
    poisson = {"background_rms": 0.1, "exposure_time": np.full((4, 5), 50.0)}
    image = write(tmp_path / "image.h5", **IMAGE, **poisson, ra_at_xy_0=-0.2, dec_at_xy_0=-0.15)
    kernel = {"kernel_point_source": np.ones((3, 3)), "point_source_supersampling_factor": 2}
    observation = read_lenstronomy(image, write(tmp_path / "psf.h5", **kernel))
    np.testing.assert_array_equal(observation.image, IMAGE["image_data"])
    assert observation.psf.sampling == 2
    assert isinstance(observation.noise, nl.PoissonNoise)
    with_map = write(tmp_path / "map.h5", **IMAGE, noise_map=np.full((4, 5), 0.3))
    noise = read_lenstronomy(with_map).noise
    np.testing.assert_allclose(noise.sigma(observation.image), 0.3, rtol=1e-6)


def test_missing_entries_and_files_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"background_rms.*image_data, transform_pix2angle"):
        read_lenstronomy(write(tmp_path / "image.h5", **IMAGE))
    with pytest.raises(FileNotFoundError, match=r"no\.h5"):
        read_lenstronomy(tmp_path / "no.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(ValueError, match="no HDF5 file"):
        read_lenstronomy(tmp_path / "text.h5")
