"""What all chains learn together during burn-in: step size, trajectory length and map."""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpyro.infer.hmc_util import dual_averaging

from numpyro_lens._types import Array
from numpyro_lens.sampler.settings import CrossChain
from numpyro_lens.sampler.trajectory import Attempts, Point


class Adaptation(NamedTuple):
    """What is learned besides the map, shared by all chains.

    Args:
        step_size: state of dual averaging, of the logarithm.
        log_length: of the trajectories.
        log_length_mean: its running mean, for after burn-in.
        length_optimizer: state of Adam.
        z: draws of the burn-in (num_warmup, C, d).
        gradient: of the log density at them (num_warmup, C, d).
    """

    step_size: Any
    log_length: Any
    log_length_mean: Any
    length_optimizer: Any
    z: Any
    gradient: Any

    def current_step_size(self, burn_in: Array | bool) -> Array:
        """The latest during burn-in, their mean afterwards."""
        log_now, log_mean = self.step_size[0], self.step_size[1]
        return jnp.exp(jnp.where(burn_in, log_now, log_mean))

    def current_length(self, burn_in: Array | bool) -> Array:
        """The latest during burn-in, their mean afterwards."""
        return jnp.exp(jnp.where(burn_in, self.log_length, self.log_length_mean))


class Plan(NamedTuple):
    """Of one transition, the same for all chains.

    Args:
        step_size, num_steps: of the trajectories.
        length: of the trajectories.
        jitter: length in units of the one that is learned.
    """

    step_size: Array
    num_steps: Array
    length: Array
    jitter: Array


def first_adaptation(settings: CrossChain, num_warmup: int, start: Array) -> Adaptation:
    """Nothing learned yet.

    Args:
        settings: see ``CrossChain``.
        num_warmup: transitions of the burn-in.
        start: positions of the chains (C, d).
    """
    log_length = jnp.log(jnp.asarray(settings.init_trajectory_length, dtype=start.dtype))
    return Adaptation(
        _restarted(jnp.log(settings.init_step_size * jnp.ones((), start.dtype))),
        log_length,
        log_length,
        _length_optimizer(settings).init(log_length),
        jnp.zeros((num_warmup, *start.shape), start.dtype),
        jnp.zeros((num_warmup, *start.shape), start.dtype),
    )


def plan(settings: CrossChain, adaptation: Adaptation, i: Array, burn_in: Array) -> Plan:
    """Steps of transition ``i``: whole ones, which end where the trajectory does."""
    step_size = adaptation.current_step_size(burn_in)
    jitter = 1.0 + settings.jitter * (2.0 * van_der_corput(i) - 1.0)
    length = adaptation.current_length(burn_in) * jitter
    num_steps = jnp.clip(jnp.ceil(length / step_size).astype(int), 1, settings.max_num_steps)
    # No length is favoured, and none is a full period.
    return Plan(jnp.minimum(length / num_steps, step_size), num_steps, length, jitter)


def learn(
    settings: CrossChain,
    adaptation: Adaptation,
    i: Array,
    tried: Attempts,
    new: Point,
    jitter: Array,
) -> Adaptation:
    """Step size and length after transition ``i`` of the burn-in, and its draws kept."""
    # The harmonic mean listens to the chains that move worst, down to those with a second attempt.
    smallest = max(settings.retry_below, 0.01)
    mean_accept = 1.0 / jnp.mean(1.0 / jnp.maximum(tried.accept_prob, smallest))
    gradient = settings.target_accept_prob - mean_accept
    if settings.adapt_trajectory_length:
        adaptation = _learn_length(settings, adaptation, i, tried, jitter)
    return adaptation._replace(
        step_size=_dual_averaging()[1](gradient, adaptation.step_size),
        z=adaptation.z.at[i].set(new.z),
        gradient=adaptation.gradient.at[i].set(new.gradient),
    )


def _learn_length(settings, adaptation, i, tried, jitter):
    length, step_size = adaptation.current_length(True), adaptation.current_step_size(True)
    rise = length * _length_gradient(tried, jitter)
    update, optimizer = _length_optimizer(settings).update(-rise, adaptation.length_optimizer)
    # A trajectory that `max_num_steps` cut short says nothing about the length it should have had.
    whole = length * jitter <= settings.max_num_steps * step_size
    changed = jnp.clip(adaptation.log_length + update, *_log_length_bounds(settings))
    log_length = jnp.where(whole, changed, adaptation.log_length)
    weight = 1.0 / (1.0 + i) ** 0.5
    mean = (1 - weight) * adaptation.log_length_mean + weight * log_length
    return adaptation._replace(
        log_length=log_length, log_length_mean=mean, length_optimizer=optimizer
    )


def _length_gradient(tried, jitter):
    """Of the ChEES criterion, Hoffman et al. 2021, eq. 8, in whitened coordinates."""
    start, end, accept_prob = tried.start, tried.first, tried.accept_prob

    def centred(u):
        return u - jnp.mean(u, axis=0, keepdims=True)

    # A chain that diverged says nothing about the length, nor about the centre of the others.
    usable = (accept_prob > 1e-3)[:, None]
    before, after = centred(start.u), centred(jnp.where(usable, end.u, start.u))
    growth = jnp.sum(after**2, axis=1) - jnp.sum(before**2, axis=1)
    rate = jitter * growth * jnp.sum(after * end.momentum, axis=1)
    rate = jnp.where(jnp.isfinite(rate), rate, 0.0)
    return jnp.sum(accept_prob * rate) / jnp.maximum(jnp.sum(accept_prob), 1e-3)


def _log_length_bounds(settings):
    # After half a period a standard normal comes back. Slow directions ask for longer trajectories,
    # and gain no more by them than by more of the short ones.
    return math.log(0.3), math.log(math.pi / (1.0 + settings.jitter))


def windows(settings: CrossChain, num_warmup: int) -> tuple[tuple[int, ...], int]:
    """Transitions of the burn-in after which the map is fitted anew, and to how many of them.

    Args:
        settings: see ``CrossChain``.
        num_warmup: transitions of the burn-in.

    Returns:
        The numbers of those transitions, none in a burn-in too short to learn from, and the length
        of a window, which may reach back behind the fit before.

    Example:
        >>> windows(CrossChain(metric_updates=(0.3, 0.6)), 10)
        ((3, 6), 3)
        >>> windows(CrossChain(metric_updates=(0.3, 0.6, 0.8)), 10)
        ((3, 6, 8), 3)
    """
    ends = [int(fraction * num_warmup) for fraction in settings.metric_updates]
    between = [end - start for start, end in itertools.pairwise([0, *ends])]
    # The longest that all have before them: a fit soon after another one takes some of its draws.
    return (tuple(ends), min(max(between), ends[0])) if all(between) and ends else ((), 0)


def window_before(adaptation: Adaptation, end: Array | int, window: int) -> tuple[Array, Array]:
    """Draws of the window that ends there, of all chains (n, d), and their gradients."""
    z, gradient = (
        jax.lax.dynamic_slice_in_dim(leaf, end - window, window).reshape(-1, leaf.shape[-1])
        for leaf in (adaptation.z, adaptation.gradient)
    )
    return z, gradient


def restarted(adaptation: Adaptation) -> Adaptation:
    """With the search for the step size begun again from its mean, for another map."""
    return adaptation._replace(step_size=_restarted(adaptation.step_size[1]))


def _dual_averaging():
    return dual_averaging(t0=10, kappa=0.75, gamma=0.05)


def _restarted(log_step_size):
    # The first proposal is the given step size itself, not 1.
    state = _dual_averaging()[0](log_step_size)
    return (log_step_size, log_step_size, *state[2:])


def _length_optimizer(settings):
    return optax.adam(learning_rate=settings.length_learning_rate, b1=0.0, b2=0.95)


def van_der_corput(i: Array, num_bits: int = 16) -> Array:
    """Radical inverse of ``i + 1`` in base 2, a low-discrepancy sequence in (0, 1)."""
    bits = (i + 1) >> jnp.arange(num_bits) & 1
    return jnp.sum(bits * 0.5 ** jnp.arange(1, num_bits + 1))
