"""What every deflector is, and their sum."""

import abc
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import equinox as eqx
import jax
import jax.numpy as jnp

from numpyro_lens._printing import with_values
from numpyro_lens._types import Coordinates, Field
from numpyro_lens.numerics.safe import as_float


class AbstractMass(eqx.Module):
    r"""A deflector: a frozen pytree whose fields are its parameters.

    The contract is one method, `deflection`. A profile may also have ``potential(x, y)`` [arcsec²]
    and ``convergence(x, y)``, where they have a closed form: `potential_of` and `convergence_of`
    use them. A profile that is defined by its potential is an `AbstractPotential`.
    Profiles add up: ``EPL(...) + Shear(...)``.
    """

    @abc.abstractmethod
    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        """Deflection angle, the gradient of the potential.

        Args:
            x, y: positions in the image plane [arcsec], of one shape.

        Returns:
            ``(alpha_x, alpha_y)`` [arcsec], shaped like x.
        """

    def __add__(self, other: "AbstractMass") -> "Sum":
        if not isinstance(other, AbstractMass):
            return NotImplemented
        return Sum((*components(self), *components(other)))

    def __repr__(self) -> str:
        return with_values(self)


class AbstractPotential(AbstractMass):
    r"""A deflector defined by its potential: the deflection is its gradient.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> issubclass(SIS, AbstractPotential)
        True
    """

    @abc.abstractmethod
    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential.

        Args:
            x, y: positions in the image plane [arcsec], of one shape.

        Returns:
            Potential [arcsec²], shaped like x.
        """

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        """Deflection angle, the gradient of the potential by automatic differentiation.

        Args:
            x, y: positions in the image plane [arcsec], of one shape.

        Returns:
            ``(alpha_x, alpha_y)`` [arcsec], shaped like x.
        """
        value, pullback = jax.vjp(self.potential, *as_float(x, y))
        return pullback(jnp.ones_like(value))


def potential_of(lens: AbstractMass, x: Coordinates, y: Coordinates) -> Field:
    """Lensing potential of a deflector that has a ``potential``.

    Args:
        lens: a profile or a sum.
        x, y: positions in the image plane [arcsec], of one shape.

    Returns:
        Potential [arcsec²], shaped like x.

    Raises:
        NotImplementedError: the profile has no ``potential``.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> float(potential_of(SIS(theta_E=1.2), 3.0, 4.0))
        6.0
    """
    closed = getattr(lens, "potential", None)
    if closed is None:
        raise NotImplementedError(
            f"{type(lens).__name__} has no closed-form potential. A mass needs `deflection` alone; "
            "the Fermat potential and time delays need its potential too: define "
            "`potential(self, x, y)` in the class."
        )
    return closed(x, y)


def convergence_of(lens: AbstractMass, x: Coordinates, y: Coordinates) -> Field:
    r"""Convergence of any deflector, :math:`\kappa = \tfrac12 \nabla\cdot\alpha`.

    The closed form where the profile has a ``convergence``, otherwise by automatic differentiation
    of the deflection.

    Args:
        lens: a profile or a sum.
        x, y: positions in the image plane [arcsec], of one shape.

    Returns:
        Surface density over the critical density, shaped like x.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> round(float(convergence_of(SIS(theta_E=1.0), 3.0, 4.0)), 3)
        0.1
    """
    closed = getattr(lens, "convergence", None)
    if closed is not None:
        return closed(x, y)
    x, y = as_float(x, y)
    one = jnp.ones_like(x)
    _, along_x = jax.jvp(lambda x: lens.deflection(x, y)[0], (x,), (one,))
    _, along_y = jax.jvp(lambda y: lens.deflection(x, y)[1], (y,), (one,))
    return 0.5 * (along_x + along_y)


class Sum(AbstractMass):
    """Several deflectors in one plane; their deflections add.

    Args:
        components: tuple of deflectors.

    Example:
        >>> from numpyro_lens.mass import SIS, Shear
        >>> lens = SIS(theta_E=1.0) + Shear(gamma1=0.05, gamma2=0.0)
        >>> len(lens.components)
        2
    """

    components: tuple[AbstractMass, ...]

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²], if all components have one."""
        return cast("Field", sum(potential_of(c, x, y) for c in self.components))

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        along_x, along_y = zip(*(c.deflection(x, y) for c in self.components), strict=True)
        return sum(along_x), sum(along_y)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return cast("Field", sum(convergence_of(c, x, y) for c in self.components))


Masses: TypeAlias = AbstractMass | Sequence[AbstractMass]
"""A deflector, or a list of them."""


def components(mass: AbstractMass) -> tuple[AbstractMass, ...]:
    """The profiles that a deflector is the sum of.

    Args:
        mass: a profile or a sum.

    Returns:
        Tuple of profiles, none of which is a sum.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> len(components(SIS(theta_E=1.0)))
        1
    """
    return mass.components if isinstance(mass, Sum) else (mass,)


def as_mass(mass: Any) -> AbstractMass:
    """One deflector of a deflector, or of a list or tuple of them.

    Args:
        mass: a profile of `numpyro_lens.mass`, a sum, or a list or tuple of them.

    Returns:
        A deflector.

    Raises:
        TypeError: something in it is not a deflector.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> as_mass([SIS(theta_E=1.0), SIS(theta_E=0.1, center_x=1.0)]).components[1].theta_E
        0.1
    """
    profiles = mass if isinstance(mass, list | tuple) else (mass,)
    for profile in profiles:
        if not isinstance(profile, AbstractMass):
            raise TypeError(
                "`mass` takes profiles of numpyro_lens.mass, or a list of them; got "
                f"{type(profile).__name__}. Write mass=EPL(theta_E=..., gamma=...) + Shear(...); "
                "light goes to source= or lens_light=."
            )
    flat = tuple(c for profile in profiles for c in components(profile))
    return flat[0] if len(flat) == 1 else Sum(flat)
