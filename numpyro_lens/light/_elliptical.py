"""Light that is a function of the elliptical radius."""

import jax.numpy as jnp

from numpyro_lens._numerics import elliptical_square, sersic_shape
from numpyro_lens._types import Scalar
from numpyro_lens.light._base import AbstractLight


class Sersic(AbstractLight):
    r"""Sersic profile, :math:`I = \mathrm{amp}\, e^{-b_n [(R/R_{sersic})^{1/n} - 1]}`.

    Args:
        amp: surface brightness at R_sersic [flux per arcsec²], scalar.
        R_sersic: half-light radius on the product-average radius R [arcsec], scalar, positive.
        n_sersic: Sersic index, scalar, at least 0.36 for the formula of b_n to hold.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> light = Sersic(amp=2.0, R_sersic=0.5, n_sersic=4.0)
        >>> round(float(light.brightness(0.5, 0.0)), 4)
        2.0

    Reference: Capaccioli 1989, with :math:`b_n = 1.9992 n - 0.3271`, as in lenstronomy.
    """

    amp: Scalar
    R_sersic: Scalar
    n_sersic: Scalar
    e1: Scalar = 0.0
    e2: Scalar = 0.0
    center_x: Scalar = 0.0
    center_y: Scalar = 0.0

    def brightness(self, x, y):
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        return self.amp * sersic_shape(square / self.R_sersic**2, self.n_sersic)


class Gaussian(AbstractLight):
    r"""Elliptical Gaussian, :math:`I = \mathrm{amp}\, e^{-R^2/2\sigma^2} / (2\pi\sigma^2)`.

    Args:
        amp: total flux, scalar.
        sigma: width on the product-average radius R [arcsec], scalar, positive.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> light = Gaussian(amp=1.0, sigma=0.5)
        >>> round(float(light.brightness(0.0, 0.0)), 4)
        0.6366

    Reference: lenstronomy's ``GAUSSIAN_ELLIPSE``.
    """

    amp: Scalar
    sigma: Scalar
    e1: Scalar = 0.0
    e2: Scalar = 0.0
    center_x: Scalar = 0.0
    center_y: Scalar = 0.0

    def brightness(self, x, y):
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        variance = self.sigma**2
        return self.amp / (2.0 * jnp.pi * variance) * jnp.exp(-0.5 * square / variance)
