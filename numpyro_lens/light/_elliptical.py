"""Light that is a function of the elliptical radius."""

from typing import cast

import jax.numpy as jnp

from numpyro_lens._types import (
    Amplitude,
    Amplitudes,
    AnyArray,
    Coordinates,
    Field,
    Parameter,
    Vector,
)
from numpyro_lens.light._base import AbstractLight
from numpyro_lens.light._footprint import Footprint
from numpyro_lens.numerics.ellipse import elliptical_square
from numpyro_lens.numerics.halo import hernquist_column
from numpyro_lens.numerics.sersic import core_sersic_shape, sersic_shape


class Sersic(AbstractLight):
    r"""Sersic profile, :math:`I = \mathrm{amp}\, e^{-b_n [(R/R_{sersic})^{1/n} - 1]}`.

    Args:
        amp: surface brightness at R_sersic [flux per arcsec²], scalar.
        R_sersic: half-light radius on the product-average radius R [arcsec], scalar, positive.
        n_sersic: Sersic index, scalar, at least 0.36 for the formula of b_n to hold.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.
        smoothing: radius s inside which the cusp is flat [arcsec]: R² becomes R² + s². A third of a
            sub-pixel keeps the log density smooth when a cuspy source moves across them;
            `Footprint` does so wherever a ray ends.

    Example:
        >>> light = Sersic(amp=2.0, R_sersic=0.5, n_sersic=4.0)
        >>> round(float(light.brightness(0.5, 0.0)), 4)
        2.0

    Reference: Capaccioli 1989, with :math:`b_n = 1.9992 n - 0.3271`, as in lenstronomy.
    """

    amp: Amplitude
    R_sersic: Parameter
    n_sersic: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0
    smoothing: Parameter | Footprint = 0.0

    def __check_init__(self) -> None:
        if isinstance(self.smoothing, type):
            raise TypeError(
                "`smoothing` is a radius in arcsec or a Footprint; got the class "
                f"{self.smoothing.__name__} itself. Write smoothing=Footprint()."
            )

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        if not isinstance(self.smoothing, Footprint):
            square = square + self.smoothing**2
        return self.amp * sersic_shape(square * (1.0 / self.R_sersic**2), self.n_sersic)


class CoreSersic(AbstractLight):
    r"""Sersic profile with a power-law core.

    .. math:: I = \mathrm{amp}\, [1 + (R_b/R)^\alpha]^{\gamma/\alpha}
              e^{-b_n [((R^\alpha + R_b^\alpha)/R_{sersic}^\alpha)^{1/(n\alpha)} - 1]}

    Args:
        amp: surface brightness at R_sersic when the break is far inside it [flux per arcsec²].
        R_sersic: half-light radius of the Sersic part [arcsec], positive.
        Rb: break radius [arcsec], not negative; zero is a `Sersic`.
        n_sersic: Sersic index of the outer part.
        gamma: slope of the core, :math:`I \propto R^{-\gamma}`.
        e1, e2: ellipticity components.
        center_x, center_y: centre [arcsec].
        alpha: sharpness of the break, positive.

    All are scalars; radii are product averages.

    Example:
        >>> light = CoreSersic(amp=2.0, R_sersic=0.5, Rb=0.0, n_sersic=4.0, gamma=0.1)
        >>> round(float(light.brightness(0.5, 0.0)), 4)
        2.0

    Reference: Trujillo et al. 2004, AJ 127, 1917, equation 5; ``amp`` is :math:`I' e^{-b_n}`.
    """

    amp: Amplitude
    R_sersic: Parameter
    Rb: Parameter
    n_sersic: Parameter
    gamma: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0
    alpha: Parameter = 3.0

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        unit = self.R_sersic**2
        shape = self.n_sersic, self.gamma, self.alpha
        return self.amp * core_sersic_shape(square / unit, self.Rb**2 / unit, *shape)


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

    amp: Amplitude
    sigma: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        variance = self.sigma**2
        return self.amp / (2.0 * jnp.pi * variance) * jnp.exp(-0.5 * square / variance)


class MultiGaussian(AbstractLight):
    r"""Concentric elliptical Gaussians, :math:`I = \sum_k a_k e^{-R^2/2\sigma_k^2}/2\pi\sigma_k^2`.

    Args:
        amp: total flux of each, (num,).
        sigma: their widths on the product-average radius R [arcsec], (num,), positive.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> import jax.numpy as jnp
        >>> light = MultiGaussian(amp=jnp.array([1.0, 2.0]), sigma=jnp.array([0.5, 1.0]))
        >>> round(float(light.brightness(0.0, 0.0)), 4)
        0.9549

    Reference: Cappellari 2002, MNRAS 333, 400, equation 1; lenstronomy's
    ``MULTI_GAUSSIAN_ELLIPSE``.
    """

    amp: Amplitudes
    sigma: Vector
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def basis_parts(self, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
        """Each Gaussian at one, ``(1, ...)``."""
        # Not one array: the derivative of slices of one takes twice the time.
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        variances = jnp.square(jnp.asarray(self.sigma))
        rates = 0.5 / variances
        return tuple(
            (jnp.exp(-rates[k] * square) * (rates[k] / jnp.pi))[None] for k in range(len(variances))
        )

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        return _weighted_sum(self.amp, self.basis_parts(x, y))


class MultiGaussianDipole(AbstractLight):
    r"""Concentric round Gaussians times x or y: light that is brighter on one side.

    .. math:: I = \sum_k \left(a_k \frac{x}{\sigma_k} + b_k \frac{y}{\sigma_k}\right)
              \frac{e^{-r^2/2\sigma_k^2}}{2\pi\sigma_k^2}

    To first order it moves the centre of a Gaussian of flux F and of the same width by
    :math:`\sigma_k a_k/F` along x: added to `MultiGaussian`, it lets the centre of the isophotes
    change with radius. Its total flux is zero.

    Args:
        amp: :math:`a_1, b_1, a_2, \ldots` [flux], (2 num,).
        sigma: widths [arcsec], (num,), positive.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> import jax.numpy as jnp
        >>> light = MultiGaussianDipole(amp=jnp.array([1.0, 0.0]), sigma=jnp.array([0.5]))
        >>> [round(float(light.brightness(x, 0.0)), 4) for x in (-0.5, 0.0, 0.5)]
        [-0.3861, 0.0, 0.3861]

    Reference: the derivative of Cappellari 2002, MNRAS 333, 400, equation 1, in the centre.
    """

    amp: Amplitudes
    sigma: AnyArray  # half as many as amplitudes
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def basis_parts(self, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
        """Each term at one, ``(1, ...)``."""
        dx, dy = x - self.center_x, y - self.center_y
        sigma = jnp.asarray(self.sigma)
        rates = 0.5 / jnp.square(sigma)
        return tuple(
            (jnp.exp(-rates[k] * (dx**2 + dy**2)) * (along * (rates[k] / jnp.pi / sigma[k])))[None]
            for k in range(len(sigma))
            for along in (dx, dy)
        )

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        return _weighted_sum(self.amp, self.basis_parts(x, y))


def _weighted_sum(amp: Amplitudes, parts: tuple[Field, ...]) -> Field:
    pairs = zip(jnp.asarray(amp), parts, strict=True)
    return cast("Field", sum(a * part[0] for a, part in pairs))


class Moffat(AbstractLight):
    r"""Round Moffat profile, :math:`I = \mathrm{amp}\,(1 + r^2/\alpha^2)^{-\beta}`.

    Args:
        amp: central surface brightness [flux per arcsec²], scalar.
        alpha: core radius [arcsec], scalar, positive.
        beta: slope, scalar; the total flux is finite above one.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> round(float(Moffat(amp=1.0, alpha=0.5, beta=2.0).brightness(0.5, 0.0)), 4)
        0.25

    Reference: Moffat 1969, A&A 3, 455, equation 7.
    """

    amp: Amplitude
    alpha: Parameter
    beta: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        square = (x - self.center_x) ** 2 + (y - self.center_y) ** 2
        return self.amp * jnp.exp(-self.beta * jnp.log1p(square / self.alpha**2))


class Hernquist(AbstractLight):
    r"""Hernquist bulge, the projection of :math:`j \propto \left[(r/R_s)(1+r/R_s)^3\right]^{-1}`.

    .. math:: I = \mathrm{amp}\,\frac{(2 + X^2)F(X) - 3}{(X^2 - 1)^2}, \quad X = R/R_s

    Args:
        amp: surface brightness [flux per arcsec²], scalar; the total flux is 2π Rs² amp.
        Rs: scale radius on the product-average radius R [arcsec], scalar, positive; 0.55 half-light
            radii.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> round(float(Hernquist(amp=15.0, Rs=0.5).brightness(0.5, 0.0)), 4)
        4.0

    Reference: Hernquist 1990, ApJ 356, 359, equation 32.
    """

    amp: Amplitude
    Rs: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        return self.amp * hernquist_column(square / self.Rs**2)


class DPIE(AbstractLight):
    r"""Dual pseudo-isothermal ellipsoid: isothermal between a core Ra and an edge Rs.

    .. math:: I = \mathrm{amp}\,\tfrac{R_a R_s}{R_s - R_a}
        \left[(R_a^2 + R^2)^{-1/2} - (R_s^2 + R^2)^{-1/2}\right]

    The light of the mass of this name, a pseudo-Jaffe profile or chameleon elsewhere. Ra = Rs is an
    ordinary point.

    Args:
        amp: central surface brightness [flux per arcsec²], scalar; the total flux is 2π Ra Rs amp.
        Ra, Rs: core radius and edge on the product-average radius R [arcsec], scalars, positive.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Example:
        >>> round(float(DPIE(amp=2.0, Ra=0.2, Rs=1.5).brightness(0.0, 0.0)), 4)
        2.0

    Reference: Elíasdóttir et al. 2007, arXiv:0710.5636, equation A4.
    """

    amp: Amplitude
    Ra: Parameter
    Rs: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2)
        inner, outer = jnp.sqrt(self.Ra**2 + square), jnp.sqrt(self.Rs**2 + square)
        weight = self.amp * self.Ra * self.Rs * (self.Ra + self.Rs)
        return weight / ((inner + outer) * inner * outer)
