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


SHAPE = {"e1": 0.12, "e2": -0.07, "center_x": 0.1, "center_y": -0.05}
ROUND = {"center_x": 0.1, "center_y": -0.05}
POWER = {"theta_E": 1.1, "gamma": 2.1, **SHAPE}
THEIR_MASSES = {
    "SIS": {"theta_E": 1.1, **ROUND},
    "SIE": {"theta_E": 1.1, **SHAPE},
    "EPL": POWER,
    "EPL_NUMBA": POWER,
    "SPEP": POWER,
    "NIE": {"theta_E": 1.1, "s_scale": 0.2, **SHAPE},
    "NFW": {"Rs": 3.0, "alpha_Rs": 0.9, **ROUND},
    "NFW_ELLIPSE_CSE": {"Rs": 3.0, "alpha_Rs": 0.9, **SHAPE},
    "TNFW": {"Rs": 3.0, "alpha_Rs": 0.9, "r_trunc": 5.0, **ROUND},
    "HERNQUIST": {"sigma0": 0.8, "Rs": 0.9, **ROUND},
    "POINT_MASS": {"theta_E": 0.6, **ROUND},
    "PJAFFE": {"sigma0": 0.8, "Ra": 3.0, "Rs": 0.2, **ROUND},
    "CHAMELEON": {"alpha_1": 0.8, "w_c": 0.1, "w_t": 0.9, **SHAPE},
    "SERSIC": {"k_eff": 0.4, "R_sersic": 0.8, "n_sersic": 2.5, **ROUND},
    "SERSIC_ELLIPSE_KAPPA": {"k_eff": 0.4, "R_sersic": 0.8, "n_sersic": 2.5, **SHAPE},
    "GAUSSIAN_ELLIPSE_KAPPA": {"amp": 2.0, "sigma": 0.7, **SHAPE},
    "MULTI_GAUSSIAN": {"amp": [2.0, 1.0], "sigma": [0.3, 0.9], "scale_factor": 1.5, **ROUND},
    "MULTI_GAUSSIAN_ELLIPSE_KAPPA": {"amp": [2.0, 1.0], "sigma": [0.3, 0.9], **SHAPE},
    "MULTIPOLE": {"m": 4, "a_m": 0.05, "phi_m": 0.4, **ROUND},
    "EPL_MULTIPOLE_M1M3M4": POWER
    | {"a1_a": 0.01, "delta_phi_m1": 0.3, "a3_a": 0.02, "delta_phi_m3": 0.1}
    | {"a4_a": 0.03, "delta_phi_m4": 0.2},
    "SHEAR": {"gamma1": 0.04, "gamma2": -0.03, "ra_0": 0, "dec_0": 0},
    "SHEAR_GAMMA_PSI": {"gamma_ext": 0.05, "psi_ext": 0.7, "ra_0": 0, "dec_0": 0},
    "CONVERGENCE": {"kappa": 0.1},
}
PICTURE = np.random.default_rng(0).uniform(1.0, 2.0, (31, 31))
BULGE = {"amp": 2.0, "R_sersic": 0.6, "n_sersic": 2.5}
THEIR_LIGHTS = {
    "SERSIC": BULGE | ROUND,
    "SERSIC_ELLIPSE": BULGE | SHAPE,
    "SERSIC_ELLIPSE_Q_PHI": BULGE | {"q": 0.7, "phi": 0.4} | ROUND,
    "CORE_SERSIC": BULGE | {"Rb": 0.1, "gamma": 0.3} | SHAPE,
    "GAUSSIAN": {"amp": 2.0, "sigma": 0.4, **ROUND},
    "GAUSSIAN_ELLIPSE": {"amp": 2.0, "sigma": 0.4, **SHAPE},
    "MULTI_GAUSSIAN": {"amp": [2.0, 1.0], "sigma": [0.3, 0.9], **ROUND},
    "MULTI_GAUSSIAN_ELLIPSE": {"amp": [2.0, 1.0], "sigma": [0.3, 0.9], **SHAPE},
    "HERNQUIST": {"amp": 2.0, "Rs": 0.4, **ROUND},
    "HERNQUIST_ELLIPSE": {"amp": 2.0, "Rs": 0.4, **SHAPE},
    "PJAFFE": {"amp": 2.0, "Ra": 1.5, "Rs": 0.2, **ROUND},
    "CHAMELEON": {"amp": 0.8, "w_c": 0.1, "w_t": 0.9, **SHAPE},
    "SHAPELETS": {"amp": [2.0, 1.0, -0.5], "n_max": 1, "beta": 0.4, **ROUND},
    "UNIFORM": {"amp": 2.0},
    "INTERPOL": {"image": PICTURE, "amp": 2.0, "scale": 0.2, "phi_G": 0.4, **ROUND},
}
#: needs a compiled package there, and is an EPL here; a light of theirs without a class
UNTESTED = {"PEMD", "SPEMD", "MOFFAT"}


def test_every_name_is_compared():
    names = exchange._lenstronomy_names
    assert set(names.MASSES) | set(names.LIGHTS) == {*THEIR_MASSES, *THEIR_LIGHTS, *UNTESTED}


@pytest.mark.parametrize("name", THEIR_MASSES)
def test_every_name_of_a_mass_means_the_same_here(double, lenstronomy, name):
    kwargs = THEIR_MASSES[name]
    theirs = lenstronomy.lens([name]).alpha(X, Y, [dict(kwargs)])
    ours = from_lenstronomy([name], [kwargs]).mass.deflection(X, Y)
    # theirs are sums of simpler profiles, or integrals to a few digits
    tolerance = {"NFW_ELLIPSE_CSE": 1e-4, "SERSIC_ELLIPSE_KAPPA": 1e-5}.get(name, 1e-6)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", THEIR_LIGHTS)
def test_every_name_of_a_light_means_the_same_here(double, lenstronomy, name):
    kwargs = THEIR_LIGHTS[name]
    theirs = lenstronomy.light([name]).surface_brightness(X, Y, [dict(kwargs)])
    lists = {"source_light_model_list": [name], "kwargs_source": [kwargs]}
    ours = from_lenstronomy(**lists).source.brightness(X, Y)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_names_of_power_laws_that_need_a_compiled_package():
    power = {"theta_E": 1.1, "gamma": 2.1, "e1": 0.1, "e2": -0.05}
    for name, more in (("PEMD", {}), ("SPEMD", {"s_scale": 1e-8})):
        assert isinstance(from_lenstronomy([name], [power | more]).mass, nl.mass.EPL)
    with pytest.raises(ValueError, match="NIE"):
        from_lenstronomy(["SPEMD"], [power | {"s_scale": 0.1}])


def test_an_origin_elsewhere_is_an_error():
    with pytest.raises(ValueError, match="ra_0=1"):
        from_lenstronomy(["SHEAR"], [{"gamma1": 0.1, "gamma2": 0.0, "ra_0": 1.0, "dec_0": 0.0}])


def test_pixels_lie_where_the_file_says(tmp_path):
    """`ra_at_xy_0` half a pixel off the centre of the image, as in public files."""
    noise = {"noise_map": np.full((4, 5), 0.3)}
    matrix = np.array([[-0.1, 0.02], [0.02, 0.1]])
    entries = IMAGE | noise | {"transform_pix2angle": matrix}
    image = write(tmp_path / "image.h5", **entries, ra_at_xy_0=0.15, dec_at_xy_0=-0.25)
    observation = read_lenstronomy(image)
    row, column = np.mgrid[:4, :5]
    np.testing.assert_allclose(observation.x, 0.15 - 0.1 * column + 0.02 * row, atol=1e-6)
    np.testing.assert_allclose(observation.y, -0.25 + 0.02 * column + 0.1 * row, atol=1e-6)
    centred = read_lenstronomy(write(tmp_path / "centred.h5", **entries))
    np.testing.assert_allclose(np.mean(centred.x), 0.0, atol=1e-7)


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
    with pytest.raises(ValueError, match=r"unknown: CURVED_ARC_SIS_MST.*SIE"):
        from_lenstronomy(["CURVED_ARC_SIS_MST"], [{}])
    with pytest.raises(ValueError, match=r"SIS has the parameters theta_E.*got theta_e"):
        from_lenstronomy(["SIS"], [{"theta_e": 1.0}])
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
