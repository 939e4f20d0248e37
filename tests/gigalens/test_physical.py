import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest

import numpyro_lens as nl

SHAPE = (14, 16)
SOURCE = {"sigma": 0.15, "e1": 0.1, "e2": 0.0, "center_x": 0.05, "center_y": 0.0}
TRUTH = [[{"theta_E": 0.5}], [{"amp": 4.0}], [{"amp": 20.0, **SOURCE}]]
PRIOR = [
    [{"theta_E": dist.LogNormal(-0.7, 0.2), "center_x": 0.0}],
    [{"amp": dist.LogNormal(1.4, 0.5)}],
    [{"Ie": dist.LogNormal(3.0, 0.5), **SOURCE}],
]
PHYSICAL = nl.PhysicalModel([nl.mass.SIS], [nl.light.Uniform], [nl.light.Gaussian])
KERNEL = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0])
CONFIG = nl.SimulatorConfig(delta_pix=0.1, num_pix=SHAPE, supersample=2, kernel=KERNEL)


@pytest.fixture(scope="module")
def image():
    clean = nl.LensSimulator(PHYSICAL, CONFIG).simulate(TRUTH)
    noise = np.sqrt(0.05**2 + np.maximum(clean, 0) / 200.0)
    return np.asarray(clean) + noise * np.random.default_rng(0).normal(size=SHAPE)


@pytest.fixture(scope="module")
def sequence(image):
    return nl.ModellingSequence(PHYSICAL, nl.ForwardProbModel(PRIOR, image, 0.05, 200.0), CONFIG)


@pytest.fixture(scope="module")
def steps(sequence):
    """A GIGA-Lens script, line by line."""
    found = sequence.MAP(optax.adam(2e-2), n_samples=8, num_steps=150, seed=0, progress=False)
    gaussian = sequence.SVI(
        optax.adam(5e-3), found.best, n_vi=16, num_steps=400, init_scales=1e-2, progress=False
    )
    chains = sequence.HMC(
        gaussian,
        n_hmc=8,
        num_burnin_steps=100,
        num_results=150,
        max_leapfrog_steps=20,
        progress=False,
    )
    return found, gaussian, chains


def test_steps_return_what_the_interface_promises(sequence, steps):
    found, gaussian, chains = steps
    assert isinstance(sequence, nl.ModellingSequenceInterface)
    assert np.asarray(found).shape == found.shape == (8, 3)
    assert gaussian.mean.shape == (3,)
    assert gaussian.covariance_matrix.shape == (3, 3)
    assert np.asarray(chains).shape == chains.shape == (150, 8, 3)
    names = ("lenses.0.theta_E", "lens_light.0.amp", "source_light.0.Ie")
    assert found.names == gaussian.names == chains.names == names


def test_posterior_covers_the_truth(steps):
    samples = steps[2].samples
    for name, truth in [
        ("lenses.0.theta_E", 0.5),
        ("lens_light.0.amp", 4.0),
        ("source_light.0.Ie", 20.0),
    ]:
        draws = samples[name]
        assert abs(draws.mean() - truth) < 4 * draws.std(), name


def test_svi_takes_its_arguments_in_either_order(sequence, steps):
    settings = {"n_vi": 4, "num_steps": 3, "progress": False}
    optimizer = optax.adam(5e-3)
    one = sequence.SVI(optimizer, steps[0].best, **settings)
    other = sequence.SVI(steps[0].best[0], optimizer, **settings)
    np.testing.assert_array_equal(one.mean, other.mean)


@pytest.mark.parametrize("scales", [0.1, np.array([0.1, 0.2, 0.3]), 0.1 * np.eye(3)])
def test_init_scales_are_standard_deviations(sequence, steps, scales):
    result = sequence.SVI(
        optax.sgd(0.0), steps[0].best, n_vi=2, num_steps=1, init_scales=scales, progress=False
    )
    expected = scales if np.ndim(scales) == 2 else np.diag(np.broadcast_to(scales, 3))
    np.testing.assert_allclose(result.scale_tril, expected, rtol=1e-4)
    np.testing.assert_allclose(result.mean, steps[0].best[0], rtol=1e-5)


def test_a_covariance_for_init_scales_is_refused(sequence, steps):
    with pytest.raises(ValueError, match=r"np\.linalg\.cholesky"):
        sequence.SVI(optax.sgd(0.0), steps[0].best, init_scales=np.ones((3, 3)))


def test_any_numpyro_kernel(sequence, steps):
    result = sequence.HMC(
        steps[1],
        n_hmc=2,
        num_burnin_steps=50,
        num_results=50,
        kernel=numpyro.infer.NUTS,
        progress=False,
    )
    assert result.shape == (50, 2, 3)


def sampled_prior():
    theta = numpyro.sample("theta", dist.LogNormal(-0.7, 0.2))
    return [[{"theta_E": theta}], [{"amp": 4.0}], [{"amp": 20.0, **SOURCE}]]


def test_prior_may_be_a_function(image):
    sequence = nl.ModellingSequence(
        PHYSICAL, nl.ForwardProbModel(sampled_prior, image, 0.05, 200.0), CONFIG
    )
    assert sequence.target.names == ("theta",)


def test_prior_may_depend_on_earlier_values(image):
    prior = [
        [
            {
                "center_x": lambda theta_E: dist.Normal(0.0, 0.01 * theta_E),
                "theta_E": dist.LogNormal(-0.7, 0.2),
            }
        ],
        *TRUTH[1:],
    ]
    sequence = nl.ModellingSequence(
        PHYSICAL, nl.ForwardProbModel(prior, image, 0.05, 200.0), CONFIG
    )
    assert sequence.target.names == ("lenses.0.theta_E", "lenses.0.center_x")
    prior[0][0]["center_x"] = lambda gamma: dist.Normal(0.0, gamma)
    with pytest.raises(ValueError, match="cannot resolve: center_x"):
        nl.ModellingSequence(PHYSICAL, nl.ForwardProbModel(prior, image, 0.05, 200.0), CONFIG)


def test_amplitudes_are_solved_for(image):
    linear = [TRUTH[0], [{}], [SOURCE]]
    sigma = np.sqrt(0.05**2 + np.maximum(image, 0) / 200.0)
    simulator = nl.LensSimulator(PHYSICAL, CONFIG)
    solved = simulator.lstsq_simulate(linear, image, sigma)
    true = simulator.simulate(TRUTH)
    chi2 = lambda model: np.sum(((image - model) / sigma) ** 2)  # noqa: E731
    assert chi2(solved) <= chi2(true)
    np.testing.assert_allclose(solved, true, atol=6 * sigma.max() / np.sqrt(image.size) * 5)


def test_backward_model_samples_no_amplitude(image):
    prior = [PRIOR[0], [{}], [SOURCE]]
    sequence = nl.ModellingSequence(
        PHYSICAL, nl.BackwardProbModel(prior, image, 0.05, 200.0), CONFIG
    )
    assert sequence.target.names == ("lenses.0.theta_E",)
    value, gradient = jax.value_and_grad(sequence.target.log_density)(jnp.array([-0.7]))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_no_lens_light_leaves_out_the_middle_list():
    physical = nl.PhysicalModel([nl.mass.SIS], [], [nl.light.Gaussian])
    image = nl.LensSimulator(physical, CONFIG).simulate([TRUTH[0], TRUTH[2]])
    assert image.shape == SHAPE


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([[{"theta_E": 1.0}], [{"amp": 1.0}]], r"for each of \[1, 1, 1\]"),
        ([[{"theta_e": 1.0}], *TRUTH[1:]], "SIS takes: theta_E, center_x, center_y"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        nl.LensSimulator(PHYSICAL, CONFIG).simulate(params)


def test_image_of_another_shape(image):
    with pytest.raises(ValueError, match=r"observed_image\.shape"):
        nl.ModellingSequence(PHYSICAL, nl.ForwardProbModel(PRIOR, image[1:], 0.05, 200.0), CONFIG)


def test_no_values_for_a_profile_leave_it_out():
    physical = nl.PhysicalModel([nl.mass.SIS, nl.mass.Shear], [], [nl.light.Gaussian])
    simulator = nl.LensSimulator(physical, CONFIG)
    with pytest.warns(UserWarning, match="left out, as GIGA-Lens does"):
        image = simulator.simulate([TRUTH[0], TRUTH[2]])
    alone = nl.PhysicalModel([nl.mass.SIS], [], [nl.light.Gaussian])
    expected = nl.LensSimulator(alone, CONFIG).simulate([TRUTH[0], TRUTH[2]])
    np.testing.assert_array_equal(image, expected)
    unlensed = simulator.simulate([[], [], TRUTH[2]])
    np.testing.assert_array_equal(
        unlensed, nl.LensSimulator(alone, CONFIG).simulate([TRUTH[0], TRUTH[2]], no_deflection=True)
    )


def test_shapelets_as_a_class_do_not_say_how_many():
    physical = nl.PhysicalModel([], [], [nl.light.Shapelets])
    params = [[], [], [{"beta": 0.2}]]
    blank = np.ones(SHAPE)
    with pytest.raises(ValueError, match=r"Shapelets\(n_max, use_lstsq=True\)"):
        nl.LensSimulator(physical, CONFIG).lstsq_simulate(params, blank, blank)
    params = [[], [], [{"beta": 0.2, "amp": np.ones(3)}]]
    solved = nl.LensSimulator(physical, CONFIG).lstsq_simulate(params, blank, blank)
    assert solved.amplitudes.shape == (3,)
