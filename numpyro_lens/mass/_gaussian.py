"""Gaussian mass, alone and in sums."""

from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field, Parameter, Scalar, Vector
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.mass._frame import Frame, frame, integrated_potential
from numpyro_lens.numerics.complex_pair import times
from numpyro_lens.numerics.gaussian import gaussian_integral
from numpyro_lens.numerics.quadrature import sum_over

T = TypeVar("T")


class Gaussian(AbstractMass):
    r"""Elliptical Gaussian, :math:`\kappa = \frac{A}{2\pi\sigma^2} e^{-R^2/2\sigma^2}`.

    The deflection is :math:`\kappa_0 w \int_0^1 e^{-[sR^2 + s(1-s)T]/2\sigma^2} ds`: no Faddeeva
    function, no division by the ellipticity, one formula for round and flat lenses.

    Args:
        amp: total A, the integral of the convergence [arcsec²], scalar.
        sigma: width on the product-average radius R [arcsec], scalar, positive.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> round(float(Gaussian(amp=6.2832, sigma=1.0).convergence(0.0, 0.0)), 3)
        1.0

    Reference: Bray 1984, MNRAS 208, 511 on a straight path in the complex plane.
    """

    amp: Parameter
    sigma: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²], the deflection integrated from the centre."""
        return integrated_potential(self, x, y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return _deflection(frame(self, x, y), self.amp, self.sigma)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return _convergence(frame(self, x, y), self.amp, self.sigma)


class MultiGaussian(AbstractMass):
    r"""Elliptical Gaussians of one shape and centre, :math:`\kappa = \sum_i \kappa_i`.

    Args:
        amp: total of each Gaussian, the integral of its convergence [arcsec²], shape (n,).
        sigma: widths on the product-average radius R [arcsec], positive, shape (n,).
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> lens = MultiGaussian(amp=jnp.ones(3), sigma=jnp.array([0.1, 0.3, 1.0]))
        >>> alpha_x, _ = lens.deflection(10.0, 0.0)
        >>> round(float(alpha_x), 4)  # 3 / (10 pi)
        0.0955

    Reference: Shajib 2019, MNRAS 488, 1387, equation 2.13.
    """

    amp: Vector
    sigma: Vector
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²], the deflection integrated from the centre."""
        return integrated_potential(self, x, y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return _summed(_deflection, self, x, y)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return _summed(_convergence, self, x, y)


def _summed(
    part: Callable[[Frame, Scalar, Scalar], T], lens: MultiGaussian, x: Coordinates, y: Coordinates
) -> T:
    at = frame(lens, x, y)
    members = tuple(jnp.asarray(v, at.x.dtype) for v in (lens.amp, lens.sigma))
    return sum_over(lambda member: part(at, *member), members)


def _convergence(at: Frame, amp: Scalar, sigma: Scalar) -> Field:
    return amp / (2.0 * jnp.pi * sigma**2) * jnp.exp(-0.5 * at.square / sigma**2)


def _deflection(at: Frame, amp: Scalar, sigma: Scalar) -> tuple[Field, Field]:
    half = 0.5 / sigma**2
    factor = gaussian_integral(half * at.square, half * at.twist[0], half * at.twist[1])
    ax, ay = times(*at.w, *factor)
    scale = amp * half / jnp.pi
    return scale * ax, scale * ay
