"""Isothermal ellipsoids with a core, and with an edge."""

import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field, Parameter, Scalar
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.mass._frame import Frame, frame
from numpyro_lens.numerics.complex_pair import times
from numpyro_lens.numerics.isothermal import arctanh_ratio, log1p_ratio


class NIE(AbstractMass):
    r"""Isothermal ellipsoid with a core, :math:`\kappa = \theta_E / (2\sqrt{s^2 + R^2})`.

    Without angles its deflection is :math:`\alpha = \theta_E\,\arctan(\sqrt u)/\sqrt u\; w / S`
    with u = T / S² and S = sqrt(s² + R²) + s, finite at a round lens.

    Args:
        theta_E: Einstein radius that the lens has without a core [arcsec], scalar, positive.
        e1, e2: ellipticity components, scalars.
        s_scale: core radius s on the product-average radius R [arcsec], scalar, not negative.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> round(float(NIE(theta_E=1.2, s_scale=0.1).convergence(0.0, 0.0)), 3)
        6.0

    Reference: Keeton & Kochanek 1998, ApJ 495, 157, equation 8.
    """

    theta_E: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    s_scale: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        at = frame(self, x, y)
        return _isothermal(at, self.theta_E, at.sizes(self.s_scale)[1])

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        at = frame(self, x, y)
        size = at.sizes(self.s_scale)[1]
        alpha = _isothermal(at, self.theta_E, size)
        return at.along(alpha) - self.theta_E * self.s_scale * _log_size(at, size)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return 0.5 * self.theta_E / frame(self, x, y).sizes(self.s_scale)[0]


def _isothermal(at: Frame, theta_E: Scalar, size: Field) -> tuple[Field, Field]:
    inverse = -1.0 / (size * size)
    factor = arctanh_ratio(at.twist[0] * inverse, at.twist[1] * inverse)
    ax, ay = times(*at.w, *factor)
    return theta_E / size * ax, theta_E / size * ay


def _log_size(at: Frame, size: Field) -> Field:
    """Logarithm of the modulus of S + T / S, over sqrt(1 - |eps|²)."""
    real, imag = size + at.twist[0] / size, at.twist[1] / size
    return 0.5 * jnp.log((real * real + imag * imag) / at.flat)


class DPIE(AbstractMass):
    r"""Dual pseudo-isothermal ellipsoid: isothermal between a core Ra and an edge Rs.

    .. math:: \kappa = \sigma_0 \tfrac{R_a R_s}{R_s - R_a}
        \left[(R_a^2 + R^2)^{-1/2} - (R_s^2 + R^2)^{-1/2}\right]

    Elliptical in the convergence. The difference of the two isothermal ellipsoids is written in
    closed form, so that Ra = Rs is an ordinary point.

    Args:
        sigma0: central convergence, scalar, positive.
        Ra, Rs: core radius and edge on the product-average radius R [arcsec], scalars, positive.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Reference: Elíasdóttir et al. 2007, arXiv:0710.5636, equations A4 and A20.
    """

    sigma0: Parameter
    Ra: Parameter
    Rs: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return _truncated(frame(self, x, y), self)

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        at = frame(self, x, y)
        scale = 2.0 * self.sigma0 * self.Ra * self.Rs
        return at.along(_truncated(at, self)) + scale * _truncated_log(at, self.Ra, self.Rs)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        at = frame(self, x, y)
        (inner, _), (outer, _) = at.sizes(self.Ra), at.sizes(self.Rs)
        product = (inner + outer) * inner * outer
        return self.sigma0 * self.Ra * self.Rs * (self.Ra + self.Rs) / product


def _pair(
    at: Frame, inner: Scalar, outer: Scalar
) -> tuple[Field, Field, Field, tuple[Field, Field]]:
    """Both sizes S, (S_outer - S_inner) over the difference of the radii, and T over their product.

    With arctan a - arctan b = arctan((a - b) / (1 + a b)) nothing is divided by that difference.
    """
    (root, size), (outer_root, outer_size) = at.sizes(inner), at.sizes(outer)
    product = size * outer_size
    slope = 1.0 + (inner + outer) / (root + outer_root)
    return size, product, slope, (at.twist[0] / product, at.twist[1] / product)


def _truncated(at: Frame, lens: DPIE) -> tuple[Field, Field]:
    _, product, slope, (tr, ti) = _pair(at, lens.Ra, lens.Rs)
    norm = 1.0 / ((1.0 + tr) ** 2 + ti * ti)
    ratio = (1.0 + tr) * norm, -ti * norm
    square = -((lens.Rs - lens.Ra) ** 2) * slope * slope / product
    ur, ui = times(square * tr, square * ti, *times(*ratio, *ratio))
    ax, ay = times(*at.w, *times(*ratio, *arctanh_ratio(ur, ui)))
    scale = 2.0 * lens.sigma0 * lens.Ra * lens.Rs * slope / product
    return scale * ax, scale * ay


def _truncated_log(at: Frame, inner: Scalar, outer: Scalar) -> Field:
    """The difference of s ln|S + T/S| between the two radii, over that of the radii."""
    size, product, slope, (tr, ti) = _pair(at, inner, outer)
    real, imag = size + at.twist[0] / size, at.twist[1] / size
    norm = slope / (real * real + imag * imag)
    cr, ci = times(1.0 - tr, -ti, norm * real, -norm * imag)
    gap = outer - inner
    twice = 2.0 * cr + gap * (cr * cr + ci * ci)
    ratio = 0.5 * twice * log1p_ratio(gap * twice)
    return at.log_growth(outer, product / size) + inner * ratio
