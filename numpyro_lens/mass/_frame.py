"""Positions as an elliptical lens sees them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro_lens._types import Coordinates, Field, Scalar
from numpyro_lens.numerics.ellipse import bounded_ellipticity, elliptical_frame
from numpyro_lens.numerics.quadrature import potential_along_rays
from numpyro_lens.numerics.safe import as_float, soft_square


class Frame(NamedTuple):
    """A position as ellipses see it: w = z - eps conj(z) and T = conj(eps) w² / (1 - |eps|²)."""

    x: jax.Array
    y: jax.Array
    w: tuple[jax.Array, jax.Array]
    square: jax.Array
    twist: tuple[jax.Array, jax.Array]
    flat: jax.Array

    def sizes(self, core: Scalar) -> tuple[Field, Field]:
        """P = sqrt(s² + R²) and S = P + s of a core radius s."""
        root = jnp.sqrt(core * core + self.square)
        return root, root + core

    def log_growth(self, core: Scalar, size: Field) -> Field:
        """Logarithm of the modulus of (S + T/S) / 2s, zero at the centre."""
        growth = 0.5 * self.square / (core * size)
        tr, ti = self.twist[0] / size**2, self.twist[1] / size**2
        real, imag = growth + tr + growth * tr, ti + growth * ti
        return 0.5 * jnp.log1p(2.0 * real + real * real + imag * imag)

    def along(self, alpha: tuple[Field, Field]) -> Field:
        """Deflection along the radius, times the radius."""
        return self.x * alpha[0] + self.y * alpha[1]


def frame(lens: Any, x: Coordinates, y: Coordinates) -> Frame:
    """The frame of a lens with fields e1, e2, center_x, center_y at positions [arcsec]."""
    x, y = as_float(x - lens.center_x, y - lens.center_y)
    e1, e2, flat = bounded_ellipticity(lens.e1, lens.e2)
    wx, wy = elliptical_frame(x, y, e1, e2)
    real, imag = wx * wx - wy * wy, 2.0 * wx * wy
    twist = (e1 * real + e2 * imag) / flat, (e1 * imag - e2 * real) / flat
    return Frame(x, y, (wx, wy), soft_square(wx, wy) / flat, twist, flat)


def integrated_potential(lens: Any, x: Coordinates, y: Coordinates) -> Field:
    """No closed form: the deflection integrated from the centre."""
    at = frame(lens, x, y)

    def deflection(x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return lens.deflection(x + lens.center_x, y + lens.center_y)

    num = 32 if jnp.finfo(at.x.dtype).bits <= 32 else 64
    return potential_along_rays(deflection, at.x, at.y, num)
