"""Fit a lens: the three steps of `infer`, with the map that uses the lens equation."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from numpyro_lens import infer
from numpyro_lens.density import Target
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.fitting.source_map import source_map
from numpyro_lens.infer.pipeline import check_settings
from numpyro_lens.limits import warn_of_precision
from numpyro_lens.models import observations
from numpyro_lens.observation import Observation


def fit(model: Callable, *args: Any, seed: int = 0, **settings: Any) -> LensFit:
    """Fit a lens model in one call: MAP, SVI, HMC.

    Args:
        model: NumPyro model function.
        *args: its arguments, usually the `Observation` of each image.
        seed: the same seed gives the same result.
        **settings: of `infer.fit_target`: ``start``, ``target_ess``, ``progress``, ``map``,
            ``svi``, ``hmc``, ``callback``, ``checkpoint``.

    Returns:
        The posterior, with ``.map``, ``.svi`` and ``.num_gradients``; its observations and scenes
        by the name of their site.

    Raises:
        ValueError: the model cannot be fitted, or no start reached a finite log density.
    """
    check_settings(model, settings)
    leaves = jax.tree.leaves(args, is_leaf=lambda leaf: isinstance(leaf, Observation))
    warn_of_precision(*(leaf for leaf in leaves if isinstance(leaf, Observation)))
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
        hmc: settings of the last step; ``make_map`` is `source_map` by default.
        callback: called with ``"map"``, ``"svi"`` or ``"hmc"`` and the result as each step ends.
        **settings: others of `infer.fit_target`.

    Returns:
        The posterior.
    """
    _warn_if_all_move(target)
    hmc = hmc or infer.HMC()
    if hmc.make_map is None:
        hmc = dataclasses.replace(hmc, make_map=source_map)

    def report(stage: str, result: Any) -> None:
        if callback is not None:
            callback(stage, LensFit.of(result) if stage == "hmc" else result)

    return LensFit.of(infer.fit_target(target, seed, hmc=hmc, callback=report, **settings))


def _warn_if_all_move(target: Target) -> None:
    moved = _moved(target)
    if moved and all(moved.values()):
        first = next(iter(moved))
        warnings.warn(
            f"Every image of this model is moved by its parameters ({', '.join(moved)}), so that "
            "a common offset cannot be told from the centres of all profiles. Leave one where it "
            f"is: nl.observe({first!r}, observation, ...) without observation.moved(...).",
            stacklevel=4,
        )


def _moved(target: Target) -> dict[str, bool]:
    """Whether the pixels of each observation depend on parameters: fixed offsets do not."""
    names: list[str] = []

    def look(z: jax.Array) -> list[jax.Array]:
        placed = observations(target.trace(z))
        names[:] = placed
        return [observation.x for observation in placed.values()]

    steps = jax.make_jaxpr(look)(jnp.zeros(target.dim)).jaxpr
    reached = set(map(id, steps.invars))
    for step in steps.eqns:
        if reached.intersection(map(id, step.invars)):
            reached.update(map(id, step.outvars))
    return dict(zip(names, (id(place) in reached for place in steps.outvars), strict=True))
