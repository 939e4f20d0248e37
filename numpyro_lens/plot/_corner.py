"""The posterior, parameter by parameter and pair by pair."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from os import PathLike
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from numpyro_lens import light, mass
from numpyro_lens.plot import _panel

Limits: TypeAlias = tuple[float, float]

_POSTERIOR, _SECOND, _TRUTH = "#0072B2", "#E69F00", "#000000"
_REGIONS = ["#B3D4E8", "#5BA3CF"]  # 95 and 68 %
#: Parameters of a picture that is read without a magnifying glass.
_MOST = 12
_SYMBOLS = {
    "theta_E": r"\theta_\mathrm{E}",
    "gamma": r"\gamma",
    "gamma1": r"\gamma_1",
    "gamma2": r"\gamma_2",
    "e1": "e_1",
    "e2": "e_2",
    "center_x": "x",
    "center_y": "y",
    "amp": "A",
    "R_sersic": r"R_\mathrm{S}",
    "n_sersic": r"n_\mathrm{S}",
    "sigma": r"\sigma",
    "Rs": r"R_\mathrm{s}",
    "alpha_Rs": r"\alpha_{R_\mathrm{s}}",
}


def plot_corner(
    result: Any,
    var_names: Sequence[str] | None = None,
    truths: Mapping[str, float] | None = None,
    *,
    other: Any = None,
    labels: tuple[str, str] = ("HMC", "VI"),
    ax: Any = None,
) -> tuple[Figure, np.ndarray]:
    """Draw the posterior: every parameter's histogram and every pair's 68 and 95 % regions.

    Above each histogram stand the median and the central 68 % interval. `write_corners` draws the
    parameters of each component on a page.

    Args:
        result: the result of `fit`, or anything with ``samples``, a dict from site name to an array
            (chain, draw).
        var_names: the sites to draw, in this order; by default all scalar sites, or, where there
            are more than twelve, those of the mass.
        truths: true values by site name, drawn as lines; those of other sites are ignored.
        other: a second result, drawn as lines over the first: ``fit.svi``, or another fit.
        labels: names of the two, for the legend.
        ax: (n, n) axes to draw on; by default those of a new figure.

    Returns:
        The figure and its axes (n, n), None above the diagonal; of given ones the axes there are
        made invisible.

    Raises:
        ValueError: a name is no scalar site of the posterior, or there is none at all.

    Example:
        >>> from types import SimpleNamespace
        >>> import numpy as np, numpyro_lens as nl
        >>> draws = np.random.default_rng(0).normal(size=(2, 4, 500))
        >>> posterior = SimpleNamespace(samples={"lens.theta_E": draws[0], "lens.e1": draws[1]})
        >>> figure, axes = nl.plot.plot_corner(posterior, truths={"lens.e1": 0.0})
        >>> axes.shape
        (2, 2)
    """
    every = _scalar_samples(result.samples, var_names)
    samples = {
        name: every[name] for name in (_readable(list(every)) if var_names is None else every)
    }
    second = {} if other is None else _scalar_samples(other.samples, list(samples))
    truths = truths or {}
    figure, axes = _corner_axes(len(samples)) if ax is None else _given_axes(ax, len(samples))
    limits = {
        name: _limits(values, second.get(name), truths.get(name))
        for name, values in samples.items()
    }
    names = list(samples)
    for row, column in _lower(len(names)):
        axis, x, y = axes[row, column], names[column], names[row]
        if column == row:
            _marginal(axis, samples[x], limits[x], truths.get(x))
            _second_marginal(axis, second.get(x), limits[x])
        else:
            _pair(axis, samples[x], samples[y], limits[x], limits[y])
            _second_pair(axis, second.get(x), second.get(y), limits[x], limits[y])
            _mark(axis, truths.get(x), truths.get(y))
            axis.set_ylim(limits[y])
        axis.set_xlim(limits[x])
        _corner_ticks(axis, x, y, row, column, len(names))
    if second:
        lines = [Line2D([], [], color=colour) for colour in (_POSTERIOR, _SECOND)]
        figure.legend(lines, labels, loc="upper right", frameon=False)
    if len(samples) < len(every):
        note = f"the mass: {len(samples)} of {len(every)} parameters"
        figure.text(0.98, 0.9, note, ha="right", va="top", fontsize=9)
    # those with a name: every other axis would be asked for the room of its ticks
    figure.align_xlabels(list(axes[-1]))
    figure.align_ylabels(list(axes[:, 0]))
    return figure, axes


def write_corners(
    path: str | PathLike, result: Any, truths: Mapping[str, float] | None = None, **settings: Any
) -> None:
    """Write the posterior as a PDF with a page for each component, such as the lens or its light.

    Args:
        path: the file to write.
        result: as for `plot_corner`.
        truths: as for `plot_corner`.
        **settings: ``other`` and ``labels`` of `plot_corner`.

    Raises:
        ValueError: the posterior has no scalar site.

    Example:
        >>> nl.plot.write_corners("corner.pdf", fit)
    """
    groups = _components(list(_scalar_samples(result.samples, None)))
    with PdfPages(path) as pages:
        for names in groups.values():
            pages.savefig(plot_corner(result, names, truths, **settings)[0])


def _components(names: Sequence[str]) -> dict[str, list[str]]:
    """Sites by what stands before their last point."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition(".")[0], []).append(name)
    return groups


def _readable(names: list[str]) -> list[str]:
    """All sites, or of many those of components with a parameter that only masses have."""
    if len(names) <= _MOST:
        return names
    known = _fields(mass) - _fields(light)
    groups = _components(names).values()
    masses = [group for group in groups if known & {name.rpartition(".")[2] for name in group}]
    return [name for group in masses for name in group] or names


def _fields(profiles: ModuleType) -> set[str]:
    kinds = [kind for _, kind in inspect.getmembers(profiles, dataclasses.is_dataclass)]
    return {field.name for kind in kinds for field in dataclasses.fields(kind)}


def _corner_axes(count: int) -> tuple[Figure, np.ndarray]:
    """Axes on and below the diagonal: to make one takes as long as to draw in it."""
    side = max(1.15, min(2.3, 18 / count))  # many parameters: small, still legible
    size = side * count + 0.7
    figure = _panel.new_figure(figsize=(size, size))
    margin = 0.62 / size
    edges = {"left": margin, "bottom": margin, "right": 0.99, "top": 1 - 0.6 * margin}
    grid = figure.add_gridspec(count, count, **edges, wspace=0.06, hspace=0.1)
    axes = np.full((count, count), None, dtype=object)
    for place in _lower(count):
        axes[place] = figure.add_subplot(grid[place])
    return figure, axes


def _lower(count: int) -> list[tuple[int, int]]:
    """Row and column on and below the diagonal."""
    return [(row, column) for row in range(count) for column in range(row + 1)]


def _given_axes(ax: Any, count: int) -> tuple[Figure, np.ndarray]:
    figure, axes = _panel.axes_for(ax, (count, count), (0, 0))
    axes = axes.reshape(count, count)
    for axis in axes[np.triu_indices(count, 1)]:
        axis.set_visible(False)
    return figure, axes


def _scalar_samples(
    samples: Mapping[str, np.ndarray], var_names: Sequence[str] | None
) -> dict[str, np.ndarray]:
    scalar = {name: np.ravel(v) for name, v in samples.items() if np.ndim(v) == 2}
    names = list(scalar) if var_names is None else list(var_names)
    unknown = [name for name in names if name not in scalar]
    if unknown or not names:
        raise ValueError(
            f"var_names must name scalar sites of the posterior; got {unknown or 'none'}. It has "
            f"{', '.join(scalar) or 'no scalar site'}."
        )
    return {name: scalar[name] for name in names}


def _limits(
    values: np.ndarray, second: np.ndarray | None, truth: float | None
) -> tuple[float, float]:
    together = [values] if second is None else [values, second]
    quantiles = [np.quantile(draws, [0.001, 0.999]) for draws in together]
    low, high = np.min(quantiles), np.max(quantiles)
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin
    if truth is not None:
        low, high = min(low, truth - margin), max(high, truth + margin)
    return float(low), float(high)


def _marginal(axis: Axes, values: np.ndarray, limits: Limits, truth: float | None) -> None:
    low, median, high = np.quantile(values, [0.15865, 0.5, 0.84135])
    bins: dict[str, Any] = {"bins": 30, "range": limits, "density": True, "color": _POSTERIOR}
    axis.hist(values, histtype="stepfilled", alpha=0.25, **bins)
    axis.hist(values, histtype="step", lw=1.0, **bins)
    for value in (low, median, high):
        axis.axvline(value, color=_POSTERIOR, lw=0.8, ls="-" if value == median else ":")
    _mark(axis, truth, None)
    axis.set_title(_interval(low, median, high), fontsize=8, pad=6)


def _interval(low: float, median: float, high: float) -> str:
    """Median and distances to the 68 % limits, with two digits of the smaller distance."""
    below, above = median - low, high - median
    smaller = min(below, above)
    digits = 3 if smaller <= 0 else int(np.clip(1 - np.floor(np.log10(smaller)), 0, 8))
    text = [f"{value:.{digits}f}" for value in (median, below, above)]
    return f"${text[0]}_{{-{text[1]}}}^{{+{text[2]}}}$"


def _second_marginal(axis: Axes, values: np.ndarray | None, limits: Limits) -> None:
    if values is not None:
        style: dict[str, Any] = {"histtype": "step", "lw": 1.0, "color": _SECOND}
        axis.hist(values, bins=30, range=limits, density=True, **style)


def _pair(axis: Axes, x: np.ndarray, y: np.ndarray, x_limits: Limits, y_limits: Limits) -> None:
    centres, density, levels = _regions(x, y, x_limits, y_limits)
    if len(levels) < 2:
        axis.plot(x, y, ",", color=_POSTERIOR)
        return
    axis.contourf(*centres, density, levels=[*levels, 1.01 * density.max()], colors=_REGIONS)
    axis.contour(*centres, density, levels=levels, colors=_POSTERIOR, linewidths=0.7)


def _second_pair(
    axis: Axes, x: np.ndarray | None, y: np.ndarray | None, x_limits: Limits, y_limits: Limits
) -> None:
    if x is None or y is None:
        return
    centres, density, levels = _regions(x, y, x_limits, y_limits)
    if len(levels) == 2:
        axis.contour(*centres, density, levels=levels, colors=_SECOND, linewidths=1.0)


def _regions(x: np.ndarray, y: np.ndarray, x_limits: Limits, y_limits: Limits) -> Any:
    """Bin centres, smoothed density [y, x], and the levels that hold 95 and 68 % of the draws."""
    bins = 40 if x.size > 4000 else 28
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=bins, range=(x_limits, y_limits))
    density = _smooth(_smooth(counts).T)
    levels = _mass_levels(density, counts.T, (0.95, 0.68))
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in (x_edges, y_edges)]
    return centres, density, levels


def _smooth(counts: np.ndarray) -> np.ndarray:
    """Blur rows with a Gaussian of one bin: contours show the posterior, not counting noise."""
    kernel = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    return np.array([np.convolve(row, kernel / kernel.sum(), mode="same") for row in counts])


def _mass_levels(density: np.ndarray, counts: np.ndarray, masses: Sequence[float]) -> list[float]:
    """The densities above which lies each share of the draws, ascending and distinct.

    Counted over the draws, so that the blur widens no region.
    """
    order = np.argsort(density, axis=None)[::-1]
    inside = np.cumsum(counts.ravel()[order]) / max(counts.sum(), 1.0)
    found = {float(density.ravel()[order][np.searchsorted(inside, mass)]) for mass in masses}
    return sorted(found - {0.0})


def _mark(axis: Axes, x: float | None, y: float | None) -> None:
    if x is not None:
        axis.axvline(x, color=_TRUTH, lw=1.0)
    if y is not None:
        axis.axhline(y, color=_TRUTH, lw=1.0)
    if x is not None and y is not None:
        axis.plot(x, y, "s", color=_TRUTH, ms=3)


def _corner_ticks(axis: Axes, x: str, y: str, row: int, column: int, count: int) -> None:
    """Ticks and names on the outer panels only."""
    few = 2 if count > 8 else 3
    axis.tick_params(labelsize=7, length=2, direction="in", top=False, right=False)
    if row == count - 1:
        axis.xaxis.set_major_locator(MaxNLocator(few, prune="both"))
        axis.tick_params(axis="x", labelrotation=45)
        axis.set_xlabel(_label(x), fontsize=9)
    else:
        axis.xaxis.set_visible(False)
    if column == 0 < row:
        axis.yaxis.set_major_locator(MaxNLocator(few, prune="both"))
        axis.set_ylabel(_label(y), fontsize=9)
    else:
        axis.yaxis.set_visible(False)


def _label(site: str) -> str:
    """``lens.theta_E`` as the name of the profile and the symbol of its parameter."""
    profile, _, field = site.rpartition(".")
    symbol = f"${_SYMBOLS[field]}$" if field in _SYMBOLS else field
    return f"{profile} {symbol}".strip()
