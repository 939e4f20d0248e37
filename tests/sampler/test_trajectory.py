import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known import ARGS, banana, funnel

from numpyro_lens.density import Target, values_and_gradients
from numpyro_lens.sampler import HARMONIC, MINIMUM_NORM, VELOCITY_VERLET, Affine
from numpyro_lens.sampler import trajectory as trajectories
from numpyro_lens.sampler.trajectory import Point, integrate

attempt = functools.partial(trajectories.attempt, retry_steps=4, max_num_steps=60)


def follow(model, map, integrator):
    log_density = Target.of(model, *ARGS).log_density
    evaluate = lambda z, active: values_and_gradients(log_density, z, None, active)  # noqa: E731
    return functools.partial(integrate, integrator, evaluate, map)


def start(model, map, z, momentum):
    value, gradient = values_and_gradients(Target.of(model, *ARGS).log_density, z)
    u = map.whiten(z)
    return Point(z, value, gradient, u, map.pull_back(u, gradient), momentum)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("integrator", [VELOCITY_VERLET, MINIMUM_NORM, HARMONIC])
def test_integrator_is_reversible_and_of_second_order(integrator):
    map = Affine(jnp.zeros(2), jnp.diag(jnp.array([1.0, 0.5])))
    z, momentum = jnp.array([[0.3, 0.2], [-1.0, 0.7]]), jnp.array([[1.0, -0.3], [0.2, 0.5]])
    begin, trajectory = (
        start(banana, map, z, momentum),
        follow(banana, map, integrator),
    )

    def error(step_size):
        end = trajectory(begin, step_size, int(0.8 / step_size))
        return end, float(jnp.abs(end.energy - begin.energy).max())

    end, coarse = error(0.02)
    back = trajectory(end._replace(momentum=-end.momentum), 0.02, 40)
    np.testing.assert_allclose(back.z, z, atol=1e-10)
    assert coarse / error(0.01)[1] == pytest.approx(4.0, rel=0.2)


def in_the_neck_and_outside():
    map = Affine(jnp.zeros(2), jnp.eye(2))
    z, momentum = jnp.array([[-3.0, 0.05], [0.5, 0.3]]), jnp.array([[0.1, 1.0], [0.5, 0.2]])
    begin = start(funnel, map, z, momentum)
    return attempt(follow(funnel, map, VELOCITY_VERLET), begin, 0.15, 4, retry_below=0.1)


@pytest.mark.usefixtures("double")
def test_the_second_attempt_is_for_those_that_failed_the_first():
    tried = in_the_neck_and_outside()
    np.testing.assert_array_equal(tried.retried, [True, False])
    np.testing.assert_array_equal(tried.num_steps, [4 + 16 + 4, 4])
    assert float(tried.accept_prob[0]) < 0.1 < float(tried.accept_prob[1])


@pytest.mark.usefixtures("double")
def test_the_second_attempt_goes_as_far_in_smaller_steps():
    tried = in_the_neck_and_outside()
    map = Affine(jnp.zeros(2), jnp.eye(2))
    trajectory = follow(funnel, map, VELOCITY_VERLET)
    second = trajectory(tried.start, 0.15 / 4, 16)
    back = trajectory(second._replace(momentum=-second.momentum), 0.15, 4)
    np.testing.assert_allclose(tried.second.z[0], second.z[0], rtol=1e-12)
    np.testing.assert_allclose(tried.back.z[0], back.z[0], rtol=1e-12)


def test_an_attempt_that_is_never_tried_again():
    map = Affine(jnp.zeros(2), jnp.eye(2))
    z, momentum = jnp.array([[-3.0, 0.05]]), jnp.array([[0.1, 1.0]])
    begin = start(funnel, map, z, momentum)
    tried = attempt(follow(funnel, map, VELOCITY_VERLET), begin, 0.15, 4, retry_below=0.0)
    assert not tried.retried[0]
    assert int(tried.num_steps[0]) == 4


@pytest.mark.usefixtures("double")
def test_detailed_balance_of_the_second_attempt():
    """Density times the probability of going there is the same from both ends."""
    map = Affine(jnp.zeros(2), jnp.eye(2))
    trajectory = follow(funnel, map, HARMONIC)
    key_x, key_b, key_momentum = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(key_x, (400,)) - 1.0
    z = jnp.stack([x, jnp.exp(x) * jax.random.normal(key_b, x.shape)], axis=1)
    momentum = jax.random.normal(key_momentum, z.shape)

    def try_from(begin):
        tried = attempt(trajectory, begin, 0.8, 3, retry_below=0.7)
        probability = (1.0 - tried.accept_prob) * tried.retry_accept_prob
        return tried, jnp.exp(-begin.energy) * probability

    there, flow = try_from(start(funnel, map, z, momentum))
    back, flow_back = try_from(there.second._replace(momentum=-there.second.momentum))
    went = np.asarray(flow > 0.0)
    assert 0.2 < went.mean() < 0.8
    np.testing.assert_allclose(back.second.z[went], z[went], atol=1e-8)
    np.testing.assert_allclose(flow_back[went], flow[went], rtol=1e-6)
