"""Maps of the lens: convergence and magnification."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, LogNorm
from matplotlib.figure import Figure

from numpyro_lens import lensing
from numpyro_lens._types import Array
from numpyro_lens.observation import Observation
from numpyro_lens.plot import _panel
from numpyro_lens.scene import Scene


def plot_convergence(
    result: Any, ax: Axes | None = None, *, name: str | None = None
) -> tuple[Figure, np.ndarray]:
    r"""Draw the convergence :math:`\kappa` of the best draw on the pixels of the image.

    The dashed line is :math:`\kappa = 1/2`, where the mean surface density of an isothermal lens
    is critical.

    Args:
        result: the result of `fit`.
        ax: axes to draw on; by default those of a new figure.
        name: site of the image on whose pixels; may be left out when there is only one.

    Returns:
        The figure and its axes, (1,).

    Raises:
        ValueError: the model has no mass, or no such image.

    Example:
        >>> figure, axes = nl.plot.plot_convergence(fit)
    """
    observation, scene, x, y = _lens(result, name)
    kappa = np.asarray(lensing.convergence(scene, x, y))
    positive = np.where(kappa > 0, kappa, np.nan)
    figure, axes = _panel.axes_for(ax, (1, 1), (5.2, 4.6))
    low, high = np.nanquantile(positive, [0.01, 0.999])
    norm = LogNorm(max(low, 1e-3 * high), high)
    title = r"Convergence $\kappa$"
    _panel.panel(axes[0], observation, positive, title, norm=norm, cmap="cividis", label="")
    if np.nanmin(kappa) < 0.5 < np.nanmax(kappa):
        axes[0].contour(x, y, kappa, levels=[0.5], colors="white", linestyles="--", linewidths=0.8)
    return figure, axes


def plot_magnification(
    result: Any, ax: Axes | None = None, *, name: str | None = None
) -> tuple[Figure, np.ndarray]:
    r"""Draw the signed magnification :math:`\mu` of the best draw, with critical curves.

    Where it is negative images are mirrored.

    Args:
        result: the result of `fit`.
        ax: axes to draw on; by default those of a new figure.
        name: site of the image on whose pixels; may be left out when there is only one.

    Returns:
        The figure and its axes, (1,).

    Raises:
        ValueError: the model has no mass, or no such image.

    Example:
        >>> figure, axes = nl.plot.plot_magnification(fit)
    """
    observation, scene, x, y = _lens(result, name)
    mu = 1.0 / np.asarray(lensing.inverse_magnification(scene, x, y))
    figure, axes = _panel.axes_for(ax, (1, 1), (5.2, 4.6))
    norm = AsinhNorm(linear_width=1.0, vmin=-50, vmax=50)
    title = r"Magnification $\mu$"
    style: dict[str, Any] = {"norm": norm, "cmap": _panel.SIGNED, "label": ""}
    mesh = _panel.panel(axes[0], observation, np.clip(mu, -50, 50), title, **style)
    mesh.colorbar.set_ticks([-50, -10, -3, 0, 3, 10, 50])
    for curve in _panel.curves_of(lensing.critical_curves, observation, scene):
        axes[0].plot(*curve.T, color="black", lw=0.8)
    return figure, axes


def _lens(result: Any, name: str | None) -> tuple[Observation, Scene, Array, Array]:
    """Observation, scene and pixel centres, slightly off the singular centre of a lens."""
    observation, scene = result.observations[result.site(name)], result.scene(name)
    if scene.deflector() is None:
        raise ValueError(
            "Convergence and magnification belong to a lens; this model renders without mass. "
            "Give one: nl.observe(name, observation, mass=...)."
        )
    shift = 1e-3 * float(observation.pixel_area) ** 0.5
    x, y = jnp.asarray(observation.x) + shift, jnp.asarray(observation.y) + shift
    return observation, scene, x, y
