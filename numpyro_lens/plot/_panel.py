"""What every picture of an image shares: scale, frame, colour bar, compass, curves."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from numpyro_lens.coordinates import pixel_grid
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Scene

BRIGHTNESS = "inferno"
SIGNED = "RdBu_r"  # told apart by readers who do not see red or green
CURVE = "#56B4E9"
_UNUSED, _HATCH = "#EDEDED", "#CFCFCF"


def axes_for(
    ax: Any, shape: tuple[int, int], size: tuple[float, float]
) -> tuple[Figure, np.ndarray]:
    """The axes given, checked, or those of a new figure; flat, in reading order."""
    if ax is None:
        figure = new_figure(figsize=size, layout="compressed")
        return figure, figure.subplots(*shape, squeeze=False).ravel()
    axes = np.ravel(np.asarray(ax, dtype=object))
    if axes.size != shape[0] * shape[1]:
        raise ValueError(
            f"ax must hold {shape[0] * shape[1]} axes for this picture; got {axes.size}. Make them "
            f"with plt.subplots({shape[0]}, {shape[1]})."
        )
    return axes[0].figure, axes


class Picture(Figure):
    """A figure that works without a display, and that a notebook shows.

    Notebooks know how to draw matplotlib's figures only once pyplot has drawn one.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()


def new_figure(**settings: Any) -> Figure:
    """A figure without pyplot, which would keep it in memory."""
    return Picture(**settings)


def brightness_norm(values: np.ndarray, sigma: np.ndarray) -> Normalize:
    """Linear through the noise and logarithmic above it, so that arcs and lens both show."""
    values = values[np.isfinite(values)]
    noise = float(np.median(sigma))
    top = max(float(np.max(values)), 3 * noise)
    return AsinhNorm(linear_width=max(3 * noise, 1e-3 * top), vmin=-2 * noise, vmax=top)


def corners(observation: Observation) -> tuple[np.ndarray, np.ndarray]:
    """Pixel corners (ny + 1, nx + 1) in arcsec: right for a rotated or mirrored image too."""
    ny, nx = observation.shape
    x0, y0 = (float(np.mean(np.asarray(axis))) for axis in (observation.x, observation.y))
    x, y = pixel_grid((ny + 1, nx + 1), np.asarray(observation.transform_pix2angle))
    return x0 + x, y0 + y


def frame(axis: Axes, observation: Observation) -> None:
    """Equal scales around the fitted pixels, and the image's own handedness.

    Right ascension to the left stays there. Pixels that were not fitted are hatched.
    """
    matrix = np.asarray(observation.transform_pix2angle)
    axis.set_aspect("equal")
    x, y = _fitted_corners(observation)
    axis.set_xlim(*directed(x, float(matrix[0, 0])))
    axis.set_ylim(*directed(y, float(matrix[1, 1])))
    axis.set_xlabel("x [arcsec]")
    axis.set_ylabel("y [arcsec]")
    axis.tick_params(direction="out", length=3)
    axis.patch.set(facecolor=_UNUSED, edgecolor=_HATCH, hatch="////")


def _fitted_corners(observation: Observation, margin: int = 2) -> list[np.ndarray]:
    """Corners (x, y) of the pixels up to ``margin`` around those in use."""
    used = np.asarray(observation.mask)
    window = []
    for axis, size in enumerate(used.shape):
        where = np.flatnonzero(used.any(axis=1 - axis))
        window.append(slice(max(where[0] - margin, 0), min(where[-1] + margin, size - 1) + 2))
    return [corner[tuple(window)] for corner in corners(observation)]


def directed(values: np.ndarray, step: float) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (high, low) if step < 0 else (low, high)


def panel(
    axis: Axes, observation: Observation, image: np.ndarray, title: str, *, label: str, **style: Any
) -> Any:
    """One image on its pixels, with a colour bar."""
    style.setdefault("cmap", BRIGHTNESS)
    mesh = axis.pcolormesh(*corners(observation), image, rasterized=True, **style)
    frame(axis, observation)
    axis.set_title(title)
    colour_bar(axis, mesh, label)
    return mesh


def colour_bar(axis: Axes, mesh: QuadMesh, label: str) -> None:
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


def outline(axis: Axes, observation: Observation, used: np.ndarray) -> None:
    """The line between fitted and unfitted pixels, where there are both."""
    if used.all():
        return
    x, y = np.asarray(observation.x), np.asarray(observation.y)
    axis.contour(x, y, used.astype(float), levels=[0.5], colors="white", linewidths=0.8)
    axis.plot([], [], color="white", lw=0.8, label="fitted pixels")
    _legend(axis)


def compass(axis: Axes, observation: Observation, length: float = 0.11) -> None:
    """Arrows to the North and the East, where the observation knows its place on the sky."""
    if observation.sky_position is None:
        return
    east = -1.0 if axis.xaxis_inverted() else 1.0
    north = -1.0 if axis.yaxis_inverted() else 1.0
    start = np.array([0.06 if east > 0 else 0.06 + length, 0.06 if north > 0 else 0.06 + length])
    edge = [withStroke(linewidth=2.5, foreground="black")]  # seen on dark sky and pale hatches
    style: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "axes fraction"}
    style |= {"color": "white", "ha": "center", "va": "center", "path_effects": edge}
    arrow = {"arrowstyle": "<-", "color": "white", "shrinkA": 0, "shrinkB": 0, "path_effects": edge}
    for name, step in (("N", (0.0, north * length)), ("E", (east * length, 0.0))):
        tip, label = start + np.array(step), start + 1.3 * np.array(step)
        axis.annotate("", tuple(start), xytext=tuple(tip), arrowprops=arrow, **style)
        axis.annotate(name, tuple(start), xytext=tuple(label), **style)


def curves_of(
    function: Callable, observation: Observation, scene: Scene | None, plane: int = -1
) -> list[np.ndarray]:
    """Critical curves or caustics (n, 2) [arcsec] for a plane, within and around the image."""
    lens = None if scene is None else scene.deflector(plane)
    if lens is None:
        return []
    x, y = corners(observation)
    reach = max(np.abs(x - x.mean()).max(), np.abs(y - y.mean()).max())
    return function(lens, center=(x.mean(), y.mean()), half_width=1.5 * reach)


def draw_curves(axis: Axes, curves: list[np.ndarray], label: str, ls: str = "-") -> None:
    for number, curve in enumerate(curves):
        axis.plot(*curve.T, color=CURVE, lw=1.0, ls=ls, label=label if number == 0 else None)
    if curves:
        _legend(axis)


def _legend(axis: Axes) -> None:
    axis.legend(loc="upper right", fontsize="small", frameon=False, labelcolor="white")
