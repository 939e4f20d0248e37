import importlib
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import numpyro_lens as nl
from numpyro_lens.gigalens import kernel, mcmc, tfd, tfp
from numpyro_lens.gigalens.optimizers import as_optax
from numpyro_lens.gigalens.physical import PhysicalModel
from numpyro_lens.gigalens.profiles.light import sersic
from numpyro_lens.gigalens.profiles.mass import shear, sis
from numpyro_lens.gigalens.simulator import LensSimulator, SimulatorConfig

SHAPE = (8, 10)
PHYSICAL = PhysicalModel([sis.SIS(), shear.Shear()], [], [sersic.Sersic()])
CONFIG = SimulatorConfig(0.1, SHAPE, 2, np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]))


def params(*thetas):
    theta = np.array(thetas) if len(thetas) > 1 else thetas[0]
    lens = {"theta_E": theta, "center_x": 0.02, "center_y": 0.0}
    light = {"R_sersic": 0.1, "n_sersic": 1.0, "center_x": 0.0, "center_y": 0.03, "Ie": 5.0}
    return [[lens, {"gamma1": 0.05, "gamma2": 0.0}], [light]]


def test_a_batch_is_its_members():
    simulator = LensSimulator(PHYSICAL, CONFIG, bs=2)
    batch = simulator.simulate(params(0.2, 0.3))
    assert batch.shape == (2, *SHAPE)
    one = LensSimulator(PHYSICAL, CONFIG, bs=1)
    for image, theta in zip(batch, (0.2, 0.3), strict=True):
        np.testing.assert_allclose(image, one.simulate(params(theta)), rtol=1e-4, atol=1e-6)
    assert simulator.simulate(params(0.2)).shape == (2, *SHAPE)
    assert one.simulate(params(np.array([0.2]))).shape == SHAPE
    assert one.simulate(params(0.1, 0.2, 0.3)).shape == (3, *SHAPE)


def test_an_image_is_that_of_render():
    found = LensSimulator(PHYSICAL, CONFIG).simulate(params(0.3))
    (lens, external), (light,) = params(0.3)
    light = {("amp" if k == "Ie" else k): v for k, v in light.items()}
    instrument = nl.Observation.blank(
        SHAPE, pixel_scale=0.1, noise=nl.NoiseMap(1.0), psf=nl.PSF(CONFIG.kernel).refined(2)
    )
    masses = nl.mass.SIS(**lens) + nl.mass.Shear(**external)
    expected = nl.render(instrument, mass=masses, source=nl.light.Sersic(**light))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_empty_sky_takes_poisson_noise():
    config = SimulatorConfig(0.2, 40, 1, CONFIG.kernel)
    image = np.asarray(LensSimulator(PHYSICAL, config).simulate(params(0.3)))
    assert np.min(image) == 0.0
    assert np.random.default_rng(0).poisson(image).shape == (40, 40)
    dark = [params(0.3)[0], [params(0.3)[1][0] | {"Ie": -5.0}]]
    assert np.min(LensSimulator(PHYSICAL, config).simulate(dark)) < 0.0


def test_positions_have_the_batch_last():
    simulator = LensSimulator(PHYSICAL, CONFIG, bs=3)
    assert simulator.img_X.shape == simulator.img_Y.shape == (16, 20, 3)
    np.testing.assert_allclose(simulator.img_X[0, :2, 0], [-0.475, -0.425], rtol=1e-5)
    beta_x, beta_y = simulator._beta(params(0.1, 0.2, 0.3)[0])
    assert beta_x.shape == beta_y.shape == (16, 20, 3)
    deflector = nl.mass.SIS(theta_E=0.2, center_x=0.02) + nl.mass.Shear(gamma1=0.05, gamma2=0.0)
    alpha_x, _ = deflector.deflection(simulator.img_X[..., 1], simulator.img_Y[..., 1])
    np.testing.assert_allclose(beta_x[..., 1], simulator.img_X[..., 1] - alpha_x, atol=1e-6)
    assert simulator.conversion_factor == pytest.approx(0.01)


def test_a_matrix_instead_of_a_scale():
    matrix = np.array([[-0.1, 0.0], [0.0, 0.1]])
    given = SimulatorConfig(0.1, SHAPE, 2, CONFIG.kernel, matrix)
    flipped = LensSimulator(PHYSICAL, given).simulate(params(0.3))
    expected = LensSimulator(PHYSICAL, CONFIG).simulate(params(0.3))
    np.testing.assert_allclose(flipped, expected[:, ::-1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[{"theta_E": np.ones((2, 3))}], [{"Ie": 1.0}]], r"`theta_E` of shape \(2, 3\)"),
        (
            [[{"theta_E": np.ones(2)}, {"gamma1": np.ones(3)}], [{}]],
            r"one length, or 1; got \[2, 3\]",
        ),
        ([[], []], "nothing to simulate"),
    ],
)
@pytest.mark.filterwarnings("ignore:There are")
def test_batches_that_are_none(values, message):
    with pytest.raises(ValueError, match=message):
        LensSimulator(PHYSICAL, CONFIG).simulate(values)


def test_a_changed_configuration_is_another_one():
    config = SimulatorConfig(0.1, SHAPE)
    before = config.key
    config.supersample = 2
    assert config.key != before


def test_kernels_that_are_refined_by_either_way():
    ours = kernel.averaging(CONFIG.kernel, 2)
    theirs = kernel.lenstronomy_subgrid(CONFIG.kernel, 2)
    assert ours.kernel.shape == theirs.kernel.shape == (5, 5)
    assert np.max(np.abs(ours.kernel - theirs.kernel)) > 1e-3
    given = SimulatorConfig(0.1, SHAPE, 2, ours)
    np.testing.assert_array_equal(
        LensSimulator(PHYSICAL, given).simulate(params(0.3)),
        LensSimulator(PHYSICAL, CONFIG).simulate(params(0.3)),
    )


@pytest.mark.parametrize("spelling", ["", "jax.", "tf."])
def test_modules_have_the_names_of_gigalens(spelling):
    root = f"numpyro_lens.gigalens.{spelling}"
    for name in (
        "model",
        "simulator",
        "inference",
        "profiles.mass.tnfw",
        "profiles.light.shapelets",
    ):
        assert importlib.import_module(root + name) is not None
    module = importlib.import_module(root + "profiles.mass.epl")
    assert module.EPL is importlib.import_module("numpyro_lens.gigalens.profiles.mass.epl").EPL
    sequence = importlib.import_module(root + "inference").ModellingSequence
    assert issubclass(sequence, nl.ModellingSequenceInterface)


# --- tfp -----------------------------------------------------------------------------------------


@jax.numpy_rank_promotion("allow")  # NumPyro's own
def test_joint_distributions():
    model = {
        "b": tfd.Normal(jnp.zeros(3), 1.0),
        "a": tfd.Uniform(1.0, 2.0, name="a"),
        "c": lambda a: tfd.Normal(a, 1e-3),
        "fixed": 2.0,
    }
    prior = tfp.distributions.JointDistributionNamedAutoBatched(model)
    draws = prior.sample(4, seed=0)
    assert list(draws) == ["b", "a", "c", "fixed"]
    assert draws["b"].shape == (4, 3)
    np.testing.assert_allclose(draws["c"], draws["a"], atol=0.01)
    log_prob = prior.log_prob(draws)
    assert log_prob.shape == (4,)
    expected = tfd.Independent(tfd.Normal(jnp.zeros(3), 1.0), 1).log_prob(draws["b"][0])
    expected += tfd.Normal(draws["a"][0], 1e-3).log_prob(draws["c"][0])
    np.testing.assert_allclose(log_prob[0], expected, rtol=1e-5)
    single = prior.sample(seed=0)
    assert single["a"].shape == ()
    np.testing.assert_allclose(prior.prob(single), np.exp(prior.log_prob(single)), rtol=1e-5)


def test_distributions_are_called_as_tfps():
    normal = tfd.Normal(loc=1.0, scale=2.0)
    assert normal.sample((2, 3), seed=0).shape == (2, 3)
    assert (normal.mean(), normal.stddev(), normal.variance()) == (1.0, 2.0, 4.0)
    several = tfd.Sample(normal, 3)
    assert several.event_shape == (3,)
    assert several.log_prob(jnp.zeros(3)).shape == ()
    truncated = tfd.TruncatedNormal(0, 0.1, -0.3, 0.3)
    assert np.all(np.abs(truncated.sample(100, seed=1)) < 0.3)
    full = tfd.MultivariateNormalFullCovariance(jnp.zeros(2), 4.0 * jnp.eye(2))
    np.testing.assert_allclose(full.scale_tril, 2.0 * jnp.eye(2))
    np.testing.assert_allclose(full.covariance(), 4.0 * jnp.eye(2))
    diagonal = tfd.MultivariateNormalDiag(jnp.zeros(2), jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(diagonal.covariance()[1, 1], 4.0)


def test_what_tfp_has_and_we_do_not_says_what_to_write():
    with pytest.raises(AttributeError, match=r"numpyro\.distributions"):
        tfd.Gamma(1.0, 1.0)
    with pytest.raises(AttributeError, match=r"model_seq\.HMC"):
        tfp.mcmc.sample_chain()
    with pytest.raises(AttributeError, match="only bijectors, distributions, mcmc"):
        tfp.experimental.mcmc()
    with pytest.raises(TypeError, match="got also df"):
        tfd.Normal(0.0, 1.0, df=3.0)


def test_vectors_of_another_length():
    prior = tfd.JointDistributionNamed({"several": tfd.Sample(tfd.Normal(0, 1), 3)})
    model = nl.ForwardProbModel([[{**prior.tree}], [], []], np.ones((2, 2)), 1.0, 1.0)
    x = model.bij.forward(np.arange(6.0).reshape(2, 3))
    assert x[0][0]["several"].shape == (2, 3)
    assert isinstance(x[0][0]["several"], np.ndarray)
    assert len(model.bij.inverse(x)) == 3
    with pytest.raises(ValueError, match="has 3 entries; got 2"):
        model.bij.forward([0.0, 1.0])


def test_potential_scale_reduction():
    draws = np.random.default_rng(0).normal(size=(500, 2, 2, 3))
    found = mcmc.potential_scale_reduction(draws, independent_chain_ndims=2)
    np.testing.assert_allclose(found, 1.0, atol=0.02)
    draws[:, 0, 0] += 3.0
    assert np.all(mcmc.potential_scale_reduction(draws, independent_chain_ndims=2) > 1.5)
    with pytest.raises(ValueError, match="split_chains=True"):
        mcmc.potential_scale_reduction(draws[:, 0, :1])
    ess = mcmc.effective_sample_size(np.random.default_rng(1).normal(size=(500, 2, 3)))
    assert ess.shape == (2, 3)
    assert np.all(ess > 250)


class Adam:
    """What an optimiser of Keras says of itself."""

    rate: ClassVar = {
        "class_name": "PolynomialDecay",
        "config": {
            "initial_learning_rate": 1e-2,
            "end_learning_rate": 1e-3,
            "power": 1.0,
            "decay_steps": 10,
        },
    }

    def get_config(self):
        numbers = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
        return {"name": "adam_1", "learning_rate": self.rate, **numbers}


class Nadam(Adam):
    pass


def test_an_optimiser_of_keras():
    found = as_optax(Adam())
    expected = optax.adam(optax.polynomial_schedule(1e-2, 1e-3, 1.0, 10), eps=1e-7)
    start = jnp.ones(2)
    states = [optimizer.init(start) for optimizer in (found, expected)]
    updates = [
        optimizer.update(3.0 * start, state)[0]
        for optimizer, state in zip((found, expected), states, strict=True)
    ]
    np.testing.assert_allclose(*updates)
    assert as_optax(expected) is expected
    with pytest.raises(TypeError, match="got Nadam"):
        as_optax(Nadam())
