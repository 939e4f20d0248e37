"""The three steps, MAP, SVI and HMC, one after the other."""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import numpy as np

from numpyro_lens._types import AnyArray, ArrayLike
from numpyro_lens.density import Target
from numpyro_lens.infer import hmc as hmc_stage
from numpyro_lens.infer import map as map_stage
from numpyro_lens.infer import svi as svi_stage
from numpyro_lens.infer.checkpoint import kept
from numpyro_lens.infer.fingerprint import digest, fingerprint, plain, stage_fingerprint
from numpyro_lens.infer.memory import forget_compiled
from numpyro_lens.infer.posterior import HMCResult
from numpyro_lens.infer.precision import check_precision
from numpyro_lens.infer.start import Start, is_named, starts_from

#: How far [nats] a draw may lie above the MAP before the fit begins again from there.
_ABOVE_MAP = 10.0
#: The same where the chains are apart. Draws from a mode lie below it, by rounding at most above.
_ABOVE_MAP_APART = 1.0
#: Fits of one call at most.
_MAX_FITS = 3


def fit_target(
    target: Target,
    seed: int = 0,
    *,
    start: ArrayLike | Start | None = None,
    target_ess: float | int | None = None,
    progress: bool = True,
    map: map_stage.MAP | None = None,
    svi: svi_stage.SVI | None = None,
    hmc: hmc_stage.HMC | None = None,
    callback: Callable[[str, Any], None] | None = None,
    checkpoint: str | PathLike | None = None,
) -> HMCResult:
    """Run the three steps.

    Where a draw, or a transition of burn-in, has a log density more than 10 above that of the MAP,
    the search has missed the highest mode: the three steps begin again from where the chains are,
    at most twice. Where chains disagree, 1 is enough.

    Args:
        target: the density.
        seed: the same seed gives the same result.
        start: the result of an earlier fit or search, perhaps of another model, or values of sites
            by name, or a list of such values. The search starts from these for the sites that both
            have, and from the prior for the others. Or unconstrained vectors (n, d), each a start
            as it is.
        target_ess: smallest bulk and tail effective sample size to draw; by default as many as the
            verdict asks for.
        progress: draw progress bars.
        map, svi, hmc: settings of each step.
        callback: called with ``"map"``, ``"svi"`` or ``"hmc"`` and the result as each step ends.
        checkpoint: folder to which every stage and every block of draws is written. Called again
            with the same folder, the fit continues where it was, or adds draws when more are asked
            for.

    Returns:
        The posterior, with ``.map`` and ``.svi``.

    Raises:
        ValueError: the checkpoint belongs to another fit, or ``start`` does not fit the model.
    """
    forget_compiled()
    map, svi, hmc = map or map_stage.MAP(), svi or svi_stage.SVI(), hmc or hmc_stage.HMC()
    if target_ess is not None:
        hmc = dataclasses.replace(hmc, target_ess=target_ess)
    callback = callback or (lambda _stage, _result: None)
    steps = _Steps(target, map, svi, hmc, progress, callback)
    result = _of_highest(steps, jax.random.key(_checked_seed(seed)), start, checkpoint)
    settings = {name: plain(stage) for name, stage in (("map", map), ("svi", svi), ("hmc", hmc))}
    result = dataclasses.replace(result, seed=seed, settings=settings)
    callback("hmc", result)
    return result


@dataclass(frozen=True)
class _Steps:
    """The three steps, with all that is the same each time that they run."""

    target: Target
    map: map_stage.MAP
    svi: svi_stage.SVI
    hmc: hmc_stage.HMC
    progress: bool
    callback: Callable[[str, Any], None]

    def run(
        self,
        key: AnyArray,
        start: ArrayLike | Start | None,
        checkpoint: str | PathLike | None,
        may_stop: bool,
    ) -> HMCResult:
        """The three steps; the last one may stop where a draw is above the MAP."""
        keys = jax.random.split(key, 3)
        keep = _Keep(self.target, checkpoint, self.callback, start)
        best = keep("map", self.map, keys[0], {"start": start, "progress": self.progress})
        tril = map_stage.laplace_scale_tril(best.hessian)
        check_precision(self.target, best.best, tril)
        begin = {"start": best.best, "scale_tril": tril, "progress": self.progress}
        gaussian = keep("svi", self.svi, keys[1], begin)
        highest = best.basins[0].log_density if may_stop else np.inf
        return self.hmc.run(
            self.target,
            keys[2],
            svi=gaussian,
            map=best,
            progress=self.progress,
            checkpoint=checkpoint,
            stop_above=highest + _ABOVE_MAP,
            stop_apart_above=highest + _ABOVE_MAP_APART,
        )


def _of_highest(
    steps: _Steps,
    key: AnyArray,
    start: ArrayLike | Start | None,
    checkpoint: str | PathLike | None,
) -> HMCResult:
    """A fit, begun again where its draws lie above its MAP: the search had missed a mode."""
    result = steps.run(key, start, checkpoint, may_stop=True)
    for number in range(1, _MAX_FITS):
        if not _has_missed_a_mode(result, steps.hmc.num_results):
            break
        folder = None if checkpoint is None else Path(checkpoint) / f"again_{number}"
        may_stop = number + 1 < _MAX_FITS
        # Not one of the keys that the first fit splits its own into.
        again = steps.run(jax.random.fold_in(key, 3 + number), result.z[:, -1], folder, may_stop)
        result = _with_costs_of(result, again)
    return result


def _has_missed_a_mode(result: HMCResult, num_results: int) -> bool:
    """Whether the chains have found a higher mode than the search."""
    best = np.inf if result.map is None else result.map.basins[0].log_density
    above = result.log_density.max() - best
    if above > _ABOVE_MAP:
        return True
    enough = result.z.shape[1] >= num_results
    return bool(above > _ABOVE_MAP_APART and enough and hmc_stage.apart(result.z))


def _with_costs_of(earlier: HMCResult, result: HMCResult) -> HMCResult:
    """The result, with the gradients and the seconds of an earlier fit counted in."""
    gradients = {"earlier_fits": sum(earlier.num_gradients.values())}
    stages = [result.timing, *earlier.timings.values()]
    return dataclasses.replace(
        result,
        own_gradients=result.own_gradients | gradients,
        timing={name: sum(stage[name] for stage in stages) for name in result.timing},
    )


@dataclass(frozen=True)
class _Keep:
    """Runs a stage, or takes it from the checkpoint, and hands it to the callback."""

    target: Target
    checkpoint: str | PathLike | None
    callback: Callable[[str, Any], None]
    start: ArrayLike | Start | None

    def __call__(self, name: str, stage: Any, key: AnyArray, begin: dict[str, Any]) -> Any:
        def manifest() -> dict[str, Any]:
            origin = {} if self.start is None else {"start": digest(self._given())}
            found = fingerprint(self.target, key) | {"settings": stage_fingerprint(stage)}
            return found | origin

        def run() -> Any:
            return stage.run(self.target, key, **begin)

        result = kept(self.checkpoint, name, manifest, self.target, run)
        self.callback(name, result)
        return result

    def _given(self) -> Any:
        """Values of sites; or unconstrained vectors as they came."""
        return starts_from(self.start, self.target) if is_named(self.start) else self.start


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return int(seed)
    raise ValueError(
        f"seed is a whole number, which a result keeps; got {type(seed).__name__}. Write seed=0."
    )


def check_settings(model: Callable, settings: dict[str, Any]) -> None:
    """Check that no argument of the model stands among the settings of a fit.

    Args:
        model: NumPyro model function.
        settings: given by name.

    Raises:
        TypeError: one of them is an argument of the model.

    Example:
        >>> check_settings(lambda image, n_max: None, {"target_ess": 400})
    """
    known = {"seed", *inspect.signature(fit_target).parameters}
    try:
        wanted = set(inspect.signature(model).parameters)
    except (TypeError, ValueError):  # a model without a signature
        return
    if mixed := [name for name in settings if name in wanted - known]:
        raise TypeError(
            f"arguments of the model follow it in their order; got {', '.join(mixed)} by name. "
            f"Write fit(model, observation, {settings[mixed[0]]!r}), or bind it: "
            f"fit(functools.partial(model, {mixed[0]}={settings[mixed[0]]!r}), observation)."
        )


def fit(model: Callable, *args: Any, seed: int = 0, **settings: Any) -> HMCResult:
    """Fit any NumPyro model in one call: MAP, SVI, HMC.

    ``numpyro_lens.fit`` is the same for a lens, with its scenes and observations by name.

    Args:
        model: NumPyro model function.
        *args: its arguments.
        seed: the same seed gives the same result.
        **settings: of `fit_target`: ``start``, ``target_ess``, ``progress``, ``map``, ``svi``,
            ``hmc``, ``callback``, ``checkpoint``.

    Returns:
        The posterior, with ``.map``, ``.svi`` and ``.num_gradients``.

    Raises:
        ValueError: the model cannot be fitted, or no start reached a finite log density.
    """
    check_settings(model, settings)
    return fit_target(Target.of(model, *args), seed, **settings)
