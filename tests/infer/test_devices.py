import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FITS = """
import sys
import jax
num_devices, at_once = map(int, sys.argv[1:3])
jax.config.update("jax_num_cpu_devices", num_devices)
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np
from gaussians import gaussian
from numpyro_lens import infer
from numpyro_lens.density import run_batched
assert jax.local_device_count() == num_devices
settings = {
    "map": infer.MAP(num_starts=10, num_screened=50, num_steps=50, num_polished=2),
    "hmc": infer.HMC(num_chains=10, num_burnin_steps=60, num_results=50, max_results=50),
}
def fit(data):
    return infer.fit(gaussian, data, progress=False, **settings)
data = [jnp.arange(5.0), 0.1 * jnp.ones(5), jnp.linspace(-1.0, 1.0, 5)]
fits = run_batched(fit, data, at_once) if at_once > 1 else list(map(fit, data))
np.savez(
    sys.argv[3],
    z=np.array([fit.z for fit in fits]),
    mean=np.array([fit.svi.mean for fit in fits]),
    gradients=np.array([sum(fit.num_gradients.values()) for fit in fits]),
)
"""


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Three fits, over so many devices and so many at once, in a process of their own."""
    folder = tmp_path_factory.mktemp("fits")

    def run(num_devices, at_once):
        environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
        path = folder / f"{num_devices}-{at_once}.npz"
        done = subprocess.run(
            [sys.executable, "-c", FITS, str(num_devices), str(at_once), str(path)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return np.load(path)

    alone = run(1, 1)
    return lambda *how: (alone, run(*how))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_devices", "at_once"), [(2, 1), (8, 2)], ids=["shared", "shared and batched"]
)
def test_devices_and_batches_do_not_change_the_draws(fits, num_devices, at_once):
    """Ten chains over devices that do not divide them; of three fits two at a time."""
    alone, found = fits(num_devices, at_once)
    spread = alone["z"].std(axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(found["gradients"], alone["gradients"])
    np.testing.assert_allclose(found["mean"], alone["mean"], atol=1e-6)
    # Sums are taken in another order, and a trajectory amplifies what they round off.
    np.testing.assert_allclose(found["z"] / spread, alone["z"] / spread, atol=1e-4)
