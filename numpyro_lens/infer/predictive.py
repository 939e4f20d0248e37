"""Data that a model predicts before it has seen any."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target, map_batch, observed_sites


def prior_predictive(
    model: Callable, *args: Any, num: int = 100, seed: int = 0
) -> dict[str, np.ndarray]:
    """Replicates of the data with all parameters drawn from their priors, noise included.

    NumPyro's own ``Predictive`` gives back the data at an observed site: they are given.

    Args:
        model: NumPyro model function.
        *args: its arguments, the data among them; only their shapes and noise matter.
        num: number of draws.
        seed: the same seed gives the same draws.

    Returns:
        An array ``(num, ...)`` for each observed site and each latent one, by name.

    Raises:
        ValueError: the model cannot be fitted.

    Example:
        >>> image = nl.Observation.blank((6, 7), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> draws = nl.prior_predictive(nl.models.epl_shear_sersic, image, num=3)
        >>> draws["image"].shape, draws["lens.theta_E"].shape
        ((3, 6, 7), (3,))
    """
    target = Target.of(model, *args)
    keys = jax.random.split(jax.random.key(seed), num)
    return {name: np.asarray(value) for name, value in _drawn(target, keys).items()}


@jax.jit
def _drawn(target: Target, keys: AnyArray) -> dict[str, AnyArray]:
    def one(key: AnyArray, target: Target) -> dict[str, AnyArray]:
        key_prior, key_data = jax.random.split(key)
        z = target.prior_draw(key_prior)
        sites = observed_sites(target.trace(z))
        data = {
            name: site["fn"].sample(jax.random.fold_in(key_data, index))
            for index, (name, site) in enumerate(sites.items())
        }
        return target.constrain(z) | data

    return map_batch(one, keys, target)
