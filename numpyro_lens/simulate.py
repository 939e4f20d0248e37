"""From mass and light to an image, and to a mock observation."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from numpyro_lens._completion import own_names
from numpyro_lens._types import Array, Field, Image, Scaling
from numpyro_lens.light import AbstractLight, Lights, has_footprint, with_footprint
from numpyro_lens.limits import warn_of_limits, warn_of_precision
from numpyro_lens.mass import Masses
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Plane, Rays, Scene, rays


def render(
    observation: Observation,
    *,
    mass: Masses | None = None,
    source: Lights | None = None,
    lens_light: Lights | None = None,
    planes: Sequence[Plane] | None = None,
    scaling: Scaling | None = None,
) -> Image:
    r"""The noise-free image of a lens.

    .. math:: I = A\, P \ast [S(\beta(\theta)) + L(\theta)], \qquad \beta = \theta - \alpha(\theta)

    with the pixel area A and the PSF P; brightness is evaluated at sub-pixels.

    Args:
        observation: the instrument; its image is not used.
        mass: a deflector, or a list of them; None leaves the source as it is.
        source: light in the source plane, or a list.
        lens_light: light in the image plane, or a list.
        planes: instead of these three, any number of `Plane`, nearest first.
        scaling: of the deflections between planes, see `Scene`.

    Returns:
        ``(ny, nx)`` image, in the units of the observation.

    Raises:
        TypeError: an argument is not a profile of its kind.
        ValueError: the planes and their scaling do not fit together.

    Example:
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> lens, source = nl.mass.SIS(theta_E=0.2), nl.light.Gaussian(amp=1.0, sigma=0.1)
        >>> nl.render(instrument, mass=lens, source=source).shape
        (8, 9)
    """
    scene = Scene.of(
        mass=mass, source=source, lens_light=lens_light, planes=planes, scaling=scaling
    )
    warn_of_precision(observation)
    warn_of_limits(observation, scene)
    return render_scene(observation, scene)


def render_scene(observation: Observation, scene: Scene) -> Image:
    """The noise-free image of a scene; see `render`.

    Args:
        observation: the instrument; its image is not used.
        scene: planes of mass and light.

    Returns:
        ``(ny, nx)`` image, in the units of the observation.

    Example:
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> render_scene(instrument, nl.Scene.of(lens_light=nl.light.Uniform(amp=1.0))).shape
        (8, 9)
    """
    brightness = jnp.zeros(observation.sub_x.size, observation.sub_x.dtype)
    for light, (x, y) in seen(observation, scene):
        brightness = brightness + light.brightness(x, y)
    return observe_brightness(observation, brightness)


def seen(observation: Observation, scene: Scene) -> list[tuple[AbstractLight, Rays]]:
    """The lights of a scene, and where the rays of the sub-pixels meet them, nearest first.

    Args:
        observation: the instrument.
        scene: planes of mass and light.

    Returns:
        Pairs of a light, with a radius for every `Footprint`, and of x and y [arcsec] on one axis.

    Example:
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> scene = nl.Scene.of(lens_light=nl.light.Uniform(amp=1.0))
        >>> [(light, (x, y))] = seen(instrument, scene)
        >>> x.shape
        (288,)
    """
    # One long axis: rows of an image are no multiple of the processor's vector length.
    met = rays(scene, observation.sub_x.reshape(-1), observation.sub_y.reshape(-1))
    return [
        (_with_footprint(observation, plane.light, where), where)
        for plane, where in zip(scene.planes, met, strict=True)
        if plane.light is not None
    ]


def _with_footprint(observation: Observation, light: AbstractLight, where: Rays) -> AbstractLight:
    if not has_footprint(light):
        return light
    along_x, along_y = (_squared_diagonal(observation, axis) for axis in where)
    square = along_x + along_y
    # The root has no derivative at zero, where rays of a whole pixel meet in one point.
    diagonal = jnp.sqrt(jnp.maximum(square, jnp.finfo(square.dtype).tiny))
    return with_footprint(light, jnp.broadcast_to(diagonal, observation.sub_x.shape).reshape(-1))


def _squared_diagonal(observation: Observation, axis: Field) -> Field:
    """Mean square of both diagonals of the footprint of a sub-pixel along x or y, (ny, nx)."""
    top_left, top_right, bottom_left, bottom_right = _corners(observation, axis)
    steps = max(observation.supersampling - 1, 1)  # sub-pixels from corner to corner
    square = (bottom_right - top_left) ** 2 + (bottom_left - top_right) ** 2
    return square / (2.0 * steps**2)


def _corners(observation: Observation, axis: Field) -> tuple[Field, Field, Field, Field]:
    """The sub-pixels in the four corners of each pixel; of single ones, the next three pixels."""
    planes = axis.reshape(observation.sub_x.shape)
    if observation.supersampling == 1:
        pixels = jnp.pad(planes[0, 0], ((0, 1), (0, 1)), mode="reflect")
        return pixels[:-1, :-1], pixels[:-1, 1:], pixels[1:, :-1], pixels[1:, 1:]
    samples, subs = observation.sampling, observation.supersampling // observation.sampling
    # (sample row, sample column, sub row, sub column) as of `sub_pixel_grid`
    grid = planes.reshape(samples, samples, subs, subs, *planes.shape[2:])
    top, bottom = grid[0, :, 0], grid[-1, :, -1]
    return top[0, 0], top[-1, -1], bottom[0, 0], bottom[-1, -1]


def observe_brightness(observation: Observation, brightness: Field) -> Image:
    """The image of a surface brightness given at the sub-pixels of an observation.

    Args:
        observation: the instrument.
        brightness: surface brightness [flux per arcsec²], shaped like ``observation.sub_x``, or
            the same on one axis.

    Returns:
        ``(ny, nx)`` image.

    Example:
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> observe_brightness(instrument, 0.0 * instrument.sub_x).shape
        (8, 9)
    """
    shaped = brightness.reshape(observation.sub_x.shape)
    planes = jnp.mean(shaped, axis=1) * observation.pixel_area
    return planes[0] if observation.blur is None else observation.blur(planes)


def mock(
    observation: Observation,
    key: Array,
    *,
    mass: Masses | None = None,
    source: Lights | None = None,
    lens_light: Lights | None = None,
    planes: Sequence[Plane] | None = None,
    scaling: Scaling | None = None,
) -> Observation:
    """A mock observation: the image of a lens with noise drawn.

    Args:
        observation: the instrument; its image is not used.
        key: a key of ``jax.random.key``.
        mass, source, lens_light, planes, scaling: the scene, as in `render`.

    Returns:
        The observation with the mock image; pixels out of use are zero.

    Example:
        >>> import jax
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> data = nl.mock(instrument, jax.random.key(0), lens_light=nl.light.Uniform(amp=1.0))
        >>> data.image.shape
        (8, 9)
    """
    scene = Scene.of(
        mass=mass, source=source, lens_light=lens_light, planes=planes, scaling=scaling
    )
    warn_of_limits(observation, scene)
    image = render_scene(observation, scene)
    draw = jax.random.normal(key, image.shape, image.dtype)
    return observation.with_image(image + observation.noise.sigma(image) * draw)


def __dir__() -> list[str]:
    return own_names(globals())
