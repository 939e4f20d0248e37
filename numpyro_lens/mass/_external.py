"""What lies outside the lens."""

import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field, Parameter
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.numerics.safe import as_float


class Shear(AbstractMass):
    r"""External shear about (0, 0), :math:`\psi = \tfrac12\gamma_1 (x^2-y^2) + \gamma_2 x y`.

    Args:
        gamma1, gamma2: shear components, scalars.

    Example:
        >>> alpha_x, alpha_y = Shear(gamma1=0.25, gamma2=0.5).deflection(1.0, 2.0)
        >>> float(alpha_x), float(alpha_y)
        (1.25, 0.0)

    Reference: Meneghetti 2021, Introduction to Gravitational Lensing, equation 2.85.
    """

    gamma1: Parameter
    gamma2: Parameter

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        x, y = as_float(x, y)
        return 0.5 * self.gamma1 * (x * x - y * y) + self.gamma2 * x * y

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        x, y = as_float(x, y)
        return self.gamma1 * x + self.gamma2 * y, self.gamma2 * x - self.gamma1 * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return jnp.zeros_like(as_float(x, y)[0])


class ConvergenceSheet(AbstractMass):
    r"""Uniform sheet of mass about (0, 0), :math:`\psi = \tfrac12\kappa (x^2+y^2)`.

    It is degenerate with the size of the source and the slope of the lens: fix it, or give it a
    prior from the lens's surroundings.

    Args:
        kappa: convergence, scalar of either sign.

    Example:
        >>> alpha_x, alpha_y = ConvergenceSheet(kappa=0.25).deflection(1.0, 2.0)
        >>> float(alpha_x), float(alpha_y)
        (0.25, 0.5)

    Reference: Falco, Gorenstein & Shapiro 1985, ApJ 289, L1.
    """

    kappa: Parameter

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        x, y = as_float(x, y)
        return 0.5 * self.kappa * (x * x + y * y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        x, y = as_float(x, y)
        return self.kappa * x, self.kappa * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return self.kappa + jnp.zeros_like(as_float(x, y)[0])
