"""Scripts as GIGA-Lens's users write them, each kind at small size."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro_lens.gigalens.jax.model import BackwardProbModel, ForwardProbModel
from numpyro_lens.gigalens.jax.profiles.light import sersic, shapelets
from numpyro_lens.gigalens.jax.profiles.mass import shear, sie
from numpyro_lens.gigalens.jax.simulator import LensSimulator

from numpyro_lens.gigalens import tfp
from numpyro_lens.gigalens.jax.inference import (
    HarryModellingSequence,
    ModellingSequence,
    ModellingSequenceMultinode,
)
from numpyro_lens.gigalens.model import PhysicalModel
from numpyro_lens.gigalens.simulator import SimulatorConfig
from numpyro_lens.gigalens.tf import model as tf_model
from numpyro_lens.gigalens.tf import simulator as tf_simulator

tfd = tfp.distributions
PIXELS = 16
TRUTH = [
    [{"theta_E": 0.5, "e1": 0.1, "e2": 0.0, "center_x": 0.0, "center_y": 0.0}],
    [{"R_sersic": 0.2, "n_sersic": 1.0, "e1": 0.0, "e2": 0.1, "center_x": 0.05, "center_y": 0.0}],
]
KERNEL = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]).astype(np.float32)
D = 6


def prior(**amplitude):
    lens = tfd.JointDistributionNamed(
        {
            "theta_E": tfd.LogNormal(jnp.log(0.5), 0.1),
            "e1": tfd.TruncatedNormal(0, 0.1, -0.3, 0.3),
            "e2": 0.0,
            "center_x": 0.0,
            "center_y": 0.0,
        }
    )
    source = tfd.JointDistributionNamed(
        {
            "R_sersic": tfd.LogNormal(jnp.log(0.2), 0.1),
            "n_sersic": tfd.Uniform(0.5, 2),
            "e1": 0.0,
            "e2": 0.1,
            "center_x": tfd.Normal(0, 0.1),
            "center_y": 0.0,
            **amplitude,
        }
    )
    return tfd.JointDistributionSequential(
        [tfd.JointDistributionSequential([lens]), tfd.JointDistributionSequential([source])]
    )


PRIOR = prior(Ie=tfd.LogNormal(jnp.log(50.0), 0.3))
sim_config = SimulatorConfig(delta_pix=0.1, num_pix=PIXELS, supersample=1, kernel=KERNEL)
phys_model = PhysicalModel([sie.SIE()], [], [sersic.SersicEllipse(use_lstsq=False)])


@pytest.fixture(scope="module")
def observed():
    truth = [TRUTH[0], [{**TRUTH[1][0], "Ie": 50.0}]]
    image = np.asarray(LensSimulator(phys_model, sim_config, bs=1).simulate(truth))
    sigma = np.sqrt(0.05**2 + image / 200)
    return image + sigma * np.random.default_rng(1).normal(size=image.shape)


@pytest.fixture(scope="module")
def prob_model(observed):
    return ForwardProbModel(PRIOR, observed, background_rms=0.05, exp_time=200)


@pytest.fixture(scope="module")
def sequence(prob_model):
    return ModellingSequence(phys_model, prob_model, sim_config)


def optimizer(first=-1e-2, last=-3e-3):
    schedule = optax.polynomial_schedule(first, last, power=0.5, transition_steps=100)
    return optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(schedule))


@pytest.fixture(scope="module")
def steps(sequence):
    starts = sequence.MAP(optimizer(-5e-2), n_samples=6, num_steps=100, seed=0)
    qz, losses = sequence.SVI(starts.best, optimizer(), n_vi=16, num_steps=200, init_scales=1e-2)
    samples = sequence.HMC(qz, n_hmc=4, num_burnin_steps=60, num_results=75, pbar_interval=0)
    return starts, qz, losses, samples


def test_a_script_of_generation_one(prob_model, steps):
    starts, qz, _, samples = steps
    lps = prob_model.log_prob(LensSimulator(phys_model, sim_config, bs=6), starts)[0]
    best = starts[jnp.argmax(lps)][jnp.newaxis, :]
    np.testing.assert_array_equal(best, starts.best)
    np.testing.assert_allclose(starts.log_density, lps, rtol=1e-5)
    assert starts.T.shape == (D, 6)
    rhat = tfp.mcmc.potential_scale_reduction(
        jnp.transpose(samples.all_states, (1, 2, 0, 3)), independent_chain_ndims=2
    )
    assert rhat.shape == (D,)
    assert np.all(rhat < 1.2)
    smp = jnp.transpose(samples.all_states, (1, 2, 0, 3)).reshape((-1, D))
    params = prob_model.bij.forward(list(np.median(smp, axis=0)))
    assert abs(params[0][0]["theta_E"] - 0.5) < 0.05
    image = LensSimulator(phys_model, sim_config, bs=1).simulate(params)
    assert image.shape == (PIXELS, PIXELS)
    assert len(prob_model.bij.forward(list(qz.mean().T))) == 2


def test_a_script_of_generation_two(prob_model, steps):
    starts, _, losses, samples = steps
    best, lp, chisq = starts
    assert best.shape == (1, D)
    found = prob_model.log_prob(LensSimulator(phys_model, sim_config, bs=1), best)
    np.testing.assert_allclose(found[0], [lp], rtol=1e-5)
    np.testing.assert_allclose(found[1], [chisq], rtol=1e-5)
    assert 0.5 < chisq < 1.5
    assert len(losses) == 200
    assert samples.shape == (75, 1, 4, D)
    assert np.asarray(samples).shape == jnp.asarray(samples).shape == samples.shape
    assert samples.reshape(-1, D).shape == (300, D)
    assert samples.all_states.shape == (1, 75, 4, D)
    ess = tfp.mcmc.effective_sample_size(samples, cross_chain_dims=[1, 2])
    assert ess.shape == (D,)
    states, statistics = samples
    np.testing.assert_array_equal(states, samples)
    assert statistics["lp"].shape == (4, 75)
    assert "lenses.0.theta_E" in samples.summary().index


def test_the_gaussian_is_that_of_tfp_and_of_numpyro(steps):
    qz = steps[1]
    assert qz.sample(5, seed=jax.random.PRNGKey(0)).shape == (5, D)
    assert qz.sample(sample_shape=(5,), seed=3).shape == (5, D)
    assert qz.sample(jax.random.key(0), (5,)).shape == (5, D)
    np.testing.assert_array_equal(qz.mean(), qz.mean)
    np.testing.assert_array_equal(qz.loc, qz.mean)
    np.testing.assert_array_equal(qz.covariance(), qz.covariance_matrix)
    np.testing.assert_allclose(qz.stddev() ** 2, qz.variance(), rtol=1e-5)
    again = tfd.MultivariateNormalTriL(loc=qz.loc, scale_tril=qz.scale_tril)
    z = qz.sample(5, seed=0)
    np.testing.assert_allclose(qz.log_prob(z), jax.vmap(again.log_prob)(z), rtol=1e-3)


def test_hmc_from_a_gaussian_of_saved_arrays(sequence, steps):
    saved = tfd.MultivariateNormalTriL(loc=steps[1].loc, scale_tril=steps[1].scale_tril)
    samples = sequence.HMC(saved, n_hmc=4, num_burnin_steps=60, num_results=25, pbar_interval=0)
    assert samples.shape == (25, 1, 4, D)
    wrong = tfd.MultivariateNormalTriL(loc=np.zeros(2), scale_tril=np.eye(2))
    with pytest.raises(ValueError, match=r"shape \(6,\); got \(2,\)"):
        sequence.HMC(wrong)


def test_every_output_type_of_generation_two(sequence, prob_model):
    settings = {"n_samples": 3, "num_steps": 5, "seed": 1}
    z, lp, chisq = sequence.MAP(optimizer(), output_type="all", **settings)
    assert (z.shape, lp.shape, chisq.shape) == ((3, 5, D), (3, 5), (3, 5))
    best, top, _ = sequence.MAP(optimizer(), output_type="best", **settings)
    assert top == jnp.max(lp)
    assert best.shape == (1, D)
    simulator = LensSimulator(phys_model, sim_config, bs=1)
    np.testing.assert_allclose(prob_model.log_prob(simulator, best)[0], [top], rtol=1e-5)
    path, tops, _ = sequence.MAP(optimizer(), output_type="best_step", **settings)
    assert path.shape == (5, D)
    np.testing.assert_array_equal(tops, jnp.max(lp, axis=0))
    with pytest.raises(ValueError, match="'best_step', 'all'"):
        sequence.MAP(optimizer(), output_type="last", **settings)


def test_starts_may_be_parameters(sequence, prob_model):
    start = PRIOR.sample(3, seed=jax.random.PRNGKey(2))
    found = sequence.MAP(optimizer(), start=start, n_samples=3, num_steps=0)
    np.testing.assert_allclose(found.T, prob_model.bij.inverse(start), rtol=1e-5)


def test_a_fork_that_keeps_every_step(prob_model):
    sequence = HarryModellingSequence(phys_model, prob_model, sim_config)
    samples, losses = sequence.MAP(optimizer(), seed=0, num_steps=4, n_samples=3)
    step = jnp.argmin(jnp.min(losses, axis=1))
    best = samples[step][jnp.argmin(losses[step])][jnp.newaxis, :]
    assert prob_model.bij.forward(list(best.T))[0][0]["theta_E"].shape == (1,)


def test_a_fork_whose_vectors_are_trees(prob_model):
    sequence = ModellingSequenceMultinode(phys_model, prob_model, sim_config)
    starts, chi_square = sequence.MAP(optimizer(), seed=0, num_steps=4, n_samples=3)
    assert chi_square.shape == (4,)
    log_prob, _ = prob_model.log_prob(LensSimulator(phys_model, sim_config, bs=3), starts)
    best = jax.tree.map(lambda x: x[jnp.argmax(log_prob)], starts)
    found = prob_model.bijector.forward(best)
    assert found[0][0]["theta_E"].shape == ()
    assert found[1][0]["e2"] == 0.1  # which the prior fixes
    qz, losses = sequence.SVI(best, optimizer(), n_vi=2, num_steps=2)
    assert len(losses) == 2
    tree = jax.tree.unflatten(jax.tree.structure(best), qz.mean())
    np.testing.assert_allclose(prob_model.pack_bij.inverse(tree), qz.mean(), rtol=1e-6)


# --- masks ---------------------------------------------------------------------------------------

MASK = np.ones((PIXELS, PIXELS), bool)
MASK[6:9, 6:9] = False


def masked(self, simulator, z):
    """A likelihood of the user's own, as scripts patch it in."""
    z = list(z.T)
    x = self.bij.forward(z)
    model = simulator.simulate(x)
    error = jnp.sqrt(self.background_rms**2 + model / self.exp_time)
    error = jnp.where(MASK, error, 1e10)
    pixels = tfd.Independent(tfd.Normal(model, error), reinterpreted_batch_ndims=2)
    prior = self.prior.log_prob(x) + self.bij.forward_log_det_jacobian(z)
    chisq = jnp.mean(((model - self.observed_image) / error) ** 2, axis=(-2, -1))
    return pixels.log_prob(self.observed_image) + prior, chisq


def test_a_patched_log_prob_is_what_is_fitted(observed):
    patched = ForwardProbModel(PRIOR, observed, background_rms=0.05, exp_time=200)
    patched.log_prob = types.MethodType(jax.jit(masked, static_argnums=(0, 1)), patched)
    proper = ForwardProbModel(PRIOR, observed, background_rms=0.05, exp_time=200, mask=MASK)
    one, other = (ModellingSequence(phys_model, m, sim_config) for m in (patched, proper))
    start = PRIOR.sample(2, seed=0)
    settings = {"start": start, "n_samples": 2, "num_steps": 3}
    found, expected = (s.MAP(optimizer(), **settings) for s in (one, other))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    shift = found.log_density - expected.log_density
    np.testing.assert_allclose(shift, -9 * np.log(1e10 * np.sqrt(2 * np.pi)), atol=1.0)
    _, _, chisq = found
    assert chisq > 0.0


def test_errors_of_masked_pixels_may_be_set(observed):
    prior_ = prior()
    physical = PhysicalModel([sie.SIE()], [], [sersic.SersicEllipse(use_lstsq=True)])
    patched = BackwardProbModel(prior_, observed, background_rms=0.05, exp_time=200)
    errors = jnp.where(MASK, patched.err_map, 1e10)
    patched.err_map = errors
    patched.observed_dist = tfd.Independent(
        tfd.Normal(patched.observed_image, errors), reinterpreted_batch_ndims=2
    )
    proper = BackwardProbModel(prior_, observed, background_rms=0.05, exp_time=200, mask=MASK)
    z = jnp.stack(proper.bij.inverse(prior_.sample(3, seed=0)), axis=-1)
    simulator = LensSimulator(physical, sim_config, bs=3)
    shift = patched.log_prob(simulator, z)[0] - proper.log_prob(simulator, z)[0]
    np.testing.assert_allclose(shift, -9 * np.log(1e10 * np.sqrt(2 * np.pi)), atol=0.5)


def test_an_error_map_instead_of_background_and_exposure(observed):
    sigma = np.full(observed.shape, 0.2)
    model = ForwardProbModel(PRIOR, observed, error_map=sigma)
    z = jnp.zeros((1, D))
    image = LensSimulator(phys_model, sim_config).simulate(model.bij.forward(list(z.T)))
    _, chisq = model.log_prob(LensSimulator(phys_model, sim_config), z)
    np.testing.assert_allclose(chisq, [np.mean(((image - observed) / sigma) ** 2)], rtol=1e-4)
    with pytest.raises(ValueError, match="error_map="):
        ForwardProbModel(PRIOR, observed)


# --- amplitudes that are solved for --------------------------------------------------------------


def test_shapelets_are_solved_for(observed):
    shp = shapelets.Shapelets(2, use_lstsq=True)
    lens_light = shapelets.Shapelets(1, use_lstsq=True)
    physical = PhysicalModel([sie.SIE(), shear.Shear()], [lens_light], [shp])
    place = {"beta": tfd.LogNormal(jnp.log(0.2), 0.1), "center_x": 0.0, "center_y": 0.0}
    sheared = tfd.JointDistributionNamed({n: tfd.Normal(0, 0.02) for n in ("gamma1", "gamma2")})
    prior_ = tfd.JointDistributionSequential([[TRUTH[0][0], sheared], [place], [place]])
    model = BackwardProbModel(prior_, observed, background_rms=0.05, exp_time=200)
    sequence = ModellingSequence(physical, model, sim_config)
    best, _, chisq = sequence.MAP(optimizer(), n_samples=2, num_steps=5)
    assert np.isfinite(chisq)
    simulator = LensSimulator(physical, sim_config, bs=1)
    assert simulator.depth == 9
    x = model.bij.forward(list(best.T))
    image, coeffs = simulator.lstsq_simulate(x, observed, model.err_map)
    assert (image.shape, coeffs.shape) == (observed.shape, (9,))
    whole = simulator.lstsq_simulate(x, observed, model.err_map)
    np.testing.assert_allclose(
        (observed - whole) / model.err_map, (observed - image) / model.err_map, atol=1e-4
    )
    np.testing.assert_array_equal(whole[0], image)
    alone = simulator.lstsq_simulate(x, observed, model.err_map, return_coeffs=True)
    np.testing.assert_allclose(np.squeeze(alone), coeffs, rtol=1e-5)
    stacked = simulator.lstsq_simulate(x, observed, model.err_map, return_stacked=True)
    np.testing.assert_allclose(stacked[0] @ coeffs, image, rtol=1e-3, atol=1e-3)


def test_vectors_of_the_tensorflow_side_are_rows(observed):
    model = tf_model.ForwardProbModel(PRIOR, observed, background_rms=0.05, exp_time=200)
    start = PRIOR.sample(3, seed=0)
    z = model.bij.inverse(start)
    assert z.shape == (3, D)
    np.testing.assert_allclose(model.bij.forward(z)[1][0]["Ie"], start[1][0]["Ie"], rtol=1e-4)
    sequence = ModellingSequence(phys_model, model, sim_config)
    found = sequence.MAP(optimizer(), start=start, n_samples=3, num_steps=0)
    np.testing.assert_allclose(found, z, rtol=1e-5)


def test_images_of_the_tensorflow_side_have_its_way_to_numpy():
    truth = [TRUTH[0], [{**TRUTH[1][0], "Ie": 7.0}]]
    physical = PhysicalModel([sie.SIE()], [], [sersic.SersicEllipse(use_lstsq=True)])
    observed = tf_simulator.LensSimulator(phys_model, sim_config, bs=1).simulate(truth)
    err_map = np.sqrt(0.1**2 + np.clip(observed, 0, np.inf) / 200)
    observed += np.random.default_rng(0).normal(scale=err_map)
    solved = tf_simulator.LensSimulator(physical, sim_config, bs=1)
    residual = (observed - solved.lstsq_simulate(TRUTH, observed, err_map)) / err_map
    coeffs = solved.lstsq_simulate(TRUTH, observed, err_map, return_coeffs=True)
    assert isinstance(coeffs, np.ndarray)
    assert np.std(residual.numpy().flatten()) == pytest.approx(1.0, abs=0.2)


def test_coefficients_are_amplitudes_times_the_area_of_a_pixel():
    physical = PhysicalModel([sie.SIE()], [], [sersic.SersicEllipse(use_lstsq=True)])
    truth = LensSimulator(phys_model, sim_config).simulate([TRUTH[0], [{**TRUTH[1][0], "Ie": 7.0}]])
    solved = LensSimulator(physical, sim_config).lstsq_simulate(TRUTH, truth, np.ones_like(truth))
    np.testing.assert_allclose(solved.amplitudes, [7.0], rtol=1e-4)
    np.testing.assert_allclose(solved.coeffs, [7.0 * 0.1**2], rtol=1e-4)
    np.testing.assert_allclose(solved, truth, rtol=1e-4, atol=1e-5)


def test_an_amplitude_that_is_not_to_be_solved_for(observed):
    with pytest.raises(ValueError, match="use_lstsq=True"):
        LensSimulator(phys_model, sim_config).lstsq_simulate(TRUTH, observed, observed)
