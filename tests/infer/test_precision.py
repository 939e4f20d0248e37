import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_lens import infer
from numpyro_lens.infer.precision import check_precision, precision_error


def model(data):
    """A small change of a large number: single precision rounds 10,000 to a thousandth."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(1e4 + 1e-3 * x, 1e-4), obs=data)


def easy(data):
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x, 0.1), obs=data)


POINTS, TRIL = np.array([[0.0], [0.3]]), np.array([[0.1]])


def test_a_posterior_that_single_precision_loses():
    target = infer.Target.of(model, jnp.full(10, 1e4))
    assert precision_error(target, POINTS, TRIL) > 1.0
    with pytest.warns(UserWarning, match="JAX_ENABLE_X64=1"):
        check_precision(target, POINTS, TRIL)


def test_a_posterior_that_it_does_not_lose():
    target = infer.Target.of(easy, jnp.full(10, 0.1))
    assert precision_error(target, POINTS, TRIL) < 1e-4
    check_precision(target, POINTS, TRIL)  # a warning would be an error


def test_a_gradient_that_is_not_finite_is_told():
    target = infer.Target.of(easy, jnp.full(10, 0.1))
    with pytest.warns(UserWarning, match="not enough"):
        check_precision(target, np.array([[np.inf]]), TRIL)


def test_fit_checks(monkeypatch):
    monkeypatch.setattr("numpyro_lens.infer.precision.LIMIT", 0.0)
    small = {
        "map": infer.MAP(num_starts=2, num_screened=4, num_steps=25, num_polished=1),
        "hmc": infer.HMC(num_chains=2, num_burnin_steps=20, num_results=20, max_results=20),
    }
    with pytest.warns(UserWarning, match="Single precision"):
        infer.fit(easy, jnp.full(10, 0.1), **small, progress=False)


def test_double_precision_is_not_checked(double):
    target = infer.Target.of(model, jnp.full(10, 1e4))
    check_precision(target, POINTS, TRIL)  # a warning would be an error
    assert jax.config.read("jax_enable_x64")
