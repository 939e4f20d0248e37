"""The verdict on a fit: do the chains agree, is the data explained, could there be another mode?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from numpyro_lens.infer.diagnostics import DIVERGENT_LIMIT, ESS_LIMIT, RHAT_LIMIT, ess, r_hat
from numpyro_lens.infer.results import MAPResult

#: Basins whose log density is further below the best one are out of reach [nats].
MODE_LIMIT = 10.0
#: Residuals beyond so many standard deviations are counted.
OUTLYING = 5.0


@dataclass(frozen=True)
class Residuals:
    r"""Normalised residuals of one observation, at the best draw.

    Their mean square is that of N standard normal numbers if the model is right, :math:`1 \pm
    \sqrt{2/N}`. Five of these standard deviations above one, and more than 5 %, is too much.

    Attributes:
        name: of the site.
        num: data N in use.
        mean_square: of the residuals.
        correlation: between neighbours, mean of both axes; zero if the residuals are white.
        num_outlying: of the N, those beyond five standard deviations.
    """

    name: str
    num: int
    mean_square: float
    correlation: float
    num_outlying: int = 0

    @property
    def spread(self) -> float:
        """Standard deviation of the mean square between replicates of the data."""
        return math.sqrt(2.0 / self.num)

    @property
    def explained(self) -> bool:
        """Whether replicates of the data would have residuals as large."""
        return self.mean_square <= 1.0 + max(5.0 * self.spread, 0.05)

    @property
    def white(self) -> bool:
        """Whether neighbouring residuals are uncorrelated."""
        return abs(self.correlation) <= max(5.0 / math.sqrt(2.0 * self.num), 0.05)

    @property
    def outlying(self) -> bool:
        """Whether more residuals lie beyond five standard deviations than of normal noise."""
        expected = self.num * math.erfc(OUTLYING / math.sqrt(2.0))
        return self.num_outlying > expected + 5.0 * math.sqrt(expected)

    def __str__(self) -> str:
        text = (
            f"{self.name}: mean square {self.mean_square:.2f} of {self.num} residuals "
            f"(1.00 \u00b1 {self.spread:.2f} if the model is right)"
        )
        if self.mean_square < 1.0 - max(5.0 * self.spread, 0.05):
            text += ", far below: the noise is overstated"
        if not self.white:
            text += f", neighbours correlated by {self.correlation:.2f}"
        if self.outlying:
            text += f", {self.num_outlying} beyond {OUTLYING:g} standard deviations"
        return text


@dataclass(frozen=True)
class OtherMode:
    """A basin of the search that no chain visited.

    Attributes:
        number: its place in ``result.map.basins``.
        deficit: log density below that of the best basin [nats].
        num_starts: starts that ended there.
    """

    number: int
    deficit: float
    num_starts: int


@dataclass(frozen=True)
class Verdict:
    """Whether a fit can be trusted, and what to do when not.

    Attributes:
        converged: the chains agree: every limit below holds.
        max_r_hat: largest R-hat, and the parameter that has it.
        min_ess: smallest of bulk and tail effective sample size, and the parameter.
        num_divergent: divergent transitions.
        at_bounds: parameters whose draws accumulate at a bound of their prior.
        residuals: of every observation that has normalised residuals.
        other_modes: basins within reach that no chain visited.
        num_basins: basins of the search, 0 where there was none.
        doubts: what is rare in nature, and common where a fit has gone astray; a sentence each.
    """

    converged: bool
    max_r_hat: tuple[float, str]
    min_ess: tuple[float, str]
    num_divergent: int
    at_bounds: tuple[str, ...]
    residuals: tuple[Residuals, ...] = ()
    other_modes: tuple[OtherMode, ...] = ()
    num_basins: int = 0
    doubts: tuple[str, ...] = ()

    @property
    def explained(self) -> bool:
        """Whether the model explains every observation."""
        return all(residuals.explained for residuals in self.residuals)

    @property
    def good(self) -> bool:
        """Whether the chains agree on a model without doubts that alone explains the data."""
        return self.converged and self.explained and not (self.other_modes or self.doubts)

    @property
    def exit_code(self) -> int:
        """Of the command line: 0 good, 1 the chains disagree, 3 they agree on a doubtful model."""
        return 0 if self.good else 3 if self.converged else 1

    def __str__(self) -> str:
        lines = [*self._on_chains(), *self._on_data(), *self._on_modes()]
        if self.at_bounds:
            lines.append(
                f"At a bound of the prior: {', '.join(self.at_bounds)}. "
                "Widen the prior if the bound is not physical."
            )
        lines += [f"{doubt}: look at the residuals and at the source." for doubt in self.doubts]
        return "\n".join(lines)

    def _on_chains(self) -> list[str]:
        word = "Converged" if self.converged else "NOT converged"
        line = (
            f"{word}: largest R-hat {self.max_r_hat[0]:.4f} ({self.max_r_hat[1]}), "
            f"smallest effective sample size {self.min_ess[0]:.0f} ({self.min_ess[1]}), "
            f"{self.num_divergent} divergent transitions."
        )
        if self.converged:
            return [line]
        advice = "Draw more with a larger `target_ess`, or look for more than one mode among "
        return [line, f"{advice}`result.map.basins`."]

    def _on_data(self) -> list[str]:
        if not self.residuals:
            return []
        word = "Data explained" if self.explained else "Data NOT explained"
        line = f"{word}: {'; '.join(map(str, self.residuals))}."
        if self.explained:
            return [line]
        return [line, "Look at the residuals: a component is missing, or the noise understated."]

    def _on_modes(self) -> list[str]:
        if not self.num_basins:
            return []
        if not self.other_modes:
            count = f"{self.num_basins} basins in the search"
            return [f"No other mode: {count}, none unvisited within {MODE_LIMIT:g} nats."]
        found = "; ".join(
            f"basin {m.number}, {m.deficit:.1f} nats below the best, {m.num_starts} starts"
            for m in self.other_modes
        )
        advice = (
            "Compare `result.map.samples`, or search from more starts: map=MAP(num_starts=200)."
        )
        return [f"Another mode is within reach, where no chain went: {found}.", advice]


def judge(
    names: Sequence[str],
    draws: np.ndarray,
    diverging: np.ndarray,
    at_bounds: Sequence[str] = (),
    residuals: Sequence[Residuals] = (),
    search: MAPResult | None = None,
    doubts: Sequence[str] = (),
) -> Verdict:
    """Judge unconstrained draws.

    Args:
        names: name of each parameter.
        draws: (chain, draw, d).
        diverging: (chain, draw) of booleans.
        at_bounds: names of parameters whose draws accumulate at a bound.
        residuals: of every observation that has them.
        search: the MAP stage, whose basins are compared with the draws.
        doubts: sentences about what is rare in nature.
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
        tuple(residuals),
        () if search is None else tuple(_unvisited(search, draws)),
        0 if search is None else len(search.basins),
        tuple(doubts),
    )


def _unvisited(search: MAPResult, draws: np.ndarray) -> list[OtherMode]:
    """Basins within reach that lie further from the mean of the draws than any draw."""
    flat = draws.reshape(-1, draws.shape[-1]).astype(float)
    mean, covariance = flat.mean(axis=0), np.cov(flat.T).reshape(flat.shape[1], -1)
    # Directions in which no chain moved have no width to measure in: their distance is large.
    width = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(covariance / np.outer(width, width))
    scale = vectors / np.sqrt(np.maximum(values, 1e-12))

    def distance(z: np.ndarray) -> np.ndarray:
        return np.sum((((z - mean) / width) @ scale) ** 2, axis=-1)

    furthest, best = float(np.max(distance(flat))), search.basins[0]
    return [
        OtherMode(number, best.log_density - basin.log_density, basin.num_starts)
        for number, basin in enumerate(search.basins)
        if best.log_density - basin.log_density < MODE_LIMIT
        and float(distance(search.params[basin.start].astype(float))) > furthest
    ]


def residuals_of(name: str, values: np.ndarray, used: np.ndarray) -> Residuals:
    """Summarise an array of normalised residuals.

    Args:
        name: of the site.
        values: normalised residuals, zero where not in use, any shape.
        used: which of them are in use, shaped like ``values``.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(100, 100))
        >>> found = residuals_of("image", noise, np.ones((100, 100), dtype=bool))
        >>> found.explained, found.white
        (True, True)
    """
    values, used = np.asarray(values, dtype=float), np.asarray(used, dtype=bool)
    mean_square = float(np.mean(values[used] ** 2))
    products, pairs = 0.0, 0
    for axis in range(values.ndim):
        near, far = (
            np.take(values, range(*ends), axis) for ends in _neighbours(values.shape[axis])
        )
        both = np.logical_and(
            *(np.take(used, range(*ends), axis) for ends in _neighbours(values.shape[axis]))
        )
        products, pairs = products + float(np.sum((near * far)[both])), pairs + int(both.sum())
    correlation = products / max(pairs, 1) / max(mean_square, np.finfo(float).tiny)
    num_outlying = int(np.sum(np.abs(values[used]) > OUTLYING))
    return Residuals(name, int(used.sum()), mean_square, correlation, num_outlying)


def _neighbours(size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, size - 1), (1, size)
