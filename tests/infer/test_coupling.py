"""Coordinates along the lens equation: exact, of volume one, and straight where a lens is bent."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import numpyro_lens as nl
from numpyro_lens.infer import HMC, SVIResult, flat_model
from numpyro_lens.infer.coupling import (
    BoundTransport,
    CoupledTransport,
    Coupling,
    Pixel,
    brightest_pixel,
    describe,
    features,
    fit_coupling,
)
from numpyro_lens.infer.density import Affine
from numpyro_lens.infer.diagnostics import ess
from numpyro_lens.infer.transport import Transport

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


@pytest.fixture
def curved():
    """A coupling through features that are curved, with coefficients on what they leave alone."""
    keys = jax.random.split(jax.random.key(0), 4)
    shift = jax.random.normal(keys[0], (2, 4)).at[:, :2].set(0.0)
    slope = jax.random.normal(keys[1], (4, 2)).at[2:].set(0.0)
    coupling = Coupling(jax.random.normal(keys[2], (2,)), slope, shift)
    tril = jnp.tril(0.3 * jax.random.normal(keys[3], (4, 4))) + jnp.eye(4)
    function = jax.vmap(lambda z: jnp.stack([jnp.sin(z[0]) * z[1], z[1] ** 3]))
    return BoundTransport(function, coupling, Transport.of(Affine(jnp.ones(4), tril), 2))


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


@pytest.mark.usefixtures("double")
def test_whiten_is_the_inverse(curved):
    u = jax.random.normal(jax.random.key(1), (7, 4))
    np.testing.assert_allclose(curved.whiten(curved(u)), u, atol=1e-12)


@pytest.mark.usefixtures("double")
def test_the_coupling_keeps_the_volume(curved):
    u = jax.random.normal(jax.random.key(1), (5, 4))
    jacobian = jax.vmap(jax.jacfwd(lambda u: curved(u[None])[0]))(u)
    expected = jnp.prod(jnp.diag(curved._transport.scale_tril[0]))
    np.testing.assert_allclose(jnp.linalg.det(jacobian), np.full(5, expected), rtol=1e-12)


@pytest.mark.usefixtures("double")
def test_pull_back_is_the_gradient_of_the_composition(curved):
    def log_density(z):
        return -jnp.sum(z**4) + z[0] * z[3]

    u = jax.random.normal(jax.random.key(1), (5, 4))
    gradient = jax.vmap(jax.grad(log_density))(curved(u))
    direct = jax.vmap(jax.grad(lambda u: log_density(curved(u[None])[0])))(u)
    np.testing.assert_allclose(curved.pull_back(u, gradient), direct, rtol=1e-10)


@pytest.mark.usefixtures("double")
def test_what_follows_the_features_is_found_exactly():
    """Half of the draws of a sheet along cos are enough for its coefficient."""

    def log_density(z):
        return -0.5 * (z[0] ** 2 + ((z[1] - 2.0 * jnp.cos(z[0])) / 0.01) ** 2 + z[2] ** 2)

    u = jax.random.normal(jax.random.key(2), (128, 3))
    z = u.at[:, 1].set(2.0 * jnp.cos(u[:, 0]) + 0.01 * u[:, 1])
    gradient = jax.vmap(jax.grad(log_density))(z).at[::2].set(jnp.nan)
    draws = describe(lambda z: jnp.cos(z[:1]), z, gradient)
    assert draws.moved.tolist() == [False, True, True]
    metric = Affine(jnp.mean(z, axis=0), jnp.diag(jnp.std(z, axis=0)))
    coupling, _ = fit_coupling(draws, metric, jnp.full(1, 1e-5))
    np.testing.assert_allclose(coupling.shift, [[0.0, 2.0, 0.0]], atol=2e-3)


def test_a_feature_within_its_noise_moves_nothing():
    """Differences of rays over a pixel once came in with coefficients of 8,000."""

    def log_density(z):
        return -0.5 * (z[0] ** 2 + (z[1] - jnp.cos(z[0])) ** 2 / 0.01)

    z = jax.random.normal(jax.random.key(2), (128, 2))
    z = z.at[:, 1].set(jnp.cos(z[:, 0]) + 0.1 * z[:, 1])
    gradient = jax.vmap(jax.grad(log_density))(z)
    draws = describe(lambda z: 1e-6 * jnp.cos(z[:1]), z, gradient)
    metric = Affine(jnp.mean(z, axis=0), jnp.diag(jnp.std(z, axis=0)))
    for noise, smallest, largest in ((0.0, 9e5, 1.1e6), (1e-5, 0.0, 1e5)):
        shift = fit_coupling(draws, metric, jnp.full(1, noise))[0].shift
        assert smallest <= float(jnp.max(jnp.abs(shift))) < largest


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
