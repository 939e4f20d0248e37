"""Fit a galaxy lensed by a galaxy, from simple light to a free-form source."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax

from numpyro_lens.density import Target
from numpyro_lens.fitting.pipeline import fit
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.fitting.search import best_values, check_no_start, with_search
from numpyro_lens.infer import HMC, MAP, MAPResult
from numpyro_lens.models import Data, galaxy, galaxy_sersic, galaxy_unlensed
from numpyro_lens.observation import Observation
from numpyro_lens.pixels import binned, coarsened, cutout
from numpyro_lens.sampler import CrossChain

#: Pixels of the image that the first search looks at, at most.
_MAX_PIXELS = 12_000


def fit_galaxy(
    observation: Data, seed: int = 0, *, progress: bool = True, **settings: Any
) -> LensFit:
    """Fit `models.galaxy` to an image, with nothing known of the lens.

    1. A search for `galaxy_unlensed`, the light of the lens alone, on the whole image, whose pixels
       are summed in squares where there are many, with a PSF of one sample for each sum.
    2. A search for `galaxy_sersic` there: from that light, and of many prior draws of mass and
       source those from which the image is most probable.
    3. The image is cut out at twice the Einstein radius.
    4. A fit of `galaxy` there, that starts from the best ends of the search.

    The verdict doubts a result that few galaxies have, such as a shear of 0.3.

    Args:
        observation: the data, or those of each band by its name; the lens is near the centre.
        seed: the same seed gives the same result.
        progress: draw progress bars.
        **settings: of `fit` for the last step.

    Returns:
        The posterior; ``result.observations["image"]`` is the cutout, and
        ``result.num_gradients["search"]`` are those of the first two steps.

    Raises:
        TypeError: ``start`` is given.
        ValueError: no start reached a finite log density.
    """
    check_no_start(settings, "fit_galaxy", "galaxy")
    found = search_galaxy(observation, seed, progress=progress)
    radius, center = field_of(found)
    part = _each(observation, lambda band: cutout(band, radius, center))
    # A gradient takes many times as long as that of one Sersic (benchmarks/free_form.py).
    settings.setdefault("map", MAP(num_starts=8, num_screened=64, num_steps=150))
    # The Gaussian is further from the posterior than where the source is simple.
    kernel = CrossChain(metric_updates=(0.3, 0.6, 0.8))
    settings.setdefault("hmc", HMC(kernel=kernel, num_burnin_steps=150, num_results=300))
    result = fit(galaxy, part, seed=seed, start=found, progress=progress, **settings)
    return with_search(result, found)


def search_galaxy(observation: Data, seed: int = 0, *, progress: bool = True) -> MAPResult:
    """The first two steps of `fit_galaxy`.

    Args:
        observation: the data.
        seed: the same seed gives the same result.
        progress: draw a progress bar.

    Returns:
        The ends of the search, best basin first.

    Example:
        >>> search_galaxy(observation).basins[0].log_density  # doctest: +SKIP
        23562.6
    """
    small = _each(observation, _of_few_pixels)
    key_light, key = jax.random.split(jax.random.key(seed))
    # Draws are screened with the light in its place: without it its ellipticity decides the rank.
    stage = MAP(num_starts=8, num_screened=64, num_steps=100, max_searches=1, num_polished=0)
    light = stage.run(Target.of(galaxy_unlensed, small), key_light, progress=progress)
    stage = MAP(num_starts=32, num_screened=1000, max_searches=1, num_polished=0)
    target = Target.of(galaxy_sersic, small)
    found = stage.run(target, key, start=best_values(light), progress=progress)
    gradients = {f"light_{stage}": num for stage, num in light.num_gradients.items()}
    timing = {name: found.timing[name] + light.timing[name] for name in found.timing}
    return dataclasses.replace(found, num_gradients=gradients | found.num_gradients, timing=timing)


def field_of(found: MAPResult) -> tuple[float, tuple[float, float]]:
    """Radius and centre [arcsec] of the part of the image that the lens concerns.

    Twice the Einstein radius, and at least 1 arcsec more than it, around the light of the lens.
    """
    best = best_values(found)
    theta_E = float(best["lens.theta_E"])
    center = float(best["lens_light.center_x"]), float(best["lens_light.center_y"])
    return max(2.0 * theta_E, theta_E + 1.0), center


def _of_few_pixels(observation: Observation) -> Observation:
    factor = math.ceil(math.sqrt(observation.image.size / _MAX_PIXELS))
    return observation if factor == 1 else coarsened(binned(observation, factor))


def _each(data: Data, function: Callable[[Observation], Observation]) -> Data:
    if isinstance(data, Observation):
        return function(data)
    return {name: function(band) for name, band in data.items()}
