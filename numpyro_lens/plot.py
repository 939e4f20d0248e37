"""Pictures of a fit and of a posterior, for a paper or a notebook.

Every function returns ``(figure, axes)`` and works without a display; none changes matplotlib's
settings. Save a picture with ``figure.savefig("fit.png", dpi=200)``.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from numpyro_lens import lensing, simulate
from numpyro_lens.coordinates import pixel_grid

_BRIGHTNESS = "inferno"
_RESIDUAL = "RdBu_r"  # told apart by readers who do not see red or green
_CURVE = "#56B4E9"
_MASKED = "#BFBFBF"
_POSTERIOR, _TRUTH = "#0072B2", "#D55E00"
_REGIONS = ["#B3D4E8", "#5BA3CF"]  # 95 and 68 %
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


def plot_fit(result) -> tuple[Figure, np.ndarray]:
    """Draw a fit: data, model, normalised residuals and source plane.

    The model is that of the best posterior draw. Critical curves lie on the model and caustics on
    the source. Pixels outside the mask are grey in the data and the residuals; on the model a line
    surrounds the fitted ones.

    Args:
        result: the result of `fit`.

    Returns:
        The figure and its four axes, in reading order.

    Raises:
        ValueError: the model rendered no image, so there is nothing to draw.

    Example:
        >>> figure, axes = nl.plot.plot_fit(fit)          # doctest: +SKIP
        >>> figure.savefig("fit.png", dpi=200)            # doctest: +SKIP
    """
    observation, scene = result.observation, result.scene()
    image = np.asarray(observation.image)
    model = np.asarray(simulate.render(observation, **scene._asdict()))
    sigma = np.asarray(observation.noise.sigma(model))
    used = np.asarray(observation.mask)

    figure = Figure(figsize=(10.4, 9.2), layout="compressed")
    axes = figure.subplots(2, 2).ravel()
    norm = _brightness_norm(image[used], sigma[used])
    data = np.where(used, image, np.nan)
    _panel(axes[0], observation, data, "Data", norm=norm, label="flux per pixel")
    _panel(axes[1], observation, model, "Model", norm=norm, label="flux per pixel")
    _outline(axes[1], observation, used)
    _draw_curves(axes[1], _curves(lensing.critical_curves, observation, scene), "critical curves")
    _residual_panel(axes[2], observation, (image - model) / sigma, used)
    _source_panel(axes[3], observation, scene)
    return figure, axes


def plot_corner(
    result, var_names: Sequence[str] | None = None, truths: Mapping[str, float] | None = None
) -> tuple[Figure, np.ndarray]:
    """Draw the posterior: every parameter's histogram and every pair's 68 and 95 % regions.

    Above each histogram stand the median and the central 68 % interval.

    Args:
        result: the result of `fit`, or anything with ``samples``, a dict from site name to an array
            (chain, draw).
        var_names: the sites to draw, in this order; by default all scalar sites.
        truths: true values by site name, drawn as lines; those of other sites are ignored.

    Returns:
        The figure and its axes (n, n); those above the diagonal are invisible.

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
    samples = _scalar_samples(result.samples, var_names)
    truths = truths or {}
    names, count = list(samples), len(samples)
    side = max(1.15, min(2.3, 18 / count))  # many parameters: small, still legible
    figure = Figure(figsize=(side * count + 0.7, side * count + 0.7))
    axes = figure.subplots(count, count, squeeze=False)
    margin = 0.62 / (side * count + 0.7)
    figure.subplots_adjust(margin, margin, 0.99, 1 - 0.6 * margin, wspace=0.06, hspace=0.1)
    limits = {name: _limits(values, truths.get(name)) for name, values in samples.items()}
    for row, y in enumerate(names):
        for column, x in enumerate(names):
            axis = axes[row, column]
            if column > row:
                axis.set_visible(False)
            elif column == row:
                _marginal(axis, samples[x], limits[x], truths.get(x))
            else:
                _pair(axis, samples[x], samples[y], limits[x], limits[y])
                _mark(axis, truths.get(x), truths.get(y))
                axis.set_ylim(limits[y])
            axis.set_xlim(limits[x])
            _corner_ticks(axis, x, y, row, column, count)
    figure.align_labels()
    return figure, axes


def _brightness_norm(values: np.ndarray, sigma: np.ndarray) -> Normalize:
    """Linear through the noise and logarithmic above it, so that arcs and lens both show."""
    values = values[np.isfinite(values)]
    noise = float(np.median(sigma))
    top = max(float(np.max(values)), 3 * noise)
    return AsinhNorm(linear_width=max(3 * noise, 1e-3 * top), vmin=-2 * noise, vmax=top)


def _corners(observation) -> tuple[np.ndarray, np.ndarray]:
    """Pixel corners (ny + 1, nx + 1) in arcsec: right for a rotated or mirrored image too."""
    ny, nx = observation.shape
    x0, y0 = (float(np.mean(np.asarray(axis))) for axis in (observation.x, observation.y))
    x, y = pixel_grid((ny + 1, nx + 1), np.asarray(observation.transform_pix2angle))
    return x0 + x, y0 + y


def _frame(axis: Axes, observation) -> None:
    """Equal scales and the image's own handedness: right ascension to the left stays there."""
    x, y = _corners(observation)
    matrix = np.asarray(observation.transform_pix2angle)
    axis.set_aspect("equal")
    axis.set_xlim(*_directed(x, matrix[0, 0]))
    axis.set_ylim(*_directed(y, matrix[1, 1]))
    axis.set_xlabel("x [arcsec]")
    axis.set_ylabel("y [arcsec]")
    axis.tick_params(direction="out", length=3)
    axis.set_facecolor(_MASKED)


def _directed(values: np.ndarray, step: float) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (high, low) if step < 0 else (low, high)


def _panel(axis: Axes, observation, image, title: str, *, label: str, **style) -> None:
    style.setdefault("cmap", _BRIGHTNESS)
    mesh = axis.pcolormesh(*_corners(observation), image, rasterized=True, **style)
    _frame(axis, observation)
    axis.set_title(title)
    _colour_bar(axis, mesh, label)


def _colour_bar(axis: Axes, mesh, label: str) -> None:
    bar = axis.figure.colorbar(mesh, ax=axis, fraction=0.046, pad=0.02, label=label)
    if isinstance(mesh.norm, AsinhNorm):
        ticks = _ticks(mesh.norm)
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize="small")
    bar.outline.set_linewidth(0.6)


def _ticks(norm: AsinhNorm) -> list[float]:
    """Zero and round numbers above the linear part: the default ones crowd around zero."""
    low, high = float(norm.linear_width), float(norm.vmax or 0.0)
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high) + 1)
    fine, coarse = (np.outer(decades, steps).ravel() for steps in ((1, 2, 5), (1,)))
    fine, coarse = (ticks[(ticks > low) & (ticks <= high)].tolist() for ticks in (fine, coarse))
    return [0.0, *(fine if len(fine) <= 6 else coarse)]


def _outline(axis: Axes, observation, used: np.ndarray) -> None:
    """Draw the line between fitted and unfitted pixels, where there are both."""
    if used.all():
        return
    x, y = np.asarray(observation.x), np.asarray(observation.y)
    axis.contour(x, y, used.astype(float), levels=[0.5], colors="white", linewidths=0.8)


def _residual_panel(axis: Axes, observation, residual: np.ndarray, used: np.ndarray) -> None:
    chi2 = float(np.mean(residual[used] ** 2))
    _panel(
        axis,
        observation,
        np.where(used, residual, np.nan),
        f"Normalised residuals  (mean square {chi2:.2f})",
        label="(data $-$ model) / $\\sigma$",
        cmap=_RESIDUAL,
        vmin=-5,
        vmax=5,
    )


def _source_panel(axis: Axes, observation, scene) -> None:
    axis.set_title("Source plane")
    _frame(axis, observation)
    if scene.source is None:
        axis.text(0.5, 0.5, "no source", transform=axis.transAxes, ha="center", va="center")
        return
    caustics = _curves(lensing.caustics, observation, scene)
    centre, half = _source_window(observation, scene, caustics)
    step = np.linspace(-half, half, 300)
    x, y = np.meshgrid(centre[0] + step, centre[1] + step)
    brightness = np.asarray(scene.source.brightness(x, y))
    top = float(brightness.max())
    norm = AsinhNorm(linear_width=0.1 * top, vmin=0, vmax=top) if top > 0 else None
    mesh = axis.pcolormesh(
        x, y, brightness, cmap=_BRIGHTNESS, norm=norm, shading="nearest", rasterized=True
    )
    _draw_curves(axis, caustics, "caustics")
    right_to_left = np.asarray(observation.transform_pix2angle)[0, 0] < 0
    axis.set_xlim(*_directed(x, -1.0 if right_to_left else 1.0))
    axis.set_ylim(y.min(), y.max())
    _colour_bar(axis, mesh, "brightness per arcsec$^2$")


def _source_window(observation, scene, caustics: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Centre and half side [arcsec] of a square around the caustics and the brightest spot."""
    x, y = (np.asarray(axis) for axis in (observation.x, observation.y))
    step = [np.linspace(axis.min(), axis.max(), 200) for axis in (x, y)]
    grid = np.meshgrid(*step)
    brightness = np.asarray(scene.source.brightness(*grid))
    peak = np.unravel_index(np.argmax(brightness), brightness.shape)
    bright = np.stack([axis[brightness > 0.1 * brightness[peak]] for axis in grid], axis=-1)
    points = np.concatenate([bright, *caustics])
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, 0.6 * float(np.max(high - low)) + float(step[0][1] - step[0][0])


def _curves(function, observation, scene) -> list[np.ndarray]:
    """Critical curves or caustics (n, 2) [arcsec] of the lens within and around the image."""
    if scene.mass is None:
        return []
    x, y = _corners(observation)
    reach = max(np.abs(x - x.mean()).max(), np.abs(y - y.mean()).max())
    return function(scene.mass, center=(x.mean(), y.mean()), half_width=1.5 * reach)


def _draw_curves(axis: Axes, curves: list[np.ndarray], label: str) -> None:
    for number, curve in enumerate(curves):
        axis.plot(*curve.T, color=_CURVE, lw=1.0, label=label if number == 0 else None)
    if curves:
        axis.legend(loc="upper right", fontsize="small", frameon=False, labelcolor="white")


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


def _limits(values: np.ndarray, truth: float | None) -> tuple[float, float]:
    low, high = np.quantile(values, [0.001, 0.999])
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin
    if truth is not None:
        low, high = min(low, truth - margin), max(high, truth + margin)
    return float(low), float(high)


def _marginal(axis: Axes, values: np.ndarray, limits, truth: float | None) -> None:
    low, median, high = np.quantile(values, [0.15865, 0.5, 0.84135])
    axis.hist(values, bins=30, range=limits, histtype="stepfilled", color=_POSTERIOR, alpha=0.25)
    axis.hist(values, bins=30, range=limits, histtype="step", color=_POSTERIOR, lw=1.0)
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


def _pair(axis: Axes, x: np.ndarray, y: np.ndarray, x_limits, y_limits) -> None:
    bins = 40 if x.size > 4000 else 28
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=bins, range=(x_limits, y_limits))
    density = _smooth(_smooth(counts).T)  # [y, x]
    levels = _mass_levels(density, counts.T, (0.95, 0.68))
    if len(levels) < 2:
        axis.plot(x, y, ",", color=_POSTERIOR)
        return
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in (x_edges, y_edges)]
    axis.contourf(*centres, density, levels=[*levels, 1.01 * density.max()], colors=_REGIONS)
    axis.contour(*centres, density, levels=levels, colors=_POSTERIOR, linewidths=0.7)


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
    axis.xaxis.set_major_locator(MaxNLocator(few, prune="both"))
    axis.yaxis.set_major_locator(MaxNLocator(few, prune="both"))
    axis.tick_params(labelsize=7, length=2, direction="in", top=False, right=False)
    axis.tick_params(axis="x", labelrotation=45)
    if row == column:
        axis.set_yticks([])
    if row < count - 1:
        axis.set_xticklabels([])
    else:
        axis.set_xlabel(_label(x), fontsize=9)
    if column > 0:
        axis.set_yticklabels([])
    elif row > 0:
        axis.set_ylabel(_label(y), fontsize=9)


def _label(site: str) -> str:
    """``lens.theta_E`` as the name of the profile and the symbol of its parameter."""
    profile, _, field = site.rpartition(".")
    symbol = f"${_SYMBOLS[field]}$" if field in _SYMBOLS else field
    return f"{profile} {symbol}".strip()
