"""Several exposures of one scene, whose linear amplitudes are the same."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro import handlers
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.calibration.simulate import mock_data
from numpyro_lens.density import Target, conditioned, merged, observed_sites
from numpyro_lens.linear import linear_image

LENS = nl.mass.SIS(theta_E=0.5)


def lights(amp=None):
    """A source and a sky with linear amplitudes, or with these."""
    given = {"amp": amp[0]} if amp else {"amp": nl.Linear(3.0, 10.0, name="source.amp")}
    sky = {"amp": amp[1]} if amp else {"amp": nl.Linear(scale=2.0, name="sky.amp")}
    return {
        "mass": LENS,
        "source": nl.light.Gaussian(**given, sigma=0.15, center_x=0.1),
        "lens_light": nl.light.Uniform(**sky),
    }


def exposures(num=3):
    """Cameras that have nothing in common, with data of the size that the scene gives."""
    draw = np.random.default_rng(0)
    cameras = [((9, 7), 0.2, 0.05), ((6, 8), 0.25, 0.1), ((5, 5), 0.3, 0.02)]
    data = [
        nl.Observation(
            draw.normal(0.2, 0.1, shape),
            pixel_scale=scale,
            noise=nl.NoiseMap(sigma),
            psf=nl.GaussianPSF(0.15),
            mask=np.arange(shape[0] * shape[1]).reshape(shape) % 7 > 0,
        )
        for shape, scale, sigma in cameras[:num]
    ]
    return dict(zip("abc", data, strict=False))


def placed(function, *args, **scene):
    trace = handlers.trace(handlers.seed(function, 0)).get_trace(*args, **scene)
    return observed_sites(trace)


def answers(sites):
    """Log density of each site, and the amplitudes given the data."""
    densities = {name: site["fn"].log_prob(site["value"]) for name, site in sites.items()}
    return densities, merged(conditioned(sites)[1])


@jax.jit
def of_exposures(given, theta_E=0.5):
    scene = lights() | {"mass": nl.mass.SIS(theta_E=theta_E)}
    return answers(placed(nl.observe_exposures, given, **scene))


@jax.jit
def of_image(observation):
    return answers(placed(nl.observe, "image", observation, **lights()))


def dense(given):
    """Log density of all pixels in use together, from their covariance matrix."""
    images = [linear_image(o, nl.Scene.of(**lights())) for o in given.values()]
    used = np.concatenate([np.asarray(o.mask).ravel() for o in given.values()])
    basis = np.hstack([np.asarray(i.basis, float).reshape(2, -1) for i in images])[:, used]
    data = np.concatenate([np.asarray(o.image, float).ravel() for o in given.values()])[used]
    sigma = np.concatenate(
        [np.broadcast_to(o.noise.sigma(o.image), o.shape).ravel() for o in given.values()]
    )[used].astype(float)
    loc, scale = np.asarray(images[0].loc, float), np.asarray(images[0].scale, float)
    covariance = np.diag(sigma**2) + basis.T @ np.diag(scale**2) @ basis
    return scipy.stats.multivariate_normal.logpdf(data, loc @ basis, covariance)


def test_the_density_of_all_is_that_of_one_gaussian(x64):
    given = exposures()
    found = of_exposures(given)[0]
    assert list(found) == ["a", "b", "c"]
    np.testing.assert_allclose(sum(found.values()), dense(given), rtol=1e-10 if x64 else 1e-4)
    # Each site is conditional on those before it.
    first = of_image(given["a"])[0]["image"]
    np.testing.assert_allclose(found["a"], first, rtol=1e-12 if x64 else 1e-5)


def test_two_halves_of_an_image_are_the_image(x64):
    whole = exposures(1)["a"]
    odd = jnp.asarray(np.indices(whole.shape).sum(axis=0) % 2 == 1)
    halves = {
        name: eqx.tree_at(lambda o: o.mask, whole, mask)
        for name, mask in {"odd": whole.mask & odd, "even": whole.mask & ~odd}.items()
    }
    (density,), expected = of_image(whole)[0].values(), of_image(whole)[1]
    densities, found = of_exposures(halves)
    np.testing.assert_allclose(sum(densities.values()), density, rtol=1e-10 if x64 else 1e-4)
    assert list(found) == list(expected) == ["sky.amp", "source.amp"]
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9 if x64 else 1e-4)


def test_derivative_is_the_quotient_of_differences():
    def density(theta_E):
        return sum(of_exposures(given, theta_E)[0].values())

    with jax.enable_x64(True):
        given, step = exposures(2), 1e-5
        numeric = (density(0.5 + step) - density(0.5 - step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(density)(0.5), numeric, rtol=1e-6)


def test_an_exposure_is_drawn_given_those_before_it():
    given = exposures(2)
    fn = placed(nl.observe_exposures, given, **lights())["b"]["fn"]
    draws = fn.sample(jax.random.key(0), (4000,))
    np.testing.assert_allclose(draws.mean(axis=0), fn.mean, atol=5 * 0.12 / np.sqrt(4000))
    np.testing.assert_allclose(draws.var(axis=0), fn.variance, rtol=5 * np.sqrt(2 / 4000))
    alone = placed(nl.observe, "b", given["b"], **lights())["b"]["fn"]
    assert float(fn.variance.mean()) < 0.1 * float(alone.variance.mean())


def test_sampled_amplitudes_are_those_of_observe():
    @jax.jit
    def densities(given):
        scene = lights((20.0, 1.5))
        alone = [placed(nl.observe, name, given[name], **scene) for name in given]
        found = placed(nl.observe_exposures, given, **scene)
        return answers(found)[0], answers(alone[0] | alone[1])[0]

    found, alone = densities(exposures(2))
    assert found == alone


@pytest.mark.parametrize("scene", [lights(), lights((20.0, 1.5))], ids=["linear", "given"])
def test_noise_may_be_replaced_by_name(scene):
    given, noise = exposures(2), nl.NoiseMap(0.3)
    found = placed(nl.observe_exposures, given, noise={"b": noise}, **scene)
    expected = placed(nl.observe_exposures, given | {"b": given["b"].with_noise(noise)}, **scene)
    assert answers(found)[0] == answers(expected)[0]
    assert answers(found)[0]["b"] != answers(placed(nl.observe_exposures, given, **scene))[0]["b"]


@pytest.mark.parametrize(
    ("given", "noise", "error", "text"),
    [
        (exposures(1)["a"], None, TypeError, "by the name of their site; got Observation. Write"),
        ({}, None, TypeError, "by the name of their site; got none. Write"),
        ({"a": np.ones((3, 3))}, None, TypeError, "compares with an Observation; got ndarray"),
        (exposures(2), {"c": nl.NoiseMap(0.1)}, ValueError, "names of exposures, a, b; got c. "),
    ],
)
def test_errors_say_what_to_write(given, noise, error, text):
    with pytest.raises(error, match=text):
        nl.observe_exposures(given, noise=noise, **lights())


def model(given):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(-0.7, 0.2))
    source = nl.sample(
        "source",
        nl.light.Gaussian,
        amp=nl.Linear(scale=20.0),
        sigma=dist.LogNormal(-1.9, 0.3),
        center_x=0.1,
    )
    nl.observe_exposures(given, mass=lens, source=source)


def test_simulated_exposures_show_one_amplitude():
    target = Target.of(model, exposures(2))
    mock = mock_data(target, jax.random.key(3))
    assert sorted(mock.truth) == ["lens.theta_E", "source.amp", "source.sigma"]
    for name, exposure in exposures(2).items():
        mass = nl.mass.SIS(theta_E=mock.truth["lens.theta_E"])
        amp, sigma = mock.truth["source.amp"], mock.truth["source.sigma"]
        light = nl.light.Gaussian(amp, sigma, center_x=0.1)
        image = nl.render(exposure, mass=mass, source=light)
        chi_square = exposure.with_image(mock.data[name]).mean_square(image)
        assert 0.5 < float(chi_square) < 1.7


@pytest.fixture(scope="module")
def fit():
    return fitted(model, exposures(2))


def test_a_fit_has_one_amplitude_and_a_scene_for_each(fit):
    predicted = fit.predict(50)
    assert predicted["source.amp"].shape == (50,)
    assert "a.source.amp" not in predicted
    amplitude = float(fit.scene("a").planes[-1].light.amp)
    assert amplitude == float(fit.scene("b").planes[-1].light.amp)
    assert set(fit.observations) == {"a", "b"}
