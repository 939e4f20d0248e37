"""Fit a lens: the three steps of `infer`, with what they may know of a lens."""

import dataclasses
from collections.abc import Callable
from typing import Any

from numpyro_lens import infer
from numpyro_lens.density import Target
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.fitting.source_map import source_map


def fit(model: Callable, *args: Any, seed: int = 0, **settings: Any) -> LensFit:
    """Fit a lens model in one call: MAP, SVI, HMC.

    Args:
        model: NumPyro model function.
        *args: its arguments, usually the `Observation` of each image.
        seed: the same seed gives the same result.
        **settings: of `infer.fit_target`: ``target_ess``, ``progress``, ``map``, ``svi``, ``hmc``,
            ``callback``, ``checkpoint``.

    Returns:
        The posterior, with ``.map``, ``.svi`` and ``.num_gradients``; its observations and scenes
        by the name of their site.

    Raises:
        ValueError: the model cannot be fitted, or no start reached a finite log density.
    """
    return fit_target(Target.of(model, *args), seed, **settings)


def fit_target(
    target: Target,
    seed: int = 0,
    *,
    hmc: infer.HMC | None = None,
    callback: Callable[[str, Any], None] | None = None,
    **settings: Any,
) -> LensFit:
    """`fit` of a target.

    Args:
        target: the density.
        seed: the same seed gives the same result.
        hmc: settings of the last step; its chains begin with `source_map` unless told otherwise.
        callback: called with ``"map"``, ``"svi"`` or ``"hmc"`` and the result as each step ends.
        **settings: others of `infer.fit_target`.

    Returns:
        The posterior.
    """
    hmc = hmc or infer.HMC()
    if hmc.make_map is None:
        hmc = dataclasses.replace(hmc, make_map=source_map)

    def report(stage: str, result: Any) -> None:
        if callback is not None:
            callback(stage, LensFit.of(result) if stage == "hmc" else result)

    return LensFit.of(infer.fit_target(target, seed, hmc=hmc, callback=report, **settings))
