"""COOLEST templates: what goes out comes back, and means the same to COOLEST's own package."""

import json

import jax
import numpy as np
import pytest

import numpyro_lens as nl
from numpyro_lens.exchange import read_coolest, write_coolest
from numpyro_lens.scene import Scene

SERSIC = nl.light.Sersic(amp=3.0, R_sersic=0.3, n_sersic=1.5, e1=0.1, e2=-0.2, center_x=0.1)
MASSES = {
    "SIE": nl.mass.SIE(theta_E=1.2, e1=-0.1, e2=0.07, center_x=0.05, center_y=-0.02),
    "PEMD": nl.mass.EPL(theta_E=1.1, gamma=2.1, e1=0.1, e2=-0.05, center_x=0.02, center_y=0.01),
    "ExternalShear": nl.mass.Shear(gamma1=0.03, gamma2=-0.02),
    "ConvergenceSheet": nl.mass.ConvergenceSheet(kappa=-0.1),
}
SCENE = Scene.of(
    mass=MASSES["PEMD"] + MASSES["ExternalShear"],
    source=SERSIC,
    lens_light=nl.light.Sersic(amp=2.0, R_sersic=0.8, n_sersic=4.0) + nl.light.Uniform(amp=0.1),
)
#: x right and y up; right ascension to the left; the same at an angle
MATRICES = {
    "upright": 0.1 * np.eye(2),
    "mirrored": np.diag([-0.1, 0.1]),
    "at an angle": 0.1 * np.array([[-np.cos(0.4), np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]),
}


def observation(matrix=MATRICES["upright"], columns=24, **more):
    return nl.Observation(
        np.arange(20.0 * columns).reshape(20, columns),
        transform_pix2angle=matrix,
        noise=nl.PoissonNoise(0.2, 100.0),
        psf=nl.PSF(np.ones((3, 3))),
        **more,
    )


def assert_same(scene, other):
    assert jax.tree.structure(scene) == jax.tree.structure(other)
    for one, another in zip(jax.tree.leaves(scene), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(one, another, atol=1e-7)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("lens", MASSES.values(), ids=MASSES)
def test_template_comes_back_as_the_same_scene(lens, matrix, tmp_path):
    scene, where = (
        Scene.of(mass=lens, source=SCENE.source, lens_light=SCENE.lens_light),
        observation(matrix),
    )
    path = tmp_path / "lens.json"
    write_coolest(path, scene, where, lens_redshift=0.5, source_redshift=2.0)
    assert_same(read_coolest(path, where), scene)


def test_source_without_redshifts_is_the_galaxy_without_mass(tmp_path):
    path = tmp_path / "lens.json"
    write_coolest(path, SCENE, observation())
    assert_same(read_coolest(path), SCENE)
    write_coolest(
        path,
        Scene.of(mass=MASSES["ExternalShear"], source=SCENE.source, lens_light=SCENE.lens_light),
        observation(),
    )
    with pytest.raises(ValueError, match=r"here are lens, source\. Write redshifts"):
        read_coolest(path)


@pytest.mark.parametrize("name", ["mirrored", "at an angle"])
def test_image_is_the_same_in_image_coordinates(name, double, tmp_path):
    """What COOLEST's coordinates promise: its scene on upright pixels is the same array."""
    write_coolest(tmp_path / "lens.json", SCENE, observation(MATRICES[name]))
    theirs = nl.simulate.render_scene(observation(), read_coolest(tmp_path / "lens.json"))
    ours = nl.simulate.render_scene(observation(MATRICES[name]), SCENE)
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
def test_angle_is_that_of_the_conventions(sign, tmp_path):
    """Along x it is 90 and not -90; an eighth of a turn to the left of +y is +45 degrees."""
    scene = Scene.of(
        mass=nl.mass.SIE(theta_E=1.0, e1=0.1) + nl.mass.Shear(gamma1=0.0, gamma2=-0.05 * sign)
    )
    write_coolest(tmp_path / "lens.json", scene, observation())
    text = (tmp_path / "lens.json").read_text()
    assert '"value": 90.0' in text
    assert f'"value": {45.0 * sign}' in text


X, Y = np.random.default_rng(0).normal(size=(2, 50))


@pytest.fixture
def theirs(tmp_path):
    """COOLEST's own reader, which checks the template, the files and the ranges of parameters.

    Version 0.1.11 takes square images only: it has the axes of NumPy and FITS mixed up.
    """
    template = pytest.importorskip("coolest.template.json")

    def read(scene, sky_position=None, **more):
        where = observation(columns=20, sky_position=sky_position)
        write_coolest(tmp_path / "lens.json", scene, where, **more)
        serializer = template.JSONSerializer(str(tmp_path / "lens"), check_external_files=True)
        return serializer.load(skip_jsonpickle=True, verbose=False)

    return read


def values_of(profile):
    return {name: p.point_estimate.value for name, p in profile.parameters.items()}


def test_their_reader_takes_the_template(theirs):
    read = theirs(SCENE, (150.1, -2.2), lens_redshift=0.5, source_redshift=2.0)
    assert [entity.name for entity in read.lensing_entities] == ["lens", "external field", "source"]
    assert [entity.redshift for entity in read.lensing_entities] == [0.5, 0.5, 2.0]
    assert read.instrument.pixel_size == pytest.approx(0.1)
    np.testing.assert_array_equal(
        read.observation.pixels.get_pixels(), observation(columns=20).image
    )
    np.testing.assert_allclose(read.instrument.psf.pixels.get_pixels(), np.full((3, 3), 1 / 9))
    assert read.likelihoods[0].get_mask_pixels().sum() == 400
    assert read.coordinates_origin.ra.startswith("10h00m24")


@pytest.mark.parametrize("name", ["SIE", "PEMD", "ExternalShear", "ConvergenceSheet"])
def test_every_mass_means_the_same_there(name, theirs, double):
    """SIE is compared as the PEMD of slope 2, which is what its definition is."""
    api = pytest.importorskip("coolest.api.profiles.mass")
    profile = theirs(Scene.of(mass=MASSES[name])).lensing_entities[0].mass_model[0]
    assert profile.type == name
    model = getattr(api, name if name != "SIE" else "PEMD")()
    np.testing.assert_allclose(
        MASSES[name].deflection(X, Y), model.deflection(X, Y, **values_of(profile)), rtol=1e-6
    )


def test_sersic_means_the_same_there(theirs, double):
    api = pytest.importorskip("coolest.api.profiles.light")
    profile = theirs(SCENE).lensing_entities[2].light_model[0]
    brightness = api.Sersic().evaluate_surface_brightness(X, Y, **values_of(profile))
    np.testing.assert_allclose(SERSIC.brightness(X, Y), brightness, rtol=1e-6)


SHAPELETS = nl.light.Shapelets(amp=np.arange(10.0) - 4.0, beta=0.2, center_x=0.1, center_y=-0.05)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_shapelets_come_back(matrix, double, tmp_path):
    scene, where = Scene.of(mass=SCENE.mass, source=SHAPELETS), observation(matrix)
    write_coolest(tmp_path / "lens.json", scene, where)
    again = read_coolest(tmp_path / "lens.json", where)
    assert_same(again, scene)
    upright = nl.simulate.render_scene(observation(), read_coolest(tmp_path / "lens.json"))
    np.testing.assert_allclose(upright, nl.simulate.render_scene(where, scene), atol=1e-9)


def test_shapelets_mean_the_same_there(theirs, double):
    api = pytest.importorskip("coolest.api.profiles.light")
    scene = Scene.of(mass=SCENE.mass, source=SHAPELETS)
    profile = theirs(scene, draws=[scene, scene]).lensing_entities[-1].light_model[0]
    median = profile.parameters["amps"].posterior_stats.median
    np.testing.assert_allclose(median, SHAPELETS.amp, atol=1e-12)
    brightness = api.Shapelets().evaluate_surface_brightness(X, Y, **values_of(profile))
    np.testing.assert_allclose(SHAPELETS.brightness(X, Y), brightness, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("n_max", 2, r"n_max = 2 and 10"),
        ("n_max", -1, r"n_max = -1 and 10"),
        ("amps", [1.0, None], "a list of finite numbers"),
        ("amps", 1.0, "a list of finite numbers"),
        ("amps", [], "no point estimate of amps"),
        ("beta", [0.2], "a finite number"),
    ],
)
def test_shapelets_that_do_not_fit_are_named(tmp_path, name, value, words):
    path = tmp_path / "lens.json"
    write_coolest(path, Scene.of(mass=SCENE.mass, source=SHAPELETS), observation())
    content = json.loads(path.read_text())
    source = content["lensing_entities"][-1]["light_model"][0]
    source["parameters"][name]["point_estimate"]["value"] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        read_coolest(path)


def test_draws_become_statistics(theirs):
    """An axis near 90 degrees: draws on either side are not 180 degrees apart."""
    spread = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    draws = [Scene.of(mass=nl.mass.SIE(theta_E=1.0 + s, e1=0.1, e2=s)) for s in spread]
    lens = theirs(draws[2], draws=draws).lensing_entities[0]
    theta_E, phi = (lens.mass_model[0].parameters[name] for name in ("theta_E", "phi"))
    assert theta_E.posterior_stats.mean == pytest.approx(1.0)
    assert theta_E.posterior_stats.percentile_84th == pytest.approx(np.quantile(1 + spread, 0.84))
    assert phi.posterior_stats.median == pytest.approx(90.0)
    assert 84.0 < phi.posterior_stats.percentile_16th < 90.0


def test_a_sphere_is_a_round_ellipsoid(tmp_path):
    write_coolest(tmp_path / "lens.json", Scene.of(mass=nl.mass.SIS(theta_E=1.3)), observation())
    lens = read_coolest(tmp_path / "lens.json").mass
    assert isinstance(lens, nl.mass.SIE)
    assert (lens.theta_E, lens.e1, lens.e2) == (1.3, 0.0, 0.0)


def test_what_cannot_go_over_is_told(tmp_path):
    path = tmp_path / "lens.json"
    with pytest.raises(ValueError, match=r"PointMass has no counterpart.*EPL"):
        write_coolest(path, Scene.of(mass=nl.mass.PointMass(theta_E=1.0)), observation())
    with pytest.raises(ValueError, match="square pixels"):
        write_coolest(path, SCENE, observation(np.diag([0.1, 0.2])))
    assert not list(tmp_path.iterdir())
    write_coolest(path, SCENE, observation(), lens_redshift=0.5, source_redshift=2.0)
    text = path.read_text()
    path.write_text(text.replace("PEMD", "NFW"))
    with pytest.raises(ValueError, match=r"COOLEST's NFW has no counterpart.*PEMD"):
        read_coolest(path)
    path.write_text(text.replace('"value": 1.1\n', '"value": null\n'))
    with pytest.raises(ValueError, match="no point estimate of theta_E"):
        read_coolest(path)
    path.write_text(text.replace('"redshift": 0.5', '"redshift": 0.7', 1))
    with pytest.raises(ValueError, match=r"one lens plane.*0\.5, 0\.7"):
        read_coolest(path)


# --- templates of others -------------------------------------------------------------------------


def template(tmp_path, change, mass_only=False):
    """What we write, changed; the path."""
    path = tmp_path / "lens.json"
    scene = Scene.of(mass=SCENE.mass) if mass_only else SCENE
    write_coolest(path, scene, observation(), lens_redshift=0.5, source_redshift=2.0)
    content = json.loads(path.read_text())
    change(content["lensing_entities"])
    path.write_text(json.dumps(content))
    return path


def lens_parameters(entities):
    return entities[0]["mass_model"][0]["parameters"]


def test_medians_stand_in_for_point_estimates(tmp_path):
    def change(entities):
        for parameter in lens_parameters(entities).values():
            value = parameter["point_estimate"].pop("value")
            parameter["posterior_stats"] = {"median": value}

    assert_same(read_coolest(template(tmp_path, change)), SCENE)


def test_pixelated_parts_are_left_out_with_a_word(tmp_path):
    def change(entities):
        pixels = {"type": "IrregularGrid", "parameters": {"pixels": {}}}
        entities[-1]["light_model"] = [pixels]

    with pytest.warns(UserWarning, match="IrregularGrid of 'source' is left out"):
        scene = read_coolest(template(tmp_path, change))
    assert scene.source is None
    assert_same(scene.mass, SCENE.mass)


def without_values(profile):
    for parameter in profile["parameters"].values():
        parameter["point_estimate"]["value"] = None


def test_a_profile_before_its_fit_is_left_out_with_a_word(tmp_path):
    def change(entities):
        without_values(entities[0]["light_model"][0])

    with pytest.warns(UserWarning, match="Sersic of 'lens' is left out: none of its parameters"):
        scene = read_coolest(template(tmp_path, change))
    assert isinstance(scene.lens_light, nl.light.Uniform)
    assert_same(scene.mass, SCENE.mass)


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_template_of_which_nothing_is_left_is_an_error(tmp_path):
    def change(entities):
        for entity in entities:
            for profile in entity["mass_model"] + entity.get("light_model", []):
                without_values(profile)
        entities[-1]["light_model"] = [{"type": "PixelatedRegularGrid", "parameters": {}}]

    with pytest.raises(ValueError, match="no profile with values: it holds pixels, or a model bef"):
        read_coolest(template(tmp_path, change))


def test_all_parameters_without_a_value_are_named(tmp_path):
    def change(entities):
        for name in ("q", "phi"):
            lens_parameters(entities)[name]["point_estimate"]["value"] = None

    with pytest.raises(ValueError, match="no point estimate of q, phi and no median: the template"):
        read_coolest(template(tmp_path, change))


def pickled(part):
    """As jsonpickle writes lists of COOLEST's own classes."""
    if isinstance(part, dict):
        return {"py/object": "coolest.Part"} | {name: pickled(v) for name, v in part.items()}
    if isinstance(part, list):
        return {"py/object": "coolest.List", "py/seq": [pickled(value) for value in part]}
    return part


def test_the_files_of_their_python_package(tmp_path):
    path = template(tmp_path, lambda entities: None)
    content = json.loads(path.read_text())
    content["lensing_entities"] = pickled(content["lensing_entities"])
    for entity in content["lensing_entities"]["py/seq"]:
        for profile in entity["mass_model"]["py/seq"]:
            del profile["parameters"]["py/object"]
        for profile in entity.get("light_model", {"py/seq": []})["py/seq"]:
            del profile["parameters"]["py/object"]
    path.write_text(json.dumps(content))
    assert_same(read_coolest(path), SCENE)


def test_light_between_lens_and_source_is_an_error(tmp_path):
    def change(entities):
        between = json.loads(json.dumps(entities[-1])) | {"redshift": 1.5, "name": "companion"}
        entities.append(between)

    with pytest.raises(ValueError, match="light between it and the lens, of companion"):
        read_coolest(template(tmp_path, change))

    def with_pixels(entities):
        change(entities)
        entities[-1]["light_model"] = [{"type": "IrregularGrid", "parameters": {}}]

    with pytest.warns(UserWarning, match="IrregularGrid of 'companion'"):
        assert_same(read_coolest(template(tmp_path, with_pixels)), SCENE)


def test_mass_alone(tmp_path):
    scene = read_coolest(template(tmp_path, lambda entities: None, mass_only=True))
    assert scene.source is None
    assert_same(scene.mass, SCENE.mass)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("q", 0.0, "q of PEMD must be above 0"),
        ("q", 1.5, "q of PEMD must be above 0"),
        ("theta_E", float("nan"), "finite number"),
        ("theta_E", "1.2", "finite number"),
        ("theta_E", None, "no point estimate of theta_E"),
    ],
)
def test_values_out_of_range_are_named(tmp_path, name, value, words):
    def change(entities):
        lens_parameters(entities)[name]["point_estimate"]["value"] = value

    with pytest.raises(ValueError, match=words):
        read_coolest(template(tmp_path, change))


@pytest.mark.parametrize("name", ["q", "phi", "center_x", "theta_E"])
def test_missing_and_unknown_parameters_are_named(tmp_path, name):
    def change(entities):
        parameters = lens_parameters(entities)
        parameters["twist"] = parameters.pop(name)

    with pytest.raises(ValueError, match=f"missing: {name}, unknown: twist"):
        read_coolest(template(tmp_path, change))


def test_what_is_no_template(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_coolest(tmp_path / "none.json")
    for text in ("no JSON", "{}", "[]", '{"lensing_entities": 3}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match="no COOLEST template"):
            read_coolest(tmp_path / "other.json")
