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
    noise = observation.noise.sigma(jnp.zeros_like(observation.image))
    return jnp.maximum(peak, jnp.max(noise, where=observation.mask, initial=0.0)) / (
        observation.pixel_area
    )


def isophote(observation: Observation, radius: Array) -> Array:
    r"""Surface brightness of the isophotes that enclose the areas of circles, :math:`\pi r^2`.

    The pixels are counted from the brightest downwards, wherever they are, so that neither the
    centre of a galaxy nor its shape has to be known.

    Args:
        observation: the data.
        radius: of the circles [arcsec], (n,).

    Returns:
        (n,), positive [flux per arcsec²]: no less than the mean noise of a pixel.

    Example:
        >>> import jax.numpy as jnp, numpy as np, numpyro_lens as nl
        >>> image = np.array([[1.0, 2.0, 1.0], [2.0, 8.0, 2.0], [1.0, 2.0, 1.0]])
        >>> observation = nl.Observation(image, pixel_scale=1.0, noise=nl.NoiseMap(0.1))
        >>> isophote(observation, jnp.array([0.5, 1.0, 5.0])).tolist()
        [8.0, 2.0, 1.0]
    """
    used, num = observation.mask, jnp.sum(observation.mask)
    falling = jnp.sort(jnp.where(used, observation.image, -jnp.inf).reshape(-1), descending=True)
    enclosed = (jnp.pi * radius**2 / observation.pixel_area).astype(int)
    noise = jnp.broadcast_to(observation.noise.sigma(observation.image), used.shape)
    floor = jnp.sum(jnp.where(used, noise, 0.0)) / num
    return jnp.maximum(falling[jnp.clip(enclosed, 0, num - 1)], floor) / observation.pixel_area


def __dir__() -> list[str]:
    return own_names(globals())
