"""An observation and a fit: data, model, residuals, source plane."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure

from numpyro_lens import lensing
from numpyro_lens._types import Array
from numpyro_lens.light import AbstractLight
from numpyro_lens.observation import Observation
from numpyro_lens.plot import _panel
from numpyro_lens.plot._panel import panel
from numpyro_lens.scene import Scene

#: points a side at which a source is evaluated, of one number so that it is compiled once
_SIDE = 300


def plot_observation(observation: Observation, ax: Axes | None = None) -> tuple[Figure, np.ndarray]:
    """Draw the image of an observation; pixels outside the mask are hatched.

    Args:
        observation: the data.
        ax: axes to draw on; by default those of a new figure.

    Returns:
        The figure and its axes, (1,).

    Example:
        >>> import numpyro_lens as nl
        >>> data = nl.Observation.blank((8, 8), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> figure, axes = nl.plot.plot_observation(data)
        >>> axes[0].get_title()
        'Data'
    """
    figure, axes = _panel.axes_for(ax, (1, 1), (5.2, 4.6))
    _data_panel(axes[0], observation, _norm(observation, np.asarray(observation.image)))
    return figure, axes


def plot_fit(
    result: Any, names: str | Sequence[str] | None = None, ax: Any = None
) -> tuple[Figure, np.ndarray]:
    """Draw a fit: data, model, normalised residuals and source planes of every image.

    The model is that of the best posterior draw. Critical curves lie on the model and caustics on
    the source. Pixels outside the mask are hatched in the data and the residuals; on the model a
    line surrounds the fitted ones. An observation read with a WCS has a compass.

    Args:
        result: the result of `fit`.
        names: sites of the images, one or several; all of them by default.
        ax: axes to draw on, four for each image and one more for every further source plane; by
            default those of a new figure, where several images have a row each.

    Returns:
        The figure and its axes, in reading order.

    Raises:
        ValueError: the model observes no image, so there is nothing to draw, there is none of that
            name, or ``ax`` does not hold as many axes.

    Example:
        >>> figure, axes = nl.plot.plot_fit(fit)
        >>> figure.savefig("fit.png", dpi=50)
    """
    chosen = _chosen(result, names)
    single = len(chosen) == 1
    columns = 3 + max(len(_source_planes(result.views[name].scene)) for name in chosen)
    shape = (2, 2) if single and columns == 4 else (len(chosen), columns)
    figure, axes = _panel.axes_for(ax, shape, (5.2 * shape[1], 4.6 * shape[0]))
    for name, row in zip(chosen, axes.reshape(-1, columns), strict=True):
        _draw_view(row, result.views[name])
        if not single:
            row[0].set_title(f"{name}: data")
    return figure, axes


def _chosen(result: Any, names: str | Sequence[str] | None) -> list[str]:
    if names is None and result.observations:
        return list(result.observations)
    given = [names] if names is None or isinstance(names, str) else names
    return [result.site(name) for name in given]


def _draw_view(axes: np.ndarray, view: Any) -> None:
    observation, model, scene = view.observation, np.asarray(view.image), view.scene
    norm = _norm(observation, model)
    _data_panel(axes[0], observation, norm)
    panel(axes[1], observation, model, "Model", norm=norm, label="flux per pixel")
    _panel.outline(axes[1], observation, np.asarray(observation.mask))
    planes = _source_planes(scene)
    _critical_curves(axes[1], observation, scene, planes)
    _residual_panel(axes[2], observation, model)
    for axis, plane in zip(axes[3:], planes, strict=False):
        axis.set_title("Source plane" if len(planes) == 1 else f"Source in plane {plane}")
        _source_panel(axis, observation, scene, plane)
    for axis in axes[3 + len(planes) :]:
        axis.set_axis_off()


def _critical_curves(
    axis: Axes, observation: Observation, scene: Scene | None, planes: list[int]
) -> None:
    """Those for the source of each plane, dashed for the nearer ones."""
    for plane in planes:
        curves = _panel.curves_of(lensing.critical_curves, observation, scene, plane)
        of = "" if len(planes) == 1 else f" for plane {plane}"
        _panel.draw_curves(
            axis, curves, f"critical curves{of}", "-" if plane == planes[-1] else "--"
        )


def _source_planes(scene: Scene | None) -> list[int]:
    """Numbers of the planes whose light may be lensed; the last where there is none."""
    planes = [] if scene is None else list(enumerate(scene.planes))[1:]
    return [number for number, plane in planes if plane.light is not None] or [-1]


def _norm(observation: Observation, model: np.ndarray) -> Normalize:
    used = np.asarray(observation.mask)
    sigma = np.asarray(_compared(observation, model)[0])
    return _panel.brightness_norm(np.asarray(observation.image)[used], sigma[used])


def _data_panel(axis: Axes, observation: Observation, norm: Normalize) -> None:
    data = np.where(np.asarray(observation.mask), np.asarray(observation.image), np.nan)
    panel(axis, observation, data, "Data", norm=norm, label="flux per pixel")
    _panel.compass(axis, observation)


def _residual_panel(axis: Axes, observation: Observation, model: np.ndarray) -> None:
    _, residuals, mean_square = _compared(observation, model)
    residuals = np.where(observation.mask, residuals, np.nan)
    panel(
        axis,
        observation,
        residuals,
        f"Normalised residuals  (mean square {float(mean_square):.2f})",
        label="(data $-$ model) / $\\sigma$",
        cmap=_panel.SIGNED,
        vmin=-5,
        vmax=5,
    )


def _source_panel(axis: Axes, observation: Observation, scene: Scene | None, plane: int) -> None:
    _panel.frame(axis, observation)
    axis.patch.set_hatch("")
    source = None if scene is None or len(scene.planes) < 2 else scene.planes[plane].light
    if source is None:
        axis.text(0.5, 0.5, "no source", transform=axis.transAxes, ha="center", va="center")
        return
    caustics = _panel.curves_of(lensing.caustics, observation, scene, plane)
    centre, half = _source_window(observation, source, caustics)
    step = np.linspace(-half, half, _SIDE)
    x, y = np.meshgrid(centre[0] + step, centre[1] + step)
    brightness = np.asarray(_brightness(source, x, y))
    top = float(brightness.max())
    norm = AsinhNorm(linear_width=0.1 * top, vmin=0, vmax=top) if top > 0 else None
    mesh = axis.pcolormesh(
        x, y, brightness, cmap=_panel.BRIGHTNESS, norm=norm, shading="nearest", rasterized=True
    )
    _panel.draw_curves(axis, caustics, "caustics")
    right_to_left = np.asarray(observation.transform_pix2angle)[0, 0] < 0
    axis.set_xlim(*_panel.directed(x, -1.0 if right_to_left else 1.0))
    axis.set_ylim(y.min(), y.max())
    _panel.colour_bar(axis, mesh, "brightness per arcsec$^2$")


@jax.jit
def _compared(observation: Observation, model: Array) -> tuple[Array, Array, Array]:
    """Noise of a model image, its normalised residuals and their mean square."""
    residuals, mean_square = observation.residuals(model), observation.mean_square(model)
    return observation.noise.sigma(model), residuals, mean_square


@jax.jit
def _brightness(light: AbstractLight, x: Array, y: Array) -> Array:
    return light.brightness(x, y)


def _source_window(
    observation: Observation, source: AbstractLight, caustics: list[np.ndarray]
) -> tuple[np.ndarray, float]:
    """Centre and half side [arcsec] of a square around the caustics and the brightest spot."""
    x, y = (np.asarray(axis) for axis in (observation.x, observation.y))
    step = [np.linspace(axis.min(), axis.max(), _SIDE) for axis in (x, y)]
    grid = np.meshgrid(*step)
    brightness = np.asarray(_brightness(source, *grid))
    peak = np.unravel_index(np.argmax(brightness), brightness.shape)
    bright = np.stack([axis[brightness > 0.1 * brightness[peak]] for axis in grid], axis=-1)
    points = np.concatenate([bright, *caustics])
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, 0.6 * float(np.max(high - low)) + float(step[0][1] - step[0][0])
