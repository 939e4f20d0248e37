"""Transitions outside of NumPyro, and what the chains learn from them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from known import ARGS, correlated, funnel

from numpyro_lens.density import Target, unplaced
from numpyro_lens.sampler import (
    Additive,
    Affine,
    CrossChain,
    Quadratic,
    begin,
    begun_again,
    crosschain,
    move,
    refitted,
    transition,
    windows,
)
from numpyro_lens.sampler.adaptation import van_der_corput

UNFITTED = CrossChain(num_fit_draws=0)


def start(settings, num_warmup, z, metric=None):
    """A density, and the state of chains that start at ``z``."""
    metric = Affine(jnp.zeros(2), jnp.eye(2)) if metric is None else metric
    log_density, map = Target.of(correlated, *ARGS).log_density, Quadratic.of(metric, (2,), 1)
    return log_density, begin(settings, log_density, z, map, num_warmup, jax.random.key(1))[0]


def test_trajectories_cut_short_do_not_shorten_the_length():
    """Small steps early in burn-in once left it at its lower limit, and the chains at a crawl."""
    settings = CrossChain(init_step_size=0.01, max_num_steps=2, num_fit_draws=0)
    log_density, state = start(settings, 10, jax.random.normal(jax.random.key(0), (16, 2)))
    state = transition(settings, log_density, 10, state)
    assert int(state.num_steps[0]) == 2
    assert float(jnp.exp(state.adaptation.log_length)) == pytest.approx(1.5)


@pytest.mark.parametrize("num_warmup", [0, 2, 5])
def test_a_burn_in_too_short_for_a_metric(num_warmup):
    metric = Affine(jnp.zeros(2), jnp.array([[1.0, 0.0], [3.0, 0.1]]))
    z = metric(jax.random.normal(jax.random.key(0), (16, 2)))
    log_density, state = start(UNFITTED, num_warmup, z, metric)
    step = jax.jit(functools.partial(transition, UNFITTED, log_density, num_warmup))
    for _ in range(num_warmup + 1):
        state = step(state)
    assert np.isfinite(state.z).all()
    assert not np.array_equal(state.z, z)


def test_van_der_corput_is_spread_evenly():
    values = np.sort([float(van_der_corput(jnp.asarray(i))) for i in range(63)])
    np.testing.assert_allclose(values, np.arange(1, 64) / 64)


def test_gradients_are_counted_and_the_map_is_fitted():
    log_density = Target.of(correlated, *ARGS).log_density
    metric = Affine(jnp.zeros(2), jnp.array([[1.0, 0.0], [3.0, 0.3]]))  # 0.1 across
    map, z = Quadratic.of(metric, (2,), 1), jnp.zeros((8, 2))
    key = jax.random.key(0)
    fitted, number = begin(CrossChain(num_fit_draws=100), log_density, z, map, 10, key)
    assert number == 108
    same, number = begin(UNFITTED, log_density, z, map, 10, key)
    assert number == 8
    np.testing.assert_array_equal(same.map(z + 1.0), map(z + 1.0))
    jacobian = jax.jacfwd(lambda u: fitted.map(u[None])[0])(jnp.zeros(2))
    assert float(jnp.linalg.det(jacobian)) == pytest.approx(0.1, rel=0.1)


def test_a_second_block_does_not_compile_again():
    """The state comes back from the host, and holds whatever the features do."""
    cosine = Partial(lambda scale, z: jnp.cos(scale * z[:1]), 1.0)  # a weakly typed leaf
    map = Additive.of(
        cosine, np.full(1, 1e-5), Quadratic.of(Affine(np.zeros(2), np.eye(2)), (2,), 1)
    )
    log_density = Target.of(correlated, *ARGS).log_density
    settings = CrossChain(num_fit_draws=16)
    state, _ = begin(settings, log_density, jnp.zeros((4, 2)), map, 10, jax.random.key(0))
    assert not any(getattr(leaf, "weak_type", False) for leaf in jax.tree.leaves(state))
    step = jax.jit(functools.partial(transition, settings, log_density, 10))
    for _ in range(3):
        state = unplaced(step(unplaced(state)))
    assert step._cache_size() == 1


@pytest.mark.parametrize("updates", [(0.3, 0.6), (0.3, 0.4)])
def test_the_host_fits_the_map_where_a_compiled_transition_does(updates):
    settings = dataclasses.replace(UNFITTED, metric_updates=updates)
    z = jax.random.normal(jax.random.key(0), (8, 2))
    log_density, state = start(settings, 10, z)
    assert windows(settings, 10) == (tuple(int(10 * end) for end in updates), 3)
    inside = jax.jit(functools.partial(transition, settings, log_density, 10))
    moved = jax.jit(functools.partial(move, settings, log_density, 10))
    one = other = state
    for i in range(1, 6):
        one, other = inside(one), refitted(settings, 10, unplaced(moved(other)))
        has_fitted = bool(jnp.any(other.map.metric.loc != state.map.metric.loc)) or bool(
            jnp.any(other.map.layers.coefficients != 0.0)
        )
        assert has_fitted == (i >= 3)
        for a, b in zip(jax.tree.leaves(one.map), jax.tree.leaves(other.map), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)
        np.testing.assert_allclose(one.z, other.z, atol=1e-3)
        np.testing.assert_allclose(one.step_size, other.step_size, rtol=1e-3)


@pytest.mark.parametrize("updates", [(0.3, 0.6), ()])
def test_burn_in_begins_again_with_the_map_of_its_last_draws(updates):
    settings = dataclasses.replace(UNFITTED, metric_updates=updates)
    _, state = start(settings, 10, jnp.zeros((8, 2)))
    key = jax.random.key(1)
    late = jax.random.normal(key, state.adaptation.z.shape).at[:7].set(jnp.nan) + 5.0
    adaptation = state.adaptation._replace(z=late, gradient=5.0 - late)
    state = unplaced(state._replace(i=jnp.asarray(10), adaptation=adaptation))
    again = begun_again(settings, 10, state)
    assert int(again.i) == 0
    np.testing.assert_array_equal(again.z, state.z)
    center = again.map(jnp.zeros((1, 2)))[0]
    expected = np.full(2, 5.0) if updates else state.map(jnp.zeros((1, 2)))[0]
    np.testing.assert_allclose(center, expected, atol=0.5 if updates else 0.0)


def test_all_fits_of_a_run_are_one_compiled_function():
    """The first is to fewer draws than a window holds, or to as many."""
    before = crosschain._fit.alone._cache_size()
    for settings in (CrossChain(num_fit_draws=12), CrossChain(num_fit_draws=18)):
        _, state = start(settings, 10, jnp.ones((6, 2)))
        refitted(settings, 10, unplaced(state._replace(i=jnp.asarray(3))))
    assert crosschain._fit.alone._cache_size() == before + 1


def test_chains_leave_a_neck_that_their_steps_are_too_long_for():
    def share_that_never_moved(retry_below):
        settings = CrossChain(retry_below=retry_below, num_fit_draws=0)
        log_density = Target.of(funnel, *ARGS).log_density
        map = Affine(jnp.zeros(2), jnp.eye(2))
        z = jnp.tile(jnp.array([[-3.0, 0.02]]), (64, 1))
        state, _ = begin(settings, log_density, z, map, 0, jax.random.key(1))
        step = jax.jit(lambda state: transition(settings, log_density, 0, state))
        for _ in range(5):
            state = step(state)
        return float(np.mean(np.all(state.z == z, axis=1)))

    assert share_that_never_moved(0.0) > 0.9
    assert share_that_never_moved(0.1) < 0.1
