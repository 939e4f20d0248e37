import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from checkpoints import counts

from numpyro_lens import infer
from numpyro_lens.density import Target
from numpyro_lens.infer import HMC, MAP, SVI, hmc, pipeline


def normal():
    numpyro.sample("x", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    numpyro.factor("flat", 0.0)


def two_modes():
    side = numpyro.sample("x", dist.Normal(0.0, 20.0))
    numpyro.factor("modes", jnp.logaddexp(-0.5 * (side - 20.0) ** 2, -0.5 * (side + 20.0) ** 2))


class Wide:
    """A Gaussian that holds both modes."""

    mean, covariance_matrix = np.zeros(1), np.full((1, 1), 100.0)

    def sample(self, _key, shape):
        return np.resize([-20.0, 20.0], (*shape, 1)).astype(np.float32)


#: A search that ends where it starts, and short chains.
QUICK = {
    "map": MAP(num_steps=0, num_polished=0, max_searches=1),
    "svi": SVI(num_particles=2, num_steps=2, num_importance=32),
    "hmc": HMC(num_chains=4, num_burnin_steps=50, num_results=50, max_results=50, block=10),
}
fit = functools.partial(infer.fit, normal, progress=False, **QUICK)


#: Log density where one of the tests starts.
LOWER = -4.0 - np.log(2 * np.pi)


def test_a_fit_whose_draws_lie_far_above_its_map_begins_again_from_there(tmp_path):
    stages = []
    start = np.full((1, 2), 20.0)
    found = fit(start=start, checkpoint=tmp_path, callback=lambda name, _: stages.append(name))
    assert stages == ["map", "svi", "map", "svi", "hmc"]
    assert found.map.log_density.max() > -8.0
    assert np.abs(found.z.mean(axis=(0, 1))).max() < 0.5
    first = infer.files.read_stage(tmp_path / "map.nc", "map", found.target)[1]
    assert first.log_density.max() == pytest.approx(-400.0 - np.log(2 * np.pi), rel=1e-3)
    spent = counts(tmp_path)["gradients"]
    assert spent["sampling"] == 0  # burn-in is enough to see it
    stages = (first, infer.files.read_stage(tmp_path / "svi.nc", "svi", found.target)[1])
    of_stages = sum(sum(stage.num_gradients.values()) for stage in stages)
    assert found.num_gradients["earlier_fits"] == of_stages + spent["burn_in"]
    assert [len(list(tmp_path.glob(f"{f}block_*.npz"))) for f in ("", "again_1/")] == [1, 5]
    continued = fit(start=start, checkpoint=tmp_path)
    np.testing.assert_array_equal(continued.z, found.z)
    assert continued.num_gradients == found.num_gradients


@pytest.mark.parametrize("disagree", [False, True])
def test_a_little_above_the_map_is_enough_where_chains_disagree(monkeypatch, disagree):
    monkeypatch.setattr(hmc, "apart", lambda z: disagree)
    found = fit(start=np.full((1, 2), 2.0))
    assert 0.0 < found.log_density.max() - LOWER < 10.0
    assert ("earlier_fits" in found.num_gradients) is disagree


def test_chains_in_two_modes_stop_where_one_is_higher_than_expected():
    """No number of draws would make them agree."""
    target = Target.of(two_modes)
    stage = dataclasses.replace(QUICK["hmc"], num_chains=8, max_results=400)
    begin = {"svi": Wide(), "progress": False}
    stopped = [
        stage.run(target, jax.random.key(0), stop_apart_above=limit, **begin).z.shape[1]
        for limit in (-1e3, 1e3)
    ]
    assert stopped == [50, 400]


def test_a_fit_begins_again_twice_at_most(monkeypatch):
    monkeypatch.setattr(pipeline, "_ABOVE_MAP", -np.inf)
    stages = []
    found = fit(start=np.zeros((1, 2)), callback=lambda name, _: stages.append(name))
    assert stages == [*3 * ["map", "svi"], "hmc"]
    assert found.z.shape == (4, 50, 2)


def test_a_fit_that_starts_at_the_mode_does_not_begin_again():
    assert "earlier_fits" not in fit(start=np.zeros((1, 2))).num_gradients
