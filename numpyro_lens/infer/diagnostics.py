"""ArviZ's containers and diagnostics, the same for ArviZ 0.23 and 1.x.

No other module depends on which of the two is installed.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from os import PathLike
from typing import Any

import numpy as np

from numpyro_lens._types import ArrayLike

with warnings.catch_warnings():
    # ArviZ 0.23 announces its own successor at import.
    warnings.simplefilter("ignore", FutureWarning)
    import arviz as az

_HAS_DATATREE = int(version("arviz").split(".")[0]) >= 1

# Chains that never move have no variance: their R-hat is inf or NaN, as it should be.
_unmoved_chains_allowed = np.errstate(divide="ignore", invalid="ignore")

#: Limits for converged chains, and for a Gaussian that approximates the posterior well.
RHAT_LIMIT, ESS_LIMIT, DIVERGENT_LIMIT, PARETO_K_LIMIT = 1.01, 400, 1e-3, 0.7


def build_container(
    groups: dict[str, dict[str, Any]],
    *,
    coords: dict[str, Any],
    dims: dict[str, dict[str, list[str]]],
    attrs: dict[str, Any],
) -> Any:
    """An ArviZ container: ``InferenceData`` (0.23) or ``DataTree`` (1.x).

    Args:
        groups: for each group, its variables; those of posterior groups (chain, draw, ...).
        coords: coordinate values by dimension.
        dims: for each group, names of the dimensions of a variable, without chain and draw; a group
            or a variable may be missing.
        attrs: attributes of the posterior group.
    """
    first, *others = (
        _one_group(name, variables, coords, dims.get(name, {}))
        for name, variables in groups.items()
    )
    for other in others:
        first.update(other) if _HAS_DATATREE else first.extend(other)
    first["posterior"].attrs.update(attrs)
    return first


def _one_group(
    name: str, variables: dict[str, Any], coords: dict[str, Any], dims: dict[str, list[str]]
) -> Any:
    with warnings.catch_warnings():
        # Thinned groups may hold fewer draws than there are chains.
        warnings.filterwarnings("ignore", "More chains|Found chain dimension to be longer")
        if _HAS_DATATREE:
            return az.from_dict({name: variables}, coords=coords, dims=dims)
        return az.from_dict(**{name: variables}, coords=coords, dims=dims)


def num_bytes(container: Any) -> int:
    """Size of all arrays of a container."""
    if _HAS_DATATREE:
        return container.nbytes
    return sum(container[group].nbytes for group in container.groups())


def read_container(path: str | PathLike) -> Any:
    """Read a netCDF file written by ``HMCResult.save``."""
    return az.from_netcdf(str(path))


#: of a summary, under every ArviZ; the ends of the central 68 % are called as `derived` calls them
SUMMARY = ["mean", "sd", "eti16", "eti84", "ess_bulk", "ess_tail", "r_hat", "mcse_mean", "mcse_sd"]
_ENDS = {"eti16": partial(np.quantile, q=0.16), "eti84": partial(np.quantile, q=0.84)}


@_unmoved_chains_allowed
def summary(container: Any, var_names: Sequence[str] | None = None) -> Any:
    """ArviZ's summary table, a ``pandas.DataFrame`` of unrounded numbers, with our columns."""
    settings: dict[str, Any] = {"stat_funcs": _ENDS, "extend": True}
    if _HAS_DATATREE:
        settings = {"ci_prob": 0.68, "ci_kind": "eti"}
    table = az.summary(container, var_names=var_names, round_to="none", **settings)
    return table.rename(columns={"eti68_lb": "eti16", "eti68_ub": "eti84"})[SUMMARY]


def ess(draws: ArrayLike, method: str = "bulk") -> np.ndarray:
    """Effective sample size (d,) of each parameter of ``draws`` (chain, draw, d)."""
    settings = {"prob": (0.05, 0.95)} if method == "tail" else {}
    return _each(lambda x: az.ess(x, method=method, **settings), draws)


@_unmoved_chains_allowed
def r_hat(draws: ArrayLike) -> np.ndarray:
    """Rank-normalised split R-hat (d,) of each parameter of ``draws`` (chain, draw, d)."""
    return _each(az.rhat, draws)


def pareto_k(log_weights: np.ndarray) -> float:
    """Pareto shape of the tail of importance weights (n,)."""
    if _HAS_DATATREE:
        from arviz_stats.base import array_stats

        # This generation takes log likelihoods, of which the weights are the inverse.
        return float(array_stats.psislw(-np.asarray(log_weights))[1])
    with warnings.catch_warnings():
        # ArviZ warns of large values; here the value is the answer.
        warnings.simplefilter("ignore", UserWarning)
        return float(az.psislw(log_weights)[1])


def _each(statistic: Callable[[np.ndarray], Any], draws: ArrayLike) -> np.ndarray:
    draws = np.asarray(draws, dtype=float)
    return np.array([float(statistic(draws[..., i])) for i in range(draws.shape[-1])])
