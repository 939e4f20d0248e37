"""The kernel in NumPyro's ``MCMC``."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from known import ARGS, correlated, distances, ess, r_hat, run, sample, twisted

from numpyro_lens.density import Target
from numpyro_lens.sampler import Affine, CrossChain, CrossChainHMC, Quadratic


@pytest.mark.parametrize(
    ("model", "mean", "variance"),
    [(correlated, (0.0, 0.0), (1.0, 9.01)), (twisted, (0.0, 0.0), (100.0, 19.0))],
)
def test_moments_within_four_monte_carlo_errors(model, mean, variance):
    samples = sample(model, num_samples=2000).get_samples(group_by_chain=True)
    draws = np.stack([samples["x"], samples["b"]], axis=-1)
    assert r_hat(draws).max() < 1.01
    np.testing.assert_array_less(distances(draws, mean, variance), 4.0)


def test_chains_share_what_they_learn():
    state = sample(correlated, num_samples=20).last_state
    assert np.unique(state.step_size).size == 1
    # The scale of 0.1 across the valley was learned from the draws.
    jacobian = jax.jacfwd(lambda u: state.map(u[None])[0])(jnp.zeros(2))
    covariance = jacobian @ jacobian.T
    assert float(jnp.linalg.det(covariance)) == pytest.approx(0.01, rel=0.2)


def test_a_quarter_of_a_period_and_not_a_whole_one():
    """A trajectory of 2π comes back to where it started: effective sample size 13 of 4,000."""

    def whitened(data):
        numpyro.sample("x", dist.Normal(jnp.zeros(20), 1.0).to_event(1))
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)

    samples = sample(whitened, num_samples=200).get_samples(group_by_chain=True)["x"]
    assert ess(samples).min() > 0.5 * 16 * 200


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves((state.map, state.adaptation))]


def test_what_is_learned_is_frozen_after_burn_in():
    mcmc = numpyro.infer.MCMC(
        CrossChainHMC(twisted),
        num_warmup=100,
        num_samples=50,
        num_chains=8,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.warmup(jax.random.key(0), *ARGS, extra_fields=("step_size",), collect_warmup=True)
    learned = leaves(mcmc.post_warmup_state)
    steps = mcmc.get_extra_fields(group_by_chain=True)["step_size"]
    assert np.unique(steps[0]).size > 50
    mcmc.run(jax.random.key(1), *ARGS, extra_fields=("trajectory_length", "num_steps"))
    for before, after in zip(learned, leaves(mcmc.last_state), strict=True):
        np.testing.assert_array_equal(after, before)
    lengths = mcmc.get_extra_fields(group_by_chain=True)["trajectory_length"]
    assert lengths.max() < 3.001 * lengths.min()  # jitter of one length


def test_two_seeds_differ_and_one_repeats():
    plain = Affine(jnp.zeros(2), jnp.eye(2))
    mcmc = numpyro.infer.MCMC(
        CrossChainHMC(correlated, map=plain, settings=CrossChain(num_fit_draws=0)),
        num_warmup=5,
        num_samples=10,
        num_chains=16,
        chain_method="vectorized",
        progress_bar=False,
    )
    draws = []
    for seed in (0, 1, 0):
        # From the same starts: only the transitions may differ.
        mcmc.run(jax.random.key(seed), *ARGS, init_params=jnp.zeros((16, 2)))
        draws.append(np.asarray(mcmc.get_samples()["x"]))
    assert not np.isin(draws[0][draws[0] != 0.0], draws[1]).any()
    np.testing.assert_array_equal(draws[0], draws[2])


SCALE = jnp.array([1e-3, 1.0, 30.0, 1e3])


def unsorted(data):
    """Sites that are not in alphabetical order, of scales that differ by a thousand and more."""
    numpyro.sample("z", dist.Normal(0.0, SCALE[0]))
    numpyro.sample("a", dist.Normal(jnp.zeros(2), SCALE[1:3]).to_event(1))
    numpyro.sample("m", dist.Normal(0.0, SCALE[3]))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


def test_the_map_is_in_the_order_of_the_model():
    """Read in the order of the names, a covariance gave an R-hat of 8,800."""
    kernel = CrossChainHMC(
        unsorted,
        map=Quadratic.of(Affine(jnp.zeros(4), jnp.diag(SCALE))),
        settings=CrossChain(num_fit_draws=0),
    )
    mcmc = run(kernel, *ARGS, num_warmup=0, num_samples=300, extra_fields=("accept_prob",))
    assert mcmc.get_extra_fields()["accept_prob"].min() > 0.99
    samples = mcmc.get_samples(group_by_chain=True)
    draws = np.concatenate(
        [samples["z"][..., None], samples["a"], samples["m"][..., None]], axis=-1
    )
    assert r_hat(draws).max() < 1.01
    np.testing.assert_array_less(distances(draws / np.asarray(SCALE), np.zeros(4), np.ones(4)), 4.0)


def test_a_given_map_is_fitted_before_burn_in():
    """Off the centre and without the curvature: gradients put that right at once."""
    start = Quadratic.of(Affine(jnp.array([2.0, 0.0]), jnp.diag(jnp.array([8.0, 3.0]))))
    mcmc = run(CrossChainHMC(twisted, map=start), *ARGS, num_warmup=0, num_samples=5)
    fitted = mcmc.last_state.map
    z = jax.random.normal(jax.random.key(3), (500, 2)) * jnp.array([[10.0, 1.0]])
    z = z.at[:, 1].add(0.03 * (z[:, 0] ** 2 - 100.0))
    gradient = jax.vmap(jax.grad(Target.of(twisted, *ARGS).log_density))(z)

    def divergence(map):
        u = map.whiten(z)
        return float(jnp.mean((u + map.pull_back(u, gradient)) ** 2))

    assert divergence(fitted) < 0.5 * divergence(start)


def half_squares(z):
    return 0.5 * jnp.sum((z / jnp.array([1.0, 10.0])) ** 2)


def test_a_log_density_that_is_no_model():
    start = jax.random.normal(jax.random.key(1), (16, 2))
    kernel = CrossChainHMC(potential_fn=half_squares)
    mcmc = run(kernel, init_params=start, extra_fields=("potential_energy",))
    draws = mcmc.get_samples(group_by_chain=True)
    assert draws.shape == (16, 500, 2)
    assert r_hat(draws).max() < 1.01
    np.testing.assert_array_less(distances(draws, np.zeros(2), np.array([1.0, 100.0])), 4.0)
    energies = mcmc.get_extra_fields(group_by_chain=True)["potential_energy"]
    np.testing.assert_allclose(energies[3, -1], half_squares(draws[3, -1]), rtol=1e-5)


def test_starts_are_one_vector_for_each_chain():
    start = Target.of(correlated, *ARGS).unconstrain({"x": 0.3, "b": 0.9})
    mcmc = run(CrossChainHMC(correlated), *ARGS, init_params=jnp.tile(start, (16, 1)))
    assert np.isfinite(mcmc.get_samples()["x"]).all()


def test_chains_cannot_be_run_one_by_one():
    for num_chains, key in ((1, jax.random.key(0)), (1, jax.random.PRNGKey(0))):
        mcmc = numpyro.infer.MCMC(
            CrossChainHMC(correlated),
            num_warmup=5,
            num_samples=5,
            num_chains=num_chains,
            progress_bar=False,
        )
        with pytest.raises(ValueError, match="chain_method"):
            mcmc.run(key, *ARGS)


def test_keys_of_the_old_style_do_as_well():
    mcmc = numpyro.infer.MCMC(
        CrossChainHMC(correlated),
        num_warmup=5,
        num_samples=5,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.PRNGKey(0), *ARGS)
    assert mcmc.get_samples()["x"].shape == (20,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "names none"),
        ({"model": correlated, "potential_fn": half_squares}, ValueError, "names two"),
        ({"model": correlated, "scale_tril": jnp.eye(2)}, TypeError, r"map=Quadratic\.of\(Affine"),
        ({"model": correlated, "jitter": 0.2}, TypeError, r"`jitter`.*settings=CrossChain"),
    ],
)
def test_errors_of_the_arguments_teach(arguments, error, message):
    with pytest.raises(error, match=message):
        CrossChainHMC(**arguments)


@pytest.mark.parametrize(
    ("kernel", "args", "settings", "message"),
    [
        (CrossChainHMC(correlated), (), {"data": ARGS[0]}, "by position, and `data`"),
        (CrossChainHMC(potential_fn=half_squares), (), {}, "init_params=start"),
        (CrossChainHMC(potential_fn=half_squares), ARGS, {}, "takes the vector alone"),
        (CrossChainHMC(correlated), ARGS, {"init_params": jnp.zeros(16)}, r"\(16, 2\)"),
        (CrossChainHMC(correlated), ARGS, {"init_params": {"x": jnp.zeros(16)}}, "are dict"),
    ],
)
def test_errors_of_a_run_teach(kernel, args, settings, message):
    with pytest.raises(ValueError, match=message):
        run(kernel, *args, num_warmup=2, num_samples=2, **settings)


def nowhere(data):
    """A log density that is not finite for half of the prior."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("positive", jnp.where(x > 0.0, 0.0, -jnp.inf))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=data)


def test_chains_start_where_the_density_is_finite():
    draws = sample(nowhere, num_samples=20).get_samples(group_by_chain=True)["x"]
    assert (draws > 0.0).all()


def test_starts_of_no_density_are_refused():
    with pytest.raises(ValueError, match="16 of 16 chains"):
        run(CrossChainHMC(nowhere), *ARGS, init_params=-jnp.ones((16, 1)), num_warmup=2)
