"""A Gaussian whose posterior is known exactly, with sites that are not in alphabetical order."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

#: Scales that differ by a factor of 1,000, and strong correlations between the sites.
_ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
COVARIANCE = (_ROTATION * np.array([1e-6, 1e-4, 1e-2, 0.1, 1.0])) @ _ROTATION.T
PRECISION = np.linalg.inv(COVARIANCE)


def gaussian(data):
    """Posterior N(data, COVARIANCE) over z, then a, then m: the order matters."""
    z = numpyro.sample("z", dist.Normal(0.0, 10.0))
    a = numpyro.sample("a", dist.Normal(jnp.zeros(3), 10.0).to_event(1))
    m = numpyro.sample("m", dist.Normal(0.0, 10.0))
    vector = jnp.concatenate([z[None], a, m[None]])
    likelihood = dist.MultivariateNormal(
        vector, precision_matrix=jnp.asarray(PRECISION, dtype=data.dtype)
    )
    numpyro.sample("y", likelihood, obs=data)
