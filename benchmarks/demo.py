"""The lens that the benchmarks run on: GIGA-Lens's own demo, 60x60 pixels and 22 parameters.

Its data are read from the folder that NUMPYRO_LENS_DATA names, by default ``../shared/data`` next
to the project; an equal lens is simulated when they are absent.
"""

import os
import runpy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import numpyro_lens as nl

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NUMPYRO_LENS_DATA", ROOT / ".." / "shared" / "data"))


class Problem(NamedTuple):
    """A log density, its data, and the points at which it is evaluated."""

    flat: Any
    observation: nl.Observation
    z: np.ndarray


def demo_data():
    """Image and PSF kernel of the demo."""
    folder = DATA / "gigalens_demo"
    if folder.is_dir():
        return np.load(folder / "demo.npy"), np.load(folder / "psf.npy")
    return _example()["simulate"]()


def demo_problem(batch: int) -> Problem:
    """The demo at ``batch`` draws from its prior."""
    image, kernel = demo_data()
    example = _example()
    forward = nl.ForwardProbModel(
        example["prior"], image, example["BACKGROUND_RMS"], example["EXP_TIME"]
    )
    config = nl.SimulatorConfig(delta_pix=0.065, num_pix=60, supersample=2, kernel=kernel)
    model = forward.numpyro_model(example["phys_model"])
    return problem(model, forward.observation(config), batch)


def problem(model, observation, batch: int) -> Problem:
    """Any model at ``batch`` draws from its prior."""
    flat = nl.infer.flat_model(model, (observation,))
    draw = jax.jit(jax.vmap(flat.prior_draw, in_axes=(0, None)))
    keys = jax.random.split(jax.random.key(0), batch)
    return Problem(flat, observation, np.asarray(draw(keys, (observation,))))


@partial(jax.jit, static_argnames="flat")
def _constrained(flat, z, args):
    return jax.vmap(flat.constrain, in_axes=(0, None))(z, args)


def site_values(p: Problem) -> dict[str, np.ndarray]:
    """Values (batch,) of each site, by name: what another code is given."""
    values = _constrained(p.flat, p.z, (p.observation,))
    return {name: np.asarray(value) for name, value in values.items()}


def _example():
    return runpy.run_path(str(ROOT / "examples" / "gigalens_demo.py"))
