"""The evidence of densities whose integral is known."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_lens.density import Target
from numpyro_lens.infer.evidence import log_evidence


@pytest.mark.parametrize("dim", [1, 3, 30])
def test_of_a_gaussian(dim, double):
    rng = np.random.default_rng(dim)
    turn, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    width, scale = np.geomspace(0.01, 1.0, dim), 7.0

    def model():
        z = numpyro.sample("z", dist.Normal(jnp.zeros(dim), 5.0).to_event(1))
        numpyro.factor("data", scale - 0.5 * jnp.sum((z @ turn / width) ** 2))

    precision = turn / width**2 @ turn.T + np.eye(dim) / 25.0
    exact = scale - 0.5 * np.linalg.slogdet(precision)[1] - dim * np.log(5.0)
    draws = rng.normal(size=(4, 1000, dim)) @ np.linalg.cholesky(np.linalg.inv(precision)).T
    found = log_evidence(Target.of(model), draws, jax.random.key(0))
    assert found.error < 0.1
    assert abs(found.value - exact) < 4.0 * found.error + 1e-3


def test_of_a_twisted_gaussian(double):
    """The map y = (x0, x1 + b x0²) keeps volumes, so that the integral is that of the Gaussian."""
    bend = 1.5

    def model():
        prior = dist.Normal(jnp.zeros(2), 50.0).to_event(1)
        z = numpyro.sample("z", prior)
        straight = jnp.stack([z[0], (z[1] - bend * z[0] ** 2) / 0.3])
        numpyro.factor("data", -0.5 * jnp.sum(straight**2) - prior.log_prob(z))

    x = np.random.default_rng(0).normal(size=(4, 2000, 2))
    draws = np.stack([x[..., 0], 0.3 * x[..., 1] + bend * x[..., 0] ** 2], axis=-1)
    found = log_evidence(Target.of(model), draws, jax.random.key(0))
    assert found.error < 0.3
    assert abs(found.value - np.log(2 * np.pi * 0.3)) < 4.0 * found.error


def test_a_shifted_proposal_costs_accuracy_not_truth(double):
    """Draws of one chain that is short give a larger error, which still holds the truth."""

    def model():
        numpyro.sample("z", dist.Normal(0.0, 2.0))
        numpyro.factor("data", 3.0)

    rng = np.random.default_rng(1)
    values = [
        log_evidence(Target.of(model), 2.0 * rng.normal(size=(4, n, 1)), jax.random.key(0))
        for n in (20, 2000)
    ]
    assert values[0].error > values[1].error
    assert all(abs(v.value - 3.0) < 4.0 * v.error + 1e-3 for v in values)
