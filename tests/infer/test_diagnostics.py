import numpy as np
import pandas as pd
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


def test_summary_has_the_same_columns_under_every_arviz(draws):
    groups = {"posterior": {"a": draws[..., 0], "b": draws[..., 1:]}}
    container = diagnostics.build_container(groups, coords={}, dims={}, attrs={})
    table = diagnostics.summary(container)
    assert list(table.columns) == diagnostics.SUMMARY
    assert list(table.index) == ["a", "b[0]", "b[1]"]
    np.testing.assert_allclose(table["eti16"].iloc[0], np.quantile(draws[..., 0], 0.16))
    np.testing.assert_allclose(table["eti84"].iloc[2], np.quantile(draws[..., 2], 0.84))


def test_the_columns_of_arviz_1_are_renamed(monkeypatch):
    """Its table has these columns for a central interval of 68 %."""
    columns = [
        "mean",
        "sd",
        "eti68_lb",
        "eti68_ub",
        "ess_bulk",
        "ess_tail",
        "r_hat",
        "mcse_mean",
        "mcse_sd",
    ]

    def summary(_container, *, var_names, round_to, ci_prob, ci_kind):
        assert (ci_prob, ci_kind) == (0.68, "eti")
        return pd.DataFrame([np.arange(9.0)], columns=columns, index=["a"])

    monkeypatch.setattr(diagnostics, "_HAS_DATATREE", True)
    monkeypatch.setattr(diagnostics.az, "summary", summary)
    assert diagnostics.summary(None).loc["a", "eti84"] == 3.0
