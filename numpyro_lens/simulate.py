"""From mass and light to an image, and to a mock observation."""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from numpyro_lens._types import Array, Field, Image
from numpyro_lens.lensing import ray_trace
from numpyro_lens.light import AbstractLight, Lights, as_light, has_footprint, with_footprint
from numpyro_lens.mass import AbstractMass, Masses, as_mass
from numpyro_lens.observation import Observation

Rays: TypeAlias = tuple[Field, Field]
"""Where rays meet a plane, x and y [arcsec]."""


class Scene(NamedTuple):
    """What one call of `render` put together: a pytree of profiles.

    Args:
        mass: the deflector, or None.
        source: the light in the source plane, or None.
        lens_light: the light in the image plane, or None.

    Example:
        >>> Scene(mass=None).source is None
        True
    """

    mass: AbstractMass | None
    source: AbstractLight | None = None
    lens_light: AbstractLight | None = None


_recorders: contextvars.ContextVar[tuple[list[Scene], ...]] = contextvars.ContextVar(
    "recorders", default=()
)


@contextlib.contextmanager
def record_scenes() -> Iterator[list[Scene]]:
    """Collect the scene of every `render` call of this thread while the context is open.

    Yields:
        A list, to which each call appends its `Scene`. Inside a compiled function the scenes hold
        tracers: return them from it.

    Example:
        >>> import numpy as np
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation(np.zeros((8, 8)), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> with record_scenes() as scenes:
        ...     image = render(instrument, mass=nl.mass.SIS(theta_E=1.0))
        >>> scenes[0].mass.theta_E
        1.0
    """
    scenes: list[Scene] = []
    token = _recorders.set((*_recorders.get(), scenes))
    try:
        yield scenes
    finally:
        _recorders.reset(token)


def render(
    observation: Observation,
    *,
    mass: Masses | None = None,
    source: Lights | None = None,
    lens_light: Lights | None = None,
) -> Image:
    r"""The noise-free image of a lens.

    .. math:: I = A\, P \ast [S(\beta(\theta)) + L(\theta)], \qquad \beta = \theta - \alpha(\theta)

    with the pixel area A and the PSF P; brightness is evaluated at sub-pixels.

    Args:
        observation: the instrument; its image is not looked at.
        mass: a deflector, or a list of them; None leaves the source as it is.
        source: light in the source plane, or a list.
        lens_light: light in the image plane, or a list.

    Returns:
        ``(ny, nx)`` image, in the units of the observation.

    Raises:
        TypeError: an argument is not a profile of its kind.

    Example:
        >>> import numpy as np
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation(np.zeros((8, 9)), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> lens, source = nl.mass.SIS(theta_E=0.2), nl.light.Gaussian(amp=1.0, sigma=0.1)
        >>> nl.render(instrument, mass=lens, source=source).shape
        (8, 9)
    """
    scene = recorded_scene(mass, source, lens_light)
    brightness = jnp.zeros_like(observation.sub_x.reshape(-1))
    for light, rays in seen(observation, scene):
        brightness = brightness + light.brightness(*rays)
    return observe_brightness(observation, brightness.reshape(observation.sub_x.shape))


def recorded_scene(mass: Masses | None, source: Lights | None, lens_light: Lights | None) -> Scene:
    """The scene of these arguments of `render`, checked, and shown to open recorders.

    Args:
        mass: as in `render`.
        source: as in `render`.
        lens_light: as in `render`.

    Returns:
        A scene.

    Raises:
        TypeError: an argument is not a profile of its kind.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> recorded_scene(None, None, Uniform(amp=1.0)).mass is None
        True
    """
    scene = Scene(
        None if mass is None else as_mass(mass),
        None if source is None else as_light(source, "source"),
        None if lens_light is None else as_light(lens_light, "lens_light"),
    )
    for scenes in _recorders.get():
        scenes.append(scene)
    return scene


def seen(observation: Observation, scene: Scene) -> list[tuple[AbstractLight, Rays]]:
    """The lights of a scene, and where the rays of the sub-pixels meet them, lens light first.

    Args:
        observation: the instrument.
        scene: profiles.

    Returns:
        Pairs of a light, with a radius for every `Footprint`, and of x and y [arcsec] on one axis.

    Example:
        >>> import numpy as np
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation(np.zeros((8, 9)), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> [(light, (x, y))] = seen(instrument, Scene(None, nl.light.Uniform(amp=1.0)))
        >>> x.shape
        (288,)
    """
    # One long axis: the processor's vectors would not fill rows of an image evenly.
    here = observation.sub_x.reshape(-1), observation.sub_y.reshape(-1)
    pairs = [] if scene.lens_light is None else [(scene.lens_light, here)]
    if scene.source is not None:
        traced = here if scene.mass is None else ray_trace(scene.mass, *here)
        pairs.append((scene.source, traced))
    return [
        (with_footprint(p, _diagonal(observation, rays)) if has_footprint(p) else p, rays)
        for p, rays in pairs
    ]


def _diagonal(observation: Observation, rays: Rays) -> Field:
    """Diagonal of the footprint of the sub-pixels of each pixel, for each sub-pixel [arcsec]."""
    shape = observation.sub_x.shape
    x, y = (_squared_diagonal(axis.reshape(shape), observation.supersampling) for axis in rays)
    square = x + y
    # The root has no slope at zero, where rays of a whole pixel meet in one point.
    diagonal = jnp.sqrt(jnp.maximum(square, jnp.finfo(square.dtype).tiny))
    return jnp.broadcast_to(diagonal, shape).reshape(-1)


def _squared_diagonal(planes: Field, supersampling: int) -> Field:
    """Mean square of both diagonals, along one axis; ``planes`` as of `sub_pixel_grid`."""
    if supersampling == 1:
        pixels = jnp.pad(planes[0, 0], ((0, 1), (0, 1)), mode="reflect")
        corners = [pixels[:-1, :-1], pixels[:-1, 1:], pixels[1:, :-1], pixels[1:, 1:]]
    else:
        samples, subs = (math.isqrt(num) for num in planes.shape[:2])
        ends = (0, -1)
        grid = planes.reshape(samples, samples, subs, subs, *planes.shape[2:])
        corners = [grid[row, column, row, column] for row in ends for column in ends]
    top_left, top_right, bottom_left, bottom_right = corners
    step = max(supersampling - 1, 1)
    square = (bottom_right - top_left) ** 2 + (bottom_left - top_right) ** 2
    return square / (2.0 * step**2)


def observe_brightness(observation: Observation, brightness: Field) -> Image:
    """The image of a surface brightness given at the sub-pixels of an observation.

    Args:
        observation: the instrument.
        brightness: surface brightness [flux per arcsec²], shaped like ``observation.sub_x``.

    Returns:
        ``(ny, nx)`` image.

    Example:
        >>> import numpy as np
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation(np.zeros((8, 9)), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> observe_brightness(instrument, 0.0 * instrument.sub_x).shape
        (8, 9)
    """
    planes = jnp.mean(brightness, axis=1) * observation.pixel_area
    return planes[0] if observation.blur is None else observation.blur(planes)


def mock(
    observation: Observation,
    key: Array,
    *,
    mass: Masses | None = None,
    source: Lights | None = None,
    lens_light: Lights | None = None,
) -> Observation:
    """A mock observation: the image of a lens with noise drawn.

    Args:
        observation: the instrument; its image is not looked at.
        key: a key of ``jax.random.key``.
        mass: as in `render`.
        source: as in `render`.
        lens_light: as in `render`.

    Returns:
        The observation with the mock image; pixels out of use are zero.

    Example:
        >>> import jax, numpy as np
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation(np.zeros((8, 9)), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> data = nl.mock(instrument, jax.random.key(0), lens_light=nl.light.Uniform(amp=1.0))
        >>> data.image.shape
        (8, 9)
    """
    image = render(observation, mass=mass, source=source, lens_light=lens_light)
    draw = jax.random.normal(key, image.shape, image.dtype)
    return observation.with_image(image + observation.noise.sigma(image) * draw)
