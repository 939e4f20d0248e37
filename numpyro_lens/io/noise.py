"""Noise from any of the maps that pipelines write, and a look at whether it can be right."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from astropy import units

from numpyro_lens.io.companions import Map, in_unit, plain_number
from numpyro_lens.io.extensions import as_option
from numpyro_lens.io.sky import Window
from numpyro_lens.noise import AbstractNoise, NoiseMap, PoissonNoise
from numpyro_lens.observation import Observation

_MAPS = ("noise", "weight", "variance")
_PHOTONS = ("exposure", "background_rms", "exposure_time")
#: times the stated noise that neighbouring pixels may scatter before it is called wrong
_SCATTER = 5.0
#: A noise of so many times the median says that a pixel holds no data.
_NO_DATA = 1e6


def check_noise_choice(given: Mapping[str, Any]) -> None:
    """Check that the noise is given in one way.

    Args:
        given: what the user gave, by the names of the arguments.

    Raises:
        ValueError: it is given twice.
    """
    maps, photons = (
        [name for name in names if given.get(name) is not None] for names in (_MAPS, _PHOTONS)
    )
    if len(maps) + bool(photons) > 1:
        raise ValueError(
            "the noise is given once: noise (standard deviations), weight (inverse variances) or "
            "variance, or background_rms with exposure or exposure_time; got "
            f"{' and '.join(maps + photons)}. Leave out all but one."
        )
    if given.get("exposure") is not None and given.get("exposure_time") is not None:
        raise ValueError("give exposure or exposure_time, not both.")


def noise_of(
    maps: Mapping[str, Map | None],
    unit: Any,
    background_rms: Any,
    exposure_time: Any,
    window: Window,
) -> tuple[AbstractNoise, np.ndarray]:
    """The noise of a cutout, and where it is known.

    Args:
        maps: the companions by the names of their arguments.
        unit: of the image; None where it has none.
        background_rms, exposure_time: as for `read_fits`.
        window: rows and columns of the cutout.

    Returns:
        The noise, and a mask which is False in pixels without a positive, finite one.

    Raises:
        ValueError: no noise is given, or it is nowhere positive.
    """
    for option in _MAPS:
        if (given := maps[option]) is not None:
            return _from_map(option, given, unit, window)
    background = plain_number("background_rms", background_rms, unit)
    time = plain_number("exposure_time", exposure_time, units.s)
    exposure = maps["exposure"]
    if background is None:
        raise ValueError(
            f"the noise is unknown. Give {as_option('noise')}, a map of its standard deviation, "
            f"{as_option('weight')}, {as_option('variance')}, or {as_option('background_rms')} "
            f"with {as_option('exposure')} or {as_option('exposure_time')}."
        )
    if exposure is not None:
        times = in_unit("exposure", exposure, units.s)[window]
        known = _positive("exposure", times)
        return PoissonNoise(background, jnp.asarray(np.where(known, times, 1.0))), known
    if time is None:
        raise ValueError(
            f"the exposure time is unknown. Give {as_option('exposure')} or "
            f"{as_option('exposure_time')} (inf: background noise only)."
        )
    everywhere = np.ones((window[0].stop - window[0].start, window[1].stop - window[1].start), bool)
    return NoiseMap(background) if math.isinf(time) else PoissonNoise(background, time), everywhere


def _from_map(
    option: str, given: Map, unit: Any, window: Window
) -> tuple[AbstractNoise, np.ndarray]:
    r"""Standard deviations of ``given``: as they are, :math:`w^{-1/2}`, or :math:`v^{1/2}`."""
    power = {"noise": 1, "weight": -2, "variance": 2}[option]
    values = in_unit(option, given, None if unit is None else unit**power)[window]
    # squares of faint fluxes do not fit in 32 bit
    values = values.astype(float)
    known = _positive(option, values)
    # a pixel out of use still enters the arithmetic
    sigma = np.where(known, values, 1.0) ** (1 / power)
    # some surveys mark pixels without data by an enormous noise
    known &= sigma < _NO_DATA * np.median(sigma[known])
    return NoiseMap(np.where(known, sigma, 1.0)), known


def _positive(option: str, values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values) & (values > 0)
    if not known.any():
        raise ValueError(
            f"{option} must be positive in some pixel; it is zero, negative or not finite in all "
            f"{values.size} of the cutout. Give another map or another cutout."
        )
    return known


def warn_of_wrong_noise(observation: Observation) -> None:
    """Warn where the noise cannot be that of the image, as when weights are given as noise.

    Args:
        observation: the image, its noise, and which pixels are used.
    """
    image, used = np.asarray(observation.image), np.asarray(observation.mask)
    if not image.any():  # zeros are an instrument without data
        return
    sigma = np.asarray(observation.noise.sigma(observation.image))
    peak = float(np.max(image[used] / sigma[used]))
    asked = "Is it a map of standard deviations in the unit of the image?"
    if peak < 1:
        warnings.warn(
            f"no pixel is above the noise: the brightest is {peak:.2g} times it. {asked} "
            "Inverse variances are weight=, variances variance=.",
            stacklevel=2,
        )
    scatter = _scatter(image, sigma, used)
    if scatter > _SCATTER:
        warnings.warn(
            f"neighbouring pixels scatter by {scatter:.2g} times the noise. {asked} "
            "Inverse variances are weight=, variances variance=.",
            stacklevel=2,
        )


def _scatter(image: np.ndarray, sigma: np.ndarray, used: np.ndarray) -> float:
    """Scatter of second differences along rows over what the noise makes of them; robust."""
    inside = used[:, :-2] & used[:, 1:-1] & used[:, 2:]
    if not inside.any():
        return 0.0
    difference = image[:, :-2] - 2 * image[:, 1:-1] + image[:, 2:]
    expected = np.sqrt(sigma[:, :-2] ** 2 + 4 * sigma[:, 1:-1] ** 2 + sigma[:, 2:] ** 2)
    # 1.4826 times the median of its modulus is the standard deviation of a normal variable
    return float(1.4826 * np.median(np.abs(difference / expected)[inside]))
