"""Are posteriors what they say: ranks, coverage, z-scores of a calibration."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from numpyro_lens.plot import _panel

_ONE, _OUT, _BAND = "#7F7F7F", ("#D55E00", "#0072B2", "#009E73", "#CC79A7"), "#CFE3F2"
_TOGETHER = {"log density": "--", "joint": ":"}
_LEVELS = np.linspace(0.1, 0.9, 9)


def plot_calibration(result: Any, ax: Any = None) -> tuple[Figure, np.ndarray]:
    """Draw ranks against their band, coverage, z-scores against contraction, and how fits went.

    The first picture has a line for each test quantity: the empirical distribution of its ranks
    minus the uniform one, over the band that a calibrated quantity stays inside with 95 %
    probability. Lines that leave it are named. An arch below zero means that posteriors lie too
    low, an arch above that they lie too high; an S that they are too narrow or too wide.

    Args:
        result: of `nl.calibrate`, or its ``vi``.
        ax: three axes to draw on; by default those of a new figure.

    Returns:
        The figure and its three axes.

    Raises:
        ValueError: no fit has draws, or ``ax`` does not hold three axes.

    Example:
        >>> figure, axes = nl.plot.plot_calibration(calibration)

    Reference: Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32.
    """
    if not result.ranked:
        raise ValueError(
            "There is nothing to draw: no fit of this calibration has draws. Read the errors in "
            "calibration.lines."
        )
    figure, axes = _panel.axes_for(ax, (1, 3), (15.6, 4.6))
    _draw_differences(axes[0], result)
    _draw_coverage(axes[1], result)
    _draw_scores(axes[2], result)
    return figure, axes


def _draw_differences(axis: Axes, result: Any) -> None:
    band = result.band
    ends = np.concatenate([[0.0], band.at, [1.0]])
    lower, upper = (np.concatenate([[0.0], end, [0.0]]) for end in (band.lower, band.upper))
    axis.fill_between(ends, lower, upper, color=_BAND, lw=0, label="95 % band")
    colours = iter(_OUT)
    for name, difference in result.differences.items():
        outside = np.any((difference < band.lower) | (difference > band.upper))
        colour = next(colours, _OUT[-1]) if outside else _ONE
        label = f"{name}, p = {result.p_values[name]:.1g}" if outside else None
        values = np.concatenate([[0.0], difference, [0.0]])
        style = _TOGETHER.get(name, "-")
        width, depth = (1.6, 3) if outside else (0.8, 2)
        axis.plot(ends, values, style, color=colour, lw=width, zorder=depth, label=label)
    axis.axhline(0.0, color="black", lw=0.6)
    axis.set(xlim=(0, 1), xlabel="rank of the truth", ylabel="ECDF of the ranks - uniform")
    axis.set_title(f"{len(result.ranked)} fits, {len(result.ranks)} test quantities")
    axis.legend(loc="best", fontsize="small", frameon=False)


def _draw_coverage(axis: Axes, result: Any) -> None:
    shares = result.coverage(_LEVELS)
    for name in result.ranks:
        found = shares.loc[name]
        style = _TOGETHER.get(name, "-")
        label = name if name in _TOGETHER else None
        axis.plot(found["expected"], found["found"], style, color=_ONE, lw=0.8, label=label)
    one = shares.loc[next(iter(result.ranks))]
    low, high = (one["expected"] + sign * one["error"] for sign in (-1, 1))
    axis.fill_between(one["expected"], low, high, color=_BAND, lw=0, label="standard error")
    axis.plot([0, 1], [0, 1], color="black", lw=0.6)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set(xlabel="probability of the interval", ylabel="share that holds the truth")
    axis.set_title("Coverage")
    axis.legend(loc="upper left", fontsize="small", frameon=False)


def _draw_scores(axis: Axes, result: Any) -> None:
    """A point for each parameter of each fit; those of fits that did not converge are crosses."""
    converged = np.array([line["converged"] for line in result.ranked])
    for marker, colour, chosen in ((".", _ONE, converged), ("x", _OUT[0], ~converged)):
        for number, name in enumerate(result.names if chosen.any() else ()):
            label = f"{chosen.sum()} converged" if marker == "." else f"{chosen.sum()} did not"
            axis.plot(
                result.contractions[name][chosen],
                result.z_scores[name][chosen],
                marker,
                color=colour,
                ms=3 if marker == "." else 5,
                alpha=0.5 if marker == "." else 1.0,
                label=None if number else label,
            )
    axis.axhspan(-1.0, 1.0, color=_BAND, lw=0, zorder=0)
    axis.set(xlabel="contraction of the prior variance", ylabel="(mean - truth) / sd")
    failed = f", {result.num_failed} failed" if result.num_failed else ""
    axis.set_title(f"z-scores{failed}")
    axis.legend(loc="best", fontsize="small", frameon=False)
