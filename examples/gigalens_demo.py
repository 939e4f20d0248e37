"""GIGA-Lens's own demo, moved over by changing its imports.

With its data, ``demo.npy`` and ``psf.npy`` of the GIGA-Lens repository:

    python examples/gigalens_demo.py demo.npy psf.npy

Without arguments an equal lens is simulated first.
"""

import sys

import arviz as az
import jax.numpy as jnp
import numpy as np
import optax
from numpyro_lens.gigalens.jax.model import ForwardProbModel
from numpyro_lens.gigalens.jax.profiles.light import sersic
from numpyro_lens.gigalens.jax.profiles.mass import epl, shear
from numpyro_lens.gigalens.jax.simulator import LensSimulator

from numpyro_lens.gigalens import tfp
from numpyro_lens.gigalens.jax.inference import ModellingSequence
from numpyro_lens.gigalens.model import PhysicalModel
from numpyro_lens.gigalens.simulator import SimulatorConfig

tfd = tfp.distributions

BACKGROUND_RMS, EXP_TIME = 0.2, 100.0

lens_prior = tfd.JointDistributionSequential(
    [
        tfd.JointDistributionNamed(
            dict(
                theta_E=tfd.LogNormal(jnp.log(1.25), 0.25),
                gamma=tfd.TruncatedNormal(2, 0.25, 1, 3),
                e1=tfd.Normal(0, 0.1),
                e2=tfd.Normal(0, 0.1),
                center_x=tfd.Normal(0, 0.05),
                center_y=tfd.Normal(0, 0.05),
            )
        ),
        tfd.JointDistributionNamed(dict(gamma1=tfd.Normal(0, 0.05), gamma2=tfd.Normal(0, 0.05))),
    ]
)
lens_light_prior = tfd.JointDistributionSequential(
    [
        tfd.JointDistributionNamed(
            dict(
                R_sersic=tfd.LogNormal(jnp.log(1.0), 0.15),
                n_sersic=tfd.Uniform(2, 6),
                e1=tfd.TruncatedNormal(0, 0.1, -0.3, 0.3),
                e2=tfd.TruncatedNormal(0, 0.1, -0.3, 0.3),
                center_x=tfd.Normal(0, 0.05),
                center_y=tfd.Normal(0, 0.05),
                Ie=tfd.LogNormal(jnp.log(500.0), 0.3),
            )
        )
    ]
)
source_light_prior = tfd.JointDistributionSequential(
    [
        tfd.JointDistributionNamed(
            dict(
                R_sersic=tfd.LogNormal(jnp.log(0.25), 0.15),
                n_sersic=tfd.Uniform(0.5, 4),
                e1=tfd.TruncatedNormal(0, 0.15, -0.5, 0.5),
                e2=tfd.TruncatedNormal(0, 0.15, -0.5, 0.5),
                center_x=tfd.Normal(0, 0.25),
                center_y=tfd.Normal(0, 0.25),
                Ie=tfd.LogNormal(jnp.log(150.0), 0.5),
            )
        )
    ]
)
prior = tfd.JointDistributionSequential([lens_prior, lens_light_prior, source_light_prior])

phys_model = PhysicalModel(
    [epl.EPL(50), shear.Shear()],
    [sersic.SersicEllipse(use_lstsq=False)],
    [sersic.SersicEllipse(use_lstsq=False)],
)


def simulate():
    """A lens like that of the demo, and its PSF."""
    offset = np.arange(13) - 6
    kernel = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / 0.8**2)
    sim_config = SimulatorConfig(delta_pix=0.065, num_pix=60, supersample=2, kernel=kernel)
    lens = [
        dict(theta_E=1.1, gamma=2.0, e1=0.1, e2=0.1, center_x=0.1, center_y=0.0),
        dict(gamma1=-0.01, gamma2=0.03),
    ]
    lens_light = [
        dict(R_sersic=0.8, n_sersic=2.5, e1=0.09, e2=0.15, center_x=0.1, center_y=0.0, Ie=500.0)
    ]
    source = [
        dict(R_sersic=0.25, n_sersic=1.5, e1=0.0, e2=0.0, center_x=0.1, center_y=-0.07, Ie=150.0)
    ]
    image = np.asarray(
        LensSimulator(phys_model, sim_config, bs=1).simulate([lens, lens_light, source])
    )
    noise = np.sqrt(BACKGROUND_RMS**2 + image / EXP_TIME)
    return image + noise * np.random.default_rng(0).normal(size=image.shape), kernel


def main(image_path=None, psf_path=None, *, n_samples=300, num_steps=350, num_results=750):
    """Fit, and print ArviZ's summary."""
    if image_path is None:
        observed_img, kernel = simulate()
    else:
        observed_img, kernel = np.load(image_path), np.load(psf_path)
    sim_config = SimulatorConfig(delta_pix=0.065, num_pix=60, supersample=2, kernel=kernel)
    prob_model = ForwardProbModel(prior, observed_img, BACKGROUND_RMS, EXP_TIME)
    model_seq = ModellingSequence(phys_model, prob_model, sim_config)

    schedule_fn = optax.polynomial_schedule(-1e-2, -1e-2 / 3, power=0.5, transition_steps=500)
    opt = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(schedule_fn))
    map_estimate = model_seq.MAP(opt, n_samples=n_samples, num_steps=num_steps, seed=0)
    simulator = LensSimulator(phys_model, sim_config, bs=n_samples)
    lps = prob_model.log_prob(simulator, map_estimate)[0]
    best = map_estimate[jnp.argmax(lps)][jnp.newaxis, :]

    schedule_fn = optax.polynomial_schedule(-1e-6, -3e-3, power=2, transition_steps=300)
    opt = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(schedule_fn))
    qz, _ = model_seq.SVI(best, opt, n_vi=100, num_steps=1000)

    samples = model_seq.HMC(qz, n_hmc=16, num_burnin_steps=250, num_results=num_results)
    print(az.summary(samples.to_arviz()).to_string())
    print(samples.verdict)
    return samples


if __name__ == "__main__":
    main(*sys.argv[1:])
