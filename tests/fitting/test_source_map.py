"""Coordinates along the lens equation: exact, of volume one, and straight where a lens is bent."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro_lens.infer.coupling import (
    CoupledTransport,
    Pixel,
    brightest_pixel,
    features,
)
from numpyro_lens.infer.density import Affine
from numpyro_lens.infer.transport import Transport

import numpyro_lens as nl
from numpyro_lens.infer import HMC, SVIResult, flat_model
from numpyro_lens.infer.diagnostics import ess

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
    image = nl.render(observation, mass=lens, source=source)
    nl.observe("image", image, observation)


def empty(number=9):
    data = np.zeros((number, number))
    return nl.Observation(data, pixel_scale=0.3, noise=nl.NoiseMap(1e6), supersampling=1)


def sheet_draws(number=256, seed=0):
    args = (empty(),)
    flat = flat_model(sheet, args)
    draw = jax.vmap(lambda key: flat.prior_draw(key, args))
    z = draw(jax.random.split(jax.random.key(seed), number))
    return flat, args, z, jax.vmap(jax.grad(flat.log_density), (0, None))(z, args)


def divergence(transport, z, gradient):
    """Mean Fisher divergence from the standard normal for each dimension."""
    u = transport.whiten(z)
    score = transport.pull_back(u, gradient)
    return float(jnp.mean((u + score) ** 2))


def whitened(z):
    covariance = jnp.cov(z.T)
    return Transport.of(Affine(jnp.mean(z, axis=0), jnp.linalg.cholesky(covariance)), 5)


@pytest.mark.usefixtures("double")
def test_features_of_a_linear_lens_are_its_own():
    def model(observation):
        shear = nl.sample(
            "shear", nl.mass.Shear, gamma1=dist.Normal(0, 1), gamma2=dist.Normal(0, 1)
        )
        source = nl.light.Gaussian(amp=1.0, sigma=0.2)
        nl.observe("image", nl.render(observation, mass=shear, source=source), observation)

    args = (empty(),)
    phi = features(flat_model(model, args), PIXEL, jnp.array([0.1, -0.2]), args)
    beta = 0.9 * 0.9 + 0.2 * 0.4, 1.1 * 0.4 + 0.2 * 0.9
    log_area = 0.5 * np.log((1.0 - 0.1**2 - 0.2**2) ** 2 + 0.01)
    np.testing.assert_allclose(phi, [*beta, log_area, -0.2, 0.4], rtol=1e-12)


def test_the_brightest_pixel_is_on_the_arc():
    def model(observation):
        lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(1.0, 1.0))
        source = nl.light.Gaussian(amp=1.0, sigma=0.05, center_x=0.5)
        sky = nl.light.Uniform(amp=100.0)
        image = nl.render(observation, mass=lens, source=source, lens_light=sky)
        nl.observe("image", image, observation)

    args = (empty(21),)
    pixel = brightest_pixel(flat_model(model, args), jnp.ones(1), args)
    np.testing.assert_allclose(pixel, (1.5, 0.0, 0.3), atol=1e-6)


@pytest.mark.parametrize("part", ["source", "lens_light"])
def test_nothing_is_lensed_without_mass_or_source(part):
    def model(observation):
        light = nl.sample("light", nl.light.Uniform, amp=dist.Normal(0.0, 1.0))
        mass = nl.mass.SIS(theta_E=1.0) if part == "lens_light" else None
        image = nl.render(observation, mass=mass, **{part: light})
        nl.observe("image", image, observation)

    args = (empty(),)
    assert brightest_pixel(flat_model(model, args), jnp.ones(1), args) is None


def test_the_sheet_of_a_lens_is_made_flat():
    flat, args, z, gradient = sheet_draws()
    plain = whitened(z)
    coupled = CoupledTransport.of(PIXEL, plain).fit(flat, args, z, gradient)
    flat, args, z, gradient = sheet_draws(seed=1)
    bent = plain.fit(flat, args, *sheet_draws()[2:])
    assert divergence(coupled.bind(flat, args), z, gradient) < 0.02
    assert divergence(bent, z, gradient) > 1.0


def test_chains_on_a_sheet_have_the_moments_of_the_prior():
    args = (empty(),)
    flat = flat_model(sheet, args)
    lens = nl.mass.EPL(theta_E=1.0, gamma=2.0)
    x, y = nl.lensing.ray_trace(lens, PIXEL.x, PIXEL.y)
    values = {"lens.theta_E": 1.0, "lens.gamma": 2.0, "source.center_x": x, "source.center_y": y}
    center = flat.unconstrain(values, args)
    hessian = jax.hessian(flat.log_density)(center, args)
    tril = np.linalg.cholesky(np.linalg.inv(-np.asarray(hessian, dtype=float)))
    start = SVIResult(flat, args, np.asarray(center), tril, np.zeros(0), np.nan, {}, {})
    result = HMC().run(flat, args, jax.random.key(0), svi=start, progress=False)
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

    args = (jnp.asarray(0.3),)
    assert brightest_pixel(flat_model(model, args), jnp.zeros(1), args) is None
