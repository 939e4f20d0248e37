"""Numbers that are computed from draws, where they are known."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import numpyro_lens as nl
from numpyro_lens.density import Target
from numpyro_lens.fitting import derived


@pytest.fixture(scope="module")
def camera():
    return nl.Observation.blank((80, 80), pixel_scale=0.06, noise=nl.NoiseMap(0.1), supersampling=4)


def model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3))
    source = nl.light.Gaussian(amp=10.0, sigma=0.02, center_x=0.25)
    sky = nl.light.Uniform(amp=nl.Linear(scale=100.0, name="sky.amp"))
    light = nl.light.Gaussian(amp=nl.Linear(scale=100.0, name="disc.amp"), sigma=0.4)
    nl.observe("image", observation, mass=lens, source=source, lens_light=[light, sky])


def test_of_an_isothermal_sphere_and_a_small_source(camera):
    """Two images of a point at β have the magnification 2 θ_E/β; each draw has its own radius."""
    image = nl.render(
        camera,
        mass=nl.mass.SIS(theta_E=1.0),
        source=nl.light.Gaussian(amp=10.0, sigma=0.02, center_x=0.25),
        lens_light=[nl.light.Gaussian(amp=7.0, sigma=0.4), nl.light.Uniform(amp=3.0)],
    )
    target = Target.of(model, camera.with_image(image))
    radii = np.array([0.9, 1.0, 1.1])
    z = np.log(radii)[:, None]
    found = derived.of_scenes(target, z)
    np.testing.assert_allclose(found["image.einstein_radius"], radii, rtol=1e-3)
    np.testing.assert_allclose(found["image.magnification"], 2.0 * radii / 0.25, rtol=0.02)
    np.testing.assert_allclose(found["image.source_flux"], 10.0, rtol=1e-3)
    # At the truth; a sky does not count.
    np.testing.assert_allclose(found["image.lens_light_flux"][1], 7.0, rtol=1e-2)
    magnitude = derived.magnitudes(found, 25.0)["image.source_magnitude"]
    np.testing.assert_allclose(magnitude, 22.5, atol=2e-3)


def two_sources(*bands):
    """The nearer source sees 0.6 of the deflection; a sky in its plane is no part of it."""
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3))
    scaling = jnp.array([[0.0, 0.6, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    near = nl.light.Gaussian(amp=10.0, sigma=0.02, center_x=0.15)
    far = nl.light.Gaussian(amp=4.0, sigma=0.02, center_y=0.25)
    planes = [nl.Plane(lens), nl.Plane(light=[near, nl.light.Uniform(1.0)]), nl.Plane(light=far)]
    for number, band in enumerate(bands):
        nl.observe(f"band{number}", band, planes=planes, scaling=scaling)


def test_each_source_of_several_planes_has_its_numbers(camera):
    radii = np.array([0.9, 1.1])
    found = derived.of_scenes(Target.of(two_sources, camera), np.log(radii)[:, None])
    np.testing.assert_allclose(found["band0.einstein_radius"], radii, rtol=1e-3)
    np.testing.assert_allclose(found["band0.plane_1.einstein_radius"], 0.6 * radii, rtol=1e-3)
    np.testing.assert_allclose(found["band0.magnification"], 2.0 * radii / 0.25, rtol=0.02)
    expected = 2.0 * 0.6 * radii / 0.15
    np.testing.assert_allclose(found["band0.plane_1.magnification"], expected, rtol=0.02)
    np.testing.assert_allclose(found["band0.source_flux"], 4.0, rtol=1e-3)
    np.testing.assert_allclose(found["band0.plane_1.source_flux"], 10.0, rtol=1e-3)
    assert set(derived.magnitudes(found, 25.0)) == {
        "band0.source_magnitude",
        "band0.plane_1.source_magnitude",
    }


def test_bands_of_one_mass_share_its_radius(camera, monkeypatch):
    looked = []
    monkeypatch.setattr(derived, "einstein_radius", lambda *_, **__: float(looked.append(1) or 0.5))
    found = derived.of_scenes(Target.of(two_sources, camera, camera), np.zeros((3, 1)))
    assert len(looked) == 2 * 3  # planes times draws
    assert sum(name.endswith("einstein_radius") for name in found) == 4


def test_angles_do_not_jump():
    phi = np.radians(np.array([85.0, 89.0, -89.0, -85.0]))
    samples = {"lens.e1": 0.2 * np.cos(2 * phi), "lens.e2": 0.2 * np.sin(2 * phi)}
    found = derived.polar(samples)
    np.testing.assert_allclose(np.sort(np.abs(found["lens.phi"])), [85, 89, 91, 95], atol=1e-3)
    assert np.ptp(found["lens.phi"]) < 11.0
    np.testing.assert_allclose(found["lens.q"], 0.8 / 1.2, rtol=1e-6)


def test_only_pairs_of_numbers_become_polar():
    samples = {
        "shear.gamma1": np.array([0.03]),
        "shear.gamma2": np.array([0.04]),
        "members.e1": np.zeros((1, 5)),
        "members.e2": np.zeros((1, 5)),
        "alone.e1": np.array([0.1]),
    }
    found = derived.polar(samples)
    assert set(found) == {"shear.gamma_ext", "shear.phi_ext"}
    np.testing.assert_allclose(found["shear.gamma_ext"], 0.05, rtol=1e-6)


def test_a_lens_without_a_critical_curve_has_no_radius(camera):
    def weak(observation):
        kappa = nl.sample("sheet", nl.mass.ConvergenceSheet, kappa=dist.Normal(0.0, 0.01))
        nl.observe("image", observation, mass=kappa, source=nl.light.Gaussian(1.0, 0.3))

    found = derived.of_scenes(Target.of(weak, camera), np.zeros((1, 1)))
    assert np.isnan(found["image.einstein_radius"]).all()


def test_the_table_has_intervals():
    values = {"a": np.arange(1001.0), "b": np.append(np.zeros(3), np.nan)}
    table = derived.table(values)
    np.testing.assert_allclose(table.loc["a"], [500.0, 160.0, 840.0])
    assert (table.loc["b"] == 0.0).all()
    assert jnp.isfinite(table.to_numpy()).all()
