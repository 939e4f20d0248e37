"""Mass in a point."""

import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field, Parameter
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.numerics.safe import as_float, soft_square, softening


class PointMass(AbstractMass):
    r"""Point mass, :math:`\psi = \theta_E^2 \ln r`.

    Its convergence is that of the softened point, zero at any distance that matters.

    Args:
        theta_E: Einstein radius [arcsec], scalar, positive.
        center_x, center_y: position [arcsec], scalars.

    Example:
        >>> alpha_x, alpha_y = PointMass(theta_E=1.0).deflection(0.0, 2.0)
        >>> round(float(alpha_y), 3)
        0.5

    Reference: Schneider, Ehlers & Falco 1992, Gravitational Lenses, chapter 2.
    """

    theta_E: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def _square(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field, Field]:
        x, y = as_float(x - self.center_x, y - self.center_y)
        return x, y, soft_square(x, y)

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        return 0.5 * self.theta_E**2 * jnp.log(self._square(x, y)[2])

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        x, y, square = self._square(x, y)
        scale = self.theta_E**2 / square
        return scale * x, scale * y

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        square = self._square(x, y)[2]
        least = softening(square.dtype)
        return jnp.where(square > least, 0.0, self.theta_E**2 / least)
