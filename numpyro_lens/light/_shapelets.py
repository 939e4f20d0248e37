"""Light as a sum of Gauss-Hermite functions."""

import numpy as np

from numpyro_lens._types import Amplitudes, Coordinates, Field, Parameter
from numpyro_lens.light._base import AbstractLight
from numpyro_lens.light._separable import expansion, products
from numpyro_lens.numerics.safe import as_float
from numpyro_lens.numerics.shapelets import hermite_functions


def shapelet_orders(n_max: int) -> np.ndarray:
    """The orders of `Shapelets`, as lenstronomy sorts them.

    Args:
        n_max: largest sum of the two orders.

    Returns:
        ``(num, 2)`` integers (n, m), with ``num = (n_max + 1)(n_max + 2)/2``.

    Example:
        >>> shapelet_orders(2).tolist()
        [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    """
    return np.array([(total - m, m) for total in range(n_max + 1) for m in range(total + 1)])


class Shapelets(AbstractLight):
    r"""Shapelets, :math:`I = \sum_{n+m \le n_{max}} a_{nm}\, \phi_n(x/\beta)\, \phi_m(y/\beta)`.

    Positions are from the centre; :math:`\phi_n(t) = H_n(t) e^{-t^2/2}/\sqrt{2^n \sqrt\pi\, n!}`.

    Args:
        amp: amplitudes [flux per arcsec²], (num,), in the order of `shapelet_orders`; their number
            (n_max + 1)(n_max + 2)/2 sets n_max.
        beta: scale [arcsec], scalar, positive.
        center_x, center_y: centre [arcsec], scalars.

    Raises:
        ValueError: no n_max has this number of amplitudes.

    Example:
        >>> import jax.numpy as jnp
        >>> light = Shapelets(amp=jnp.array([1.0, 0.0, 0.0]), beta=0.2)
        >>> light.n_max, round(float(light.brightness(0.0, 0.0)), 4)
        (1, 0.5642)

    Reference: Refregier 2003, MNRAS 338, 35, equations 1 and 18, without the factor 1/β.
    """

    amp: Amplitudes
    beta: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def __check_init__(self) -> None:
        _n_max(np.shape(self.amp))

    @property
    def n_max(self) -> int:
        """Largest sum of the two orders."""
        return _n_max(np.shape(self.amp))

    def _factors(self, x: Coordinates, y: Coordinates) -> list[tuple[Field, ...]]:
        x, y = as_float(x - self.center_x, y - self.center_y)
        return [hermite_functions(t / self.beta, self.n_max + 1) for t in (x, y)]

    def basis_parts(self, x: Coordinates, y: Coordinates) -> tuple[Field, ...]:
        """Each function at one, ``(1, ...)``."""
        along_x, along_y = self._factors(x, y)
        return products(along_x, along_y, shapelet_orders(self.n_max))

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        along_x, along_y = self._factors(x, y)
        return expansion(self.amp, along_x, along_y, shapelet_orders(self.n_max))


def _n_max(shape: tuple[int, ...]) -> int:
    num = shape[0] if len(shape) == 1 else 0
    n_max = int(np.sqrt(2 * num + 0.25) - 1.5)
    if num == 0 or (n_max + 1) * (n_max + 2) != 2 * num:
        raise ValueError(
            "Shapelets have (n_max + 1)(n_max + 2)/2 amplitudes, 1, 3, 6, 10, 15, ...; got `amp` "
            f"of shape {tuple(shape)}. Write amp=jnp.zeros(len(shapelet_orders(n_max)))."
        )
    return n_max
