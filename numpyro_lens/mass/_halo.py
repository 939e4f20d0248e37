"""Haloes and bulges with a scale radius."""

from numpyro_lens._types import Coordinates, Field, Parameter
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.numerics.halo import NFW_AT_RS, halo_shape, hernquist_column, truncated_shape
from numpyro_lens.numerics.safe import as_float, soft_square


def _scaled(
    lens: "NFW | TNFW | Hernquist", x: Coordinates, y: Coordinates
) -> tuple[Field, Field, Field]:
    """Positions from the centre, and the squared radius over Rs²."""
    x, y = as_float(x - lens.center_x, y - lens.center_y)
    return x, y, soft_square(x, y) / lens.Rs**2


class NFW(AbstractMass):
    r"""Navarro-Frenk-White halo, :math:`\rho \propto \left[(r/R_s)(1+r/R_s)^2\right]^{-1}`.

    Args:
        Rs: scale radius [arcsec], scalar, positive.
        alpha_Rs: deflection at Rs [arcsec], scalar, positive.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> alpha_x, _ = NFW(Rs=5.0, alpha_Rs=1.0).deflection(5.0, 0.0)
        >>> round(float(alpha_x), 4)
        1.0

    Reference: Keeton 2001, arXiv:astro-ph/0102341, equation 54.
    """

    Rs: Parameter
    alpha_Rs: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        shape = halo_shape(_scaled(self, x, y)[2])
        return 0.5 * self.alpha_Rs * self.Rs / NFW_AT_RS * shape.h

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        x, y, square = _scaled(self, x, y)
        scale = self.alpha_Rs / (NFW_AT_RS * self.Rs) * halo_shape(square).g_over_y
        return scale * x, scale * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        shape = halo_shape(_scaled(self, x, y)[2])
        return 0.5 * self.alpha_Rs / (NFW_AT_RS * self.Rs) * shape.H


class TNFW(AbstractMass):
    r"""Truncated NFW halo, the density of an NFW times :math:`r_t^2 / (r^2 + r_t^2)`.

    Args:
        Rs: scale radius [arcsec], scalar, positive.
        alpha_Rs: deflection at Rs of the halo without truncation [arcsec], scalar, positive.
        r_trunc: truncation radius [arcsec], scalar, positive.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> alpha_x, _ = TNFW(Rs=5.0, alpha_Rs=1.0, r_trunc=1e4).deflection(5.0, 0.0)
        >>> round(float(alpha_x), 3)
        1.0

    Reference: Baltz, Marshall & Oguri 2009, JCAP 01, 015, appendix A.
    """

    Rs: Parameter
    alpha_Rs: Parameter
    r_trunc: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        shape = truncated_shape(_scaled(self, x, y)[2], self.r_trunc / self.Rs)
        return 0.5 * self.alpha_Rs * self.Rs / NFW_AT_RS * shape.h

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        x, y, square = _scaled(self, x, y)
        shape = truncated_shape(square, self.r_trunc / self.Rs)
        scale = self.alpha_Rs / (NFW_AT_RS * self.Rs) * shape.g_over_y
        return scale * x, scale * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        shape = truncated_shape(_scaled(self, x, y)[2], self.r_trunc / self.Rs)
        return 0.5 * self.alpha_Rs / (NFW_AT_RS * self.Rs) * shape.H


class Hernquist(AbstractMass):
    r"""Hernquist bulge, :math:`\rho \propto \left[(r/R_s)(1+r/R_s)^3\right]^{-1}`.

    Args:
        sigma0: the product rho0 Rs over the critical density; the deflection at Rs is
            2/3 sigma0 Rs, scalar, positive.
        Rs: scale radius [arcsec], scalar, positive; 0.55 half-light radii.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> alpha_x, _ = Hernquist(sigma0=1.5, Rs=1.0).deflection(1.0, 0.0)
        >>> round(float(alpha_x), 4)
        1.0

    Reference: Keeton 2001, arXiv:astro-ph/0102341, equations 47, 48 and 50.
    """

    sigma0: Parameter
    Rs: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        square = _scaled(self, x, y)[2]
        return 2.0 * self.sigma0 * self.Rs**2 * square * halo_shape(square).g_over_y

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        x, y, square = _scaled(self, x, y)
        scale = 2.0 * self.sigma0 * halo_shape(square).H
        return scale * x, scale * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return self.sigma0 * hernquist_column(_scaled(self, x, y)[2])
