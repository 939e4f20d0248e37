import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from numpyro_lens.gigalens.bijectors import logistic


def test_an_interval_keeps_probabilities_and_quantiles():
    base = dist.TruncatedNormal(2.0, 0.25, low=1.0, high=3.0)
    q = jnp.array([0.05, 0.5, 0.9])
    values = logistic(base).icdf(q)
    np.testing.assert_array_equal(values, base.icdf(q))
    np.testing.assert_allclose(logistic(base).cdf(values), q, rtol=1e-5)
