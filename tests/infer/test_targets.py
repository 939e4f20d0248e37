"""The default kernel on targets whose moments are known, within four Monte-Carlo errors."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_lens.infer import CrossChainHMC
from numpyro_lens.infer.diagnostics import ess, r_hat

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("double")]

SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def gaussian(dim, condition):
    """Correlated, with variances from 1 / condition to 1."""
    rotation = np.linalg.qr(np.random.default_rng(dim).normal(size=(dim, dim)))[0]
    variances = condition ** -np.linspace(0.0, 1.0, dim)
    covariance = (rotation * variances) @ rotation.T
    normal = dist.MultivariateNormal(
        np.arange(dim) / dim, precision_matrix=(rotation / variances) @ rotation.T
    )
    return lambda: numpyro.sample("x", normal), np.arange(dim) / dim, np.diag(covariance)


def funnel():
    """Neal's funnel in its non-centred form: the scale, and one of nine."""
    scale = numpyro.sample("scale", dist.Normal(0.0, 3.0))
    raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([9]).to_event(1))
    numpyro.deterministic("x", jnp.stack([scale, raw[0]]))


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


TARGETS = {
    "gaussian of 2": gaussian(2, 1e2),
    "gaussian of 25": gaussian(25, 1e4),
    "gaussian of 100": gaussian(100, 1e6),
    "funnel": (funnel, np.zeros(2), np.array([9.0, 1.0])),
    "eight schools": (eight_schools, *eight_schools_moments()),
}


@pytest.mark.parametrize("name", TARGETS)
def test_moments(name):
    # Of 200 moments one is beyond four errors in one honest run of a hundred; an error of the
    # kernel is there in fresh draws too.
    far = distances(name, seed=1) > 4.0
    if far.any():
        far &= distances(name, seed=2) > 4.0
    assert not far.any()


def distances(name, seed):
    """Of the means and variances of the draws from the true ones, in Monte-Carlo errors."""
    target, mean, variance = TARGETS[name]

    def model():
        target()
        numpyro.factor("nothing", 0.0)

    mcmc = numpyro.infer.MCMC(
        CrossChainHMC(model),
        num_warmup=600,
        num_samples=1000,
        num_chains=16,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(seed))
    draws = np.asarray(mcmc.get_samples(group_by_chain=True)["x"])
    assert r_hat(draws).max() < 1.01
    squares = (draws - mean) ** 2
    spread = squares.reshape(-1, len(mean)).std(0)
    return np.concatenate(
        [
            distance(draws, mean, np.sqrt(variance / ess(draws, "mean"))),
            distance(squares, variance, spread / np.sqrt(ess(squares, "mean"))),
        ]
    )


def distance(draws, expected, error):
    return np.abs(draws.reshape(-1, len(expected)).mean(0) - expected) / error
