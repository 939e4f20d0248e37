"""ArviZ's containers and diagnostics, the same for ArviZ 0.23 and 1.x.

No other module depends on which of the two is installed.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


def read_container(path: str | PathLike) -> Any:
    """Read a netCDF file written by ``HMCResult.save``."""
    return az.from_netcdf(str(path))


@_unmoved_chains_allowed
def summary(container: Any, var_names: Sequence[str] | None = None) -> Any:
    """ArviZ's summary table, a ``pandas.DataFrame`` of unrounded numbers."""
    return az.summary(container, var_names=var_names, round_to="none")


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


@dataclass(frozen=True)
class Verdict:
    """Whether the chains can be trusted, and what to do when not.

    Attributes:
        converged: every limit below holds.
        max_r_hat: largest R-hat, and the parameter that has it.
        min_ess: smallest of bulk and tail effective sample size, and the parameter.
        num_divergent: divergent transitions.
        at_bounds: parameters whose draws accumulate at a bound of their prior.
    """

    converged: bool
    max_r_hat: tuple[float, str]
    min_ess: tuple[float, str]
    num_divergent: int
    at_bounds: tuple[str, ...]

    def __str__(self) -> str:
        word = "Converged" if self.converged else "NOT converged"
        lines = [
            (
                f"{word}: largest R-hat {self.max_r_hat[0]:.4f} ({self.max_r_hat[1]}), "
                f"smallest effective sample size {self.min_ess[0]:.0f} ({self.min_ess[1]}), "
                f"{self.num_divergent} divergent transitions."
            )
        ]
        if not self.converged:
            lines.append(
                "Draw more with a larger `target_ess`, or look for more than one mode among "
                "`result.map.basins`."
            )
        if self.at_bounds:
            lines.append(
                f"At a bound of the prior: {', '.join(self.at_bounds)}. "
                "Widen the prior if the bound is not physical."
            )
        return "\n".join(lines)


def verdict(
    names: Sequence[str], draws: np.ndarray, diverging: np.ndarray, at_bounds: Sequence[str] = ()
) -> Verdict:
    """Judge unconstrained draws.

    Args:
        names: name of each parameter.
        draws: (chain, draw, d).
        diverging: (chain, draw) of booleans.
        at_bounds: names of parameters whose draws accumulate at a bound.
    """
    rhat, smallest = r_hat(draws), np.fmin(ess(draws, "bulk"), ess(draws, "tail"))
    worst, least = int(np.argmax(np.where(np.isnan(rhat), np.inf, rhat))), int(np.argmin(smallest))
    num_divergent = int(np.sum(diverging))
    converged = bool(
        np.all(rhat < RHAT_LIMIT)
        and np.all(smallest > ESS_LIMIT)
        and num_divergent <= DIVERGENT_LIMIT * diverging.size
    )
    return Verdict(
        converged,
        (float(rhat[worst]), names[worst]),
        (float(smallest[least]), names[least]),
        num_divergent,
        tuple(at_bounds),
    )
