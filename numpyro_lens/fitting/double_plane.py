"""Fit a lens with two sources at different distances, from one source to two."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import AnyArray, ArrayLike
from numpyro_lens.density import Target
from numpyro_lens.fitting.pipeline import fit
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.fitting.search import best_values, check_no_start, with_search
from numpyro_lens.infer import MAP
from numpyro_lens.models import Data, double_source_plane, epl_shear_sersic

#: Ratios of the distances that are tried where they are not given.
_RATIOS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def fit_double_source_plane(
    observation: Data,
    scaling: ArrayLike | None = None,
    seed: int = 0,
    *,
    progress: bool = True,
    **settings: Any,
) -> LensFit:
    """Fit `models.double_source_plane` to an image, with nothing known of the lens.

    1. A search for `models.epl_shear_sersic`, a lens with one source, which finds the brighter
       ring.
    2. A fit of `models.double_source_plane` from there, where that source is the nearer or the
       farther one, and the slope of the lens that found or isothermal. The Einstein radius of the
       lens for the nearer source is ``scaling[0, 1]`` times that for the farther one, and that
       number is tried from 0.4 to 0.9 unless it is given.

    Args:
        observation: the data, or those of each band by its name.
        scaling: of the three planes, (3, 3); by default the ratio of the distances is sampled.
        seed: the same seed gives the same result.
        progress: draw progress bars.
        **settings: of `fit` for the last step.

    Returns:
        The posterior; ``result.num_gradients["search"]`` are those of the first step.

    Raises:
        TypeError: ``start`` is given.
        ValueError: ``scaling`` has another shape, or no start reached a finite log density.

    Example:
        >>> fit = nl.fit_double_source_plane(observation)  # doctest: +SKIP
        >>> fit.samples["scaling"].mean()  # doctest: +SKIP
        0.711
    """
    check_no_start(settings, "fit_double_source_plane", "double_source_plane")
    _check_scaling(scaling)
    target = Target.of(epl_shear_sersic, observation)
    stage = MAP(num_polished=0, max_searches=2)
    found = stage.run(target, jax.random.key(seed), progress=progress)
    start = list(_two_sources(best_values(found), scaling))
    # The other source is somewhere: a draw costs less than a hundredth of what a start does.
    settings.setdefault("map", MAP(num_screened=12_000))
    args = (observation,) if scaling is None else (observation, scaling)
    settings |= {"seed": seed, "start": start, "progress": progress}
    return with_search(fit(double_source_plane, *args, **settings), found)


def _check_scaling(scaling: ArrayLike | None) -> None:
    if scaling is not None and np.shape(scaling) != (3, 3):
        raise ValueError(
            f"`scaling` of three planes has the shape (3, 3); got {np.shape(scaling)}. Write "
            "nl.cosmology.scaling([z_lens, z_near, z_far], cosmology), or leave it out to sample "
            "the ratio of the distances."
        )


def _two_sources(
    one: Mapping[str, AnyArray], scaling: ArrayLike | None
) -> Iterator[dict[str, Any]]:
    """Starts in which the source of a fit is the nearer one, and those where it is the farther.

    The slope fitted to two rings, of which one has no source, may be far off.
    """
    ratios = jnp.asarray(_RATIOS) if scaling is None else jnp.asarray(scaling)[0, 1][None]
    slopes = jnp.stack([one["lens.gamma"], 2.0])
    for ratio, gamma in itertools.product(ratios, slopes):
        sampled = {"lens.gamma": gamma} | ({"scaling": ratio} if scaling is None else {})
        for role, theta_E in (("near", one["lens.theta_E"] / ratio), ("far", one["lens.theta_E"])):
            values = {_renamed(name, role): value for name, value in one.items()}
            yield values | {"lens.theta_E": theta_E} | sampled


def _renamed(name: str, role: str) -> str:
    """The site of a source in a model with two: ``source.amp``, or ``VIS.source.amp`` of a band."""
    return re.sub(r"(^|\.)source\.", rf"\g<1>{role}.", name)
