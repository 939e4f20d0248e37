"""What every light profile is, and their sum."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias, cast

import equinox as eqx
import jax.numpy as jnp

from numpyro_lens._printing import with_values
from numpyro_lens._types import Coordinates, Field


class AbstractLight(eqx.Module):
    """A light profile: a frozen pytree whose fields are its parameters.

    The contract is one method, `brightness`. ``linear_field`` names the field that it is
    proportional to, None if there is none; a profile with several amplitudes in that field also
    has ``basis_parts(x, y)``, which is what `numpyro_lens.light.basis_parts` returns of it.
    Profiles add up: ``Sersic(...) + Gaussian(...)``.
    """

    linear_field: ClassVar[str | None] = "amp"

    @abc.abstractmethod
    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        """Surface brightness.

        Args:
            x, y: positions [arcsec], of one shape; of the source plane for a source.

        Returns:
            Surface brightness [flux per arcsec²], shaped like x.
        """

    def __add__(self, other: "AbstractLight") -> "Sum":
        if not isinstance(other, AbstractLight):
            return NotImplemented
        return Sum((*components(self), *components(other)))

    def __repr__(self) -> str:
        return with_values(self)


class Sum(AbstractLight):
    """Several light profiles; their brightnesses add.

    Args:
        components: tuple of light profiles.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> (Uniform(amp=1.0) + Uniform(amp=2.0)).brightness(0.0, 0.0)
        Array(3., dtype=float32)
    """

    linear_field: ClassVar[str | None] = None

    components: tuple[AbstractLight, ...]

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        """Surface brightness [flux per arcsec²]."""
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


def amplitude(profile: AbstractLight) -> Any:
    """What a profile holds in its linear field.

    Args:
        profile: a light profile, not a sum.

    Returns:
        A number, an array, or a `numpyro_lens.Linear`; None if the profile has no linear field.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> amplitude(Uniform(amp=2.0))
        2.0
    """
    field = profile.linear_field
    return None if field is None else getattr(profile, field, None)


def basis(light: AbstractLight, x: Coordinates, y: Coordinates) -> Field:
    """Surface brightness of each amplitude at one, whatever their values.

    Args:
        light: a light profile or a sum.
        x, y: positions [arcsec], of one shape.

    Returns:
        ``(num, ...)``; the brightness is the sum of the amplitudes times it.

    Raises:
        TypeError: a profile has no linear field.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> basis(Uniform(amp=2.0) + Uniform(amp=3.0), 0.0, 0.0)
        Array([1., 1.], dtype=float32)
    """
    return jnp.concatenate(basis_parts(light, x, y))


def basis_parts(light: AbstractLight, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
    """`basis` in parts, which can be averaged over sub-pixels without holding all of it.

    Args:
        light: a light profile or a sum.
        x, y: positions [arcsec], of one shape.

    Returns:
        Tuple of arrays ``(k, ...)`` that make up `basis` one after the other.

    Raises:
        TypeError: a profile has no linear field.

    Example:
        >>> import jax.numpy as jnp
        >>> from numpyro_lens.light import Shapelets
        >>> len(basis_parts(Shapelets(amp=jnp.zeros(6), beta=0.1), 0.0, 0.0))
        6
    """
    return tuple(part for profile in components(light) for part in _parts(profile, x, y))


def _parts(profile: AbstractLight, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
    own = getattr(profile, "basis_parts", None)
    if own is not None:
        return own(x, y)
    field, kind = profile.linear_field, type(profile).__name__
    if field is None or not hasattr(profile, field):
        raise TypeError(
            f"The brightness of {kind} is not known to be proportional to a field: its "
            f"linear_field is {field!r}. If it is to flux, say, write linear_field = 'flux' in the "
            "class; if it is to none, sample its parameters and use nl.render."
        )
    unit = eqx.tree_at(lambda p: getattr(p, field), profile, 1.0)
    return (unit.brightness(x, y)[None],)


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
