"""The posterior of the image plane."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from numpyro_lens.plot import _panel


def plot_prediction(
    result: Any, num: int = 100, ax: Any = None, *, name: str | None = None
) -> tuple[Figure, np.ndarray]:
    """Draw mean and uncertainty of the model image over the posterior.

    The uncertainty is the standard deviation of the noise-free model between draws, in units of the
    noise of a pixel: well below one where the data leave little freedom.

    Args:
        result: the result of `fit`.
        num: draws.
        ax: two axes to draw on; by default those of a new figure.
        name: site of the image; may be left out when there is only one.

    Returns:
        The figure and its two axes.

    Raises:
        ValueError: the model observes no image, or none of that name.

    Example:
        >>> figure, axes = nl.plot.plot_prediction(fit)
    """
    name = result.site(name)
    observation, images = result.observations[name], result.predict(num)[name]
    mean, spread = images.mean(axis=0), images.std(axis=0)
    sigma = np.asarray(observation.noise.sigma(jnp.asarray(mean)))
    used = np.asarray(observation.mask)
    figure, axes = _panel.axes_for(ax, (1, 2), (10.4, 4.4))
    norm = _panel.brightness_norm(mean[used], sigma[used])
    label = "flux per pixel"
    _panel.panel(axes[0], observation, mean, "Posterior mean", norm=norm, label=label)
    _panel.outline(axes[0], observation, used)
    ratio, label = spread / sigma, r"standard deviation / $\sigma$"
    style = {"cmap": "viridis", "vmin": 0.0}
    _panel.panel(axes[1], observation, ratio, "Posterior uncertainty", label=label, **style)
    _panel.outline(axes[1], observation, used)
    return figure, axes
