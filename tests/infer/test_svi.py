from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pytest
from gaussians import COVARIANCE, gaussian

from numpyro_lens.density import flat_model, flat_site
from numpyro_lens.infer import SVI, StickingTheLanding, Target
from numpyro_lens.sampler import Affine


def exact_gaussian(args):
    """Mean and covariance of the posterior, the wide prior included."""
    covariance = np.linalg.inv(np.linalg.inv(COVARIANCE) + np.eye(5) / 100.0)
    return covariance @ np.linalg.inv(COVARIANCE) @ np.asarray(args[0]), covariance


def kl(mean, covariance, exact_mean, exact_covariance):
    inverse = np.linalg.inv(exact_covariance)
    offset = exact_mean - mean
    logs = np.linalg.slogdet(exact_covariance)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (np.trace(inverse @ covariance) + offset @ inverse @ offset - len(mean) + logs)


def test_fit_matches_the_posterior_in_the_order_of_the_model(gaussian_fit):
    svi = gaussian_fit.svi
    assert svi.names == ("z", "a[0]", "a[1]", "a[2]", "m")
    assert kl(svi.mean, svi.covariance_matrix, *exact_gaussian(gaussian_fit.args)) < 0.05
    assert svi.pareto_k < 0.7


def test_the_elbo_reaches_the_evidence(gaussian_fit):
    """The evidence of a Gaussian is known, and the bound is tight for a Gaussian guide."""
    covariance = COVARIANCE + 100.0 * np.eye(5)
    data = np.asarray(gaussian_fit.args[0])
    logs = np.linalg.slogdet(2 * np.pi * covariance)[1]
    evidence = -0.5 * (data @ np.linalg.solve(covariance, data) + logs)
    assert -np.mean(gaussian_fit.svi.losses[-25:]) == pytest.approx(evidence, abs=0.05)


@pytest.mark.usefixtures("double")
def test_a_start_that_is_off_is_corrected():
    target = Target.of(gaussian, jnp.zeros(5))
    exact_mean, exact = exact_gaussian(target.args)
    tril = np.linalg.cholesky(exact)
    result = SVI(num_steps=400, patience=None).run(
        target,
        jax.random.key(0),
        start=exact_mean + tril @ np.ones(5),
        scale_tril=2.0 * tril,
        progress=False,
    )
    assert kl(result.mean, result.covariance_matrix, exact_mean, exact) < 0.05


@pytest.mark.usefixtures("double")
def test_gradient_has_no_variance_at_the_optimum():
    target = Target.of(gaussian, jnp.zeros(5))
    mean, covariance = exact_gaussian(target.args)
    frame = Affine(jnp.asarray(mean), jnp.asarray(np.linalg.cholesky(covariance)))
    model = partial(flat_model, frame=frame)
    guide = numpyro.infer.autoguide.AutoMultivariateNormal(flat_site, init_scale=1.0)
    elbo = StickingTheLanding(num_particles=4)
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(1e-3), elbo)
    svi.init(jax.random.key(0), target)
    best = {"auto_loc": jnp.zeros(5), "auto_scale_tril": jnp.eye(5)}

    def gradient(elbo, seed):
        loss = lambda p: elbo.loss(jax.random.key(seed), p, model, guide, target)  # noqa: E731
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(jax.grad(loss)(best))])

    assert max(float(jnp.abs(gradient(elbo, seed)).max()) for seed in (1, 2)) < 1e-6
    plain = numpyro.infer.Trace_ELBO(num_particles=4)
    assert float(jnp.abs(gradient(plain, 1)).max()) > 0.1


@pytest.mark.usefixtures("double")
def test_numpyros_own_elbo_stays_available():
    target = Target.of(gaussian, jnp.zeros(5))
    mean, covariance = exact_gaussian(target.args)
    settings = SVI(
        elbo=numpyro.infer.Trace_ELBO(num_particles=16),
        optimizer=optax.adam(1e-2),
        num_steps=50,
        patience=None,
    )
    tril = np.linalg.cholesky(covariance)
    result = settings.run(
        target, jax.random.key(0), start=mean[None], scale_tril=tril, progress=False
    )
    assert result.num_gradients == {"svi": 50 * 16 + 256}
    assert kl(result.mean, result.covariance_matrix, mean, covariance) < 1.0


def test_result_is_a_distribution(gaussian_fit):
    svi = gaussian_fit.svi
    with jax.enable_x64(True):
        draws = svi.sample(jax.random.key(0), (4000,))
        assert svi.log_prob(draws).shape == (4000,)
    whitened = np.linalg.solve(svi.scale_tril, (np.asarray(draws) - svi.mean).T)
    np.testing.assert_allclose(np.cov(whitened), np.eye(5), atol=5 * np.sqrt(2 / 4000))


@pytest.mark.parametrize(
    ("start", "tril", "message"),
    [
        (np.zeros(4), np.eye(5), "one point of 5 unconstrained values"),
        (np.zeros(5), np.eye(4), "lower Cholesky factor"),
    ],
)
def test_wrong_shapes(start, tril, message):
    target = Target.of(gaussian, jnp.zeros(5))
    with pytest.raises(ValueError, match=message):
        SVI().run(target, jax.random.key(0), start=start, scale_tril=tril)
