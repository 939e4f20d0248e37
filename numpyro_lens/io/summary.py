"""What was read, in words and numbers, before anything is fitted."""

import numpy as np

from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF


def describe(observation: Observation) -> str:
    """What an observation holds, one line each for pixels, values, noise, PSF and model.

    Args:
        observation: the data.

    Returns:
        Text of several lines.

    Example:
        >>> import numpyro_lens as nl
        >>> data = nl.Observation(np.eye(5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> print(describe(data))
        pixels  5 x 5 of 0.1", x right, y up; 25 fitted
        values  0 to 1, brightest at S/N 10; 5 pixels above S/N 3
        noise   NoiseMap, sigma 0.1
        PSF     none
        model   2² sub-pixels for each pixel
    """
    lines = {
        "pixels": _pixels(observation),
        "sky": _sky(observation),
        "values": _values(observation),
        "noise": _noise(observation),
        "PSF": _psf(observation.psf, float(observation.pixel_area) ** 0.5),
        "model": f"{observation.supersampling}² sub-pixels for each pixel",
    }
    return "\n".join(f"{name:7} {text}" for name, text in lines.items() if text)


def _pixels(observation: Observation) -> str:
    (a, b), (c, d) = np.asarray(observation.transform_pix2angle, dtype=float)
    ny, nx = observation.shape
    turned = np.degrees(np.arctan2(-b, d))
    tilt = f", turned by {turned:.1f} degrees" if abs(turned) > 0.05 else ""
    east = "x left" if a * d - b * c < 0 else "x right"
    return (
        f'{nx} x {ny} of {float(observation.pixel_area) ** 0.5:.4g}", {east}, y up{tilt}; '
        f"{int(observation.mask.sum())} fitted"
    )


def _sky(observation: Observation) -> str:
    if observation.sky_position is None:
        return ""
    ra, dec = observation.sky_position
    return f"centre at right ascension {ra:.6f}, declination {dec:.6f} degrees; x is East, y North"


def _values(observation: Observation) -> str:
    used = np.asarray(observation.mask)
    image = np.asarray(observation.image)[used]
    ratio = image / np.asarray(observation.noise.sigma(observation.image))[used]
    return (
        f"{image.min():.4g} to {image.max():.4g}, brightest at S/N {ratio.max():.3g}; "
        f"{int(np.sum(ratio > 3))} pixels above S/N 3"
    )


def _noise(observation: Observation) -> str:
    used = np.asarray(observation.mask)
    sigma = np.asarray(observation.noise.sigma(observation.image))[used]
    low, middle, high = np.quantile(sigma, [0.0, 0.5, 1.0])
    spread = f"{middle:.4g}" if low == high else f"{low:.4g} to {high:.4g}, median {middle:.4g}"
    return f"{type(observation.noise).__name__}, sigma {spread}"


def _psf(psf: PSF | None, pixel: float) -> str:
    if psf is None:
        return "none"
    kernel = np.asarray(psf.kernel)
    # of the disc that has the area above half of the peak
    width = 2 * np.sqrt(np.sum(kernel >= 0.5 * kernel.max()) / np.pi) * pixel / psf.sampling
    size = " x ".join(map(str, kernel.shape[::-1]))
    each = f"{psf.sampling} for each pixel side"
    return f'{size} samples, {each}, full width at half maximum {width:.2g}"'
