"""One mock, fitted: where its truth stands among the draws, as a line that JSON can hold."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_triangular

from numpyro_lens._types import AnyArray
from numpyro_lens.calibration.simulate import Mock, WithData, mock_data, prior_values
from numpyro_lens.calibration.statistics import joint_rank, rank_of
from numpyro_lens.density import Target, conditioned, evaluate, map_batch, merged, observed_sites
from numpyro_lens.density import unplaced as on_host
from numpyro_lens.fitting import LensFit, fit

#: Test quantities beside the parameters, by the name that tables give them.
LOG_DENSITY, JOINT = "log density", "joint"
#: draws from which moments are computed, and of which some are ranked
_NUM_MOMENTS = 1000


@dataclass(frozen=True)
class Problem:
    """What is calibrated: everything that makes a line, but its number.

    Attributes:
        model, args: that are fitted.
        truth_model, truth_args: that make the data; the same, if the model is right.
        seed: of all random numbers.
        num_draws: draws that each truth is ranked among.
        settings: of `fit`.
    """

    model: Callable
    args: tuple
    truth_model: Callable
    truth_args: tuple
    seed: int = 0
    num_draws: int = 99
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def simulator(self) -> Target:
        """The model that makes the data."""
        return Target.of(self.truth_model, *self.truth_args)

    def target(self, data: dict[str, np.ndarray]) -> Target:
        """The model that is fitted, with these data."""
        return Target.of(WithData(self.model), data, *self.args)

    def key(self, number: int) -> AnyArray:
        """The random key of a mock; it does not depend on how many there are."""
        return jax.random.fold_in(jax.random.key(self.seed), number)

    def mock(self, number: int) -> Mock:
        """The mock of a line."""
        return mock_data(self.simulator, self.key(number))

    def prior_sd(self) -> dict[str, float]:
        """Standard deviation of the prior of each parameter that is ranked, by name."""
        mock = self.mock(0)
        values = flat(prior_values(self.target(mock.data), jax.random.fold_in(self.key(0), 4)))
        shared = flat({name: value[None] for name, value in mock.truth.items()})
        return {name: float(np.std(v)) for name, v in values.items() if name in shared}


def line_of(problem: Problem, number: int) -> dict[str, Any]:
    """Simulate, fit and rank.

    Args:
        problem: what is calibrated.
        number: of the mock.

    Returns:
        Its line: the truth, ranks, means and standard deviations under HMC and under the Gaussian
        of VI, and how the fit went. Of a fit that failed, the error. Numbers have nine digits, as
        many as single precision can tell apart.
    """
    began = time.perf_counter()
    mock = problem.mock(number)
    line: dict[str, Any] = {"fit": number, "truth": _one(mock.truth)}
    try:
        settings = {"progress": False} | problem.settings
        seed = problem.seed + number
        result = fit(WithData(problem.model), mock.data, *problem.args, seed=seed, **settings)
        line |= _how_it_went(result) | _ranked(problem, number, mock, result)
    except (ValueError, RuntimeError) as error:
        line["error"] = f"{type(error).__name__}: {error}"
    return _shortened(line) | {"seconds": round(time.perf_counter() - began, 1)}


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each) for each in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def flat(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays (n, ...) of sites as one column (n,) for each of their entries, by name.

    Example:
        >>> list(flat({"a": np.zeros(5), "b": np.zeros((5, 2))}))
        ['a', 'b[0]', 'b[1]']
    """
    columns = {}
    for name, value in values.items():
        for index in np.ndindex(value.shape[1:]):
            label = f"{name}[{','.join(map(str, index))}]" if index else name
            columns[label] = np.asarray(value[(slice(None), *index)], dtype=float)
    return columns


def _how_it_went(result: LensFit) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "converged": verdict.converged,
        "explained": verdict.explained,
        "other_modes": len(verdict.other_modes),
        "max_r_hat": round(verdict.max_r_hat[0], 5),
        "min_ess": round(verdict.min_ess[0], 1),
        "num_divergent": verdict.num_divergent,
        "pareto_k": round(float(result.svi.pareto_k), 3),
        "num_gradients": sum(result.num_gradients.values()),
    }


def _ranked(problem: Problem, number: int, mock: Mock, result: LensFit) -> dict[str, Any]:
    """Ranks and moments under HMC and under the Gaussian of VI."""
    target, key = result.target, problem.key(number)
    key_vi, key_values, key_ties = (jax.random.fold_in(key, n) for n in range(1, 4))
    num = max(_NUM_MOMENTS, problem.num_draws)
    draws = {
        "hmc": spaced(result.z.reshape(-1, target.dim), num),
        "vi": np.asarray(result.svi.sample(key_vi, (num,))),
    }
    seed = np.asarray(jax.random.key_data(key_ties)).tolist()
    values = {
        name: flat(on_host(_values(target, z, jax.random.split(key_values, num))))
        for name, z in draws.items()
    }
    truth = _truth_vector(target, mock.truth)
    return {
        name: {
            "parameters": _parameters(values[name], mock.truth, problem.num_draws, seed),
            **_together(result, spaced(z, problem.num_draws), truth, seed),
        }
        for name, z in draws.items()
    }


def spaced(draws: np.ndarray, num: int) -> np.ndarray:
    """So many rows, as far apart in their order as can be.

    Of chains one after the other these are draws of all of them, far enough apart to be independent
    where the effective sample size is larger than their number.

    Example:
        >>> spaced(np.arange(10), 3)
        array([1, 5, 8])
    """
    return draws[((np.arange(num) + 0.5) * len(draws) / num).astype(int)]


def _parameters(
    values: dict[str, np.ndarray], truth: dict[str, np.ndarray], num_draws: int, seed: list[int]
) -> dict[str, dict[str, float]]:
    """Rank, mean and standard deviation of each parameter whose truth is known."""
    generator, true = np.random.default_rng(seed), _one(truth)
    found = {}
    for name in [name for name in values if name in true]:
        ranked = spaced(values[name], num_draws)
        found[name] = {
            "rank": int(rank_of(ranked, np.asarray(true[name]), generator)),
            "mean": float(np.mean(values[name])),
            "sd": float(np.std(values[name])),
        }
    return found


def _together(
    result: LensFit, draws: np.ndarray, truth: np.ndarray | None, seed: list[int]
) -> dict[str, int]:
    """Ranks of the log density, and of the distance from a random point (TARP).

    Distances are taken in coordinates whitened by the Gaussian of VI, and the point is a draw from
    it: both depend on the data alone.
    """
    if truth is None:
        return {}
    generator = np.random.default_rng([*seed, 1])
    points = np.concatenate([truth[None], draws])
    density = np.asarray(evaluate(result.target.log_density, points)[0], dtype=float)
    density = np.where(np.isnan(density), -np.inf, density)
    centred = (points - np.asarray(result.svi.mean)).astype(float)
    tril = np.asarray(result.svi.scale_tril, dtype=float)
    white = solve_triangular(tril, centred.T, lower=True, check_finite=False).T
    reference = generator.normal(size=result.target.dim)
    return {
        LOG_DENSITY: int(rank_of(density[1:], density[0], generator)),
        JOINT: joint_rank(white[1:], white[0], reference, generator),
    }


def _truth_vector(target: Target, truth: dict[str, np.ndarray]) -> np.ndarray | None:
    """The truth as an unconstrained vector; none where another model made the data."""
    known = {s.name: truth[s.name] for s in target.sites if s.name in truth}
    if any(s.name not in known or known[s.name].shape != s.shape for s in target.sites):
        return None
    return np.asarray(_unconstrained(target, known))


@jax.jit
def _unconstrained(target: Target, values: dict[str, AnyArray]) -> AnyArray:
    return target.unconstrain(values)


@jax.jit
def _values(target: Target, z: AnyArray, keys: AnyArray) -> dict[str, AnyArray]:
    """Latent sites, and what was integrated out given the data and these."""

    def one(draw: tuple[AnyArray, AnyArray], target: Target) -> dict[str, AnyArray]:
        z, key = draw
        trace = target.trace(z)
        integrated = conditioned(observed_sites(trace), key)[1]
        return {s.name: trace[s.name]["value"] for s in target.sites} | merged(integrated)

    return map_batch(one, (jnp.asarray(z), keys), target)


def _one(values: dict[str, np.ndarray]) -> dict[str, float]:
    """Values of sites as one number for each of their entries, by name."""
    columns = flat({name: np.asarray(value)[None] for name, value in values.items()})
    return {name: float(column[0]) for name, column in columns.items()}
