"""Departures from an ellipse."""

import equinox as eqx
import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field, Parameter, Scalar
from numpyro_lens.mass._base import AbstractMass, Sum
from numpyro_lens.mass._power_law import EPL
from numpyro_lens.numerics.complex_pair import times
from numpyro_lens.numerics.ellipse import bounded_ellipticity
from numpyro_lens.numerics.safe import as_float, safe_hypot


class Multipole(AbstractMass):
    r"""Multipole of order m, :math:`\kappa = \frac{a_m}{2r} \cos m(\phi - \phi_m)`.

    Args:
        m: order, a Python integer from 1: it is part of the compiled function.
        a_m: amplitude [arcsec], scalar.
        phi_m: angle, counter-clockwise from +x [radian], scalar.
        center_x, center_y: centre [arcsec], scalars.
        r_E: where the potential of m = 1 is zero [arcsec], scalar, positive; unused otherwise.

    Reference: Xu et al. 2015, MNRAS 447, 3189 (arXiv:1307.4220), equation B12.
    """

    m: int = eqx.field(static=True)
    a_m: Parameter
    phi_m: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0
    r_E: Parameter = 1.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        r, _, wave = _wave(self, x, y)
        if self.m == 1:
            return 0.5 * self.a_m * r * jnp.log(r / self.r_E) * wave[0]
        return self.a_m / (1 - self.m**2) * r * wave[0]

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        r, (c, s), (real, imag) = _wave(self, x, y)
        if self.m == 1:
            log, half = jnp.log(r / self.r_E), 0.5 * self.a_m
            ax, ay = log * jnp.cos(self.phi_m) + real * c, log * jnp.sin(self.phi_m) + real * s
            return half * ax, half * ay
        scale = self.a_m / (1 - self.m**2)
        ax, ay = c * real + self.m * s * imag, s * real - self.m * c * imag
        return scale * ax, scale * ay

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        r, _, wave = _wave(self, x, y)
        return 0.5 * self.a_m * wave[0] / r


def _wave(
    lens: Multipole, x: Coordinates, y: Coordinates
) -> tuple[Field, tuple[Field, Field], tuple[Field, Field]]:
    """Radius, direction, and cosine and sine of m (phi - phi_m), by powers of the direction."""
    x, y = as_float(x - lens.center_x, y - lens.center_y)
    r = safe_hypot(x, y)
    direction = x / r, y / r
    wave = jnp.cos(lens.m * lens.phi_m), -jnp.sin(lens.m * lens.phi_m)
    for _ in range(lens.m):
        wave = times(*wave, *direction)
    return r, direction, wave


class EPLMultipole(AbstractMass):
    r"""Elliptical power law with multipoles m = 1, 3 and 4.

    Amplitudes are relative, a_m over :math:`\theta_E/\sqrt q`; angles are relative to the major
    axis, which a round lens has along +x.

    Args:
        theta_E, gamma, e1, e2, center_x, center_y: those of `EPL`.
        a1_a, a3_a, a4_a: relative amplitudes, scalars; a4_a > 0 is disky, < 0 boxy.
        delta_phi_m1, delta_phi_m3, delta_phi_m4: angles from the major axis [radian], scalars.

    Reference: Van de Vyvere et al. 2022, A&A 659, A127.
    """

    theta_E: Parameter
    gamma: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    a1_a: Parameter = 0.0
    delta_phi_m1: Parameter = 0.0
    a3_a: Parameter = 0.0
    delta_phi_m3: Parameter = 0.0
    a4_a: Parameter = 0.0
    delta_phi_m4: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        return _parts(self).potential(x, y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return _parts(self).deflection(x, y)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return _parts(self).convergence(x, y)


def _parts(lens: EPLMultipole) -> Sum:
    center = lens.center_x, lens.center_y
    e1, e2, _ = bounded_ellipticity(lens.e1, lens.e2)
    modulus, phi = _modulus_and_angle(e1, e2)
    size = lens.theta_E * jnp.sqrt((1.0 + modulus) / (1.0 - modulus))
    terms = (
        (1, lens.a1_a, lens.delta_phi_m1),
        (3, lens.a3_a, lens.delta_phi_m3),
        (4, lens.a4_a, lens.delta_phi_m4),
    )
    multipoles = (
        Multipole(m, a * size, phi + delta, *center, lens.theta_E) for m, a, delta in terms
    )
    return Sum((EPL(lens.theta_E, lens.gamma, lens.e1, lens.e2, *center), *multipoles))


def _modulus_and_angle(e1: Scalar, e2: Scalar) -> tuple[Field, Field]:
    """Modulus of the ellipticity and angle of the major axis, both flat at a round lens."""
    e1, e2 = as_float(e1, e2)
    square = e1 * e1 + e2 * e2
    round_ = square == 0.0
    # A round lens has no major axis: neither the modulus nor the angle has a derivative there.
    e1, square = jnp.where(round_, 1.0, e1), jnp.where(round_, 1.0, square)
    modulus = jnp.where(round_, 0.0, jnp.sqrt(square))
    return modulus, jnp.where(round_, 0.0, 0.5 * jnp.arctan2(e2, e1))
