"""Scripts of branches, whose classes are imported as the names that they have there."""

import jax.numpy as jnp
import numpy as np
import optax
from numpyro_lens.gigalens.jax.model import ForwardProbModel
from numpyro_lens.gigalens.jax.profiles.light import sersic
from numpyro_lens.gigalens.jax.profiles.mass import shear, sis

from numpyro_lens.gigalens import tfd
from numpyro_lens.gigalens.forks import LensSimulatorWithDeflection as LensSimulator
from numpyro_lens.gigalens.forks import ModellingSequenceWithHistory as ModellingSequence
from numpyro_lens.gigalens.model import PhysicalModel
from numpyro_lens.gigalens.simulator import SimulatorConfig

CENTRE = {"center_x": 0.0, "center_y": 0.0}
SOURCE = {"R_sersic": 0.2, "n_sersic": 1.0, **CENTRE, "Ie": 5.0}
sim_config = SimulatorConfig(delta_pix=0.1, num_pix=8)


def test_a_branch_that_keeps_the_chi_square_of_each_step():
    phys_model = PhysicalModel([sis.SIS()], [], [sersic.Sersic()])
    lens = tfd.JointDistributionNamed({"theta_E": tfd.LogNormal(jnp.log(0.3), 0.1), **CENTRE})
    prior = tfd.JointDistributionSequential([[lens], [SOURCE]])
    image = LensSimulator(phys_model, sim_config).simulate([[{"theta_E": 0.3, **CENTRE}], [SOURCE]])
    prob_model = ForwardProbModel(prior, image, background_rms=0.01, exp_time=1e4)
    sequence = ModellingSequence(phys_model, prob_model, sim_config)
    starts, history = sequence.MAP(optax.adam(1e-2), seed=0, n_samples=2, num_steps=3)
    assert starts.shape == (2, 1)
    assert len(history) == 3
    simulator = LensSimulator(phys_model, sim_config, bs=2)
    _, chi_square = prob_model.log_prob(simulator, starts)
    np.testing.assert_allclose(np.min(chi_square), history[-1], rtol=1e-5)


def test_a_branch_that_gives_the_deflection_of_the_last_lens():
    phys_model = PhysicalModel([sis.SIS(), shear.Shear()], [], [sersic.Sersic()])
    simulator = LensSimulator(phys_model, sim_config, bs=2)
    lenses = [{"theta_E": 0.3, **CENTRE}, {"gamma1": 0.1, "gamma2": 0.0}]
    beta_x, beta_y, alpha_x, alpha_y = simulator._beta(lenses)
    np.testing.assert_allclose(alpha_x, 0.1 * simulator.img_X, rtol=1e-5)
    np.testing.assert_allclose(alpha_y, -0.1 * simulator.img_Y, rtol=1e-5)
    radius = jnp.hypot(simulator.img_X, simulator.img_Y)
    expected = 0.9 * simulator.img_X - 0.3 * simulator.img_X / radius
    np.testing.assert_allclose(beta_x, expected, rtol=1e-4, atol=1e-6)
    assert beta_y.shape == (8, 8, 2)
