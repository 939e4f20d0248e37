"""The whole pipeline, from simulated and real images to a judged posterior."""

import runpy
from pathlib import Path

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import numpyro_lens as nl

EXAMPLES = Path(__file__).parents[1] / "examples"


def chi2(fit):
    """Reduced chi-square of the mean prediction inside the mask."""
    return float(fit.observations["image"].mean_square(fit.predict(50)["image"].mean(0)))


@pytest.mark.slow
def test_gigalens_demo_image(data_dir):
    """All 22 parameters of GIGA-Lens's own demo, with its prior."""
    example = runpy.run_path(str(EXAMPLES / "gigalens_demo.py"))
    image = np.load(data_dir / "gigalens_demo" / "demo.npy")
    kernel = np.load(data_dir / "gigalens_demo" / "psf.npy")
    sequence = nl.ModellingSequence(
        example["phys_model"],
        nl.ForwardProbModel(example["prior"], image, 0.2, 100.0),
        nl.SimulatorConfig(delta_pix=0.065, num_pix=60, supersample=2, kernel=kernel),
    )
    fit = sequence.fit(seed=0, progress=False)
    assert fit.target.dim == 22
    assert fit.verdict.converged, str(fit.verdict)
    assert chi2(fit) == pytest.approx(1.0, abs=0.05)


def small_lens(observation):
    """A lens that fits in seconds: ten parameters."""
    center = dist.Normal(0.0, 0.05)
    lens = nl.sample(
        "lens",
        nl.mass.SIE,
        theta_E=dist.LogNormal(0.0, 0.15),
        e1=dist.Normal(0.0, 0.1),
        e2=dist.Normal(0.0, 0.1),
        center_x=center,
        center_y=center,
    )
    source = nl.sample(
        "source",
        nl.light.Sersic,
        amp=dist.LogNormal(4.5, 0.3),
        R_sersic=dist.LogNormal(-1.4, 0.2),
        n_sersic=dist.Uniform(0.7, 3.0),
        center_x=dist.Normal(0.0, 0.15),
        center_y=dist.Normal(0.0, 0.15),
    )
    nl.observe("image", observation, mass=lens, source=source)


def draw_and_mock(instrument, seed):
    """Parameters from the prior, and the observation that they make."""
    target = nl.infer.Target.of(small_lens, instrument)
    key, key_noise = jax.random.split(jax.random.key(seed))
    z = target.prior_draw(key)
    truth = target.constrain(z)
    image = target.trace(z)["image"]["fn"].mean
    noise = instrument.noise.sigma(image) * jax.random.normal(key_noise, image.shape)
    return truth, instrument.with_image(image + noise)


@pytest.mark.slow
def test_truth_lies_inside_the_central_99_percent():
    """Ten lenses drawn from the prior: 95 % of all parameters at least."""
    instrument = nl.Observation.blank(
        (40, 40),
        pixel_scale=0.08,
        noise=nl.PoissonNoise(0.05, 200.0),
        psf=nl.GaussianPSF(0.12),
    )
    inside = []
    for seed in range(10):
        truth, observation = draw_and_mock(instrument, seed)
        fit = nl.fit(small_lens, observation, seed=seed, progress=False)
        for name, value in truth.items():
            low, high = np.quantile(fit.samples[name], [0.005, 0.995])
            inside.append(low <= float(value) <= high)
    assert len(inside) == 100
    assert np.mean(inside) >= 0.95
