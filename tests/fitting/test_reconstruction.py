"""The source without the lens, and the image without the lens's light."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.density import Target
from numpyro_lens.fitting import reconstruction


def model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3))
    amp = nl.Linear(scale=100.0, name="source.amp")
    source = nl.light.Gaussian(amp=amp, sigma=0.1, center_x=0.2, center_y=-0.1)
    front = nl.light.Gaussian(amp=5.0, sigma=0.4)
    nl.observe("image", observation, mass=lens, source=source, lens_light=front)


@pytest.fixture(scope="module")
def target():
    camera = nl.Observation.blank(
        (50, 50), pixel_scale=0.08, noise=nl.NoiseMap(0.01), sky_position=(150.0, 2.0)
    )
    image = nl.render(
        camera,
        mass=nl.mass.SIS(theta_E=1.0),
        source=nl.light.Gaussian(amp=7.0, sigma=0.1, center_x=0.2, center_y=-0.1),
        lens_light=nl.light.Gaussian(amp=5.0, sigma=0.4),
    )
    return Target.of(model, camera.with_image(image))


def reconstructed(target, **settings):
    z = np.zeros((20, 1))
    settings = {"pixels": 60, "half_width": None, "seed": 0} | settings
    return reconstruction.source_image(target, z, "image", target.args[0], **settings)


def test_the_source_is_where_it_is_and_has_its_flux(target):
    found = reconstructed(target)
    flux = np.asarray(found.image, dtype=float)
    np.testing.assert_allclose(flux.sum(), 7.0, rtol=0.02)
    np.testing.assert_allclose((flux * found.x).sum() / flux.sum(), 0.2, atol=5e-3)
    np.testing.assert_allclose((flux * found.y).sum() / flux.sum(), -0.1, atol=5e-3)
    assert found.shape == (60, 60)
    np.testing.assert_allclose(found.sky_position, (150.0, 2.0))


def test_the_source_of_any_plane():
    def model(observation):
        amp = numpyro.sample("amp", dist.LogNormal(0.0, 0.3))
        near = nl.light.Gaussian(amp=amp, sigma=0.1, center_x=0.4)
        far = nl.light.Gaussian(amp=3.0, sigma=0.1, center_x=-0.2)
        planes = [nl.Plane(nl.mass.SIS(1.0)), nl.Plane(light=near), nl.Plane(light=far)]
        nl.observe("image", observation, planes=planes, scaling=jnp.full((3, 3), 0.6))

    camera = nl.Observation.blank((30, 30), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
    fit = fitted(model, camera)
    mean = float(np.mean(fit.samples["amp"]))
    for plane, center, flux in ((1, 0.4, mean), (2, -0.2, 3.0), (-1, -0.2, 3.0)):
        found = fit.source(plane=plane, num=fit.samples["amp"].size, pixels=40)
        image = np.asarray(found.image)
        np.testing.assert_allclose((image * found.x).sum() / image.sum(), center, atol=0.01)
        np.testing.assert_allclose(image.sum(), flux, rtol=0.03)
    for plane in (0, 3, -3):
        with pytest.raises(
            ValueError, match=rf"got plane {plane} of .* in 1, 2 of its planes 1 to"
        ):
            fit.source(plane=plane)


def test_its_noise_is_that_of_the_amplitude(target):
    """At fixed mass the only freedom is the amplitude, so mean over deviation is one number."""
    found = reconstructed(target)
    bright = np.asarray(found.image) > 0.1 * np.asarray(found.image).max()
    ratio = np.asarray(found.image / found.noise.sigma(found.image))[bright]
    assert np.ptp(ratio) < 1e-2 * ratio.mean()
    assert ratio.mean() > 100.0


def test_the_window_is_given_or_found(target):
    side = reconstructed(target, half_width=0.5, pixels=50)
    np.testing.assert_allclose(np.sqrt(side.pixel_area), 0.02, rtol=1e-5)
    found = reconstructed(target)
    assert 0.3 < 0.5 * 60 * float(np.sqrt(found.pixel_area)) < 0.6


def test_a_wide_window_shows_where_there_is_no_light(target):
    found = reconstructed(target, half_width=4.0)
    sigma = np.asarray(found.noise.sigma(found.image))
    assert sigma.min() > 0.0
    assert sigma.max() > 1e3 * sigma.min()


def test_without_the_foreground_arcs_remain(target):
    data = target.args[0]
    scene = nl.Scene.of(
        mass=nl.mass.SIS(theta_E=1.0),
        source=nl.light.Gaussian(amp=7.0, sigma=0.1, center_x=0.2, center_y=-0.1),
        lens_light=nl.light.Gaussian(amp=5.0, sigma=0.4),
    )
    arcs = reconstruction.without_foreground(data, scene)
    expected = nl.render(data, mass=scene.mass, source=scene.source)
    np.testing.assert_allclose(arcs.image, expected, atol=1e-5)
    np.testing.assert_allclose(jnp.sum(data.image - arcs.image), 5.0, rtol=1e-3)
