"""Light of an image."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from numpyro_lens._types import Amplitude, Coordinates, Field, Parameter, Pixels
from numpyro_lens.light._base import AbstractLight
from numpyro_lens.numerics.safe import as_float


def _floating(image: Any) -> Any:
    """As JAX takes it: FITS files have another byte order, and perhaps whole numbers."""
    if not isinstance(image, np.ndarray):
        return image
    return image.astype(np.result_type(image.dtype, np.float32), copy=False)


class Interpolated(AbstractLight):
    r"""An image, :math:`I = \mathrm{amp}\; S(x'/\mathrm{scale},\, y'/\mathrm{scale})`.

    Positions x', y' are from the centre and turned by :math:`-\phi_G`; S is linear between the
    centres of four pixels, and falls to zero within one pixel outside of the image. It is
    continuous; its slope jumps from pixel to pixel, so a place that is sampled wants pixels smaller
    than the resolution of the data.

    Args:
        image: surface brightness [flux per arcsec²], (ny, nx), its first pixel at the lower left.
        amp: factor of it, scalar.
        scale: side of a pixel [arcsec], scalar, positive.
        phi_G: angle by which the image is turned counter-clockwise [radian], scalar.
        center_x, center_y: where the middle of the image lies [arcsec], scalars.

    Example:
        >>> import jax.numpy as jnp
        >>> light = Interpolated(image=jnp.array([[1.0, 2.0], [3.0, 4.0]]), amp=1.0, scale=0.1)
        >>> float(light.brightness(0.0, 0.0))
        2.5

    Reference: ``INTERPOL`` of lenstronomy, Birrer & Amara 2018, PDU 22, 189.
    """

    image: Pixels = eqx.field(converter=_floating)
    amp: Amplitude
    scale: Parameter
    phi_G: Parameter = 0.0
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        x, y = as_float((x - self.center_x) / self.scale, (y - self.center_y) / self.scale)
        cosine, sine = jnp.cos(self.phi_G), jnp.sin(self.phi_G)
        ny, nx = self.image.shape
        column = 0.5 * (nx - 1) + cosine * x + sine * y
        row = 0.5 * (ny - 1) + cosine * y - sine * x
        return self.amp * map_coordinates(self.image, [row, column], order=1)
