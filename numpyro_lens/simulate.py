"""From mass and light to an image, and to a mock observation."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from numpyro_lens._types import Array, Field, Image
from numpyro_lens.lensing import ray_trace
from numpyro_lens.light import AbstractLight, as_light
from numpyro_lens.light._base import Lights
from numpyro_lens.mass import AbstractMass, as_mass
from numpyro_lens.mass._base import Masses
from numpyro_lens.observation import Observation


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
    # One long axis: the processor's vectors would not fill rows of an image evenly.
    x, y = observation.sub_x.reshape(-1), observation.sub_y.reshape(-1)
    brightness = _brightness(scene, x, y)
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


def _brightness(scene: Scene, x: Field, y: Field) -> Field:
    """Surface brightness in the image plane."""
    total = jnp.zeros_like(x)
    if scene.lens_light is not None:
        total = total + scene.lens_light.brightness(x, y)
    if scene.source is not None:
        where = (x, y) if scene.mass is None else ray_trace(scene.mass, x, y)
        total = total + scene.source.brightness(*where)
    return total


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
