"""Ellipses without angles: bounded ellipticities and elliptical radii."""

import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field, Scalar
from numpyro_lens.numerics.safe import as_float, soft_square

# Where |eps| starts to be bent, and the bound that it approaches: q = 0.05 and q = 0.026.
ELLIPTICITY_KNEE = 0.9
ELLIPTICITY_BOUND = 0.95


def bounded_ellipticity(e1: Coordinates, e2: Coordinates) -> tuple[Field, Field, Field]:
    r"""Ellipticity below one, the identity for :math:`|\epsilon| \le 0.9` (q ≥ 0.05).

    Beyond, the modulus bends towards 0.95 with a continuous slope, so that every draw of a prior,
    even one outside the unit disk, has a finite value and gradient.

    Args:
        e1, e2: ellipticity components, scalars.

    Returns:
        The bounded components and ``1 - |eps|²``.
    """
    knee, room = ELLIPTICITY_KNEE, ELLIPTICITY_BOUND - ELLIPTICITY_KNEE
    square = e1 * e1 + e2 * e2
    # The unused branch of a `where` still has a derivative, so its argument must be harmless too.
    modulus = jnp.sqrt(jnp.maximum(square, knee**2))
    scale = (knee + room * jnp.tanh((modulus - knee) / room)) / modulus
    scale = jnp.where(square > knee**2, scale, 1.0)
    e1, e2 = e1 * scale, e2 * scale
    return e1, e2, 1.0 - (e1 * e1 + e2 * e2)


def elliptical_frame(x: Field, y: Field, e1: Field, e2: Field) -> tuple[Field, Field]:
    r"""The linear map in which ellipses are circles, :math:`w = z - \epsilon \bar z`.

    The product-average elliptical radius is :math:`R^2 = |w|^2 / (1 - |\epsilon|^2)`.

    Args:
        x, y: positions from the centre [arcsec].
        e1, e2: ellipticity components, scalars, already bounded.

    Returns:
        ``(wx, wy)`` [arcsec], shaped like x.
    """
    return (1.0 - e1) * x - e2 * y, (1.0 + e1) * y - e2 * x


def elliptical_square(x: Coordinates, y: Coordinates, e1: Scalar, e2: Scalar) -> Field:
    r"""Squared product-average elliptical radius :math:`R^2 = q x'^2 + y'^2 / q`, never zero.

    Args:
        x, y: positions from the centre [arcsec].
        e1, e2: ellipticity components, scalars, of any modulus.

    Returns:
        R² [arcsec²], shaped like x.
    """
    e1, e2, flat = bounded_ellipticity(e1, e2)
    return soft_square(*elliptical_frame(*as_float(x, y, e1, e2))) * (1.0 / flat)
