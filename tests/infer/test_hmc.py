from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from gaussians import COVARIANCE, gaussian

from numpyro_lens import infer
from numpyro_lens.infer import HMC, hmc
from numpyro_lens.infer.diagnostics import ess, r_hat
from numpyro_lens.infer.numpyro_kernels import setup


def run(fit, kernel, num_chains=4, num_results=250, num_burnin_steps=150):
    settings = HMC(
        kernel=kernel,
        num_chains=num_chains,
        num_results=num_results,
        max_results=num_results,
        num_burnin_steps=num_burnin_steps,
    )
    with jax.enable_x64(True):
        return settings.run(fit.target, jax.random.key(5), svi=fit.svi, progress=False)


def check_moments(z, data):
    """Means and variances of each parameter within five Monte-Carlo errors of the exact ones."""
    number = ess(z)
    spread = np.sqrt(np.diag(COVARIANCE))
    draws = z.reshape(-1, z.shape[-1])
    np.testing.assert_array_less(np.abs(draws.mean(0) - data) / spread, 5 / np.sqrt(number))
    np.testing.assert_array_less(np.abs(draws.std(0) / spread - 1), 5 / np.sqrt(number))


def test_the_default_converges_to_the_exact_posterior(gaussian_fit):
    assert gaussian_fit.verdict.converged
    check_moments(gaussian_fit.z, np.asarray(gaussian_fit.args[0]))


@pytest.mark.parametrize("kernel", [numpyro.infer.NUTS, numpyro.infer.HMC])
def test_numpyro_kernels_take_the_vi_covariance_in_the_order_of_the_model(gaussian_fit, kernel):
    """With the sites in another order, condition 1e6 would need hundreds of steps for each draw."""
    result = run(gaussian_fit, kernel)
    check_moments(result.z, np.asarray(result.args[0]))
    assert r_hat(result.z).max() < 1.05
    assert result.statistics["n_steps"].mean() < 10
    assert set(result.num_gradients) >= {"svi", "burn_in", "sampling"}


def test_numpyro_hmc_does_not_resonate(gaussian_fit):
    """NumPyro's own trajectory of 2π is a whole period: nearly every draw repeats the last."""
    default = run(gaussian_fit, numpyro.infer.HMC)
    resonant = run(gaussian_fit, partial(numpyro.infer.HMC, trajectory_length=2 * np.pi))
    assert ess(default.z).min() > 0.3 * default.log_density.size
    assert ess(resonant.z).min() < 0.5 * ess(default.z).min()


def test_the_vi_covariance_is_kept_as_it_is(gaussian_fit):
    """Adaptation would throw it away, and its regularisation swamp variances of 1e-6."""
    svi, target = gaussian_fit.svi, gaussian_fit.target
    with jax.enable_x64(True):
        start = svi.sample(jax.random.key(0), (1,))
        ready = setup(numpyro.infer.NUTS, target, start, svi.gaussian)
        mcmc = numpyro.infer.MCMC(ready.kernel, num_warmup=60, num_samples=1, progress_bar=False)
        mcmc.run(jax.random.key(0), *ready.args, init_params={"z": ready.init_params["z"][0]})
    (matrix,) = mcmc.last_state.adapt_state.inverse_mass_matrix.values()
    np.testing.assert_allclose(matrix, svi.covariance_matrix, rtol=1e-10)


def test_an_instance_with_a_model_of_its_own(gaussian_fit):
    kernel = numpyro.infer.NUTS(gaussian, dense_mass=True)
    result = run(gaussian_fit, kernel, num_chains=2, num_burnin_steps=400)
    check_moments(result.z, np.asarray(result.args[0]))


def test_any_other_kernel_gets_whitened_coordinates(gaussian_fit):
    result = run(gaussian_fit, numpyro.infer.BarkerMH, num_chains=2, num_results=1500)
    check_moments(result.z, np.asarray(result.args[0]))


def test_an_instance_without_a_model(gaussian_fit):
    kernel = numpyro.infer.NUTS(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
    with pytest.raises(ValueError, match="needs a model"):
        run(gaussian_fit, kernel)


@pytest.mark.parametrize(("num_results", "block"), [(1, 50), (7, 3)])
def test_exactly_as_many_draws_as_were_asked_for(gaussian_fit, num_results, block):
    settings = {"num_chains": 2, "num_burnin_steps": 5, "max_results": num_results}
    with jax.enable_x64(True):
        key = jax.random.key(6)
        run_in_blocks = HMC(num_results=num_results, block=block, **settings).run
        found = run_in_blocks(gaussian_fit.target, key, svi=gaussian_fit.svi, progress=False)
        run_at_once = HMC(num_results=num_results, block=50, **settings).run
        expected = run_at_once(gaussian_fit.target, key, svi=gaussian_fit.svi, progress=False)
    assert found.shape == (num_results, 2, len(COVARIANCE))
    np.testing.assert_allclose(found.z, expected.z, rtol=1e-8)
    assert found.num_gradients == expected.num_gradients


def test_blocks_of_any_length_are_one_compiled_function(gaussian_fit):
    """Of 20, 4, 20, 4 transitions: a window of the burn-in ends amid a block."""
    settings = HMC(num_chains=2, num_burnin_steps=80, num_results=30, max_results=30, block=20)
    with jax.enable_x64(True):
        before = hmc._advance.alone._cache_size()
        key = jax.random.key(7)
        settings.run(gaussian_fit.target, key, svi=gaussian_fit.svi, progress=False)
    assert hmc._advance.alone._cache_size() == before + 1


def test_draws_go_on_until_the_target(gaussian_fit):
    with jax.enable_x64(True):
        settings = HMC(num_results=50, max_results=2000, target_ess=3000)
        result = settings.run(
            gaussian_fit.target, jax.random.key(0), svi=gaussian_fit.svi, progress=False
        )
    assert ess(result.z).min() >= 3000
    assert 50 < result.z.shape[1] < 2000


def test_gradients_are_counted(gaussian_fit):
    counts = gaussian_fit.num_gradients
    assert set(counts) == {"screening", "map", "svi", "burn_in", "sampling"}
    assert counts["sampling"] == gaussian_fit.statistics["n_steps"].sum()


def test_a_second_data_set_compiles_nothing(gaussian_fit):
    with jax.enable_x64(True):
        again = infer.fit(gaussian, jnp.ones(5), seed=1, progress=False)
    parts = ("trace_s", "compile_s")
    spent = [timing[part] for timing in again.timings.values() for part in parts]
    assert spent == [0.0] * 6


def small_fit(seed):
    hmc = HMC(num_chains=4, num_burnin_steps=40, num_results=50, max_results=50)
    with jax.enable_x64(True):
        return infer.fit(gaussian, jnp.arange(5.0) / 5.0, seed=seed, hmc=hmc, progress=False)


def test_same_seed_same_draws(gaussian_fit):
    with jax.enable_x64(True):
        again = infer.fit(gaussian, *gaussian_fit.args, seed=1, progress=False)
    np.testing.assert_array_equal(again.z, gaussian_fit.z)
    np.testing.assert_array_equal(again.svi.mean, gaussian_fit.svi.mean)
    np.testing.assert_array_equal(again.map.params, gaussian_fit.map.params)


def test_another_seed_other_draws():
    """At every stage: not one of them has a key of its own."""
    one, other = small_fit(2), small_fit(3)
    assert not np.isin(one.z, other.z).any()
    assert not np.isin(one.map.params, other.map.params).all()
    assert not np.isin(one.svi.mean, other.svi.mean).any()


def test_chains_follow_their_key(gaussian_fit):
    """From one and the same Gaussian."""
    settings = HMC(num_chains=4, num_burnin_steps=40, num_results=50, max_results=50)

    def draw(seed):
        with jax.enable_x64(True):
            key, target = jax.random.key(seed), gaussian_fit.target
            return settings.run(target, key, svi=gaussian_fit.svi, progress=False).z

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.isin(draw(0), draw(1)).any()


def test_the_result_is_generic(gaussian_fit):
    """No lens, no image: ArviZ's own names."""
    assert type(gaussian_fit) is infer.HMCResult
    assert gaussian_fit.names == ("z", "a[0]", "a[1]", "a[2]", "m")
    with jax.enable_x64(True):
        data = gaussian_fit.to_arviz()
    assert data["observed_data"]["y"].dims == ("y_dim_0",)
    assert not hasattr(gaussian_fit, "observations")
