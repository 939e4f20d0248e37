"""Free-form light: a Gaussian process in a finite basis."""

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Amplitudes, Array, Coordinates, Field, Parameter
from numpyro_lens.light._base import AbstractLight
from numpyro_lens.light._separable import expansion, products
from numpyro_lens.numerics.safe import as_float
from numpyro_lens.numerics.trigonometric import sine_functions


def hsgp_orders(order: int) -> np.ndarray:
    r"""The modes of `HSGP`, those of long wavelength first.

    Args:
        order: largest root of the sum of squares of the two orders.

    Returns:
        ``(num, 2)`` integers (j, k) from one, with :math:`j^2 + k^2 \le \mathrm{order}^2`.

    Example:
        >>> hsgp_orders(3).tolist()
        [[1, 1], [1, 2], [2, 1], [2, 2]]
    """
    j, k = np.mgrid[1 : order + 1, 1 : order + 1].reshape(2, -1)
    square = j**2 + k**2
    ranked = np.lexsort((j, square))
    return np.stack([j, k], axis=1)[ranked][square[ranked] <= order**2]


def matern_scale(order: int, length: Any, nu: float = 1.5) -> Array:
    r"""Prior standard deviations of the amplitudes of `HSGP`, for a process of unit variance.

    .. math:: s_{jk}^2 = 4\pi\nu\, \frac{(2\nu/\rho^2)^\nu}{(2\nu/\rho^2 + \lambda_{jk})^{\nu+1}},
              \quad \lambda_{jk} = (\pi/2)^2 (j^2 + k^2)

    the spectral density of the Matérn covariance in two dimensions.

    Args:
        order: as of `hsgp_orders`.
        length: correlation length ρ over the width of the profile, scalar, positive.
        nu: smoothness ν, static: 0.5 is rough, 2.5 smooth.

    Returns:
        ``(num,)``, in the order of `hsgp_orders`.

    Example:
        >>> matern_scale(3, 0.3).shape
        (4,)

    Reference: Rasmussen & Williams 2006, equation 4.15; Solin & Särkkä 2020, Stat. Comput. 30, 419.
    """
    eigenvalues = (np.pi / 2) ** 2 * np.sum(hsgp_orders(order) ** 2, axis=1)
    rate = 2.0 * nu / jnp.square(length)
    log_density = math.log(4.0 * np.pi * nu) + nu * jnp.log(rate)
    return jnp.exp(0.5 * (log_density - (nu + 1.0) * jnp.log(rate + eigenvalues)))


class HSGP(AbstractLight):
    r"""Gaussian process in the Hilbert-space approximation, within an envelope.

    .. math:: I = (1 - |u|^2)_+^3 \sum_{jk} a_{jk} \sin\frac{j\pi(u_x + 1)}2
              \sin\frac{k\pi(u_y + 1)}2, \qquad u = (\beta - c)/\mathrm{width}

    With the amplitudes `numpyro_lens.Linear` and their prior scale `matern_scale`, it is a
    free-form source: as many modes as the image can tell apart, all integrated out. The envelope
    makes the prior that of a galaxy, faint outside; value and gradient are continuous everywhere.

    Args:
        amp: amplitudes [flux per arcsec²], (num,), in the order of `hsgp_orders`, whose number
            sets the order.
        width: radius c outside of which there is no light [arcsec], scalar, positive.
        center_x, center_y: centre [arcsec], scalars.

    Raises:
        ValueError: no order has this number of amplitudes.

    Example:
        >>> import jax.numpy as jnp
        >>> light = HSGP(amp=jnp.array([1.0, 0.0, 0.0, 0.0]), width=0.5)
        >>> light.order, round(float(light.brightness(0.0, 0.0)), 4)
        (3, 1.0)

    Reference: Solin & Särkkä 2020, Stat. Comput. 30, 419, equations 8 and 56; the envelope is ours.
    """

    amp: Amplitudes
    width: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def __check_init__(self) -> None:
        _order(np.shape(self.amp))

    @property
    def order(self) -> int:
        """Largest root of the sum of squares of the two orders."""
        return _order(np.shape(self.amp))

    def _factors(self, x: Coordinates, y: Coordinates) -> tuple[tuple[Field, ...], ...]:
        """Sines along x, within the envelope, and along y."""
        x, y = as_float((x - self.center_x) / self.width, (y - self.center_y) / self.width)
        envelope = jnp.maximum(1.0 - x * x - y * y, 0.0) ** 3
        # Outside of the envelope their value does not matter, but has to be finite.
        along_x, along_y = (sine_functions(jnp.clip(t, -1.0, 1.0), self.order) for t in (x, y))
        return tuple(envelope * sine for sine in along_x), along_y

    def basis_parts(self, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
        """Each mode at one, ``(1, ...)``."""
        along_x, along_y = self._factors(x, y)
        return products(along_x, along_y, hsgp_orders(self.order) - 1)

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        along_x, along_y = self._factors(x, y)
        return expansion(self.amp, along_x, along_y, hsgp_orders(self.order) - 1)


@functools.cache
def _order(shape: tuple[int, ...]) -> int:
    num = shape[0] if len(shape) == 1 else 0
    order = 2
    while len(hsgp_orders(order)) < num:
        order += 1
    if len(hsgp_orders(order)) != num:
        raise ValueError(
            "An HSGP has one amplitude for each pair of orders with j² + k² <= order², 1, 4, 8, 15 "
            f"and so on for order 2, 3, 4, 5; got `amp` of shape {tuple(shape)}. Write "
            "amp=jnp.zeros(len(hsgp_orders(order)))."
        )
    return order
