"""Burn-in goes on where the chains are not in one place at its end."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from checkpoints import break_after, counts, interrupt

from numpyro_lens.infer import HMC, Target, hmc

NUM_WARMUP, NUM_CHAINS = 80, 4


def two_modes(distance):
    x = numpyro.sample("x", dist.Normal(jnp.zeros(2), 100.0).to_event(1))
    one, other = (jnp.sum((x + side * distance) ** 2) for side in (-1.0, 1.0))
    numpyro.factor("modes", jnp.logaddexp(-0.5 * one, -0.5 * other))


def sample(distance, folder, **changed):
    """Half of the chains begin in each of the modes."""
    side = jnp.where(jnp.arange(NUM_CHAINS) % 2, 1.0, -1.0)[:, None]
    gaussian = SimpleNamespace(
        mean=jnp.zeros(2),
        covariance_matrix=jnp.eye(2),
        sample=lambda key, shape: side * distance + jax.random.normal(key, (*shape, 2)),
    )
    short = {"num_chains": NUM_CHAINS, "num_results": 20, "max_results": 20}
    settings = HMC(num_burnin_steps=NUM_WARMUP, **short | changed)
    target = Target.of(two_modes, jnp.asarray(distance))
    return settings.run(target, jax.random.key(0), svi=gaussian, progress=False, checkpoint=folder)


@pytest.mark.parametrize(("distance", "times"), [(0.0, 1), (30.0, 3)], ids=["together", "apart"])
def test_chains_apart_go_through_burn_in_again(distance, times, tmp_path):
    before = hmc._advance.alone._cache_size()
    found = sample(distance, tmp_path)
    assert hmc._advance.alone._cache_size() <= before + 1
    assert counts(tmp_path)["burn_in"] == times * NUM_WARMUP
    assert found.num_gradients["burn_in"] >= times * NUM_WARMUP * NUM_CHAINS
    assert found.num_gradients["sampling"] == found.statistics["n_steps"].sum()
    assert found.z.shape == (NUM_CHAINS, 20, 2)


def test_no_burn_in_begins_after_the_time_that_is_allowed(tmp_path):
    found = sample(30.0, tmp_path, max_seconds=0.0)
    assert counts(tmp_path)["burn_in"] == NUM_WARMUP
    assert found.z.shape == (NUM_CHAINS, 20, 2)


def test_a_run_that_is_broken_in_its_second_burn_in_gives_the_same_draws(tmp_path, monkeypatch):
    expected = sample(30.0, tmp_path / "whole")
    with monkeypatch.context() as patch:
        break_after(patch, 4, interrupt)  # the fits of the map end the first two blocks of three
        with pytest.raises(KeyboardInterrupt):
            sample(30.0, tmp_path / "broken")
    assert NUM_WARMUP < counts(tmp_path / "broken")["burn_in"] < 2 * NUM_WARMUP
    found = sample(30.0, tmp_path / "broken")
    np.testing.assert_array_equal(found.z, expected.z)
    assert found.num_gradients == expected.num_gradients
