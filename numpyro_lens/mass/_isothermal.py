"""Isothermal deflectors: flat rotation curves."""

from numpyro_lens._types import Coordinates, Field, Parameter
from numpyro_lens.mass._base import AbstractMass, AbstractPotential
from numpyro_lens.mass._power_law import EPL
from numpyro_lens.numerics.safe import safe_hypot


class SIS(AbstractPotential):
    r"""Singular isothermal sphere, :math:`\psi = \theta_E r`.

    Args:
        theta_E: Einstein radius [arcsec], scalar, positive.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> alpha_x, alpha_y = SIS(theta_E=1.2).deflection(3.0, 4.0)
        >>> round(float(alpha_x), 3), round(float(alpha_y), 3)
        (0.72, 0.96)

    Reference: Kormann, Schneider & Bartelmann 1994, A&A 284, 285, equation 5.
    """

    theta_E: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        return self.theta_E * safe_hypot(x - self.center_x, y - self.center_y)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return 0.5 * self.theta_E / safe_hypot(x - self.center_x, y - self.center_y)


class SIE(AbstractMass):
    r"""Singular isothermal ellipsoid, :math:`\kappa = \theta_E / (2R)`: an EPL of slope 2.

    Args:
        theta_E: Einstein radius on the product-average radius R [arcsec], scalar, positive.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> lens = SIE(theta_E=1.2, e1=0.1, e2=-0.05)
        >>> round(float(lens.convergence(0.0, 1.0)), 3)
        0.541

    Reference: Kormann, Schneider & Bartelmann 1994, A&A 284, 285, equation 21.
    """

    theta_E: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def _power_law(self) -> EPL:
        return EPL(self.theta_E, 2.0, self.e1, self.e2, self.center_x, self.center_y)

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        return self._power_law().potential(x, y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return self._power_law().deflection(x, y)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return self._power_law().convergence(x, y)
