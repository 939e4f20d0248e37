"""Noise of the pixels: anything with ``variance(model)`` and ``sigma(model)``."""

import abc
from typing import cast

import equinox as eqx
import jax.numpy as jnp

from numpyro_lens._completion import own_names
from numpyro_lens._types import GivenPixels, Image, Pixels, Scalar


class AbstractNoise(eqx.Module):
    """Independent normal noise of each pixel; the contract is one method, `variance`."""

    @abc.abstractmethod
    def variance(self, model_image: Pixels) -> Image:
        """Variance of each pixel.

        Args:
            model_image: noise-free image, in the units of the data.

        Returns:
            Variance [units squared], shaped like the image.
        """

    def sigma(self, model_image: Pixels) -> Image:
        """Standard deviation of each pixel.

        Args:
            model_image: noise-free image, in the units of the data.

        Returns:
            Standard deviation [units], shaped like the image.
        """
        return jnp.sqrt(self.variance(model_image))


class PoissonNoise(AbstractNoise):
    r"""Background and photon noise, :math:`\sigma^2 = \sigma_{bkg}^2 + \max(I, 0) / t`.

    Args:
        background_rms: standard deviation of the background [units of the data], positive.
        exposure_time: exposure time, or more generally the inverse of the gain [counts per unit of
            the data], a number or a ``(ny, nx)`` map, positive.

    Example:
        >>> import jax.numpy as jnp
        >>> PoissonNoise(background_rms=3.0, exposure_time=100.0).sigma(jnp.array([[1600.0, -5.0]]))
        Array([[5., 3.]], dtype=float32)
    """

    background_rms: Scalar | Pixels
    exposure_time: Scalar | Pixels

    def variance(self, model_image: Pixels) -> Image:
        """Background variance and photon variance of the model."""
        # A negative model is no light, not a negative variance.
        return self.background_rms**2 + jnp.maximum(model_image, 0.0) / self.exposure_time


class NoiseMap(AbstractNoise):
    """Noise of known standard deviation.

    Args:
        sigma_map: standard deviation [units of the data], a number or a ``(ny, nx)`` map, positive.

    Example:
        >>> import jax.numpy as jnp
        >>> NoiseMap(2.0).variance(jnp.zeros((1, 2)))
        Array([[4., 4.]], dtype=float32)
    """

    sigma_map: Scalar | Pixels

    def __init__(self, sigma: GivenPixels) -> None:
        self.sigma_map = cast("Pixels", sigma)

    def variance(self, model_image: Pixels) -> Image:
        """Variance as given, whatever the model."""
        return self.sigma_map**2 + jnp.zeros_like(model_image)


def __dir__() -> list[str]:
    return own_names(globals())
