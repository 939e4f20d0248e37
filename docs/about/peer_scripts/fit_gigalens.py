"""The fit of the comparison in GIGA-Lens, after its own demo notebook."""

import jax.numpy as jnp
import numpy as np
import optax
import tensorflow_probability.substrates.jax as tfp
from astropy.io import fits
from gigalens.jax.inference import ModellingSequence
from gigalens.jax.model import ForwardProbModel
from gigalens.jax.profiles.light import sersic
from gigalens.jax.profiles.mass import epl, shear
from gigalens.jax.simulator import LensSimulator
from gigalens.model import PhysicalModel
from gigalens.simulator import SimulatorConfig

tfd = tfp.distributions

with fits.open("lens.fits") as hdus:
    data, kernel = hdus["FLUX"].data, hdus["PSF"].data

lens_prior = tfd.JointDistributionSequential(
    [
        tfd.JointDistributionNamed(
            dict(
                theta_E=tfd.LogNormal(0.1, 0.4),
                gamma=tfd.TruncatedNormal(2.0, 0.3, 1.0, 3.0),
                e1=tfd.Normal(0.0, 0.1),
                e2=tfd.Normal(0.0, 0.1),
                center_x=tfd.Normal(0.0, 0.1),
                center_y=tfd.Normal(0.0, 0.1),
            )
        ),
        tfd.JointDistributionNamed(
            dict(gamma1=tfd.Normal(0.0, 0.06), gamma2=tfd.Normal(0.0, 0.06))
        ),
    ]
)


def sersic_prior(log_radius):
    return tfd.JointDistributionSequential(
        [
            tfd.JointDistributionNamed(
                dict(
                    R_sersic=tfd.LogNormal(log_radius, 0.7),
                    n_sersic=tfd.Uniform(0.5, 8.0),
                    e1=tfd.TruncatedNormal(0.0, 0.2, -0.5, 0.5),
                    e2=tfd.TruncatedNormal(0.0, 0.2, -0.5, 0.5),
                    center_x=tfd.Normal(0.0, 0.1),
                    center_y=tfd.Normal(0.0, 0.1),
                    Ie=tfd.LogNormal(3.0, 2.0),
                )
            )
        ]
    )


prior = tfd.JointDistributionSequential([lens_prior, sersic_prior(-0.2), sersic_prior(-1.5)])
phys_model = PhysicalModel(
    [epl.EPL(50), shear.Shear()], [sersic.SersicEllipse()], [sersic.SersicEllipse()]
)
prob_model = ForwardProbModel(prior, data, background_rms=0.2, exp_time=100)
sim_config = SimulatorConfig(delta_pix=0.05, num_pix=len(data), supersample=2, kernel=kernel)
sequence = ModellingSequence(phys_model, prob_model, sim_config)

schedule = optax.polynomial_schedule(-1e-2, -1e-2 / 3, power=0.5, transition_steps=500)
optimizer = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(schedule))
starts = sequence.MAP(optimizer, n_samples=500, num_steps=350, seed=0)
density = prob_model.log_prob(LensSimulator(phys_model, sim_config, bs=500), starts)[0]
best = starts[jnp.argmax(density)][jnp.newaxis, :]
schedule = optax.polynomial_schedule(-1e-6, -3e-3, power=2, transition_steps=300)
optimizer = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(schedule))
q_z, losses = sequence.SVI(best, optimizer, n_vi=1000, num_steps=1500)
samples = sequence.HMC(q_z, n_hmc=50, num_burnin_steps=250, num_results=750)
print(np.mean(samples, axis=(0, 1)))
