"""The default kernel on targets whose moments are known, within four Monte-Carlo errors."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from known import distances, eight_schools, eight_schools_moments, r_hat, run

from numpyro_lens.sampler import CrossChainHMC

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("double")]


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
    far = far_off(name, seed=1)
    if far.any():
        far &= far_off(name, seed=2)
    assert not far.any()


def far_off(name, seed):
    """Which means and variances of the draws are further than four errors from the true ones."""
    target, mean, variance = TARGETS[name]

    def model():
        target()
        numpyro.factor("nothing", 0.0)

    mcmc = run(CrossChainHMC(model), seed=seed, num_warmup=600, num_samples=1000)
    draws = np.asarray(mcmc.get_samples(group_by_chain=True)["x"])
    assert r_hat(draws).max() < 1.01
    return distances(draws, mean, variance) > 4.0
