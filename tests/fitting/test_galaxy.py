"""The steps that fit a galaxy lensed by a galaxy."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.handlers as handlers
import pytest

import numpyro_lens as nl
from numpyro_lens.density import Target
from numpyro_lens.fitting.galaxy import field_of, search_galaxy
from numpyro_lens.infer import MAP


def lens(shape=(60, 60), pixel_scale=0.08):
    """A mock with a lens of two ellipticities and a source with a companion."""
    camera = nl.Observation.blank(
        shape,
        pixel_scale=pixel_scale,
        noise=nl.NoiseMap(0.02),
        psf=nl.GaussianPSF(fwhm=0.12),
    )
    place = {"center_x": 0.02, "center_y": -0.03}
    return nl.mock(
        camera,
        jax.random.key(0),
        mass=nl.mass.EPL(theta_E=1.1, gamma=2.1, e1=0.1, e2=0.03, **place)
        + nl.mass.Shear(gamma1=0.03, gamma2=-0.02),
        lens_light=[
            nl.light.Sersic(20.0, 0.5, 4.0, e1=0.1, e2=0.05, smoothing=0.02, **place),
            nl.light.Sersic(2.0, 1.5, 1.0, e1=0.25, e2=-0.05, smoothing=0.02, **place),
        ],
        source=[
            nl.light.Sersic(20.0, 0.15, 1.0, e1=0.2, center_x=0.12, center_y=0.06),
            nl.light.Gaussian(0.3, 0.04, center_x=0.0, center_y=0.15),
        ],
    )


@pytest.mark.parametrize("model", [nl.models.galaxy, nl.models.galaxy_sersic])
@pytest.mark.parametrize("bands", [1, 2])
def test_models_are_finite_over_their_prior(model, bands):
    data = lens((30, 30), 0.16)
    observation = data if bands == 1 else {"VIS": data, "NIR": data}
    target = Target.of(model, observation)
    keys = jax.random.split(jax.random.key(0), 8)
    draws = jax.jit(jax.vmap(target.prior_draw))(keys)
    value, gradient = jax.jit(jax.vmap(jax.value_and_grad(target.log_density)))(draws)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


def test_the_mass_knows_the_light():
    """Where the light moves, the prior of the mass follows."""
    target = Target.of(nl.models.galaxy_sersic, lens((30, 30), 0.16))
    keys = jax.random.split(jax.random.key(0), 500)
    given = {"lens_light.center_x": jnp.array(0.4), "lens_light.e1": jnp.array(-0.3)}
    draws = jax.vmap(target.prior_draw, (0, None))(keys, given)
    values = jax.vmap(target.constrain)(draws)
    np.testing.assert_allclose(np.mean(values["lens.center_x"]), 0.4, atol=4 * 0.03 / 500**0.5)
    far = jax.vmap(target.constrain)(jnp.full((1, target.dim), 6.0))
    (offset,) = far["lens.center_x"] - far["lens_light.center_x"]
    assert 0.08 < float(offset) <= 0.09 + 1e-6
    np.testing.assert_allclose(np.std(values["lens.e1"]), 0.12, rtol=0.15)
    np.testing.assert_allclose(np.mean(values["lens.e1"]), -0.3, atol=4 * 0.12 / 500**0.5)


def test_gaussians_are_as_bright_as_the_image():
    """Their prior follows its unit and its profile: it falls with radius as the galaxy does."""
    data = lens((30, 30), 0.16)
    bright = nl.Observation(
        1e3 * data.image, pixel_scale=0.16, noise=nl.NoiseMap(20.0), psf=nl.GaussianPSF(fwhm=0.12)
    )

    def widths(observation):
        seeded = handlers.seed(nl.models.galaxy_unlensed, jax.random.key(0))
        pixels = handlers.trace(seeded).get_trace(observation)["image"]["fn"]
        return {p.name: np.asarray(p.scale) for p in pixels.image.priors}

    found, scaled = widths(data), widths(bright)
    for name in ("lens_light.amp", "halo.amp", "dipole.amp"):
        np.testing.assert_allclose(scaled[name], 1e3 * found[name], rtol=1e-5)
    sigma = np.geomspace(0.08, 0.16 * 14.5, 10)
    level = found["halo.amp"] / (np.pi * sigma**2)
    assert (np.diff(level) <= 0.0).all()
    assert level[0] > 20.0 * level[-1]


def test_bands_share_the_mass_and_have_their_own_amplitudes():
    data = lens((30, 30), 0.16)
    seeded = handlers.seed(nl.models.galaxy, jax.random.key(0))
    trace = handlers.trace(seeded).get_trace({"VIS": data, "NIR": data})
    assert {"VIS", "NIR", "lens.theta_E", "NIR.dx", "VIS.detail.sigma", "NIR.detail.sigma"} <= set(
        trace
    )
    assert "VIS.dx" not in trace
    names = {p.name for p in trace["NIR"]["fn"].image.priors}
    assert {"NIR.lens_light.amp", "NIR.halo.amp", "NIR.sky.amp", "NIR.detail.amp"} <= names


def test_neighbours_deflect_as_their_light_says():
    members = {
        "luminosity": np.array([1.0, 0.25]),
        "center_x": np.array([2.0, -1.5]),
        "center_y": np.array([0.5, 1.0]),
    }
    target = Target.of(nl.models.galaxy, lens((30, 30), 0.16), 3, 2, members)
    trace = target.trace(jax.jit(lambda key: target.prior_draw(key))(jax.random.key(0)))
    (near, _) = nl.models.scenes(trace)["image"].planes
    fields = ("theta_E", "gamma", "e1", "e2", "center_x", "center_y")
    alone = nl.mass.EPL(**{name: trace[f"lens.{name}"]["value"] for name in fields})
    alone = alone + nl.mass.Shear(*(trace[f"shear.gamma{i}"]["value"] for i in (1, 2)))
    radius = trace["member.theta_E"]["value"]
    spheres = [
        nl.mass.SIS(radius * share, x, y) for share, x, y in ((1.0, 2.0, 0.5), (0.5, -1.5, 1.0))
    ]
    x, y = jnp.array([0.7, -1.1]), jnp.array([0.2, 0.9])
    for found, *each in zip(
        near.mass.deflection(x, y), *(m.deflection(x, y) for m in (alone, *spheres)), strict=True
    ):
        np.testing.assert_allclose(found, sum(each), rtol=1e-4, atol=1e-6)


def test_members_have_their_names():
    with pytest.raises(ValueError, match="got luminosity, x"):
        Target.of(nl.models.galaxy, lens((30, 30), 0.16), 3, 2, {"luminosity": 1.0, "x": 2.0})


@pytest.mark.slow
def test_it_finds_a_mock():
    """Search, cutout and the free-form step end at the truth, without a hand."""
    data = lens()
    found = search_galaxy(data, progress=False)
    radius, center = field_of(found)
    np.testing.assert_allclose(radius, 2.2, rtol=0.05)
    np.testing.assert_allclose(center, [0.02, -0.03], atol=0.02)
    target = Target.of(nl.models.galaxy, nl.cutout(data, radius, center))
    stage = MAP(num_starts=4, num_screened=16, num_steps=100, num_polished=1)
    best = stage.run(target, jax.random.key(1), start=found, progress=False)
    values = {name: float(v[best.basins[0].start]) for name, v in best.samples.items()}
    np.testing.assert_allclose(values["lens.theta_E"], 1.1, rtol=0.02)
    np.testing.assert_allclose(values["lens.gamma"], 2.1, atol=0.2)
    np.testing.assert_allclose(values["shear.gamma1"], 0.03, atol=0.03)
    view = nl.models.scenes(target.trace(jnp.asarray(best.best[0])))
    assert list(view) == ["image"]
