"""Targets without a lens whose moments are known, and how far draws are from them."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from numpyro_lens.sampler import CrossChainHMC

ARGS = (jnp.asarray(0.0),)
SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


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


def funnel(data):
    """Neal's, with a neck at negative x: E[b²] = E[exp(2x)] = e²."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("b", dist.Normal(0.0, jnp.exp(x)))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


def eight_schools():
    """Non-centred; Rubin 1981, J. Educ. Stat. 6, 377."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
    numpyro.sample("y", dist.Normal(mu + tau * raw, ERRORS).to_event(1), obs=SCHOOLS)
    numpyro.deterministic("x", jnp.stack([mu, jnp.log(tau)]))


def eight_schools_moments():
    """Mean and variance of mu and log tau by quadrature: the schools integrate out exactly."""
    mu, log_tau = np.meshgrid(
        np.linspace(-25.0, 30.0, 401), np.linspace(-14.0, 6.0, 1201), indexing="ij"
    )
    tau = np.exp(log_tau)
    variance = tau[..., None] ** 2 + ERRORS**2
    log_p = -0.5 * np.sum((SCHOOLS - mu[..., None]) ** 2 / variance + np.log(variance), axis=-1)
    log_p += -0.5 * mu**2 / 25.0 - np.log1p(tau**2 / 25.0) + log_tau
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    mean = np.array([np.sum(weight * value) for value in (mu, log_tau)])
    squares = np.array([np.sum(weight * value**2) for value in (mu, log_tau)])
    return mean, squares - mean**2


def run(kernel, *args, seed=0, num_warmup=300, num_samples=500, num_chains=16, **settings):
    """NumPyro's ``MCMC`` after its run; ``settings`` are those of ``run``."""
    mcmc = numpyro.infer.MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(seed), *args, **settings)
    return mcmc


def sample(model, seed=0, num_samples=500, **settings):
    """Of a model above."""
    return run(CrossChainHMC(model, **settings), *ARGS, seed=seed, num_samples=num_samples)


def ess(draws):
    """Effective sample size (d,) of means of draws (chain, draw, d)."""
    return effective_sample_size(np.asarray(draws, dtype=float))


def r_hat(draws):
    """Split R-hat (d,) of draws (chain, draw, d)."""
    return split_gelman_rubin(np.asarray(draws, dtype=float))


def distances(draws, mean, variance):
    """Of the means and variances (2 d,) of draws from the true ones, in Monte-Carlo errors."""
    # Monte-Carlo errors of means take the plain ESS, not that of the ranks: the tails are heavy.
    draws, mean = np.asarray(draws, dtype=float), np.asarray(mean)
    squares = (draws - mean) ** 2
    spread = squares.reshape(-1, len(mean)).std(0)
    return np.concatenate(
        [
            _distance(draws, mean, np.sqrt(np.asarray(variance) / ess(draws))),
            _distance(squares, variance, spread / np.sqrt(ess(squares))),
        ]
    )


def _distance(draws, expected, error):
    return np.abs(draws.reshape(-1, len(expected)).mean(0) - expected) / error
