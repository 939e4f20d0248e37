"""What lies outside the lens."""

# mypy: disable-error-code="return-value"
# Plain arithmetic: of Python numbers it makes Python numbers, and of arrays the promised arrays.

from numpyro_lens._types import Coordinates, Field, Scalar
from numpyro_lens.mass._base import AbstractMass


class Shear(AbstractMass):
    r"""External shear about (0, 0), :math:`\psi = \tfrac12\gamma_1 (x^2-y^2) + \gamma_2 x y`.

    Args:
        gamma1, gamma2: shear components, scalars.

    Example:
        >>> Shear(gamma1=0.25, gamma2=0.5).deflection(1.0, 2.0)
        (1.25, 0.0)

    Reference: Meneghetti 2021, Introduction to Gravitational Lensing, equation 2.85.
    """

    gamma1: Scalar
    gamma2: Scalar

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        return 0.5 * self.gamma1 * (x * x - y * y) + self.gamma2 * x * y

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return self.gamma1 * x + self.gamma2 * y, self.gamma2 * x - self.gamma1 * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return 0.0 * (x + y)


class ConvergenceSheet(AbstractMass):
    r"""Uniform sheet of mass about (0, 0), :math:`\psi = \tfrac12\kappa (x^2+y^2)`.

    It is degenerate with the size of the source and the slope of the lens: fix it, or give it a
    prior from the lens's surroundings.

    Args:
        kappa: convergence, scalar of either sign.

    Example:
        >>> ConvergenceSheet(kappa=0.25).deflection(1.0, 2.0)
        (0.25, 0.5)

    Reference: Falco, Gorenstein & Shapiro 1985, ApJ 289, L1.
    """

    kappa: Scalar

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        return 0.5 * self.kappa * (x * x + y * y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return self.kappa * x, self.kappa * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return self.kappa + 0.0 * (x + y)
