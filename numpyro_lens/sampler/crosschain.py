"""Hamiltonian Monte Carlo whose chains adapt together.

All chains share one step size, one trajectory length and one map, learned from all of them at
once. That adapts faster than chains on their own, and as all trajectories have the same number of
steps, chains rarely wait for one another.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array
from numpyro_lens.density import compiled, evaluate, unplaced, values_and_gradients
from numpyro_lens.sampler.adaptation import (
    Adaptation,
    first_adaptation,
    learn,
    plan,
    restarted,
    window_before,
    windows,
)
from numpyro_lens.sampler.maps import AbstractMap, strongly_typed
from numpyro_lens.sampler.settings import CrossChain
from numpyro_lens.sampler.trajectory import Point, attempt, integrate


class CrossChainState(NamedTuple):
    """State of all chains; every field but the last four has a leading chain axis.

    Attributes:
        z: unconstrained positions (C, d).
        log_density: (C,).
        gradient: of the log density (C, d).
        energy: minus the log density, plus the kinetic energy of the accepted point (C,).
        accept_prob, num_steps, step_size, trajectory_length, diverging: of the last transition
            (C,); ``num_steps`` counts gradients.
        i: transitions so far.
        map: unconstrained vectors of whitened ones, in which the mass matrix is the identity.
        adaptation: what else is learned, see ``Adaptation``.
        rng_key: JAX random key.
    """

    z: Any
    log_density: Any
    gradient: Any
    energy: Any
    accept_prob: Any
    num_steps: Any
    step_size: Any
    trajectory_length: Any
    diverging: Any
    i: Any
    map: Any
    adaptation: Adaptation
    rng_key: Any

    @property
    def potential_energy(self) -> Array:
        """Minus the log density (C,), for NumPyro's ``extra_fields``."""
        return -self.log_density


def begin(
    settings: CrossChain,
    log_density: Callable,
    start: Array,
    map: AbstractMap,
    num_warmup: int,
    key: Array,
    batch_size: int | None = None,
) -> tuple[CrossChainState, int]:
    """State of chains that start at given positions, the map fitted.

    Args:
        settings: how the chains move and adapt.
        log_density: of one vector (d,), a pytree such as ``target.log_density``, or
            ``jax.tree_util.Partial(function)``.
        start: positions (C, d).
        map: to start from; fitted to ``settings.num_fit_draws`` draws of its own normal.
        num_warmup: transitions of the burn-in.
        key: JAX random key.
        batch_size: chains evaluated at once on a device; see ``density.map_batch``.

    Returns:
        The state, and the number of gradients that this has taken.

    Example:
        A burn-in of one's own, with ``move``, ``refitted`` and ``begun_again``.

        >>> from numpyro_lens.sampler import Affine, Quadratic
        >>> def log_density(z):
        ...     return -0.5 * jnp.sum((z / jnp.array([1.0, 10.0])) ** 2)
        >>> log_density = jax.tree_util.Partial(log_density)
        >>> map = Quadratic.of(Affine(jnp.zeros(2), jnp.eye(2)), (2,), 1)
        >>> settings, num_warmup = CrossChain(metric_updates=(0.5,)), 40
        >>> start, key = jnp.ones((8, 2)), jax.random.key(0)
        >>> state, _ = begin(settings, log_density, start, map, num_warmup, key)
        >>> one = jax.jit(functools.partial(move, settings, log_density, num_warmup))
        >>> for _ in range(num_warmup):
        ...     state = refitted(settings, num_warmup, one(state))
        >>> again = begun_again(settings, num_warmup, state)
        >>> int(state.i), int(again.i)
        (40, 0)
    """
    key_fit, key = jax.random.split(key)
    map, start = strongly_typed(map), strongly_typed(start)
    if settings.num_fit_draws:
        z = _drawn(map, key_fit, (settings.num_fit_draws, *start.shape[1:]), start.dtype)
        gradient = evaluate(log_density, z, batch_size)[1]
        map = _fitted(settings, num_warmup, len(start), map, z, gradient)
    at_start = evaluate(log_density, start, batch_size)
    state = _first_state(settings, num_warmup, start, *at_start, map, key)
    return state, len(start) + settings.num_fit_draws


# One function to compile, instead of a dozen operations.
@compiled(static_argnames=("settings", "num_warmup"))
def _first_state(settings, num_warmup, start, value, gradient, map, key):
    return CrossChainState(
        z=start,
        log_density=value,
        gradient=gradient,
        energy=-value,
        accept_prob=jnp.zeros_like(value),
        num_steps=jnp.zeros(len(start), dtype=int),
        step_size=jnp.full_like(value, settings.init_step_size),
        trajectory_length=jnp.zeros_like(value),
        diverging=jnp.zeros(len(start), dtype=bool),
        i=jnp.zeros((), dtype=int),
        map=map,
        adaptation=first_adaptation(settings, num_warmup, start),
        rng_key=key,
    )


@compiled(static_argnames=("shape", "dtype"))
def _drawn(map, key, shape, dtype):
    return map(jax.random.normal(key, shape, dtype))


def _fitted(settings, num_warmup, num_chains, map, z, gradient):
    """The map fitted anew, with the number of draws of all fits of a run: it compiles once."""
    num_draws = max(settings.num_fit_draws, windows(settings, num_warmup)[1] * num_chains)
    padding = ((0, num_draws - len(z)), (0, 0))
    # Draws without a finite gradient are left out.
    z = np.pad(z, padding, mode="edge")
    return _fit(unplaced(map), z, np.pad(gradient, padding, constant_values=np.nan))


@compiled()
def _fit(map, z, gradient):
    return map.fit(z, gradient)


def refitted(settings: CrossChain, num_warmup: int, state: CrossChainState) -> CrossChainState:
    """The map fitted anew where a window of the burn-in has ended; elsewhere the same state.

    Args:
        settings: how the chains move and adapt.
        num_warmup: transitions of the burn-in.
        state: after ``move``.

    Returns:
        The state, with the search for the step size begun again where the map is new.
    """
    if int(state.i) not in windows(settings, num_warmup)[0]:
        return state
    return _with_map_of_window(settings, num_warmup, state)


def _with_map_of_window(settings, num_warmup, state):
    """The map fitted to the window that ends here, and the search for the step size begun again."""
    window = windows(settings, num_warmup)[1]
    z, gradient = unplaced(window_before(state.adaptation, state.i, window))
    map = _fitted(settings, num_warmup, len(state.z), state.map, z, gradient)
    return state._replace(map=map, adaptation=restarted(state.adaptation))


def begun_again(settings: CrossChain, num_warmup: int, state: CrossChainState) -> CrossChainState:
    """Burn-in from its first transition, with the chains where they are at its end.

    Args:
        settings: how the chains move and adapt.
        num_warmup: transitions of the burn-in.
        state: after the last of them.

    Returns:
        The state, its map fitted to the last window, unless the settings fit none.
    """
    if windows(settings, num_warmup)[0]:
        state = _with_map_of_window(settings, num_warmup, state)
    return state._replace(i=np.zeros_like(state.i))


def transition(
    settings: CrossChain,
    log_density: Callable,
    num_warmup: int,
    state: CrossChainState,
    batch_size: int | None = None,
) -> CrossChainState:
    """One transition of all chains, and during burn-in one step of adaptation.

    ``move`` and then ``refitted``, in a function that can be compiled.

    Args:
        settings: how the chains move and adapt.
        log_density: as of ``begin``.
        num_warmup: transitions of the burn-in.
        state: of the chains.
        batch_size: as of ``begin``.
    """
    state = move(settings, log_density, num_warmup, state, batch_size)
    ends, window = windows(settings, num_warmup)
    if not ends:
        return state

    def fit(map, adaptation):
        return map.fit(*window_before(adaptation, state.i, window)), restarted(adaptation)

    at_end = jnp.any(state.i == jnp.array(ends))
    map, adaptation = jax.lax.cond(at_end, fit, lambda *same: same, state.map, state.adaptation)
    return state._replace(map=map, adaptation=adaptation)


def move(
    settings: CrossChain,
    log_density: Callable,
    num_warmup: int,
    state: CrossChainState,
    batch_size: int | None = None,
) -> CrossChainState:
    """One transition of all chains; during burn-in one step of adaptation, the map as it is.

    Args:
        settings, log_density, num_warmup, state, batch_size: as of ``transition``.

    Returns:
        The state after it.
    """
    key, key_momentum, key_accept = jax.random.split(state.rng_key, 3)
    planned = plan(settings, state.adaptation, state.i, state.i < num_warmup)
    tried = attempt(
        _follow(settings, log_density, state.map, batch_size),
        _start(state, key_momentum),
        planned.step_size,
        planned.num_steps,
        retry_below=settings.retry_below,
        retry_steps=settings.retry_steps,
        max_num_steps=settings.max_num_steps,
    )
    new, energy_error = tried.settle(
        jax.random.uniform(key_accept, (2, len(state.z)), state.z.dtype)
    )
    return CrossChainState(
        z=new.z,
        log_density=new.log_density,
        gradient=new.gradient,
        energy=new.energy,
        accept_prob=tried.accept_prob,
        num_steps=tried.num_steps * settings.integrator.num_gradients,
        step_size=jnp.full_like(new.log_density, planned.step_size),
        trajectory_length=jnp.full_like(new.log_density, planned.length),
        diverging=energy_error > settings.max_energy_error,
        i=state.i + 1,
        map=state.map,
        adaptation=_learned(settings, num_warmup, state, tried, new, planned.jitter),
        rng_key=key,
    )


def _follow(settings, log_density, map, batch_size):
    def evaluate_active(z, active):
        return values_and_gradients(log_density, z, batch_size, active)

    return functools.partial(integrate, settings.integrator, evaluate_active, map)


def _start(state, key):
    """Where the trajectories begin, with fresh momenta."""
    momentum = jax.random.normal(key, state.z.shape, dtype=state.z.dtype)
    u = state.map.whiten(state.z)
    score = state.map.pull_back(u, state.gradient)
    return Point(state.z, state.log_density, state.gradient, u, score, momentum)


def _learned(settings, num_warmup, state, tried, new, jitter):
    """Adaptation after a transition: unchanged after burn-in."""
    if num_warmup == 0:
        return state.adaptation
    return jax.lax.cond(
        state.i < num_warmup,
        lambda adaptation: learn(settings, adaptation, state.i, tried, new, jitter),
        lambda adaptation: adaptation,
        state.adaptation,
    )
