"""How the stages before HMC went: the starts of MAP, the ELBO of SVI."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from numpyro_lens.plot import _panel

_LINE, _BEST, _OTHER = "#0072B2", "#D55E00", "#7F7F7F"


def plot_starts(result: Any, ax: Axes | None = None) -> tuple[Figure, np.ndarray]:
    """Draw where the starts of MAP ended, best first, and the basins they fell into.

    Every start has a bar from the best log density down to its own, on a logarithmic scale. A
    basin is labelled at its best start with the number of starts that it holds.

    Args:
        result: the result of the MAP stage, ``fit.map``.
        ax: axes to draw on; by default those of a new figure.

    Returns:
        The figure and its axes, (1,).

    Example:
        >>> figure, axes = nl.plot.plot_starts(fit.map)
    """
    figure, axes = _panel.axes_for(ax, (1, 1), (6.4, 3.6))
    axis = axes[0]
    values = np.asarray(result.log_density, dtype=float)
    finite = np.isfinite(values)
    order = np.argsort(np.where(finite, -values, np.inf))
    deficit = values[order[0]] - values[order]
    rank = {int(start): position for position, start in enumerate(order)}
    axis.plot(np.where(np.isfinite(deficit), deficit, np.nan), ".", color=_OTHER)
    # the best ones have names: there may be as many basins as starts
    for number, basin in enumerate(result.basins[:3]):
        place = rank[basin.start]
        colour = _BEST if number == 0 else _LINE
        axis.plot(place, deficit[place], "o", color=colour)
        label = f"{basin.num_starts} start{'s' * (basin.num_starts > 1)}"
        axis.annotate(
            label,
            (place, deficit[place]),
            xytext=(5, 6),
            textcoords="offset points",
            color=colour,
            fontsize="small",
        )
    axis.set_yscale("symlog", linthresh=1.0)
    axis.set_ylim(bottom=-0.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="start, best first", ylabel="log density below the best [nats]")
    failed = f", {np.sum(~finite)} failed" if not finite.all() else ""
    axis.set_title(f"{len(result.basins)} basins of {len(values)} starts{failed}")
    return figure, axes


def plot_elbo(result: Any, ax: Axes | None = None) -> tuple[Figure, np.ndarray]:
    """Draw the evidence lower bound at every step of SVI.

    Args:
        result: the result of the SVI stage, ``fit.svi``.
        ax: axes to draw on; by default those of a new figure.

    Returns:
        The figure and its axes, (1,).

    Example:
        >>> figure, axes = nl.plot.plot_elbo(fit.svi)
    """
    figure, axes = _panel.axes_for(ax, (1, 1), (6.4, 3.6))
    elbo = -np.asarray(result.losses, dtype=float)
    axes[0].plot(1 + np.arange(len(elbo)), elbo, color=_LINE, lw=1.0)
    if len(elbo):
        # the first steps may lie orders of magnitude below, and hide the rest
        low, high = np.quantile(elbo, [0.05, 1.0])
        margin = 0.1 * (high - low) or 1.0
        axes[0].set_ylim(low - margin, high + margin)
    axes[0].ticklabel_format(useOffset=False)
    axes[0].set(xlabel="step", ylabel="ELBO [nats]", title=f"Pareto k {result.pareto_k:.2f}")
    return figure, axes
