"""One fit of a posterior that is known exactly, shared by the tests of the stages."""

import jax
import jax.numpy as jnp
import pytest
from gaussians import gaussian

from numpyro_lens import infer


# Of each module: what is compiled goes with the module.
@pytest.fixture(scope="module")
def gaussian_fit():
    with jax.enable_x64(True):
        return infer.fit(gaussian, jnp.arange(5.0) / 5.0, seed=1, progress=False)
