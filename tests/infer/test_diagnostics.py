import numpy as np
import pytest

from numpyro_lens.infer import diagnostics
from numpyro_lens.infer.verdict import judge


@pytest.fixture
def draws():
    return np.random.default_rng(0).normal(size=(8, 500, 3))


def test_good_chains_pass(draws):
    verdict = judge(("a", "b", "c"), draws, np.zeros((8, 500), dtype=bool))
    assert verdict.converged
    assert str(verdict).startswith("Converged")


@pytest.mark.parametrize(
    "spoil", ["one chain elsewhere", "random walk", "constant", "one value", "divergent"]
)
def test_bad_chains_are_named(draws, spoil):
    diverging = np.zeros((8, 500), dtype=bool)
    if spoil == "one chain elsewhere":
        draws[0, :, 1] += 2.0
    elif spoil == "random walk":
        draws[..., 1] = np.cumsum(draws[..., 1], axis=1)
    elif spoil == "constant":
        draws[..., 1] = np.arange(8)[:, None]
    elif spoil == "one value":
        draws[..., 1] = 1.0
    else:
        diverging[:, ::10] = True
    verdict = judge(("a", "b", "c"), draws, diverging)
    assert not verdict.converged
    assert str(verdict).startswith("NOT converged")
    if spoil != "divergent":
        assert verdict.max_r_hat[1] == "b"


def test_bounds_are_named(draws):
    verdict = judge(("a", "b", "c"), draws, np.zeros((8, 500), bool), at_bounds=["c"])
    assert "At a bound of the prior: c." in str(verdict)


def test_pareto_k_tells_tails_apart():
    generator = np.random.default_rng(1)
    assert diagnostics.pareto_k(generator.normal(size=1000)) < 0.7
    assert diagnostics.pareto_k(2.0 * generator.exponential(size=1000)) > 0.7


def test_thinned_groups_and_unmoved_chains_are_summarised(draws):
    groups = {
        "posterior": {"a": draws[..., 0], "b": np.ones((8, 500))},
        "log_likelihood": {"image": np.zeros((8, 3, 2, 5))},
    }
    coords = {"y": [0.5, 1.5], "x": np.arange(5.0)}
    container = diagnostics.build_container(
        groups, coords=coords, dims={"log_likelihood": {"image": ["y", "x"]}}, attrs={"seed": 7}
    )
    assert container["posterior"].attrs["seed"] == 7
    assert container["log_likelihood"]["image"].dims == ("chain", "draw", "y", "x")
    table = diagnostics.summary(container)
    assert table.loc["a", "r_hat"] < 1.01
    assert np.isnan(table.loc["b", "r_hat"])
