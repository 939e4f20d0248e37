import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_lens.infer import CrossChain, CrossChainHMC, flat_model
from numpyro_lens.infer.density import Affine
from numpyro_lens.infer.diagnostics import ess, r_hat
from numpyro_lens.infer.kernels import (
    NUM_LAYERS,
    _van_der_corput,
    init_state,
    transition,
)
from numpyro_lens.infer.transport import Transport


def correlated(data):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("b", dist.Normal(3.0 * x, 0.1))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


def banana(data):
    """A curved valley."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("b", dist.Normal(x**2, 0.3))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


def twisted(data):
    """Haario, Saksman & Tamminen 1999: E[b] = 0, Var[b] = 1 + 0.03² Var[x²] = 19."""
    x = numpyro.sample("x", dist.Normal(0.0, 10.0))
    numpyro.sample("b", dist.Normal(0.03 * (x**2 - 100.0), 1.0))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


ARGS = (jnp.asarray(0.0),)


def sample(model, settings=None, seed=0, num_samples=500):
    mcmc = numpyro.infer.MCMC(
        CrossChainHMC(model, settings),
        num_warmup=300,
        num_samples=num_samples,
        num_chains=16,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(seed), *ARGS, extra_fields=("num_steps", "accept_prob"))
    return mcmc


@pytest.mark.parametrize(
    ("model", "mean", "variance"),
    [(correlated, (0.0, 0.0), (1.0, 9.01)), (twisted, (0.0, 0.0), (100.0, 19.0))],
)
def test_moments_within_four_monte_carlo_errors(model, mean, variance):
    samples = sample(model, num_samples=2000).get_samples(group_by_chain=True)
    draws = np.stack([samples["x"], samples["b"]], axis=-1)
    # Monte-Carlo errors of means take the plain ESS, not that of the ranks: the tails are heavy.
    number, moments = ess(draws, "mean"), draws.reshape(-1, 2)
    assert r_hat(draws).max() < 1.01
    error = np.sqrt(np.asarray(variance) / number)
    np.testing.assert_array_less(np.abs(moments.mean(0) - mean), 4 * error)
    squares = (draws - np.asarray(mean)) ** 2
    error = squares.reshape(-1, 2).std(0) / np.sqrt(ess(squares, "mean"))
    np.testing.assert_array_less(np.abs(squares.reshape(-1, 2).mean(0) - variance), 4 * error)


def test_chains_share_what_they_learn():
    state = sample(correlated, num_samples=20).last_state
    assert np.unique(state.step_size).size == 1
    # The scale of 0.1 across the valley was learned from the draws.
    jacobian = jax.jacfwd(lambda u: state.adapt_state.transport(u[None])[0])(jnp.zeros(2))
    covariance = jacobian @ jacobian.T
    assert float(jnp.linalg.det(covariance)) == pytest.approx(0.01, rel=0.2)


def test_a_quarter_of_a_period_and_not_a_whole_one():
    """A trajectory of 2π comes back to where it started: effective sample size 13 of 4,000."""

    def whitened(data):
        numpyro.sample("x", dist.Normal(jnp.zeros(20), 1.0).to_event(1))
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)

    samples = sample(whitened, num_samples=200).get_samples(group_by_chain=True)["x"]
    assert ess(samples).min() > 0.5 * 16 * 200


def test_trajectories_cut_short_do_not_shorten_the_length():
    """Small steps early in burn-in once left it at its lower limit, and the chains at a crawl."""
    flat = flat_model(correlated, ARGS)
    settings = CrossChain(init_step_size=0.01, max_num_steps=2)
    transport = Transport.of(Affine(jnp.zeros(2), jnp.eye(2)), NUM_LAYERS)
    z = jax.random.normal(jax.random.key(0), (16, 2))
    state = init_state(flat, settings, 10, z, transport, jax.random.key(1), ARGS)
    state = transition(flat, settings, 10, state, ARGS)
    assert int(state.num_steps[0]) == 2
    assert float(jnp.exp(state.adapt_state.log_length)) == pytest.approx(1.5)


@pytest.mark.parametrize("num_warmup", [0, 2, 5])
def test_a_burn_in_too_short_for_a_metric(num_warmup):
    flat = flat_model(correlated, ARGS)
    metric = Affine(jnp.zeros(2), jnp.array([[1.0, 0.0], [3.0, 0.1]]))
    transport = Transport.of(metric, NUM_LAYERS)
    z = metric(jax.random.normal(jax.random.key(0), (16, 2)))
    state = init_state(flat, CrossChain(), num_warmup, z, transport, jax.random.key(1), ARGS)
    for _ in range(num_warmup + 1):
        state = transition(flat, CrossChain(), num_warmup, state, ARGS)
    assert np.isfinite(state.z).all()
    assert not np.array_equal(state.z, z)


def test_van_der_corput_is_spread_evenly():
    values = np.sort([float(_van_der_corput(jnp.asarray(i))) for i in range(63)])
    np.testing.assert_allclose(values, np.arange(1, 64) / 64)


def test_chains_cannot_be_run_one_by_one():
    mcmc = numpyro.infer.MCMC(
        CrossChainHMC(correlated), num_warmup=5, num_samples=5, num_chains=1, progress_bar=False
    )
    with pytest.raises(ValueError, match="chain_method"):
        mcmc.run(jax.random.key(0), *ARGS)
