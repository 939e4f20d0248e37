"""What is rare among galaxies, and common where a fit has gone astray."""

from typing import Any

import numpy as np

from numpyro_lens import light, mass
from numpyro_lens.scene import Plane, Scene

#: An external shear above this is rarer than one in a thousand lenses.
_SHEAR_LIMIT = 0.2
#: Distance of the mass from the light [arcsec].
_OFFSET_LIMIT = 0.1
#: Modulus of the difference of the ellipticities of mass and light.
_ELLIPTICITY_LIMIT = 0.4


def doubts(scene: Scene) -> tuple[str, ...]:
    """Sentences about what is physically odd in a scene; none for a scene like others.

    An external shear above 0.2; a deflector more than 0.1 arcsec off the nearest light of its
    plane, or with an ellipticity that differs from that light's by more than 0.4. Of several
    deflectors in a plane the one with the largest Einstein radius counts.

    Args:
        scene: planes of mass and light, of numbers.

    Returns:
        A sentence for each.

    Example:
        >>> lens = mass.SIE(theta_E=1.0, center_x=0.3) + mass.Shear(gamma1=0.0, gamma2=0.3)
        >>> for doubt in doubts(Scene.of(mass=lens, lens_light=light.Gaussian(1.0, 0.5))):
        ...     print(doubt)
        The external shear is 0.30, above 0.2
        The mass is 0.30 arcsec off the light, more than 0.1
    """
    return tuple(doubt for plane in scene.planes for doubt in _of_plane(plane))


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
