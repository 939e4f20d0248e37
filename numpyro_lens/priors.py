"""Distributions for lensing."""

import jax.numpy as jnp
import numpyro.distributions as dist

from numpyro_lens._completion import own_names
from numpyro_lens._types import Array
from numpyro_lens.observation import Observation


def amplitude(
    observation: Observation, fraction: float = 0.1, sigma: float = 2.0
) -> dist.LogNormal:
    r"""Prior of a Sersic ``amp`` in the units of an image.

    .. math:: \ln \mathrm{amp} \sim N(\ln(f\, I_{max}), \sigma)

    with :math:`I_{max}` the brightest pixel inside the mask, as a surface brightness. Units differ
    between images by orders of magnitude; only the unit is taken from the data, since ``sigma`` is
    wide.

    Args:
        observation: sets the unit.
        fraction: median of the prior, as a fraction of the brightest pixel.
        sigma: width of the logarithm; 2 is a factor of 7.

    Returns:
        A NumPyro distribution of a scalar [flux per arcsec²].

    Example:
        >>> import numpy as np, numpyro_lens as nl
        >>> observation = nl.Observation(
        ...     np.ones((5, 5)), pixel_scale=0.1, noise=nl.PoissonNoise(0.1, 100.0))
        >>> round(float(amplitude(observation).loc), 3)
        2.303
    """
    return dist.LogNormal(jnp.log(fraction * brightest(observation)), sigma)


def sky(observation: Observation, fraction: float = 0.1) -> dist.Normal:
    r"""Prior of a uniform background that was not, or not quite, subtracted.

    .. math:: \mathrm{amp} \sim N(0, f\, I_{max})

    Args:
        observation: sets the unit.
        fraction: width of the prior, as a fraction of the brightest pixel.

    Returns:
        A NumPyro distribution of a scalar [flux per arcsec²].

    Example:
        >>> import numpy as np, numpyro_lens as nl
        >>> observation = nl.Observation(np.ones((5, 5)), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> round(float(sky(observation).scale), 3)
        10.0
    """
    return dist.Normal(0.0, fraction * brightest(observation))


def brightest(observation: Observation) -> Array:
    """Surface brightness of the brightest pixel in use; of an image without light, its noise.

    Args:
        observation: the data.

    Returns:
        Positive scalar [flux per arcsec²].

    Example:
        >>> import numpy as np, numpyro_lens as nl
        >>> observation = nl.Observation(np.ones((5, 5)), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> round(float(brightest(observation)), 3)
        100.0
    """
    peak = jnp.max(jnp.where(observation.mask, observation.image, 0.0))
    noise = jnp.max(observation.noise.sigma(jnp.zeros_like(observation.image)))
    return jnp.maximum(peak, noise) / observation.pixel_area


def __dir__() -> list[str]:
    return own_names(globals())
