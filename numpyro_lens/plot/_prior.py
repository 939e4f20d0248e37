"""Images that a model predicts before it has seen the data."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from numpyro_lens.observation import Observation
from numpyro_lens.plot import _panel

_NUM = 7


def plot_prior_predictive(
    draws: Mapping[str, ArrayLike],
    observation: Observation,
    ax: object = None,
    *,
    name: str = "image",
) -> tuple[Figure, np.ndarray]:
    """Draw the data beside replicates of it from the prior, in one scale.

    Each should be a possible lens; together they should be more different than the data allow.

    Args:
        draws: what `nl.prior_predictive` gave.
        observation: the data of the site.
        ax: eight axes to draw on; by default those of a new figure.
        name: site of the image.

    Returns:
        The figure and its axes, (8,): the data and the first seven replicates.

    Raises:
        ValueError: there is no such site, its images have another shape, or ``ax`` does not hold
            eight axes.

    Example:
        >>> import numpyro_lens as nl
        >>> data = nl.Observation.blank((8, 8), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> draws = nl.prior_predictive(nl.models.epl_shear_sersic, data, num=7)
        >>> figure, axes = nl.plot.plot_prior_predictive(draws, data)
        >>> axes[0].get_title(), axes[7].get_title()
        ('Data', 'Replicate 7')
    """
    images = _images(draws, observation, name)
    figure, axes = _panel.axes_for(ax, (2, 4), (15.6, 7.4))
    used = np.asarray(observation.mask)
    shown = [np.asarray(observation.image), *images]
    sigma = np.asarray(observation.noise.sigma(observation.image))
    norm = _panel.brightness_norm(np.stack(shown)[:, used], sigma[used])
    titles = ["Data", *(f"Replicate {number + 1}" for number in range(len(images)))]
    for axis, image, title in zip(axes, shown, titles, strict=False):
        image = np.where(used, image, np.nan)
        _panel.panel(axis, observation, image, title, norm=norm, label="flux per pixel")
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return figure, axes


def _images(draws: Mapping[str, ArrayLike], observation: Observation, name: str) -> np.ndarray:
    shape = observation.shape
    found = {key for key, values in draws.items() if np.shape(values)[1:] == shape}
    if name not in found:
        raise ValueError(
            f"Draws of the image {name!r} have the shape (num, {shape[0]}, {shape[1]}) of the "
            f"observation; those of {', '.join(sorted(found)) or 'none'} do. Say which: name=..."
        )
    return np.asarray(draws[name])[:_NUM]
