"""What a calibration found: are the posteriors what they say?"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpyro_lens.calibration.lines import read
from numpyro_lens.calibration.ranking import JOINT, LOG_DENSITY
from numpyro_lens.calibration.statistics import (
    Band,
    Share,
    band,
    contraction,
    coverage,
    ecdf_difference,
    tail_ranks,
    uniformity,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Probability with which a right model is called calibrated, all its tests together.
_CONFIDENCE = 0.95
_LEVELS = (0.5, 0.68, 0.9)
_NAMES = {"hmc": "HMC", "vi": "the VI Gaussian"}


@dataclass(frozen=True, repr=False)
class Calibration:
    """Ranks of truths among draws, of many fits of simulated data.

    All fits with draws count, whether they converged or not; those that failed are counted, and a
    calibration with one is not good.

    Attributes:
        lines: of the fits, as the JSON lines file holds them.
        num_draws: draws L that each truth was ranked among.
        prior_sd: standard deviation of the prior of each parameter.
        posterior: ``"hmc"``, or ``"vi"`` for the Gaussian; see `vi`.

    Example:
        >>> calibration.calibrated, calibration.not_converged
        (True, [])
        >>> round(float(calibration.table.loc["lens.theta_E", "contraction"]), 3)
        0.99
    """

    lines: tuple[dict[str, Any], ...]
    num_draws: int
    prior_sd: dict[str, float]
    posterior: str = "hmc"

    @property
    def vi(self) -> "Calibration":
        """The same fits, with the Gaussian of VI as the posterior."""
        return dataclasses.replace(self, posterior="vi")

    @cached_property
    def ranked(self) -> tuple[dict[str, Any], ...]:
        """Lines of the fits that have draws."""
        return tuple(line for line in self.lines if "error" not in line)

    @property
    def num_failed(self) -> int:
        """Fits that ended in an error, without draws."""
        return len(self.lines) - len(self.ranked)

    @property
    def not_converged(self) -> list[int]:
        """Numbers of the fits whose chains do not agree."""
        return [line["fit"] for line in self.ranked if not line["converged"]]

    @property
    def not_explained(self) -> list[int]:
        """Numbers of the fits whose data are not explained, or that left out another mode."""
        found = (line for line in self.ranked if line["converged"])
        return [line["fit"] for line in found if not line["explained"] or line["other_modes"]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self.ranked[0][self.posterior]["parameters"]) if self.ranked else ()

    @cached_property
    def ranks(self) -> dict[str, np.ndarray]:
        """Ranks (N,) of each test quantity: parameters, and two of all of them together.

        These are the ``log density`` (Modrák et al. 2025) and ``joint``, the distance from a random
        point (TARP); they are missing where another model made the data.
        """
        ranks = {name: self._column(name, "rank").astype(int) for name in self.names}
        first = self.ranked[0][self.posterior] if self.ranked else {}
        for name in (LOG_DENSITY, JOINT):
            if name in first:
                ranks[name] = np.array([line[self.posterior][name] for line in self.ranked])
        return ranks

    @cached_property
    def p_values(self) -> dict[str, float]:
        """Of each test quantity: is it ranked uniformly?"""
        return {name: uniformity(r, self.num_draws) for name, r in self.ranks.items()}

    @property
    def calibrated(self) -> bool:
        """Whether no rank is further from uniform than chance explains, and no fit failed.

        The limit of the smallest p-value is 0.05 divided by their number (Bonferroni).
        """
        smallest = min(self.p_values.values(), default=0.0)
        limit = (1.0 - _CONFIDENCE) / max(1, len(self.p_values))
        return self.num_failed == 0 and smallest > limit

    @property
    def band(self) -> Band:
        """The band that one quantity's `differences` stay inside with 95 % probability."""
        return band(len(self.ranked), self.num_draws, _CONFIDENCE)

    @cached_property
    def differences(self) -> dict[str, np.ndarray]:
        """Empirical distribution of the ranks minus the uniform one (num_draws,) by quantity."""
        return {name: ecdf_difference(ranks, self.num_draws) for name, ranks in self.ranks.items()}

    @cached_property
    def z_scores(self) -> dict[str, np.ndarray]:
        """(Posterior mean - truth) / posterior standard deviation, (N,) by parameter."""
        truth = {n: np.array([line["truth"][n] for line in self.ranked]) for n in self.names}
        return {
            name: (self._column(name, "mean") - truth[name]) / self._column(name, "sd")
            for name in self.names
        }

    @cached_property
    def contractions(self) -> dict[str, np.ndarray]:
        """Share of the prior variance that the data removed, (N,) by parameter."""
        return {n: contraction(self._column(n, "sd"), self.prior_sd[n]) for n in self.names}

    def coverage(self, levels: Sequence[float] = _LEVELS) -> Any:
        """How often intervals hold the truth.

        Of a parameter they are central intervals; of the log density the region of highest
        density, of ``joint`` the ball around a random point (the expected coverage of TARP).

        Args:
            levels: probabilities of the intervals. With ``num_draws`` L there are L + 1 ranks, so
                an interval has the nearest probability that they allow.

        Returns:
            A ``pandas.DataFrame``: for each quantity and level the share ``found`` and
            ``expected``, and the standard ``error`` that chance gives the share of a calibrated
            posterior.
        """
        import pandas as pd

        rows = {
            (name, level): self._share(name, level)._asdict()
            for name in self.ranks
            for level in levels
        }
        index = pd.MultiIndex.from_tuples(list(rows), names=["quantity", "level"])
        return pd.DataFrame(list(rows.values()), index=index)

    @property
    def table(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each test quantity.

        ``p_value`` of uniform ranks; ``within_68``, the share of fits whose 68 % interval holds the
        truth; mean and standard deviation of the z-scores, 0 and 1 where the posterior is normal;
        median contraction.
        """
        import pandas as pd

        rows = {}
        for name in self.ranks:
            rows[name] = {
                "p_value": self.p_values[name],
                "within_68": self._share(name, 0.68).found,
            }
            if name in self.z_scores:
                rows[name]["z_mean"] = float(np.mean(self.z_scores[name]))
                rows[name]["z_sd"] = float(np.std(self.z_scores[name]))
                rows[name]["contraction"] = float(np.median(self.contractions[name]))
        columns = ["p_value", "within_68", "z_mean", "z_sd", "contraction"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def plot(self) -> "Figure":
        """Ranks against their band, coverage, z-scores; see `plot.plot_calibration`."""
        from numpyro_lens import plot

        return plot.plot_calibration(self)[0]

    def _share(self, name: str, level: float) -> Share:
        ranks, num = self.ranks[name], self.num_draws + 1
        if name in (LOG_DENSITY, JOINT):
            kept = round(level * num)
            inside = ranks < kept if name == JOINT else ranks >= num - kept
            return coverage(inside, kept / num)
        tail = tail_ranks(self.num_draws, level)
        return coverage((ranks >= tail) & (ranks < num - tail), 1.0 - 2.0 * tail / num)

    def _column(self, name: str, what: str) -> np.ndarray:
        own = [line[self.posterior]["parameters"][name][what] for line in self.ranked]
        return np.array(own, dtype=float)

    def __str__(self) -> str:
        return "\n".join([*self._on_ranks(), *self._on_coverage(), self._on_fits()])

    def __repr__(self) -> str:
        return f"Calibration of {_NAMES[self.posterior]}\n{self}"

    def _on_ranks(self) -> list[str]:
        if not self.ranked:
            return ["NOT calibrated: no fit has draws."]
        word = "Calibrated" if self.calibrated else "NOT calibrated"
        name, smallest = min(self.p_values.items(), key=lambda item: item[1])
        num, alpha = len(self.p_values), 1.0 - _CONFIDENCE
        outside = sum(p <= alpha for p in self.p_values.values())
        first = (
            f"{word}, as far as {len(self.lines)} fits can tell: of {num} test quantities the "
            f"ranks of {name} are the least uniform, p = {smallest:.2g}; below {alpha / num:.2g} "
            "is not chance."
        )
        second = (
            f"{outside} of the {num} leave their own 95 % band, where chance explains "
            f"{alpha * num:.1f}."
        )
        return [first, second]

    def _on_coverage(self) -> list[str]:
        if not self.names:
            return []
        shares = {name: self._share(name, 0.68) for name in self.names}
        found = {name: share.found for name, share in shares.items()}
        least, most = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
        one, mean = shares[least], float(np.mean(list(found.values())))
        line = (
            f"The central {100 * one.expected:.0f} % intervals hold {_percent(mean)} of the "
            f"truths; of one parameter, where chance gives ± {_percent(one.error)}, between "
            f"{_percent(found[least])} ({least}) and {_percent(found[most])} ({most})."
        )
        return [line, self._on_scores()]

    def _on_scores(self) -> str:
        spreads = [float(np.std(scores)) for scores in self.z_scores.values()]
        width = 1.0 / np.sqrt(2.0 * len(self.ranked))
        return (
            f"z-scores spread by {min(spreads):.2f} to {max(spreads):.2f}, where 1.00 ± "
            f"{width:.2f} is right: above it intervals are too narrow, below it too wide."
        )

    def _on_fits(self) -> str:
        good = len(self.ranked) - len(self.not_converged) - len(self.not_explained)
        correlated = sum(line["min_ess"] < self.num_draws for line in self.ranked)
        parts = [f"{len(self.lines)} fits: {good} good"]
        parts += [f"{len(self.not_explained)} converged but doubtful"] * bool(self.not_explained)
        parts += [f"{len(self.not_converged)} NOT converged"] * bool(self.not_converged)
        parts += [f"{self.num_failed} failed, without draws"] * bool(self.num_failed)
        line = f"{', '.join(parts)}; all with draws count above."
        if correlated:
            line += f" {correlated} have fewer independent draws than the {self.num_draws} ranked."
        return line


def load_calibration(path: str | PathLike) -> Calibration:
    """The calibration whose lines a file holds, however many there are by now.

    Args:
        path: the JSON lines file that `calibrate` was given as ``out``.

    Returns:
        The ranks so far.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of something else, or damaged.

    Example:
        >>> load_calibration("calibration.jsonl")
        Traceback (most recent call last):
        FileNotFoundError: ...
    """
    header, lines = read(Path(path))
    return Calibration(tuple(lines.values()), header["num_draws"], header["prior_sd"])


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %"
