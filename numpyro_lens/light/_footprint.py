"""Cusps as wide as what a ray stands for."""

import dataclasses
from typing import Any

import equinox as eqx

from numpyro_lens._types import Field
from numpyro_lens.light._base import AbstractLight, Sum, components


class Footprint(eqx.Module):
    """A ``smoothing`` that follows the footprint of each sub-pixel in the plane of the light.

    A ray is one point of all that its sub-pixel covers, and near the centre of a lens that can be
    the whole source: a faint central image, far smaller than a sub-pixel, flares up whenever a ray
    meets it. `render` sets the radius to a fraction of the diagonal of the footprint; elsewhere
    the profile stays as it is written.

    Args:
        fraction: of the diagonal, dimensionless, positive.

    Example:
        >>> from numpyro_lens.light import Sersic
        >>> source = Sersic(amp=1.0, R_sersic=0.2, n_sersic=6.0, smoothing=Footprint())
        >>> float(source.brightness(0.2, 0.0))
        1.0

    Reference: Igehy 1999, SIGGRAPH 99, 179 (footprints of rays).
    """

    fraction: float = eqx.field(static=True, default=1.0 / 3.0)


def has_footprint(light: AbstractLight) -> bool:
    """Whether a profile in it has a `Footprint`.

    Args:
        light: a light profile or a sum.

    Returns:
        True or False.

    Example:
        >>> from numpyro_lens.light import Sersic
        >>> has_footprint(Sersic(amp=1.0, R_sersic=0.2, n_sersic=6.0))
        False
    """
    return any(_waits(component) for component in components(light))


def with_footprint(light: AbstractLight, diagonal: Field | float) -> AbstractLight:
    """The light with a radius for every `Footprint`.

    Args:
        light: a light profile or a sum.
        diagonal: of the footprint of each ray [arcsec].

    Returns:
        A light profile.

    Example:
        >>> from numpyro_lens.light import Sersic
        >>> cuspy = Sersic(amp=1.0, R_sersic=0.2, n_sersic=6.0, smoothing=Footprint(0.5))
        >>> with_footprint(cuspy, 0.04).smoothing
        0.02
    """
    seen = tuple(_with_radius(component, diagonal) for component in components(light))
    return seen[0] if len(seen) == 1 else Sum(seen)


def _with_radius(component: Any, diagonal: Field | float) -> AbstractLight:
    if not _waits(component):
        return component
    return dataclasses.replace(component, smoothing=component.smoothing.fraction * diagonal)


def _waits(component: Any) -> bool:
    return isinstance(getattr(component, "smoothing", None), Footprint)
