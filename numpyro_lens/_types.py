"""Array types of the package, written once."""

from typing import TYPE_CHECKING, TypeAlias

import equinox as eqx
import numpy as np
import numpy.typing as npt
from jaxtyping import Array as Array
from jaxtyping import Bool, Float

if TYPE_CHECKING:
    # For NumPy's stubs the product of its array and one of jax is NumPy's; it is jax's.
    _Number: TypeAlias = Array | float
    _Numbers: TypeAlias = Array | float
    _Several: TypeAlias = Array
    _Pixels: TypeAlias = Array
    _Either: TypeAlias = Array
    _Given: TypeAlias = npt.ArrayLike
    _ArrayLike: TypeAlias = npt.ArrayLike
    # The `Linear` that stands for an amplitude defines the arithmetic of one, to say what it is.
    _Amplitude: TypeAlias = Array | float
    _Amplitudes: TypeAlias = Array
else:
    _Number = Float[Array | np.ndarray, ""] | np.floating | float | int
    _Numbers = Float[Array | np.ndarray, "..."] | np.floating | float | int
    _Several = Float[Array | np.ndarray, " num"]
    _Pixels = Float[Array | np.ndarray, "ny nx"]
    _Either = Array | np.ndarray
    _Given = _Number | _Pixels
    # NumPy writes that an int is a float, and a float complex.
    _ArrayLike = npt.ArrayLike | Array | np.generic | float | int | list | tuple
    _Amplitude = _Numbers | eqx.Module
    _Amplitudes = _Several | eqx.Module

Scalar: TypeAlias = _Number
"""A number: of Python, of NumPy, or an array without dimensions."""

Vector: TypeAlias = _Several
"""Several parameters of one kind."""

Parameter: TypeAlias = _Numbers
"""A field of a profile: a number, or in a `mass.Population` one for each of its members."""

Amplitude: TypeAlias = _Amplitude
"""The linear field of a light: a number, or the `numpyro_lens.Linear` that stands for one."""

Amplitudes: TypeAlias = _Amplitudes
"""The same, of a light with several."""

Coordinates: TypeAlias = _Numbers
"""Positions along one axis [arcsec], any shape; x and y share it."""

Field: TypeAlias = Float[Array, "..."]
"""A quantity evaluated at every position, shaped like the positions."""

Image: TypeAlias = Float[Array, "ny nx"]
"""An image, indexed ``image[y, x]``."""

Pixels: TypeAlias = _Pixels
"""An image, also one of NumPy."""

GivenPixels: TypeAlias = _Given
"""What a user gives for all pixels: one number, or an image."""

ArrayLike: TypeAlias = _ArrayLike
"""Whatever NumPy makes an array of."""

AnyArray: TypeAlias = _Either
"""An array of JAX, or one that has been taken off the devices."""

Scaling: TypeAlias = _Either
"""Of the deflections between planes, see `numpyro_lens.Scene`."""

Mask: TypeAlias = Bool[Array, "ny nx"]
"""Pixels in use: True uses the pixel."""

Matrix: TypeAlias = Float[Array, "2 2"]
"""Pixel steps to arcsec, ``(x, y) = matrix @ (column, row)``."""

Kernel: TypeAlias = Float[Array, "ky kx"]
"""A point spread function, odd-sized, summing to one."""
