"""What every deflector is, and their sum."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import equinox as eqx
import jax
import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field
from numpyro_lens.numerics.safe import as_float


class AbstractMass(eqx.Module):
    r"""A deflector: a frozen pytree whose fields are its parameters.

    A profile writes the closed forms that it has. What it leaves out follows by automatic
    differentiation: :math:`\alpha = \nabla\psi` and :math:`\kappa = \tfrac12 \nabla\cdot\alpha`.
    Profiles add up: ``EPL(...) + Shear(...)``.
    """

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential.

        Args:
            x, y: positions in the image plane [arcsec], of one shape.

        Returns:
            Potential [arcsec²], shaped like x.

        Raises:
            NotImplementedError: the profile has no closed form.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no closed-form potential. Every mass needs `deflection` or "
            "`potential`: define one of them in the class."
        )

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        """Deflection angle, the gradient of the potential.

        Args:
            x, y: positions in the image plane [arcsec], of one shape.

        Returns:
            ``(alpha_x, alpha_y)`` [arcsec], shaped like x.
        """
        value, pullback = jax.vjp(self.potential, *as_float(x, y))
        return pullback(jnp.ones_like(value))

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence, half the divergence of the deflection.

        Args:
            x, y: positions in the image plane [arcsec], of one shape.

        Returns:
            Surface density over the critical density, shaped like x.
        """
        x, y = as_float(x, y)
        one = jnp.ones_like(x)
        _, along_x = jax.jvp(lambda x: self.deflection(x, y)[0], (x,), (one,))
        _, along_y = jax.jvp(lambda y: self.deflection(x, y)[1], (y,), (one,))
        return 0.5 * (along_x + along_y)

    def __add__(self, other: "AbstractMass") -> "Sum":
        if not isinstance(other, AbstractMass):
            return NotImplemented
        return Sum((*_components(self), *_components(other)))


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
        return cast("Field", sum(c.potential(x, y) for c in self.components))

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        along_x, along_y = zip(*(c.deflection(x, y) for c in self.components), strict=True)
        return sum(along_x), sum(along_y)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        return cast("Field", sum(c.convergence(x, y) for c in self.components))


Masses: TypeAlias = AbstractMass | Sequence[AbstractMass]
"""A deflector, or a list of them."""


def _components(mass: AbstractMass) -> tuple[AbstractMass, ...]:
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
    flat = tuple(c for profile in profiles for c in _components(profile))
    return flat[0] if len(flat) == 1 else Sum(flat)
