"""Values of a scene at which its image is not what they say: told when they are plain numbers."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens import light, mass
from numpyro_lens.numerics.ellipse import ELLIPTICITY_BOUND, ELLIPTICITY_KNEE
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Scene

#: fields that are the size of a light
_SIZES = ("R_sersic", "Rs", "sigma", "beta")
#: A Gaussian of this many samples has its flux to 3 %, wherever it lies among them.
_LEAST_SAMPLES = 0.5
_LEAST_INDEX = 0.36


def warn_of_limits(observation: Observation, scene: Scene) -> None:
    """Warn of lights smaller than a sub-pixel, of ellipticities that are bent, of Sersic indices.

    Values that are traced, as in a model, are left alone.

    Args:
        observation: the instrument.
        scene: planes of mass and light.

    Example:
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> warn_of_limits(instrument, nl.Scene.of(source=nl.light.Gaussian(amp=1.0, sigma=0.1)))
    """
    for plane in scene.planes:
        lights = () if plane.light is None else light.components(plane.light)
        masses = () if plane.mass is None else mass.components(plane.mass)
        for profile in (*masses, *lights):
            _warn_of_shape(profile)
        for profile in lights:
            _warn_of_size(profile, observation)


def warn_of_precision(*observations: Observation) -> None:
    """Warn of observations made in 32 bit where 64 bit was turned on since.

    Args:
        *observations: their arrays keep the precision that they were made in.

    Example:
        >>> import numpyro_lens as nl
        >>> warn_of_precision(nl.Observation.blank((8, 9), pixel_scale=0.1, noise=nl.NoiseMap(1.0)))
    """
    if any(each.image.dtype != jnp.result_type(float) for each in observations):
        warnings.warn(
            "An observation was made in another precision than JAX computes in now. Make it after "
            'jax.config.update("jax_enable_x64", True): its pixels keep the precision they had.',
            stacklevel=3,
        )


def _number(profile: Any, field: str) -> float | None:
    """The least value of a field, where it is plain numbers."""
    value = getattr(profile, field, None)
    if not isinstance(value, int | float | np.number | np.ndarray | jax.Array):
        return None
    return None if isinstance(value, jax.core.Tracer) else float(np.min(np.asarray(value)))


def _warn_of_size(profile: Any, observation: Observation) -> None:
    sizes = [(field, _number(profile, field)) for field in _SIZES]
    area = observation.pixel_area
    if isinstance(area, jax.core.Tracer) or isinstance(profile, light.Moffat):
        return
    side = float(area) ** 0.5 / observation.supersampling
    for field, size in sizes:
        if size is not None and size < _LEAST_SAMPLES * side:
            warnings.warn(
                f'{type(profile).__name__} with {field}={size:.3g}" is smaller than a sub-pixel of '
                f'{side:.3g}", which sees one point of it: where it lies decides its flux. Raise '
                "the supersampling of the observation.",
                stacklevel=4,
            )


def _warn_of_shape(profile: Any) -> None:
    name = type(profile).__name__
    e1, e2, index = (_number(profile, field) for field in ("e1", "e2", "n_sersic"))
    if e1 is not None and e2 is not None and np.hypot(e1, e2) > ELLIPTICITY_KNEE:
        warnings.warn(
            f"{name} has an ellipticity of {np.hypot(e1, e2):.3g}; beyond {ELLIPTICITY_KNEE} it is "
            f"bent towards {ELLIPTICITY_BOUND}, an axis ratio of 0.026. Use a smaller one.",
            stacklevel=4,
        )
    if index is not None and index < _LEAST_INDEX:
        warnings.warn(
            f"{name} has n_sersic={index:.3g}; below {_LEAST_INDEX} R_sersic is no half-light "
            "radius, since b_n = 1.9992 n - 0.3271 is no longer near it. Use a Gaussian or a core.",
            stacklevel=4,
        )
