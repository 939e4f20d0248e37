"""The sampler and its densities work where there are no lenses."""

import subprocess
import sys
from pathlib import Path

import numpyro_lens

#: Run by a fresh process: a package of two folders, without a lens or a telescope.
SCRIPT = """
import sys, types

package, tests = sys.argv[1:]
LENSES = {"mass", "light", "points", "observation", "simulate", "scene", "lensing", "linear",
          "models", "priors", "plot", "psf", "noise", "images", "coordinates", "infer"}


class Blocked:
    def find_spec(self, name, path=None, target=None):
        parent, _, child = name.partition(".")
        if parent == "numpyro_lens" and child.split(".")[0] in LENSES:
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
bare = types.ModuleType("numpyro_lens")  # its own __init__ offers the lenses
bare.__path__ = [package]
sys.modules["numpyro_lens"] = bare
sys.path.insert(0, tests)

import jax, jax.numpy as jnp, numpy as np
import numpyro_lens.density
from numpyro_lens.sampler import CrossChainHMC
import known

banana = known.sample(known.twisted, num_samples=2000).get_samples(group_by_chain=True)
schools = known.run(CrossChainHMC(known.eight_schools), num_warmup=600, num_samples=1000)
start = jax.random.normal(jax.random.key(0), (16, 3))
scale = jnp.array([1.0, 10.0, 100.0])
plain = known.run(
    CrossChainHMC(potential_fn=lambda z: 0.5 * jnp.sum((z / scale) ** 2)), init_params=start)
for draws, mean, variance in (
    (np.stack([banana["x"], banana["b"]], -1), np.zeros(2), np.array([100.0, 19.0])),
    (schools.get_samples(group_by_chain=True)["x"], *known.eight_schools_moments()),
    (plain.get_samples(group_by_chain=True), np.zeros(3), np.asarray(scale) ** 2),
):
    assert known.r_hat(draws).max() < 1.01, known.r_hat(draws)
    far = known.distances(draws, mean, variance)
    assert far.max() < 4.0, far
loaded = {name.split(".")[1] for name in sys.modules if name.startswith("numpyro_lens.")}
assert loaded == {"_types", "_precision", "sampler", "density"}, loaded
"""


def test_without_a_lens():
    package, tests = Path(numpyro_lens.__path__[0]), Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(package), str(tests)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
