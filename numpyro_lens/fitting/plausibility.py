"""What is rare among galaxies, and common where a fit has gone astray."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens import light, mass
from numpyro_lens._types import Array
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Plane, Scene
from numpyro_lens.simulate import render_scene

#: An external shear above this is rarer than one in a thousand lenses.
_SHEAR_LIMIT = 0.2
#: Distance of the mass from the light [arcsec].
_OFFSET_LIMIT = 0.1
#: Modulus of the difference of the ellipticities of mass and light.
_ELLIPTICITY_LIMIT = 0.4
#: Signal-to-noise ratio of an image of a source, below which its flux is not looked at.
_SIGNAL_LIMIT = 10.0


def doubts(scene: Scene, observation: Observation | None = None) -> tuple[str, ...]:
    """Sentences about what is physically odd in a scene; none for a scene like others.

    An external shear above 0.2; a deflector more than 0.1 arcsec off the nearest light of its
    plane, or with an ellipticity that differs from that light's by more than 0.4. Of several
    deflectors in a plane the one with the largest Einstein radius counts.

    In an observation also a source that is well seen and whose flux is negative, or smaller with
    the lens than without: matter magnifies (Schneider 1984, A&A 140, 119).

    Args:
        scene: planes of mass and light, of numbers.
        observation: that shows it; without one, sources are not looked at.

    Returns:
        A sentence for each.

    Example:
        >>> lens = mass.SIE(theta_E=1.0, center_x=0.3) + mass.Shear(gamma1=0.0, gamma2=0.3)
        >>> for doubt in doubts(Scene.of(mass=lens, lens_light=light.Gaussian(1.0, 0.5))):
        ...     print(doubt)
        The external shear is 0.30, above 0.2
        The mass is 0.30 arcsec off the light, more than 0.1
    """
    found = [doubt for plane in scene.planes for doubt in _of_plane(plane)]
    if observation is not None:
        found += _of_sources(scene, observation)
    return tuple(found)


def _of_sources(scene: Scene, observation: Observation) -> Iterator[str]:
    for number, plane in enumerate(scene.planes[1:], start=1):
        if plane.light is None:
            continue
        own, lensed, signal = map(float, _fluxes(scene, observation, number))
        if not signal > _SIGNAL_LIMIT:
            continue
        if min(own, lensed) < 0.0:
            yield "The flux of the source is negative"
        elif lensed < own:
            yield f"The magnification of the source is {lensed / own:.2f}, below 1"


@functools.partial(jax.jit, static_argnums=2)
def _fluxes(scene: Scene, observation: Observation, plane: int) -> tuple[Array, Array, Array]:
    """Flux of a source without the lens and with it, and its signal-to-noise ratio with it."""
    source = scene.planes[plane].light
    own = render_scene(observation, Scene.of(source=source))
    lensed = render_scene(observation, Scene.of(mass=scene.deflector(plane), source=source))
    signal = lensed / observation.noise.sigma(observation.image)
    squared = jnp.sum(jnp.square(signal), where=observation.mask)
    return jnp.sum(own), jnp.sum(lensed), jnp.sqrt(squared)


def _of_plane(plane: Plane) -> list[str]:
    deflectors = () if plane.mass is None else mass.components(plane.mass)
    shears = [part for part in deflectors if isinstance(part, mass.Shear)]
    shear = _modulus(*(sum(getattr(s, name) for s in shears) for name in ("gamma1", "gamma2")))
    found = {f"The external shear is {shear:.2f}, above {_SHEAR_LIMIT}": shear > _SHEAR_LIMIT}
    galaxies = [part for part in deflectors if hasattr(part, "theta_E") and _has_center(part)]
    shining = () if plane.light is None else light.components(plane.light)
    lights = [part for part in shining if _has_center(part)]
    if galaxies and lights:
        found |= _of_pair(max(galaxies, key=lambda part: _number(part.theta_E)), lights)
    return [text for text, is_odd in found.items() if is_odd]


def _of_pair(galaxy: Any, lights: list[Any]) -> dict[str, bool]:
    near = min(lights, key=lambda part: _apart(galaxy, part, "center_x", "center_y"))
    offset = _apart(galaxy, near, "center_x", "center_y")
    found = {
        f"The mass is {offset:.2f} arcsec off the light, more than {_OFFSET_LIMIT}": (
            offset > _OFFSET_LIMIT
        )
    }
    if not (hasattr(galaxy, "e1") and hasattr(near, "e1")):
        return found
    bend = _apart(galaxy, near, "e1", "e2")
    text = f"The ellipticities of mass and light are {bend:.2f} apart, more than "
    return found | {f"{text}{_ELLIPTICITY_LIMIT}": bend > _ELLIPTICITY_LIMIT}


def _has_center(part: Any) -> bool:
    return hasattr(part, "center_x") and np.ndim(part.center_x) == 0


def _apart(one: Any, other: Any, *fields: str) -> float:
    return _modulus(*(_number(getattr(one, f)) - _number(getattr(other, f)) for f in fields))


def _modulus(x: Any, y: Any) -> float:
    return float(np.hypot(_number(x), _number(y)))


def _number(value: Any) -> float:
    return float(np.max(np.asarray(value)))
