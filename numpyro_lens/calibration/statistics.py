r"""Are ranks uniform? Exact tests and bands for the empirical distribution of ranks.

The rank r of a truth among L independent draws is one of 0 to L, all as probable if the draws are
from the posterior. So the number of fits with r < j is binomial, at every j, and how often its path
leaves a band somewhere is known exactly.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, poisson

from numpyro_lens._types import ArrayLike


class Band(NamedTuple):
    """A simultaneous band for the difference of an empirical distribution from the uniform one.

    Attributes:
        at: where, (num_draws,), between zero and one.
        lower, upper: ends of the band, (num_draws,).
    """

    at: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class Share(NamedTuple):
    """A share of fits, what it is expected to be, and its Monte-Carlo standard error."""

    found: float
    expected: float
    error: float


def rank_of(draws: np.ndarray, truth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Number of draws below a truth; among equal ones the place is drawn at random.

    Args:
        draws: (num_draws, ...).
        truth: (...).
        generator: for ties.

    Returns:
        Whole numbers (...), between zero and num_draws.

    Example:
        >>> draws = np.array([0.1, 0.4, 0.2])
        >>> int(rank_of(draws, np.array(0.3), np.random.default_rng(0)))
        2

    Reference: Talts et al. 2018, arXiv:1804.06788; ties as in Modrák et al. 2025, Bayesian Anal.
    20, 461.
    """
    below, equal = (np.sum(op(draws, truth), axis=0) for op in (np.less, np.equal))
    return below + generator.integers(0, equal + 1)


def ecdf_difference(ranks: ArrayLike, num_draws: int) -> np.ndarray:
    r"""Empirical distribution of ranks minus the uniform one.

    .. math:: \frac{1}{N}\, \#\{r_i < j\} - \frac{j}{L + 1}, \qquad j = 1 \ldots L

    Args:
        ranks: whole numbers (N,) between 0 and ``num_draws``.
        num_draws: draws L that each truth was ranked among.

    Returns:
        The difference (num_draws,), above zero where ranks are too low.

    Example:
        >>> ecdf_difference([0, 1, 2, 3], 3)
        array([0., 0., 0.])
    """
    ranks = np.asarray(ranks)
    return _below(ranks, num_draws) / len(ranks) - _uniform(num_draws)


def band(num_fits: int, num_draws: int, probability: float = 0.95) -> Band:
    """The band that the difference of uniform ranks nowhere leaves, with this probability.

    It has one probability of being left at every place, and is as narrow as that allows.

    Args:
        num_fits: ranks, N.
        num_draws: draws L that each truth was ranked among.
        probability: that uniform ranks stay inside everywhere, at least.

    Returns:
        The band.

    Example:
        >>> found = band(200, 99)
        >>> bool(np.all(found.lower < 0) and np.all(found.upper > 0)), len(found.at)
        (True, 99)

    Reference: Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32, the band found by
    optimisation, for the discrete ranks of section 1.1.
    """
    level = _level(num_fits, num_draws, 1.0 - probability)
    lower, upper = (bound / num_fits for bound in _bounds(num_fits, num_draws, level))
    at = _uniform(num_draws)
    return Band(at, lower - at, upper - at)


def uniformity(ranks: ArrayLike, num_draws: int) -> float:
    r"""Probability that uniform ranks stray as far from the diagonal as these, or further.

    How far is the smallest probability of any point of the path, of both its tails. That of all
    paths is exact, so a `band` is left where this is below one minus its probability.

    .. math:: \gamma = 2 \min_j \min\{P(B_j \le C_j),\; P(B_j \ge C_j)\}, \qquad
              C_j = \#\{r_i < j\}, \quad B_j \sim \mathrm{Bin}\big(N, \tfrac{j}{L+1}\big)

    Args:
        ranks: whole numbers (N,) between 0 and ``num_draws``.
        num_draws: draws L that each truth was ranked among.

    Returns:
        A p-value.

    Example:
        >>> uniformity(np.arange(100), 99) > 0.99, uniformity(np.full(100, 50), 99) < 1e-10
        (True, True)

    Reference: Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32.
    """
    ranks = np.asarray(ranks)
    tails = _tails(len(ranks), num_draws)
    smallest = float(np.min(tails[np.arange(num_draws), _below(ranks, num_draws)]))
    return _leaving(len(ranks), num_draws, smallest)


def coverage(inside: ArrayLike, expected: float) -> Share:
    """Share of fits whose interval holds the truth, with its error if it is as expected.

    Args:
        inside: booleans, one for each fit.
        expected: probability of the interval.

    Example:
        >>> coverage([True, True, True, False], 0.68).found
        0.75
    """
    inside = np.asarray(inside)
    error = float(np.sqrt(expected * (1.0 - expected) / len(inside)))
    return Share(float(np.mean(inside)), expected, error)


def tail_ranks(num_draws: int, level: float) -> int:
    """Ranks outside a central interval, on each side: those that its probability can have.

    Args:
        num_draws: draws L that each truth was ranked among.
        level: probability of the interval, about.

    Example:
        >>> tail_ranks(99, 0.68)  # of 100 ranks, 68 are inside
        16
    """
    return round((1.0 - level) * (num_draws + 1) / 2.0)


def joint_rank(
    draws: np.ndarray, truth: np.ndarray, reference: np.ndarray, generator: np.random.Generator
) -> int:
    r"""Rank of the distance of the truth from a random point, among those of the draws.

    .. math:: r = \#\{s : |u_s - u_r| < |u^* - u_r|\}

    It is uniform if the draws are from the posterior, whatever the reference, provided that this
    knows nothing of the truth but through the data.

    Args:
        draws: (num_draws, d), in coordinates in which distances mean something.
        truth: (d,) in the same; not finite where the model cannot make it.
        reference: (d,).
        generator: for ties.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> joint_rank(rng.normal(size=(99, 3)), np.full(3, 9.0), np.zeros(3), rng)
        99

    Reference: Lemos et al. 2023, ICML, PMLR 202, 19256 (TARP), arXiv:2302.03026.
    """
    distance = np.linalg.norm(draws - reference, axis=1)
    own = np.linalg.norm(truth - reference)
    return int(rank_of(distance, np.where(np.isfinite(own), own, np.inf), generator))


def contraction(sd: ArrayLike, prior_sd: float) -> np.ndarray:
    r"""How much of the prior variance the data removed, :math:`1 - \sigma^2/\sigma_0^2`.

    Args:
        sd: posterior standard deviations.
        prior_sd: that of the prior.

    Example:
        >>> contraction([0.1], 1.0)
        array([0.99])

    Reference: Schad, Betancourt & Vasishth 2021, Psychol. Methods 26, 103, section on posterior
    contraction.
    """
    return 1.0 - (np.asarray(sd, dtype=float) / prior_sd) ** 2


def _uniform(num_draws: int) -> np.ndarray:
    return np.arange(1, num_draws + 1) / (num_draws + 1)


def _below(ranks: np.ndarray, num_draws: int) -> np.ndarray:
    """Number of ranks below each of 1 to ``num_draws``."""
    return np.searchsorted(np.sort(ranks), np.arange(1, num_draws + 1))


@lru_cache(maxsize=8)
def _tails(num_fits: int, num_draws: int) -> np.ndarray:
    """Twice the smaller tail of every count 0 to N, at every place, (num_draws, num_fits + 1)."""
    counts, at = np.arange(num_fits + 1), _uniform(num_draws)[:, None]
    at_most, at_least = binom.cdf(counts, num_fits, at), binom.sf(counts - 1, num_fits, at)
    return 2.0 * np.minimum(at_most, at_least)


def _bounds(num_fits: int, num_draws: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest count at every place whose tails are above a level."""
    inside = _tails(num_fits, num_draws) > level
    # A level close to one leaves no count where the binomial has two middle ones.
    lower, upper = np.argmax(inside, axis=1), num_fits - np.argmax(inside[:, ::-1], axis=1)
    empty = ~np.any(inside, axis=1)
    return np.where(empty, 1, lower), np.where(empty, 0, upper)


def _leaving(num_fits: int, num_draws: int, level: float) -> float:
    """Probability that uniform ranks have a count whose tails are at most ``level``, anywhere.

    Given their sum, Poisson numbers of equal means are multinomial: the path is followed as theirs,
    one convolution a step (Moscovich & Nadler 2017, Stat. Probab. Lett. 123, 177).
    """
    lower, upper = _bounds(num_fits, num_draws, level)
    if np.any(lower > upper):
        return 1.0
    step = poisson.pmf(np.arange(num_fits + 1), num_fits / (num_draws + 1))
    first, path = 0, np.ones(1)
    for low, high in zip(lower, upper, strict=True):
        reached = np.convolve(path, step)[max(low - first, 0) : high - first + 1]
        first, path = max(low, first), reached
    last = np.sum(path * step[num_fits - first - np.arange(len(path))])
    return float(1.0 - min(last / poisson.pmf(num_fits, num_fits), 1.0))


@lru_cache(maxsize=64)
def _level(num_fits: int, num_draws: int, alpha: float) -> float:
    """The largest level of tails that uniform ranks reach with probability ``alpha`` at most."""
    low, high = alpha / (2.0 * num_draws), alpha  # by Bonferroni; of a single place
    for _ in range(40):
        middle = np.sqrt(low * high)
        if _leaving(num_fits, num_draws, middle) <= alpha:
            low = middle
        else:
            high = middle
    return float(low)
