"""Power-law deflectors."""

from numpyro_lens._types import Coordinates, Field, Parameter
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.numerics.ellipse import elliptical_square
from numpyro_lens.numerics.power_law import epl_deflection


class EPL(AbstractMass):
    r"""Elliptical power law, :math:`\kappa = \frac{3-\gamma}{2} (\theta_E/R)^{\gamma-1}`.

    Args:
        theta_E: Einstein radius on the product-average radius R [arcsec], scalar, positive.
        gamma: logarithmic slope of the three-dimensional density, scalar, 1 < gamma < 3.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> lens = EPL(theta_E=1.2, gamma=2.1, e1=0.1, e2=0.0)
        >>> alpha_x, alpha_y = lens.deflection(1.0, 0.5)
        >>> round(float(alpha_x), 3), round(float(alpha_y), 3)
        (1.032, 0.586)

    Reference: Tessore & Metcalf 2015, A&A 580, A79, equations 1, 13 and 15.
    """

    theta_E: Parameter
    gamma: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        x, y = x - self.center_x, y - self.center_y
        return epl_deflection(self.gamma - 1.0, self.theta_E, self.e1, self.e2, x, y)

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        ax, ay = self.deflection(x, y)
        return ((x - self.center_x) * ax + (y - self.center_y) * ay) / (3.0 - self.gamma)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        ratio = self.theta_E**2 / square
        return 0.5 * (3.0 - self.gamma) * ratio ** (0.5 * (self.gamma - 1.0))
