import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussians import gaussian

from numpyro_lens.infer import flat_model, map_batch
from numpyro_lens.infer.batching import evaluate, values_and_gradients


@pytest.mark.parametrize("batch_size", [None, 1, 2, 7, 100])
def test_batch_size_changes_nothing(batch_size):
    x = jnp.arange(7.0)
    found = map_batch(lambda x, c: (jnp.sin(x) * c, x), x, 2.0, batch_size=batch_size)
    np.testing.assert_allclose(found[0], 2.0 * np.sin(np.arange(7.0)), rtol=1e-6)
    np.testing.assert_array_equal(found[1], x)


def test_second_data_set_compiles_nothing():
    flat = flat_model(gaussian, (jnp.zeros(5),))
    z = jnp.ones((16, 5))
    evaluate(flat, z, (jnp.zeros(5),))
    before = values_and_gradients._cache_size()
    evaluate(flat_model(gaussian, (jnp.ones(5),)), z[:3], (jnp.ones(5),))
    assert values_and_gradients._cache_size() == before


def test_evaluate_is_values_and_gradients():
    args = (jnp.zeros(5),)
    flat = flat_model(gaussian, args)
    z = jax.random.normal(jax.random.key(0), (21, 5))
    for one, other in zip(
        evaluate(flat, z, args), values_and_gradients(flat, z, args), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)


SEVERAL_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 3)
from numpyro_lens.infer import map_batch
x = jnp.arange(7.0)
f = jax.jit(lambda x: map_batch(lambda x, c: c * x**2, x, 3.0))
np.testing.assert_allclose(f(x), 3.0 * np.arange(7.0) ** 2)
print(jax.local_device_count())
"""


def test_devices_share_a_batch_that_they_do_not_divide():
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    run = subprocess.run(
        [sys.executable, "-c", SEVERAL_DEVICES], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "3"
