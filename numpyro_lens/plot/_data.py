"""What was read, before it is fitted: image, signal to noise, mask, PSF."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from numpyro_lens.observation import Observation
from numpyro_lens.plot import _panel
from numpyro_lens.psf import PSF


def plot_data(
    observation: Observation | Mapping[str, Observation], ax: Any = None
) -> tuple[Figure, np.ndarray]:
    """Draw what an observation holds: image, signal to noise, mask and PSF.

    Args:
        observation: the data; or those of each band by its name, which have a row each.
        ax: four axes for each to draw on; by default those of a new figure.

    Returns:
        The figure and its axes, in reading order.

    Raises:
        ValueError: there is no band, or ``ax`` does not hold four axes for each.

    Example:
        >>> import numpyro_lens as nl
        >>> data = nl.Observation.blank((8, 8), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> figure, axes = nl.plot.plot_data(data)
        >>> [axis.get_title() for axis in axes]
        ['Data', 'Signal to noise', 'Mask', 'PSF']
    """
    bands = observation if isinstance(observation, Mapping) else {"": observation}
    if not bands:
        raise ValueError('A picture of bands has at least one; got none. Give {"VIS": vis}.')
    shape = (2, 2) if len(bands) == 1 else (len(bands), 4)
    figure, axes = _panel.axes_for(ax, shape, (5.2 * shape[1], 4.6 * shape[0]))
    for (name, band), row in zip(bands.items(), axes.reshape(-1, 4), strict=True):
        _draw_band(row, band)
        if name:
            row[0].set_title(f"{name}: data")
    return figure, axes


def _draw_band(axes: np.ndarray, observation: Observation) -> None:
    used = np.asarray(observation.mask)
    image, sigma = (
        np.where(used, np.asarray(values), np.nan)
        for values in (observation.image, observation.noise.sigma(observation.image))
    )
    norm = _panel.brightness_norm(image[used], sigma[used])
    _panel.panel(axes[0], observation, image, "Data", norm=norm, label="flux per pixel")
    _panel.compass(axes[0], observation)
    ratio = image / sigma
    norm = _panel.brightness_norm(ratio[used], np.ones(1))
    _panel.panel(
        axes[1], observation, ratio, "Signal to noise", norm=norm, label="image / $\\sigma$"
    )
    _mask_panel(axes[2], observation, used)
    _psf_panel(axes[3], observation.psf, float(observation.pixel_area) ** 0.5)


def _mask_panel(axis: Axes, observation: Observation, used: np.ndarray) -> None:
    colours = ListedColormap(["#D55E00", "#DDDDDD"])
    mesh = _panel.panel(
        axis, observation, used.astype(float), "Mask", cmap=colours, vmin=0, vmax=1, label=""
    )
    mesh.colorbar.set_ticks([0.25, 0.75], labels=["left out", "fitted"])
    x, y = _panel.corners(observation)
    matrix = np.asarray(observation.transform_pix2angle)
    axis.set_xlim(*_panel.directed(x, float(matrix[0, 0])))
    axis.set_ylim(*_panel.directed(y, float(matrix[1, 1])))


def _psf_panel(axis: Axes, psf: PSF | None, pixel: float) -> None:
    axis.set_title("PSF")
    axis.set_aspect("equal")
    axis.set_xlabel("column [arcsec]")
    axis.set_ylabel("row [arcsec]")
    if psf is None:
        axis.text(0.5, 0.5, "no PSF", transform=axis.transAxes, ha="center", va="center")
        return
    kernel = np.asarray(psf.kernel)
    rows, columns = (
        (np.arange(size) - (size - 1) / 2) * pixel / psf.sampling for size in kernel.shape
    )
    top = float(kernel.max())
    values = np.where(kernel > 0, kernel, np.nan)
    mesh = axis.pcolormesh(
        columns,
        rows,
        values,
        norm=LogNorm(1e-4 * top, top),
        cmap=_panel.BRIGHTNESS,
        shading="nearest",
        rasterized=True,
    )
    _panel.colour_bar(axis, mesh, "share of the light")
