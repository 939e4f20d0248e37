"""Light that does not depend on the position."""

import jax.numpy as jnp

from numpyro_lens._types import Amplitude, Coordinates, Field
from numpyro_lens.light._base import AbstractLight


class Uniform(AbstractLight):
    r"""Uniform surface brightness, :math:`I = \mathrm{amp}`: a residual sky.

    Args:
        amp: surface brightness [flux per arcsec²], scalar.

    Example:
        >>> Uniform(amp=0.5).brightness(1.0, 2.0)
        Array(0.5, dtype=float32)
    """

    amp: Amplitude

    def brightness(self, x: Coordinates, y: Coordinates) -> Field:
        return self.amp * jnp.ones_like(x + y, dtype=jnp.result_type(float))
