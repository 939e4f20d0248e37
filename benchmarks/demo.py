"""The lens that the benchmarks run on: GIGA-Lens's own demo, 60x60 pixels and 22 parameters.

Its data are read from the folder that NUMPYRO_LENS_DATA names, by default ``../shared/data`` next
to the project; an equal lens is simulated when they are absent.
"""

import os
import runpy
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import numpyro_lens as nl
from numpyro_lens.density import Target

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NUMPYRO_LENS_DATA", ROOT / ".." / "shared" / "data"))


class Problem(NamedTuple):
    """A log density with its data, and the points (batch, d) at which it is evaluated."""

    target: Target
    z: np.ndarray

    @property
    def observation(self) -> nl.Observation:
        """The argument of the model."""
        return self.target.args[0]


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
    target = Target.of(model, observation)
    keys = jax.random.split(jax.random.key(0), batch)
    return Problem(target, np.asarray(_drawn(target, keys)))


@jax.jit
def _drawn(target, keys):
    return jax.vmap(target.prior_draw)(keys)


@jax.jit
def _constrained(target, z):
    return jax.vmap(target.constrain)(z)


def site_values(p: Problem) -> dict[str, np.ndarray]:
    """Values (batch,) of each site, by name: what another code is given."""
    values = _constrained(p.target, p.z)
    return {name: np.asarray(value) for name, value in values.items()}


def _example():
    return runpy.run_path(str(ROOT / "examples" / "gigalens_demo.py"))
