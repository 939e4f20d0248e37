"""What every light profile is, and their sum."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import equinox as eqx

from numpyro_lens._types import Coordinates, Field


class AbstractLight(eqx.Module):
    """A light profile: a frozen pytree whose fields are its parameters.

    The contract is one method, `brightness`. Profiles add up: ``Sersic(...) + Gaussian(...)``.
    """

    @abc.abstractmethod
    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        """Surface brightness.

        Args:
            x, y: positions [arcsec], of one shape; of the source plane for a source.

        Returns:
            Surface brightness [flux per arcsec²], shaped like x.
        """

    def basis(self, x: Coordinates, y: Coordinates) -> Field:
        """Surface brightness of each amplitude at one, whatever their values.

        Args:
            x, y: positions [arcsec], of one shape.

        Returns:
            ``(num, ...)``; the brightness is the sum of ``amp`` times it.
        """
        unit = dataclasses.replace(self, amp=1.0)  # type: ignore[call-arg]
        return unit.brightness(x, y)[None]

    def basis_parts(self, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
        """`basis` in parts, which can be averaged over sub-pixels without holding all of it.

        Args:
            x, y: positions [arcsec], of one shape.

        Returns:
            Tuple of arrays ``(k, ...)`` that make up `basis` one after the other.
        """
        return (self.basis(x, y),)

    def __add__(self, other: "AbstractLight") -> "Sum":
        if not isinstance(other, AbstractLight):
            return NotImplemented
        return Sum((*components(self), *components(other)))


class Sum(AbstractLight):
    """Several light profiles; their brightnesses add.

    Args:
        components: tuple of light profiles.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> (Uniform(amp=1.0) + Uniform(amp=2.0)).brightness(0.0, 0.0)
        Array(3., dtype=float32)
    """

    components: tuple[AbstractLight, ...]

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        return cast("Field", sum(c.brightness(x, y) for c in self.components))


Lights: TypeAlias = AbstractLight | Sequence[AbstractLight]
"""A light profile, or a list of them."""


def components(light: AbstractLight) -> tuple[AbstractLight, ...]:
    """The profiles that a light is the sum of.

    Args:
        light: a light profile or a sum.

    Returns:
        Tuple of profiles, none of which is a sum.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> len(components(Uniform(amp=1.0)))
        1
    """
    return light.components if isinstance(light, Sum) else (light,)


def as_light(light: Any, argument: str = "source") -> AbstractLight:
    """One light profile of a profile, or of a list or tuple of them.

    Args:
        light: a profile of `numpyro_lens.light`, a sum, or a list or tuple of them.
        argument: the name that an error shows.

    Returns:
        A light profile.

    Raises:
        TypeError: something in it is not a light profile.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> len(as_light([Uniform(amp=1.0), Uniform(amp=2.0)]).components)
        2
    """
    profiles = light if isinstance(light, list | tuple) else (light,)
    for profile in profiles:
        if not isinstance(profile, AbstractLight):
            raise TypeError(
                f"`{argument}` takes profiles of numpyro_lens.light, or a list of them; got "
                f"{type(profile).__name__}. Write {argument}=Sersic(amp=..., R_sersic=..., "
                "n_sersic=...); deflectors go to mass=."
            )
    flat = tuple(c for profile in profiles for c in components(profile))
    return flat[0] if len(flat) == 1 else Sum(flat)
