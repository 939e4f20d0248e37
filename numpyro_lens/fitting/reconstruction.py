"""The source as it would be seen without the lens, and the image without the lens's light."""

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array
from numpyro_lens.coordinates import pixel_matrix
from numpyro_lens.density import Target, conditioned, map_batch, observed_sites, unplaced
from numpyro_lens.light import AbstractLight
from numpyro_lens.linear import with_amplitudes
from numpyro_lens.models import scenes
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Plane, Scene
from numpyro_lens.simulate import render_scene


def source_image(
    target: Target,
    z: np.ndarray,
    site: str,
    observation: Observation,
    *,
    plane: int = -1,
    pixels: int,
    half_width: float | None,
    seed: int,
) -> Observation:
    """Mean and standard deviation of a source over draws, on square pixels of the source plane.

    Args:
        target: a lens model.
        z: unconstrained draws (n, d); linear amplitudes are drawn for each of them.
        site: that observes the source.
        observation: its data, for the place on the sky.
        plane: number of the plane of the source; the last by default.
        pixels: a side.
        half_width: half of the side [arcsec]; by default what holds the source where it is brighter
            than a hundredth of its peak.
        seed: of the amplitudes.

    Returns:
        An observation of the mean, flux per pixel, whose noise is the standard deviation.
    """
    keys = jax.random.split(jax.random.key(seed), len(z))
    field = 0.5 * max(float(np.ptp(np.asarray(a))) for a in (observation.x, observation.y))
    grid = _grid(np.zeros(2), field, 200)
    first = _brightness(target, jnp.asarray(z[:1]), keys[:1], site, plane, *grid)
    center, half = _window(np.asarray(first[0]), field)
    half = half if half_width is None else half_width
    grid = _grid(center, half, pixels)
    draws = unplaced(_brightness(target, jnp.asarray(z), keys, site, plane, *grid))
    step = 2.0 * half / pixels
    image = draws.mean(axis=0) * step**2
    spread = draws.std(axis=0, ddof=1) * step**2
    # Where a source is dark, or fixed, its draws do not differ; no noise may be zero.
    floor = max(1e-6 * float(np.abs(image).max()), 1e-15)
    found = Observation(
        image,
        transform_pix2angle=pixel_matrix(step),
        noise=NoiseMap(np.maximum(spread, floor)),
        sky_position=observation.sky_position,
    )
    return found.moved(*center)


def without_foreground(observation: Observation, scene: Scene) -> Observation:
    """The data less the light of all planes but the last.

    Args:
        observation: the data.
        scene: what was fitted to them.

    Returns:
        The observation with another image.
    """
    front = (*scene.planes[:-1], Plane(mass=scene.planes[-1].mass))
    foreground = render_scene(observation, Scene(front, scene.scaling))
    return observation.with_image(np.asarray(observation.image - foreground))


def _grid(center: np.ndarray, half: float, pixels: int) -> tuple[Array, Array]:
    offsets = half * (2.0 * np.arange(pixels) + 1.0 - pixels) / pixels
    x, y = np.meshgrid(center[0] + offsets, center[1] + offsets)
    return jnp.asarray(x), jnp.asarray(y)


def _window(brightness: np.ndarray, half: float) -> tuple[np.ndarray, float]:
    """Centre and half side of the square that holds what is brighter than a hundredth."""
    x, y = (np.asarray(axis) for axis in _grid(np.zeros(2), half, len(brightness)))
    bright = brightness > 0.01 * brightness.max()
    points = np.stack([x[bright], y[bright]])
    low, high = points.min(axis=1), points.max(axis=1)
    return 0.5 * (low + high), 0.55 * float(np.max(high - low)) + 2.0 * half / len(brightness)


@jax.jit(static_argnames=("site", "plane"))
def _brightness(
    target: Target, z: Array, keys: Array, site: str, plane: int, x: Array, y: Array
) -> Array:
    def one(draw: tuple[Array, Array], target: Target) -> Array:
        trace = target.trace(draw[0])
        amplitudes = conditioned(observed_sites(trace), draw[1])[1][site]
        source = with_amplitudes(scenes(trace)[site], amplitudes).planes[plane].light
        assert isinstance(source, AbstractLight)
        return source.brightness(x, y)

    return map_batch(one, (z, keys), target)
