import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussians import gaussian

from numpyro_lens.density import Target, evaluate, map_batch, values_and_gradients


@pytest.mark.parametrize("batch_size", [None, 1, 2, 7, 100])
def test_batch_size_changes_nothing(batch_size):
    x = jnp.arange(7.0)
    found = map_batch(lambda x, c: (jnp.sin(x) * c, x), x, 2.0, batch_size=batch_size)
    np.testing.assert_allclose(found[0], 2.0 * np.sin(np.arange(7.0)), rtol=1e-6)
    np.testing.assert_array_equal(found[1], x)


def test_second_data_set_compiles_nothing():
    z = jnp.ones((16, 5))
    evaluate(Target.of(gaussian, jnp.zeros(5)).log_density, z)
    before = values_and_gradients.alone._cache_size()
    evaluate(Target.of(gaussian, jnp.ones(5)).log_density, z[:3])
    assert values_and_gradients.alone._cache_size() == before


def test_evaluate_is_values_and_gradients():
    log_density = Target.of(gaussian, jnp.zeros(5)).log_density
    z = jax.random.normal(jax.random.key(0), (21, 5))
    for one, other in zip(
        evaluate(log_density, z), values_and_gradients(log_density, z), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_rows_that_are_not_active_are_zero_and_others_as_without():
    log_density = Target.of(gaussian, jnp.zeros(5)).log_density
    z = jax.random.normal(jax.random.key(0), (6, 5))
    active = jnp.array([True, False, True, True, False, True])
    every, some = (values_and_gradients(log_density, z, None, a) for a in (None, active))
    for full, part in zip(every, some, strict=True):
        np.testing.assert_allclose(part[active], full[active], rtol=1e-6)
        assert not part[~active].any()


SEVERAL_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 3)
from numpyro_lens.density import map_batch
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
