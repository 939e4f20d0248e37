"""Amplitudes that are solved for, and amplitudes that are integrated out."""

import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from numpyro_lens.light import Gaussian, MultiGaussian, Sersic, Shapelets, Uniform
from numpyro_lens.linear import (
    Linear,
    LinearImage,
    conditional_amplitudes,
    has_linear,
    linear_image,
    log_marginal,
    solve_amplitudes,
    solve_non_negative,
    unit_images,
    with_amplitudes,
)
from numpyro_lens.mass import SIE, SIS
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import GaussianPSF
from numpyro_lens.scene import Plane, Scene
from numpyro_lens.simulate import render, render_scene


def scene(amplitudes):
    lights = [Sersic(amplitudes[0], 0.5, 3.0), Gaussian(amplitudes[1], 0.2, center_x=0.3)]
    source = Sersic(amplitudes[2], 0.2, 1.0, center_x=0.1)
    return Scene.of(mass=SIE(0.8, 0.1, 0.0), source=source, lens_light=lights)


def test_simulated_amplitudes_come_back(x64):
    observation = Observation.blank(
        (30, 32), pixel_scale=0.08, noise=NoiseMap(0.1), psf=GaussianPSF(0.15)
    )
    truth = [5.0, 2.0, 9.0]
    image = jax.jit(render_scene)(observation, scene(truth))
    images = jax.jit(unit_images)(observation, scene([7.0, 7.0, 7.0]))
    # A masked pixel without a value spoils neither the solution nor its derivative.
    mask = observation.mask.at[3, 3].set(False)
    data = image.at[3, 3].set(jnp.nan)
    sigma = jnp.full(image.shape, 0.1).at[3, 3].set(0.0)
    found = solve_amplitudes(images, data, sigma, mask)
    np.testing.assert_allclose(found, truth, rtol=1e-8 if x64 else 1e-3)

    def first(scale):
        return solve_amplitudes(images * scale, data, sigma, mask)[0]

    np.testing.assert_allclose(jax.grad(first)(1.0), -5.0, rtol=1e-6 if x64 else 1e-2)


def test_equal_and_empty_images_are_no_failure(x64):
    one = jnp.ones((4, 5))
    found = solve_amplitudes([one, one, 0 * one], 6 * one, one)
    np.testing.assert_allclose(found, [3.0, 3.0, 0.0], rtol=1e-2, atol=1e-2)


def test_non_negative_amplitudes_equal_scipys(double):
    rng = np.random.default_rng(0)
    solve = jax.jit(solve_non_negative)
    for _ in range(20):
        images, data = rng.normal(size=(8, 6, 7)) + 0.3, rng.normal(size=(6, 7))
        sigma = rng.uniform(0.5, 2.0, (6, 7))
        matrix = (images / sigma).reshape(8, -1).T
        expected, _ = scipy.optimize.nnls(matrix, (data / sigma).ravel())
        found = solve(images, data, sigma)
        assert (found >= 0).all()
        np.testing.assert_allclose(found, expected, atol=1e-8)
    assert (expected == 0).any()


def test_non_negative_amplitudes_have_the_derivative_of_the_free_ones(double):
    images = jnp.array([[[1.0, 0.2]], [[0.0, 2.0]]])

    def amplitudes(scale):
        return solve_non_negative(images * scale, jnp.array([[3.0, -4.0]]), jnp.ones((1, 2)))

    np.testing.assert_allclose(amplitudes(1.0), [2.2 / 1.04, 0.0], rtol=1e-9)
    np.testing.assert_allclose(jax.jacobian(amplitudes)(1.0), [-2.2 / 1.04, 0.0], rtol=1e-9)


# --- integrated out ------------------------------------------------------------------------------


@pytest.fixture
def observation():
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(14, 12)) < 0.9
    image = np.where(mask, rng.normal(size=(14, 12)), np.nan)
    sigma = np.where(mask, rng.uniform(0.5, 1.0, (14, 12)), 0.0)
    noise, psf = NoiseMap(sigma), GaussianPSF(0.15)
    return Observation(image, pixel_scale=0.12, noise=noise, psf=psf, mask=mask)


def linear_scene(theta=(0.5, 0.3), scale=20.0):
    """Linear and fixed light of both planes mixed, in an order of its own."""
    sky = Linear(0.1, 0.5, name="sky.amp")
    shapelets = Linear(np.linspace(-2.0, 2.0, 6), scale, name="source.amp")
    pair = Linear(3.0, np.array([1.0, 2.0]), name="pair.amp")
    lens_light = [Sersic(4.0, 0.5, 3.0), Uniform(sky), MultiGaussian(pair, jnp.array([0.1, 0.4]))]
    source = [Shapelets(shapelets, theta[1]), Gaussian(0.7, 0.2, center_x=0.1)]
    return Scene.of(mass=SIE(theta[0], 0.1, 0.0), source=source, lens_light=lens_light)


def pieces(observation, **settings):
    image = jax.jit(linear_image)(observation, linear_scene(**settings))
    sigma = observation.noise.sigma(observation.image)
    return image, observation.image, sigma, observation.mask


def test_image_of_amplitudes_is_the_rendered_one(x64, observation):
    image = jax.jit(linear_image)(observation, linear_scene())
    assert image.basis.shape == (9, 14, 12)
    amplitudes = jnp.arange(9.0) - 3.0
    named = image.named(amplitudes)
    assert {k: v.shape for k, v in named.items()} == {
        "sky.amp": (),
        "pair.amp": (2,),
        "source.amp": (6,),
    }
    expected = jax.jit(render_scene)(observation, with_amplitudes(linear_scene(), named))
    tolerance = 1e-9 if x64 else 1e-5
    np.testing.assert_allclose(image(amplitudes), expected, rtol=tolerance, atol=tolerance)


def test_marginal_is_the_dense_normal_density(double, observation):
    image, data, sigma, mask = pieces(observation)
    basis = np.asarray(image.basis)[:, mask]
    covariance = (
        np.diag(np.asarray(sigma)[mask] ** 2) + (basis.T * np.asarray(image.scale) ** 2) @ basis
    )
    mean = np.asarray(image(image.loc))[mask]
    expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(data[mask])
    np.testing.assert_allclose(log_marginal(image, data, sigma, mask), expected, rtol=1e-10)


def test_conditional_is_the_textbook_one(double, observation):
    image, data, sigma, mask = pieces(observation)
    mean, factor = conditional_amplitudes(image, data, sigma, mask)
    design = (np.asarray(image.basis) / np.where(mask, sigma, 1.0))[:, mask].T
    target = (np.asarray(data - image.fixed) / np.where(mask, sigma, 1.0))[mask]
    precision = design.T @ design + np.diag(1 / image.scale**2)
    covariance = np.linalg.inv(precision)
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-6, atol=1e-12)
    expected = covariance @ (design.T @ target + image.loc / image.scale**2)
    np.testing.assert_allclose(mean, expected, rtol=1e-7)


def test_gradient_and_hessian_are_finite_differences(double, observation):
    def f(theta):
        return log_marginal(*pieces(observation, theta=theta))

    theta, step = jnp.array([0.5, 0.3]), 1e-5
    gradient = jax.jit(jax.grad(f))
    value = jax.jit(f)
    shifts = [step * np.eye(2)[i] for i in range(2)]
    slopes = [(value(theta + h) - value(theta - h)) / (2 * step) for h in shifts]
    np.testing.assert_allclose(gradient(theta), slopes, rtol=1e-6)
    curvature = [(gradient(theta + h) - gradient(theta - h)) / (2 * step) for h in shifts]
    hessian = jax.jit(jax.hessian(f))(theta)
    np.testing.assert_allclose(hessian, curvature, rtol=1e-5)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-8)


@pytest.mark.parametrize("scale", [20.0, 2e4])
def test_single_precision_agrees_with_double(observation, scale):
    def run(image, theta):
        o = observation.with_image(image)
        return jax.value_and_grad(lambda t: log_marginal(*pieces(o, theta=t, scale=scale)))(theta)

    bright = np.where(observation.mask, 300.0 + observation.image, 0.0)
    single = jax.jit(run)(jnp.asarray(bright), jnp.array([0.5, 0.3]))
    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda x: x.astype(float) if jnp.issubdtype(x.dtype, jnp.floating) else x, observation
        )
        double = jax.value_and_grad(
            lambda t: log_marginal(*pieces(wide.with_image(bright), theta=t, scale=scale))
        )(jnp.array([0.5, 0.3]))
    np.testing.assert_allclose(single[0], double[0], rtol=1e-5)
    np.testing.assert_allclose(single[1], double[1], rtol=1e-3)


def test_equal_images_are_no_failure(x64, observation):
    """66 amplitudes of one and the same image, and one without light."""
    lights = [Uniform(Linear(scale=1e4, name=f"sky{i}.amp")) for i in range(66)]
    lights.append(Gaussian(Linear(scale=1.0, name="none.amp"), 0.01, center_x=100.0))

    def f(shift):
        image = linear_image(observation, Scene.of(lens_light=lights))
        sigma = observation.noise.sigma(observation.image)
        return log_marginal(image, observation.image + shift, sigma, observation.mask)

    value, slope = jax.jit(jax.value_and_grad(f))(0.3)
    assert np.isfinite(value)
    assert np.isfinite(slope)


def test_rays_are_traced_once(observation):
    calls = []

    class Counting(SIE):
        def deflection(self, x, y):
            calls.append(1)
            return SIE.deflection(self, x, y)

    scene = eqx.tree_at(lambda s: s.planes[0].mass, linear_scene(), Counting(0.5, 0.1, 0.0))
    linear_image(observation, scene)
    assert len(calls) == 1


def test_a_scene_is_filled():
    values = {"sky.amp": 1.0, "pair.amp": jnp.ones(2), "source.amp": jnp.zeros(6)}
    filled = with_amplitudes(linear_scene(), values)
    assert has_linear(linear_scene())
    assert not has_linear(filled)
    assert filled.lens_light.components[1].amp == 1.0
    assert filled.source.components[0].n_max == 2


def test_a_linear_amplitude_is_no_number(observation):
    sky = Uniform(Linear(name="sky.amp"))
    sersic = Sersic(Linear(name="disc.amp"), 0.5, 1.0)
    shapelets = Shapelets(Linear(scale=jnp.ones(3), name="source.amp"), 0.5)
    for light in (sky, sersic, shapelets):
        with pytest.raises(TypeError, match=r"amp` is a Linear amplitude.*nl\.observe\("):
            render(observation, lens_light=light)


@pytest.mark.parametrize(
    ("amps", "message"),
    [
        ([1.0], "nothing to integrate out"),
        ([Linear()], "has its own name"),
        ([Linear(name="a"), Linear(name="a")], "has its own name"),
        ([Linear(scale=np.ones(2), name="a")], "Uniform are 1 numbers; got a Linear of shape"),
    ],
)
def test_wrong_amplitudes_are_taught(observation, amps, message):
    with pytest.raises(ValueError, match=message):
        linear_image(observation, Scene.of(lens_light=[Uniform(amp) for amp in amps]))


def test_amplitudes_of_every_plane_are_linear(observation):
    """Three planes, light in each: the image of the amplitudes is the rendered one."""
    lights = [Gaussian(Linear(name=f"{i}.amp"), 0.3, center_x=0.1 * i) for i in range(3)]
    planes = (Plane(SIE(0.5, 0.1, 0.0), lights[0]), Plane(SIS(0.2, 0.1), lights[1]))
    scaling = jnp.array([[1.0, 0.6, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    scene = Scene((*planes, Plane(light=lights[2])), scaling)
    amplitudes = jnp.array([1.0, -2.0, 3.0])
    image = linear_image(observation, scene)
    assert [prior.name for prior in image.priors] == ["0.amp", "1.amp", "2.amp"]
    expected = render_scene(observation, with_amplitudes(scene, image.named(amplitudes)))
    np.testing.assert_allclose(image(amplitudes), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(unit_images(observation, scene), image.basis, rtol=1e-4, atol=1e-6)


def nearly_degenerate(dtype, num=20, size=2000):
    """Gaussians whose widths differ by a third, at a signal-to-noise ratio of 1e4."""
    x = np.linspace(-5.0, 5.0, size)
    basis = 1e4 * np.exp(-0.5 * (x / np.geomspace(0.025, 5.0, num)[:, None]) ** 2)
    target = np.random.default_rng(0).normal(size=size) + 50.0 * np.exp(-np.abs(x))
    image = LinearImage(
        jnp.zeros((1, size), dtype),
        jnp.asarray(basis[:, None], dtype),
        (Linear(scale=jnp.ones(num, dtype), name="amp"),),
    )
    ones = jnp.ones((1, size), dtype)
    return image, jnp.asarray(target[None], dtype), ones, ones > 0


def test_single_precision_is_enough_for_nearly_degenerate_amplitudes():
    """A ridge on the matrix alone changes this log density by 100 nats."""
    single = log_marginal(*nearly_degenerate(np.float32))
    with jax.enable_x64(True):
        image, data, sigma, mask = nearly_degenerate(np.float64)
        double = log_marginal(image, data, sigma, mask)
        matrix, target = np.asarray(image.basis[:, 0]), np.asarray(data[0])
    left, widths, _ = np.linalg.svd(matrix.T, full_matrices=False)
    along = left.T @ target
    shrunk = along**2 * widths**2 / (1.0 + widths**2)
    log_det = np.sum(np.log1p(widths**2))
    exact = -0.5 * (target @ target - shrunk.sum() + log_det + target.size * np.log(2 * np.pi))
    np.testing.assert_allclose(double, exact, atol=1e-3)
    np.testing.assert_allclose(single, exact, atol=0.2)


def slope_of_widths(dtype):
    """Derivative of the log density where all Gaussians of two sets become wider."""
    x = jnp.linspace(-2.0, 2.0, 80, dtype=dtype)
    sigma = jnp.geomspace(0.05, 3.0, 20).astype(dtype)[:, None, None]
    data = 300.0 * jnp.exp(-2.0 * jnp.hypot(x[None], x[:, None]))
    amplitudes = (Linear(scale=jnp.full(40, 1e3, dtype), name="amp"),)

    def log_density(scale):
        squares = [((x - 0.02) ** 2)[None] + q * ((x - 0.01) ** 2)[:, None] for q in (1.0, 1.3)]
        basis = jnp.concatenate([jnp.exp(-0.5 * r2 / (scale * sigma) ** 2) for r2 in squares])
        image = LinearImage(jnp.zeros_like(data), basis, amplitudes)
        return log_marginal(image, data, jnp.ones_like(data), data > 0)

    return jax.grad(log_density)(jnp.ones((), dtype))


def test_the_gradient_too():
    """K⁻¹ V has to come from the refined solution: from the basis rotated once it is far off."""
    with jax.numpy_rank_promotion("allow"):
        single = slope_of_widths(np.float32)
        with jax.enable_x64(True):
            double = slope_of_widths(np.float64)
    np.testing.assert_allclose(single, double, atol=2.0)


TWO_IMAGES = """
import jax, jax.numpy as jnp
from numpyro_lens.linear import Linear, LinearImage, log_marginal

x = jnp.linspace(0.0, 1.0, 900).reshape(30, 30)
order = jnp.arange(76.0)[:, None, None]

def one(z):
    basis = jnp.sin((order + z[0]) * x + z[1] * x.T * order) * jnp.exp(-(z[2] ** 2) * x)
    basis = jnp.fft.irfft2(1.01 * jnp.fft.rfft2(basis))
    image = LinearImage(jnp.zeros((30, 30)), basis, (Linear(scale=jnp.ones(76)),))
    return log_marginal(image, jnp.cos(x), jnp.ones((30, 30)), jnp.ones((30, 30), bool))

both = jax.jit(jax.vmap(jax.value_and_grad(lambda z: one(z) + one(2.0 * z))))
for _ in range(5):
    both(jax.random.normal(jax.random.key(0), (8, 3)))[0].block_until_ready()
"""


def test_images_of_a_batch_do_not_wait_for_each_other():
    """JAX's own batches of factorisations do, for ever, where they are as many as the cores."""
    subprocess.run([sys.executable, "-c", TWO_IMAGES], check=True, timeout=60)
