"""Elliptical haloes as sums of core-steep ellipsoids."""

import functools
from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Coordinates, Field, Parameter, Scalar
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.mass._frame import Frame, frame
from numpyro_lens.numerics.halo import NFW_AT_RS
from numpyro_lens.numerics.quadrature import sum_over

T = TypeVar("T")


class NFWEllipse(AbstractMass):
    r"""NFW halo, elliptical in the convergence: 44 core-steep ellipsoids.

    One of them is :math:`\kappa = \tfrac12 A (s^2+R^2)^{-3/2}`. Their sum is within 1e-4 of the
    convergence of an NFW from 1e-4 to 1e3 Rs.

    Args:
        Rs: scale radius on the product-average radius R [arcsec], scalar, positive.
        alpha_Rs: deflection at Rs of the round halo [arcsec], scalar, positive.
        e1, e2: ellipticity components, scalars.
        center_x, center_y: centre [arcsec], scalars.

    Reference: Oguri 2021, PASP 133, 074504, table 1.
    """

    Rs: Parameter
    alpha_Rs: Parameter
    e1: Parameter = 0.0
    e2: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²]."""
        return self.alpha_Rs * self.Rs / NFW_AT_RS * _summed(_potential, self, x, y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        scale = self.alpha_Rs * self.Rs / NFW_AT_RS
        ax, ay = _summed(_deflection, self, x, y)
        return scale * ax, scale * ay

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return self.alpha_Rs * self.Rs**2 / NFW_AT_RS * _summed(_convergence, self, x, y)


def _summed(
    part: Callable[[Frame, Scalar, Scalar, Scalar], T],
    lens: NFWEllipse,
    x: Coordinates,
    y: Coordinates,
) -> T:
    """Sum of a part over the ellipsoids, their core radii s Rs in arcsec."""
    at = frame(lens, x, y)
    rows = jnp.asarray(_ellipsoids(), at.x.dtype)
    return sum_over(lambda row: part(at, row[0], row[1], lens.Rs), rows)


def _deflection(at: Frame, core: Scalar, strength: Scalar, scale: Scalar) -> tuple[Field, Field]:
    r"""The deflection :math:`A w / (s P (S + T/S))` of an ellipsoid."""
    root, size = at.sizes(core * scale)
    real, imag = size + at.twist[0] / size, at.twist[1] / size
    # One division after the other: the product of the denominators overflows when squared.
    weight = strength / core / root / (real * real + imag * imag)
    (wx, wy), real, imag = at.w, weight * real, weight * imag
    return wx * real + wy * imag, wy * real - wx * imag


def _potential(at: Frame, core: Scalar, strength: Scalar, scale: Scalar) -> Field:
    r"""The potential :math:`\tfrac As \ln|(S + T/S) / 2s|`, zero at the centre."""
    return strength / core * at.log_growth(core * scale, at.sizes(core * scale)[1])


def _convergence(at: Frame, core: Scalar, strength: Scalar, scale: Scalar) -> Field:
    root, _ = at.sizes(core * scale)
    inverse = 1.0 / root
    return 0.5 * strength * inverse * inverse * inverse


@functools.cache
def _ellipsoids() -> np.ndarray:
    """Core radius over Rs and strength, from the narrowest to the widest, shape (44, 2)."""
    return np.array(_TABLE.split(), float).reshape(-1, 2)


_TABLE = """
        1.082411e-06 1.648988e-18 3.292868e-06 3.646620e-17 8.786566e-06 6.274458e-16
        1.860019e-05 3.459206e-15 3.274231e-05 2.457389e-14 6.232485e-05 1.059319e-13
        9.256333e-05 4.211597e-13 1.546762e-04 1.142832e-12 2.097321e-04 4.391215e-12
        3.391140e-04 1.556500e-11 5.178790e-04 6.951271e-11 8.636736e-04 3.147466e-10
        1.405152e-03 1.379109e-09 2.193855e-03 3.829778e-09 3.179572e-03 1.384858e-08
        4.970987e-03 5.370951e-08 7.631970e-03 1.804384e-07 1.119413e-02 5.788608e-07
        1.827267e-02 3.205256e-06 2.945251e-02 1.102422e-05 4.562723e-02 4.093971e-05
        6.782509e-02 1.282206e-04 1.127751e-01 7.995270e-04 1.596987e-01 4.575541e-04
        2.169469e-01 5.013701e-03 3.423835e-01 1.403508e-02 5.194527e-01 5.230727e-02
        8.623185e-01 1.898907e-01 1.382737e+00 3.643448e-01 2.034929e+00 7.203734e-01
        3.402979e+00 1.717667e+00 5.594276e+00 2.217566e+00 8.052345e+00 3.187447e+00
        1.349045e+01 8.194898e+00 2.603825e+01 1.765210e+01 4.736823e+01 1.974319e+01
        6.559320e+01 2.783688e+01 1.087932e+02 4.482311e+01 1.477673e+02 5.598897e+01
        2.495341e+02 1.426485e+02 4.305999e+02 2.279833e+02 7.760206e+02 5.401335e+02
        1.935749e+03 1.775124e+03 2.143057e+03 9.743682e+02
"""
