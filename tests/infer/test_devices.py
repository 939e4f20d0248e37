import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FIT = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np
from gaussians import gaussian
from numpyro_lens import infer
assert jax.local_device_count() == int(sys.argv[1])
fit = infer.fit(
    gaussian, jnp.arange(5.0), progress=False,
    map=infer.MAP(num_starts=10, num_screened=50, num_steps=50, num_polished=2),
    hmc=infer.HMC(num_chains=10, num_burnin_steps=60, num_results=50, max_results=50),
)
np.save(sys.argv[2], fit.z)
"""


def fit(num_devices, path):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    run = subprocess.run(
        [sys.executable, "-c", FIT, str(num_devices), str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    return np.load(path)


@pytest.mark.slow
def test_the_number_of_devices_does_not_change_the_draws(tmp_path):
    """Ten chains over one, two and eight devices, which eight do not divide."""
    alone, *shared = (fit(number, tmp_path / f"{number}.npy") for number in (1, 2, 8))
    spread = alone.std(axis=(0, 1))
    for draws in shared:
        # Sums are taken in another order, and a trajectory amplifies what they round off.
        np.testing.assert_allclose(draws / spread, alone / spread, atol=1e-4)
