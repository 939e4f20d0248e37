"""Damped Newton ascent to a mode."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target, compiled, map_batch


class Expansion(NamedTuple):
    """A log density to second order at a point.

    Attributes:
        z: the point (d,).
        value: log density there.
        gradient: (d,).
        hessian: of minus the log density (d, d).
    """

    z: AnyArray
    value: AnyArray
    gradient: AnyArray
    hessian: AnyArray


class Ascent(NamedTuple):
    """State of an ascent.

    Attributes:
        best: the best point so far; before any was found finite, its value is minus infinity.
        trial: the next point to evaluate (d,).
        damping: added to the eigenvalues of the Hessian.
        num_steps: points evaluated.
        done: whether it has converged.
    """

    best: Expansion
    trial: AnyArray
    damping: AnyArray
    num_steps: AnyArray
    done: AnyArray


@compiled()
def ascend(target: Target, z: AnyArray, max_steps: AnyArray) -> Ascent:
    """Damped Newton ascent of each row of ``z`` (n, d).

    A step solves with the eigenvalues of the negative Hessian in absolute value, so that it ascends
    at a saddle too, plus a damping that falls when a step succeeds and rises when it does not.

    Args:
        target: the density.
        z: where to begin (n, d); the first step evaluates these points themselves.
        max_steps: Hessians for each row at most (n,); a row of none is left where it is, with a
            value of minus infinity.

    Returns:
        An `Ascent`, with a leading axis of n.
    """

    def ascend_one(begin: tuple[AnyArray, AnyArray], target: Target) -> Ascent:
        start, most = begin
        return jax.lax.while_loop(
            lambda ascent: (ascent.num_steps < most) & ~ascent.done,
            functools.partial(_step, target),
            _begin(start),
        )

    return map_batch(ascend_one, (z, max_steps), target, batch_size=1)


def _begin(start: AnyArray) -> Ascent:
    nothing = Expansion(
        start, jnp.full((), -jnp.inf, start.dtype), jnp.zeros_like(start), jnp.eye(len(start))
    )
    return Ascent(
        nothing, start, jnp.ones((), start.dtype), jnp.zeros((), int), jnp.zeros((), bool)
    )


def _step(target: Target, ascent: Ascent) -> Ascent:
    """Evaluate the trial point, keep it if it is higher, and propose the next one."""
    new, best = _expand(target, ascent.trial), ascent.best
    finite = jnp.all(jnp.isfinite(new.gradient)) & jnp.all(jnp.isfinite(new.hessian))
    accept = (new.value >= best.value) & finite
    damping = jnp.where(accept, 0.1 * ascent.damping, 10.0 * jnp.maximum(ascent.damping, 1e-3))
    done = (accept & (new.value - best.value < 0.01)) | (damping > 1e8)
    best = jax.tree.map(lambda new, old: jnp.where(accept, new, old), new, best)
    return Ascent(best, _proposal(best, damping), damping, ascent.num_steps + 1, done)


def _proposal(at: Expansion, damping: AnyArray) -> AnyArray:
    eigenvalues, vectors = jnp.linalg.eigh(at.hessian)
    return at.z + vectors @ (vectors.T @ at.gradient / (jnp.abs(eigenvalues) + damping))


def _expand(target: Target, z: AnyArray) -> Expansion:
    (value, gradient), tangent = jax.linearize(jax.value_and_grad(target.log_density), z)
    columns = jax.lax.map(lambda v: tangent(v)[1], jnp.eye(target.dim, dtype=z.dtype))
    return Expansion(z, value, gradient, -0.5 * (columns + columns.T))
