"""Where a search starts that continues an earlier one."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_lens.density import Target
from numpyro_lens.infer import MAP
from numpyro_lens.infer.pipeline import fit_target
from numpyro_lens.infer.start import starts_from


def two_modes(y):
    a = numpyro.sample("a", dist.Normal(0.0, 3.0))
    numpyro.sample("y", dist.Normal(a**2, 0.1), obs=y)


def two_modes_and_more(y):
    a = numpyro.sample("a", dist.Normal(0.0, 3.0))
    b = numpyro.sample("b", dist.Normal(a, 0.5))
    scale = numpyro.sample("scale", dist.LogUniform(0.01, 1.0))
    numpyro.sample("y", dist.Normal(a**2, scale), obs=y)
    numpyro.sample("w", dist.Normal(b, 1.0), obs=2.0)


TARGET = Target.of(two_modes, 4.0)
LATER = Target.of(two_modes_and_more, 4.0)
SEARCH = MAP(num_starts=8, num_screened=None, num_steps=100, max_searches=1)


@pytest.mark.parametrize("mode", [-2.0, 2.0])
def test_values_choose_the_mode_and_the_rest_is_drawn_given_them(mode):
    found = SEARCH.run(LATER, jax.random.key(0), start={"a": mode}, progress=False)
    ends = found.samples
    assert (np.sign(ends["a"]) == np.sign(mode)).all()
    assert len(found.params) == 8


def test_draws_given_values_follow_the_prior_that_they_imply():
    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.vmap(LATER.prior_draw, (0, None))(keys, {"a": 5.0})
    values = jax.vmap(LATER.constrain)(draws)
    np.testing.assert_allclose(values["a"], 5.0, rtol=1e-6)
    np.testing.assert_allclose(jnp.mean(values["b"]), 5.0, atol=4 * 0.5 / np.sqrt(4000))


def test_a_search_gives_its_basins():
    first = SEARCH.run(TARGET, jax.random.key(1), progress=False)
    (found,) = starts_from(first, LATER)
    assert set(found) == {"a"}
    assert {-2, 2} <= {round(float(v)) for v in found["a"]}
    later = SEARCH.run(LATER, jax.random.key(2), start=first, progress=False)
    assert {-2, 2} <= {round(float(v)) for v in later.samples["a"]}


def test_several_starts_are_drawn_from_equally_often():
    start = [{"a": -2.0}, {"a": 2.0, "scale": 0.1}, {"a": -2.1}, {"scale": 0.2, "a": 2.1}]
    groups = starts_from(start, LATER)
    assert [set(group) for group in groups] == [{"a"}, {"a", "scale"}]
    np.testing.assert_allclose(groups[1]["a"], [2.0, 2.1])
    np.testing.assert_allclose(groups[1]["scale"], [0.1, 0.2])
    found = SEARCH.run(LATER, jax.random.key(0), start=start, progress=False)
    assert list(np.sign(found.samples["a"])) == [-1] * 4 + [1] * 4


def test_all_values_are_one_start():
    values = {"a": 1.9, "b": 2.0, "scale": 0.1}
    found = SEARCH.run(LATER, jax.random.key(0), start=values, progress=False)
    assert found.shape == (1, 3)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"c": 1.0}, "a, b, scale; got c"),
        ({}, "in common"),
        ({"a": np.zeros(2)}, r"a \(\), not \(2,\)"),
        ([{"a": 1.0}, {"a": np.zeros(2)}], r"a \(\), not \(2,\)"),
    ],
)
def test_errors_teach(start, message):
    with pytest.raises(ValueError, match=message):
        starts_from(start, LATER)


def test_a_checkpoint_knows_an_array_of_starts(tmp_path):
    def fit(start):
        quick = MAP(num_steps=1, num_polished=0)
        fit_target(LATER, start=start, map=quick, checkpoint=tmp_path, callback=stop)

    def stop(*_):
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="its start"):
        fit(np.ones((2, 3)))
