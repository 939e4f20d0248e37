"""Three bands in one picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from numpyro_lens.observation import Observation
from numpyro_lens.plot import _panel

_GREY = 0.93


def plot_rgb(
    result: Any,
    names: Sequence[str] | None = None,
    ax: Any = None,
    *,
    stretch: float | None = None,
    Q: float = 8.0,
) -> tuple[Figure, np.ndarray]:
    r"""Draw three bands in colour: data, model and normalised residuals.

    Every band is divided by its brightest pixel; then all three are scaled alike,

    .. math:: I \to \frac{I_k}{I}\,\frac{\operatorname{asinh}(Q\,I/s)}{Q}, \qquad
              I = \tfrac13(I_R + I_G + I_B)

    so that a colour does not depend on the brightness. Residuals are grey where the model is right,
    and reach the ends of the scale at five times the noise. Pixels outside a mask are light.

    Args:
        result: the result of `fit`.
        names: sites of three images on the same pixels: red, green, blue. By default the last, the
            middle and the first of all, for bands from blue to red.
        ax: three axes to draw on; by default those of a new figure.
        stretch: brightness s at which the scale ceases to be linear; by default ten times the
            noise.
        Q: softening of the scale; the larger, the better the bright parts show.

    Returns:
        The figure and its axes, (3,).

    Raises:
        ValueError: not three names, there is no image of that name, or the images differ in their
            pixels.

    Example:
        >>> figure, axes = nl.plot.plot_rgb(fit, ["image", "image", "image"])  # grey, of one band
        >>> [axis.get_title() for axis in axes]
        ['Data (image, image, image)', 'Model', 'Normalised residuals']

    Reference: Lupton et al. 2004, PASP 116, 133.
    """
    chosen = _three(result, names)
    views = [result.views[name] for name in chosen]
    first = views[0].observation
    figure, axes = _panel.axes_for(ax, (1, 3), (14.0, 4.6))
    used = np.all([np.asarray(view.observation.mask) for view in views], axis=0)
    data = [np.asarray(view.observation.image) for view in views]
    noise = np.array([_noise(view.observation) for view in views])
    peaks = np.maximum([image[used].max() for image in data], noise)
    scale = {
        "stretch": float(10.0 * np.mean(noise / peaks)) if stretch is None else stretch,
        "Q": Q,
    }
    _draw(axes[0], first, _lupton(data, peaks, **scale), used, f"Data ({', '.join(chosen)})")
    models = [np.asarray(view.image) for view in views]
    _draw(axes[1], first, _lupton(models, peaks, **scale), np.ones_like(used), "Model")
    _draw(axes[2], first, _residuals(views), used, "Normalised residuals")
    _panel.compass(axes[0], first)
    return figure, axes


def _three(result: Any, names: Sequence[str] | None) -> list[str]:
    known = list(result.observations)
    if names is None and len(known) >= 3:
        names = [known[-1], known[len(known) // 2], known[0]]
    if names is None or isinstance(names, str) or len(names) != 3:
        raise ValueError(
            f"A picture in colour has three bands, red, green, blue; got {names!r} of "
            f"{', '.join(known) or 'no image'}. Write "
            f"nl.plot.plot_rgb(fit, {(known * 3)[2::-1] or ['z', 'r', 'g']})."
        )
    chosen = [result.site(name) for name in names]
    first, *others = (result.views[name].observation for name in chosen)
    for name, other in zip(chosen[1:], others, strict=True):
        _check_same_pixels(first, other, chosen[0], name)
    return chosen


def _check_same_pixels(one: Observation, other: Observation, name: str, another: str) -> None:
    """Equal but for less than a pixel, by which bands may be moved."""
    matrix, own = (np.asarray(o.transform_pix2angle) for o in (one, other))
    width = float(np.sqrt(one.pixel_area))
    if one.shape == other.shape and np.abs(matrix - own).max() < 0.05 * width:
        return
    raise ValueError(
        f"A picture in colour has three bands on the same pixels; {name!r} has {_pixels(one)} and "
        f"{another!r} {_pixels(other)}. Choose others, or draw them by nl.plot.plot_fit(fit)."
    )


def _pixels(observation: Observation) -> str:
    return f'{observation.shape} of {float(np.sqrt(observation.pixel_area)):.3g}"'


def _noise(observation: Observation) -> float:
    sigma = np.asarray(observation.noise.sigma(observation.image))
    return float(np.median(sigma[np.asarray(observation.mask)]))


def _lupton(
    images: Sequence[np.ndarray], peaks: np.ndarray, *, stretch: float, **scale: float
) -> np.ndarray:
    """Colours (ny, nx, 3) of red, green and blue."""
    from astropy.visualization import make_lupton_rgb

    relative = [image / peak for image, peak in zip(images, peaks, strict=True)]
    # it divides by the brightness before it looks where that is zero
    with np.errstate(invalid="ignore", divide="ignore"):
        return make_lupton_rgb(*relative, minimum=0.0, stretch=stretch, **scale) / 255.0


def _residuals(views: Sequence[Any], end: float = 5.0) -> np.ndarray:
    """Colours (ny, nx, 3): grey is zero."""
    normalised = [np.asarray(v.observation.residuals(v.image)) for v in views]
    return np.clip(0.5 + np.stack(normalised, axis=-1) / (2.0 * end), 0.0, 1.0)


def _draw(
    axis: Axes, observation: Observation, colours: np.ndarray, used: np.ndarray, title: str
) -> None:
    shown = np.where(used[..., None], colours, _GREY)
    axis.pcolormesh(*_panel.corners(observation), shown, rasterized=True)
    _panel.frame(axis, observation)
    axis.set_title(title)
