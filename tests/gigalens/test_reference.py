"""Numbers of GIGA-Lens 2.0.1 for its demo, at 12 prior draws."""

import demo
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro_lens.gigalens.jax.model import BackwardProbModel, ForwardProbModel
from numpyro_lens.gigalens.jax.profiles.light import shapelets
from numpyro_lens.gigalens.jax.simulator import LensSimulator

from numpyro_lens import PSF
from numpyro_lens.gigalens import kernel
from numpyro_lens.gigalens.simulator import SimulatorConfig

tfd = demo.tfd
NUMBERS = demo.reference()
SAMPLES = (1, 2, 3)
pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def observed(data_dir):
    return np.load(data_dir / "gigalens_demo" / "demo.npy")


def config(supersample, **settings):
    settings = {"kernel": demo.psf(NUMBERS), "refine": kernel.lenstronomy_subgrid} | settings
    return SimulatorConfig(delta_pix=0.065, num_pix=60, supersample=supersample, **settings)


def forward(image):
    return ForwardProbModel(demo.forward_prior(), image, background_rms=0.2, exp_time=100)


def assert_images(found, s):
    """Images of the 12 draws, by what the file keeps of them."""
    peak = NUMBERS[f"s{s}_peak"]
    rows, columns = NUMBERS["pixels"].T
    np.testing.assert_allclose(found[0], NUMBERS[f"s{s}_image"], atol=1e-5 * peak[0])
    np.testing.assert_allclose(
        found[:, rows, columns], NUMBERS[f"s{s}_at"], atol=1e-5 * peak.max(), rtol=1e-5
    )
    np.testing.assert_allclose(found.sum((1, 2)), NUMBERS[f"s{s}_sum"], rtol=1e-5)
    np.testing.assert_allclose(found.max((1, 2)), peak, rtol=1e-5)


def test_order_and_maps_of_the_vector():
    model = forward(np.zeros((60, 60)))
    x = model.bij.forward(list(NUMBERS["z"].T))
    columns = model.pack_bij.inverse(x)
    np.testing.assert_allclose(np.stack(columns).T, NUMBERS["x"], rtol=1e-6)
    np.testing.assert_allclose(np.stack(model.bij.inverse(x)).T, NUMBERS["z"], atol=1e-6)


def test_maps_of_round_numbers():
    model = forward(np.zeros((60, 60)))
    z = np.arange(-2.0, 3.0)[:, None] * np.ones(22)
    found = np.stack(model.pack_bij.inverse(model.bij.forward(z))).T
    np.testing.assert_allclose(found, NUMBERS["unit"], rtol=1e-6)


def test_prior_and_jacobian():
    model = forward(np.zeros((60, 60)))
    z = list(NUMBERS["z"].T)
    log_prior = model.prior.log_prob(model.bij.forward(z))
    np.testing.assert_allclose(log_prior, NUMBERS["log_prior"], rtol=1e-6)
    log_det = model.bij.forward_log_det_jacobian(z)
    np.testing.assert_allclose(log_det, NUMBERS["log_det"], rtol=1e-6)


@pytest.mark.parametrize("s", SAMPLES)
def test_images(s):
    x = forward(np.zeros((60, 60))).bij.forward(list(NUMBERS["z"].T))
    assert_images(LensSimulator(demo.physical_model(), config(s), bs=12).simulate(x), s)


@pytest.mark.parametrize("s", [2, 3])
def test_a_kernel_that_is_refined_already(s):
    x = forward(np.zeros((60, 60))).bij.forward(list(NUMBERS["z"].T))
    given = config(s, kernel=PSF(NUMBERS[f"s{s}_kernel"], sampling=s))
    assert_images(LensSimulator(demo.physical_model(), given).simulate(x), s)


@pytest.mark.parametrize("s", [2, 3])
def test_kernels(s):
    found = kernel.lenstronomy_subgrid(demo.psf(NUMBERS), s)
    np.testing.assert_allclose(found.kernel, NUMBERS[f"s{s}_kernel"], atol=1e-7)
    assert found.sampling == s


def test_our_own_refinement_averages_back_and_theirs_does_not():
    x = forward(np.zeros((60, 60))).bij.forward(list(NUMBERS["z"].T))
    ours = config(2, refine=kernel.averaging)
    found = LensSimulator(demo.physical_model(), ours).simulate(x)
    assert np.max(np.abs(found[0] - NUMBERS["s2_image"])) > 0.01 * NUMBERS["s2_peak"][0]


@pytest.mark.parametrize("s", SAMPLES)
def test_log_density(s, observed):
    physical, model = demo.physical_model(), forward(observed)
    found = model.log_prob(LensSimulator(physical, config(s), bs=12), NUMBERS["z"])
    np.testing.assert_allclose(found[0], NUMBERS[f"s{s}_log_prob"], rtol=1e-6)
    np.testing.assert_allclose(found[1], NUMBERS[f"s{s}_chi2"], rtol=1e-6)


def backward(image, source):
    prior = tfd.JointDistributionSequential([demo.lens_prior(), demo.lens_light_prior(), source])
    return BackwardProbModel(prior, image, background_rms=0.2, exp_time=100)


@pytest.mark.parametrize("s", SAMPLES)
def test_solved_amplitudes(s, observed):
    physical, model = demo.physical_model(True), backward(observed, demo.source_prior())
    simulator, z = LensSimulator(physical, config(s), bs=12), NUMBERS["solved_z"]
    assert_solved(model, simulator, z, f"s{s}_solved", rtol=1e-5)


@pytest.mark.parametrize("s", SAMPLES)
def test_solved_shapelets(s, observed):
    source = demo.joint(dict(beta=tfd.LogNormal(np.log(0.1), 0.15), **demo.centre(0.25)))
    physical = demo.physical_model(True, shapelets.Shapelets(3, True, interpolate=False))
    model = backward(observed, source)
    simulator, z = LensSimulator(physical, config(s), bs=12), NUMBERS["shapelets_z"]
    assert_solved(model, simulator, z, f"s{s}_shapelets", rtol=None)


def assert_solved(model, simulator, z, key, rtol):
    log_prob, chi2 = model.log_prob(simulator, z)
    np.testing.assert_allclose(log_prob, NUMBERS[f"{key}_log_prob"], rtol=1e-5)
    np.testing.assert_allclose(chi2, NUMBERS[f"{key}_chi2"], rtol=1e-5)
    x = model.bij.forward(list(z.T))
    image, coeffs = simulator.lstsq_simulate(x, model.observed_image, model.err_map)
    np.testing.assert_allclose(jnp.sum(image, axis=(1, 2)), NUMBERS[f"{key}_sum"], rtol=1e-4)
    assert coeffs.shape == NUMBERS[f"{key}_coeffs"].shape
    if rtol is not None:
        np.testing.assert_allclose(coeffs, NUMBERS[f"{key}_coeffs"], rtol=rtol)
