"""Array types of the package, written once."""

from typing import TypeAlias

from jaxtyping import Array as Array
from jaxtyping import Bool, Float

Scalar: TypeAlias = Float[Array, ""] | float
"""A parameter: a Python number or a zero-dimensional array."""

Vector: TypeAlias = Float[Array, " num"]
"""Several parameters of one kind."""

Coordinates: TypeAlias = Float[Array, "..."] | float
"""Positions along one axis [arcsec], any shape; x and y share it."""

Field: TypeAlias = Float[Array, "..."]
"""A quantity evaluated at every position, shaped like the positions."""

Image: TypeAlias = Float[Array, "ny nx"]
"""An image, indexed ``image[y, x]``."""

Mask: TypeAlias = Bool[Array, "ny nx"]
"""Pixels in use: True uses the pixel."""

Matrix: TypeAlias = Float[Array, "2 2"]
"""Pixel steps to arcsec, ``(x, y) = matrix @ (column, row)``."""

Kernel: TypeAlias = Float[Array, "ky kx"]
"""A point spread function, odd-sized, summing to one."""
