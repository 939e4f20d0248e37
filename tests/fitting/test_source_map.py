"""Coordinates along the lens equation: exact, of volume one, and straight where a lens is bent."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import numpyro_lens as nl
from numpyro_lens.fitting import source_map
from numpyro_lens.fitting.source_map import Pixel, PixelFeatures
from numpyro_lens.infer import HMC, SVIResult, Target
from numpyro_lens.infer.diagnostics import ess
from numpyro_lens.infer.map import prior_draws
from numpyro_lens.sampler import Additive, Affine, Quadratic

PIXEL = Pixel(0.9, 0.4, 0.1)


def sheet(observation):
    """A source that is tied to where a ray comes from, and data that say nothing.

    The posterior is the prior: its moments are known, and it is a thin curved sheet.
    """
    lens = nl.sample(
        "lens", nl.mass.EPL, theta_E=dist.Normal(1.0, 0.1), gamma=dist.Normal(2.0, 0.15)
    )
    x, y = nl.lensing.ray_trace(lens, PIXEL.x, PIXEL.y)
    source = nl.sample(
        "source",
        nl.light.Gaussian,
        amp=1.0,
        sigma=0.2,
        center_x=dist.Normal(x, 0.003),
        center_y=dist.Normal(y, 0.003),
    )
    nl.observe("image", observation, mass=lens, source=source)


def empty(number=9):
    return nl.Observation.blank(
        (number, number), pixel_scale=0.3, noise=nl.NoiseMap(1e6), supersampling=1
    )


def sheet_draws(number=256, seed=0, model=sheet):
    target = Target.of(model, empty())
    z = prior_draws(target, jax.random.split(jax.random.key(seed), number))
    return target, z, jax.vmap(jax.grad(target.log_density))(z)


def divergence(frame, z, gradient):
    """Mean Fisher divergence from the standard normal for each dimension."""
    u = frame.whiten(z)
    score = frame.pull_back(u, gradient)
    return float(jnp.mean((u + score) ** 2))


def normal(dim, loc=0.0):
    return Affine(jnp.full(dim, loc), jnp.eye(dim))


@pytest.mark.usefixtures("double")
def test_features_of_a_linear_lens_are_its_own():
    def model(observation):
        shear = nl.sample(
            "shear", nl.mass.Shear, gamma1=dist.Normal(0, 1), gamma2=dist.Normal(0, 1)
        )
        source = nl.light.Gaussian(amp=1.0, sigma=0.2)
        nl.observe("image", observation, mass=shear, source=source)

    phi = PixelFeatures(Target.of(model, empty()), "image", PIXEL)(jnp.array([0.1, -0.2]))
    beta = 0.9 * 0.9 + 0.2 * 0.4, 1.1 * 0.4 + 0.2 * 0.9
    log_area = 0.5 * np.log((1.0 - 0.1**2 - 0.2**2) ** 2 + 0.01)
    np.testing.assert_allclose(phi, [*beta, log_area, -0.2, 0.4], rtol=1e-12)


def test_the_brightest_pixel_is_on_the_arc():
    def model(observation):
        lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(1.0, 1.0))
        source = nl.light.Gaussian(amp=1.0, sigma=0.05, center_x=0.5)
        sky = nl.light.Uniform(amp=100.0)
        nl.observe("image", observation, mass=lens, source=source, lens_light=sky)

    found = source_map(Target.of(model, empty(21)), normal(1, loc=1.0))
    assert isinstance(found, Additive)
    np.testing.assert_allclose(found.features.pixel, (1.5, 0.0, 0.3), atol=1e-6)


@pytest.mark.parametrize("part", ["source", "lens_light"])
def test_nothing_is_lensed_without_mass_or_source(part):
    def model(observation):
        light = nl.sample("light", nl.light.Uniform, amp=dist.Normal(0.0, 1.0))
        mass = nl.mass.SIS(theta_E=1.0) if part == "lens_light" else None
        nl.observe("image", observation, mass=mass, **{part: light})

    assert isinstance(source_map(Target.of(model, empty()), normal(1)), Quadratic)


def test_the_sheet_of_a_lens_is_made_flat():
    target, *draws = sheet_draws()
    metric = Affine(jnp.mean(draws[0], axis=0), jnp.linalg.cholesky(jnp.cov(draws[0].T)))
    follows = source_map(target, metric)
    follows = eqx.tree_at(lambda m: m.features.pixel, follows, PIXEL)
    _, *fresh = sheet_draws(seed=1)
    assert divergence(follows.fit(*draws), *fresh) < 0.02
    assert divergence(Quadratic.of(metric).fit(*draws), *fresh) > 1.0


def test_the_map_begins_as_the_gaussian():
    target, z, _ = sheet_draws(8)
    metric = normal(4, loc=0.3)
    np.testing.assert_allclose(source_map(target, metric)(z), metric(z), rtol=1e-6)


def two_sheets(observation, near_width):
    """Sources of two planes, each tied to where a ray comes from.

    The ray to the farther one is deflected by the nearer one where that really is.
    """
    lens = nl.sample(
        "lens", nl.mass.EPL, theta_E=dist.Normal(1.0, 0.1), gamma=dist.Normal(2.0, 0.15)
    )
    scaling = jnp.zeros((3, 3)).at[:2, 2].set(1.0).at[0, 1].set(0.6)
    tied, planes = {}, [nl.Plane(lens)]
    for number, name, width in ((1, "near", near_width), (2, "far", 0.003)):
        scene = nl.Scene.of(
            planes=[*planes, nl.Plane()], scaling=scaling[: number + 1, : number + 1]
        )
        x, y = nl.scene.ray_trace(scene, PIXEL.x, PIXEL.y, to=number)
        tied[name] = nl.sample(
            name,
            nl.light.Gaussian,
            amp=1.0,
            sigma=0.2,
            center_x=dist.Normal(x, width),
            center_y=dist.Normal(y, width),
        )
        halo = nl.mass.SIS(0.5, tied[name].center_x + 0.3, tied[name].center_y)
        planes.append(nl.Plane(halo if number == 1 else None, tied[name]))
    nl.observe("image", observation, planes=planes, scaling=scaling)


@pytest.mark.parametrize("width", [0.05, 0.003], ids=["nearer loosely tied", "nearer tied"])
def test_each_source_of_two_planes_follows_the_mass(width):
    """The place of the nearer one, which deflects, is one of the features of the farther."""
    model = functools.partial(two_sheets, near_width=width)
    target, *draws = sheet_draws(model=model)
    metric = Affine(jnp.mean(draws[0], axis=0), jnp.linalg.cholesky(jnp.cov(draws[0].T)))
    follows = source_map(target, metric)
    assert [follows.features.plane, follows.inner.features.plane] == [2, 1]
    follows = eqx.tree_at(
        lambda m: (m.features.pixel, m.inner.features.pixel), follows, (PIXEL, PIXEL)
    )
    nearer = follows.inner
    farther = eqx.tree_at(lambda m: m.inner, follows, Quadratic.of(metric))
    _, *fresh = sheet_draws(seed=1, model=model)
    fitted = follows.fit(*draws)
    left = divergence(fitted, *fresh)
    assert left < 0.05
    alone = nearer if width > 0.01 else farther
    assert divergence(alone.fit(*draws), *fresh) > 30.0 * left
    np.testing.assert_allclose(fitted(fitted.whiten(fresh[0])), fresh[0], rtol=1e-4, atol=1e-5)


def test_the_brightest_pixel_is_that_of_each_plane():
    def model(observation):
        lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(1.0, 1.0))
        scaling = jnp.array([[0.0, 0.5, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
        near = nl.light.Gaussian(amp=1.0, sigma=0.05, center_x=1.0)
        far = nl.light.Gaussian(amp=9.0, sigma=0.05, center_y=-0.5)
        planes = [nl.Plane(lens), nl.Plane(None, near), nl.Plane(None, far)]
        nl.observe("image", observation, planes=planes, scaling=scaling)

    found = source_map(Target.of(model, empty(21)), normal(1, loc=1.0))
    np.testing.assert_allclose(found.features.pixel, (0.0, -1.5, 0.3), atol=1e-6)
    np.testing.assert_allclose(found.inner.features.pixel, (1.5, 0.0, 0.3), atol=1e-6)


def test_chains_on_a_sheet_have_the_moments_of_the_prior():
    target = Target.of(sheet, empty())
    lens = nl.mass.EPL(theta_E=1.0, gamma=2.0)
    x, y = nl.lensing.ray_trace(lens, PIXEL.x, PIXEL.y)
    values = {"lens.theta_E": 1.0, "lens.gamma": 2.0, "source.center_x": x, "source.center_y": y}
    center = target.unconstrain(values)
    hessian = jax.hessian(target.log_density)(center)
    tril = np.linalg.cholesky(np.linalg.inv(-np.asarray(hessian, dtype=float)))
    start = SVIResult(target, np.asarray(center), tril, np.zeros(0), np.nan, {}, {})
    settings = HMC(make_map=source_map)
    result = settings.run(target, jax.random.key(3), svi=start, progress=False)
    assert result.verdict.max_r_hat[0] < 1.01
    for name, mean, sd in (("lens.theta_E", 1.0, 0.1), ("lens.gamma", 2.0, 0.15)):
        offset = (np.asarray(result.samples[name], dtype=float) - mean) / sd
        for moment, expected in ((offset, 0.0), (offset**2, 1.0)):
            error = moment.std() / np.sqrt(ess(moment[..., None]).min())
            assert abs(moment.mean() - expected) < 4.0 * error


def test_a_model_without_a_lens_has_no_pixel():
    def model(data):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=data)

    found = source_map(Target.of(model, jnp.asarray(0.3)), normal(1))
    assert isinstance(found, Quadratic)
