"""Simulate, fit, rank, many times over: one after the other, or in several processes."""

import inspect
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from numpyro_lens.calibration.lines import add, begin
from numpyro_lens.calibration.ranking import Problem, line_of
from numpyro_lens.calibration.result import Calibration
from numpyro_lens.calibration.simulate import check_can_simulate
from numpyro_lens.density import Target, observed_sites
from numpyro_lens.infer.files import own_name
from numpyro_lens.infer.fingerprint import fingerprint, plain, stage_fingerprint
from numpyro_lens.infer.pipeline import check_settings, fit_target


def calibrate(
    model: Callable,
    *args: Any,
    num: int = 200,
    seed: int = 0,
    out: str | PathLike | None = None,
    simulate_with: Callable | tuple | None = None,
    workers: int = 1,
    num_draws: int = 99,
    progress: bool = True,
    **settings: Any,
) -> Calibration:
    """Simulation-based calibration: are the posteriors of a model what they say?

    Parameters are drawn from the prior, data simulated at every observed site with its own noise
    and fitted, and each truth is ranked among independent draws. If model and fit are right, all
    ranks are as probable. Fits that did not converge count like the others.

    The observed values among the arguments are not used; a prior or a noise that the model computes
    from an image is the same in all fits.

    Args:
        model: NumPyro model function, with proper priors.
        *args: its arguments, such as `Observation.blank`.
        num: fits.
        seed: the same seed gives the same fits, whatever their number and that of the workers.
        out: file for the results, a line of JSON for each fit. Called again with the same file, the
            fits that it lacks are done; ``num`` may have grown.
        simulate_with: another model that makes the data, with the same arguments; or a tuple of a
            model and its own arguments. What the two have in common is ranked.
        workers: processes. Each compiles for itself, so a few fits are done sooner by one.
        num_draws: draws that each truth is ranked among; L + 1 = 100 ranks make round intervals.
        progress: draw a progress bar.
        **settings: of `fit`.

    Returns:
        The ranks, with ``.table``, ``.coverage()``, ``.plot()``, and ``.vi`` for the Gaussian of
        the second step; ``print`` says whether they are uniform.

    Raises:
        ValueError: the model cannot be simulated, or the file holds another calibration.
        TypeError: a worker cannot be handed the model.

    Example:
        Of ``calibration = nl.calibrate(model, camera, num=100, out="calibration.jsonl")``:

        >>> print(calibration)
        Calibrated, as far as 100 fits can tell: ...

    Reference: Talts et al. 2018, arXiv:1804.06788; Säilynoja, Bürkner & Vehtari 2022, Stat. Comput.
    32, 32; Lemos et al. 2023, ICML, PMLR 202, 19256.
    """
    _check(model, num, workers, num_draws, settings)
    truth_model, truth_args = _simulator(simulate_with, model, args)
    problem = Problem(model, args, truth_model, truth_args, seed, num_draws, settings)
    check_problem(problem)
    prior_sd, path = problem.prior_sd(), None if out is None else Path(out)
    lines: dict[int, dict[str, Any]] = {}
    if path is not None:
        lines = begin(path, _header(problem, prior_sd))
    missing = [number for number in range(num) if number not in lines]
    for line in tqdm(
        _lines(problem, missing, workers), total=len(missing), desc="fits", disable=not progress
    ):
        lines[line["fit"]] = line
        if path is not None:
            add(path, line)
    found = tuple(lines[number] for number in range(num))
    return Calibration(found, num_draws, prior_sd)


def check_problem(problem: Problem) -> None:
    """Check, before anything is fitted, that one model can be simulated and the other fitted to it.

    Raises:
        ValueError: they do not observe the same, or share no parameter.
    """
    simulator = problem.simulator
    check_can_simulate(simulator)
    target = Target.of(problem.model, *problem.args)
    check_can_simulate(target)
    made, wanted = (_observed(each) for each in (simulator, target))
    if made != wanted:
        raise ValueError(
            f"What makes the data observes {made}, and what is fitted {wanted}. Give both the same "
            "names of sites, and images of one shape."
        )
    if not {s.name for s in simulator.sites} & {s.name for s in target.sites}:
        raise ValueError(
            "The model that makes the data shares no parameter with the one that is fitted, so "
            "there is none to rank. Call what is the same by the same name."
        )


def _observed(target: Target) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def look(z: Any) -> int:
        sites = observed_sites(target.trace(z))
        shapes.update({name: tuple(np.shape(site["value"])) for name, site in sites.items()})
        return 0

    jax.eval_shape(look, np.zeros(target.dim))
    return shapes


def _simulator(given: Any, model: Callable, args: tuple) -> tuple[Callable, tuple]:
    if given is None:
        return model, args
    if callable(given):
        return given, args
    if isinstance(given, tuple) and given and callable(given[0]):
        return given[0], given[1:]
    raise TypeError(
        "simulate_with is a model, or a tuple of a model and its arguments; got "
        f"{type(given).__name__}. Write simulate_with=(model, observation)."
    )


def _check(
    model: Callable, num: int, workers: int, num_draws: int, settings: dict[str, Any]
) -> None:
    check_settings(model, settings)
    known = set(inspect.signature(fit_target).parameters) - {"target", "seed", "checkpoint"}
    if unknown := [name for name in settings if name not in known]:
        raise TypeError(
            f"calibrate passes the settings of a fit on; got {', '.join(unknown)}. They are "
            f"{', '.join(sorted(known))}; what is resumed is the whole, by out=."
        )
    given = {"num": num, "workers": workers, "num_draws": num_draws}
    for name, value in given.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is a whole number above zero; got {value!r}.")


def _header(problem: Problem, prior_sd: dict[str, float]) -> dict[str, Any]:
    """What a file of lines is of: all that would change one of them."""
    key = problem.key(0)
    empty = {name: np.zeros_like(value) for name, value in problem.mock(0).data.items()}
    return {
        "dtype": str(jnp.result_type(float)),
        "model": own_name(problem.model),
        "simulated by": own_name(problem.truth_model),
        "num_draws": problem.num_draws,
        "seed": int(problem.seed),
        "settings": _described(problem.settings),
        "fitted": fingerprint(problem.target(empty), key),
        "simulator": fingerprint(problem.simulator, key),
        "prior_sd": prior_sd,
    }


def _described(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that change a fit, as JSON can hold them."""
    stages = ("map", "svi", "hmc")
    return {
        name: stage_fingerprint(value) if name in stages else plain(value)
        for name, value in settings.items()
        if name not in ("progress", "callback")
    }


def _lines(problem: Problem, numbers: list[int], workers: int) -> Iterator[dict[str, Any]]:
    """A line for each number, in the order in which they are done."""
    if workers == 1 or len(numbers) < 2:
        for number in numbers:
            yield line_of(problem, number)
        return
    devices = max(1, jax.local_device_count() // workers)
    start = (_pickled(problem), bool(jax.config.read("jax_enable_x64")), devices)
    # A forked process would inherit the locks of JAX's threads, and hang.
    pool = ProcessPoolExecutor(
        min(workers, len(numbers)), multiprocessing.get_context("spawn"), _start, start
    )
    try:
        futures = [pool.submit(_work, number) for number in numbers]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A worker died; fits that are done are in the file that out= names. In a script, call "
            'calibrate below if __name__ == "__main__":, since each worker imports the script. '
            "Otherwise memory may have run out: take fewer workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _pickled(problem: Problem) -> bytes:
    try:
        return pickle.dumps(problem)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"Workers are handed the model and the settings, and these cannot be: {error}. Put the "
            "model at the top level of a file and import it, or take workers=1."
        ) from error


#: of a worker: what it works on
_problem: Problem | None = None


def _start(pickled: bytes, x64: bool, devices: int) -> None:
    """Begin a worker: JAX is told what the parent's was before the first array is unpickled."""
    global _problem
    jax.config.update("jax_enable_x64", x64)
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", devices)
    _problem = pickle.loads(pickled)


def _work(number: int) -> dict[str, Any]:
    assert _problem is not None
    return line_of(_problem, number)
