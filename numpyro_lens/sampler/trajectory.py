r"""Trajectories of Hamiltonian dynamics, and a second attempt where the first one fails.

All chains share one step size. Where the posterior is much narrower than elsewhere, its
trajectories gain so much energy that none is accepted, and a chain that has come there stays. So a
trajectory with an acceptance probability :math:`\alpha_1` below a threshold :math:`\tau` is tried
once more from the same start, with smaller steps. The point where the second attempt ends is
accepted with

.. math:: \alpha_2 = \min\left[1,\ e^{H - H_2}\,\frac{1 - \alpha_1'}{1 - \alpha_1}\right]
          \ \text{if}\ \alpha_1' < \tau,\ \text{else}\ 0

:math:`\alpha_1'` being the acceptance probability of the way back: of the trajectory with the
large steps that sets out from that point with the momentum reversed. Either way of going from one
point to the other is then as probable as its reverse, so that the draws are exact.

References: Tierney & Mira 1999, Stat. Med. 18, 2507 (delayed rejection); Modi, Barnett & Carpenter
2024, Bayesian Anal. 19, 815, arXiv:2110.00610 (for Hamiltonian Monte Carlo).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from numpyro_lens._types import Array
from numpyro_lens.sampler.maps import AbstractMap


@dataclass(frozen=True)
class Integrator:
    """A palindromic splitting of Hamiltonian dynamics: kicks of momentum around drifts of position.

    Args:
        kicks: fractions of the step, one more than the drifts.
        drifts: fractions of the step; each costs one gradient.
        harmonic: drift along the exact orbits of a standard normal, and kick only by what the
            posterior differs from it; otherwise drift along straight lines.
    """

    kicks: tuple[float, ...]
    drifts: tuple[float, ...]
    harmonic: bool = False

    @property
    def num_gradients(self) -> int:
        """Gradients for each step."""
        return len(self.drifts)


VELOCITY_VERLET = Integrator((0.5, 0.5), (1.0,))
#: Exact for a standard normal; Shahbaba, Lan, Johnson & Neal 2014, Stat. Comput. 24, 339, sect. 3.
HARMONIC = Integrator((0.5, 0.5), (1.0,), harmonic=True)
#: Minimum-norm two-stage integrator; McLachlan 1995, SIAM J. Sci. Comput. 16, 151, eq. 4.3.
MINIMUM_NORM = Integrator((0.1931833275037836, 0.6136333449924328, 0.1931833275037836), (0.5, 0.5))


class Point(NamedTuple):
    """Where chains are in phase space, with a leading chain axis.

    Args:
        z: unconstrained (C, d).
        log_density: (C,).
        gradient: of the log density (C, d).
        u: whitened (C, d).
        score: gradient of the log density with respect to u (C, d).
        momentum: of u (C, d).
    """

    z: Any
    log_density: Any
    gradient: Any
    u: Any
    score: Any
    momentum: Any

    @property
    def energy(self) -> Array:
        """Potential plus kinetic energy (C,)."""
        return 0.5 * jnp.sum(self.momentum**2, axis=-1) - self.log_density

    def reversed(self) -> "Point":
        """With the momentum the other way."""
        return self._replace(momentum=-self.momentum)


def integrate(
    integrator: Integrator,
    evaluate: Callable,
    map: AbstractMap,
    start: Point,
    step_size: Array,
    num_steps: Array,
    active: Array | None = None,
) -> Point:
    """Follow trajectories.

    Args:
        integrator: see ``Integrator``.
        evaluate: log density (C,) and its gradient (C, d) of unconstrained vectors (C, d) and of
            ``active``.
        map: unconstrained vectors of whitened ones.
        start: where they begin.
        step_size: in whitened coordinates.
        num_steps: how many.
        active: the chains that matter (C,); all of them by default.
    """
    flow = _orbit if integrator.harmonic else _straight_line

    def kick(point, fraction):
        force = point.u + point.score if integrator.harmonic else point.score
        return point._replace(momentum=point.momentum + fraction * step_size * force)

    def drift(point, fraction):
        u, momentum = flow(point.u, point.momentum, fraction * step_size)
        z, pull_back = jax.vjp(map, u)
        log_density, gradient = evaluate(z, active)
        return Point(z, log_density, gradient, u, pull_back(gradient)[0], momentum)

    def step(_, point):
        point = kick(point, integrator.kicks[0])
        for fraction, kick_fraction in zip(integrator.drifts, integrator.kicks[1:], strict=True):
            point = kick(drift(point, fraction), kick_fraction)
        return point

    return jax.lax.fori_loop(0, num_steps, step, start)


def _straight_line(u, momentum, time):
    return u + time * momentum, momentum


def _orbit(u, momentum, time):
    """Exact motion in the standard normal potential u²/2."""
    cos, sin = jnp.cos(time), jnp.sin(time)
    return cos * u + sin * momentum, cos * momentum - sin * u


class Attempts(NamedTuple):
    """Where trajectories began and ended; the last two mean something where they were retried.

    Args:
        start: see ``Point``.
        first: the end of the first attempt.
        second: the end of the second, with smaller steps.
        back: where the large steps lead to from there, the momentum reversed.
        retried: whether the first failed (C,).
        num_steps: of all attempts together (C,).
        threshold: acceptance probability below which a trajectory has failed.
    """

    start: Point
    first: Point
    second: Point
    back: Point
    retried: Array
    num_steps: Array
    threshold: float

    @property
    def accept_prob(self) -> Array:
        """Acceptance probability of the first attempt (C,)."""
        return accept_prob(self.start, self.first)

    @property
    def retry_accept_prob(self) -> Array:
        """Acceptance probability of the second attempt (C,); zero where there was none."""
        first, back = self.accept_prob, accept_prob(self.second, self.back)
        ratio = jnp.exp(-energy_error(self.start, self.second)) * (1.0 - back) / (1.0 - first)
        return jnp.where(self.retried & (back < self.threshold), jnp.minimum(ratio, 1.0), 0.0)

    def settle(self, uniform: Array) -> tuple[Point, Array]:
        """Where the chains go, and the energy error (C,) of the last attempt of each.

        Args:
            uniform: uniform in (0, 1), one number for each attempt (2, C).
        """
        accept_first = uniform[0] < self.accept_prob
        accept_second = ~accept_first & (uniform[1] < self.retry_accept_prob)
        new = _where(accept_second, self.second, _where(accept_first, self.first, self.start))
        last = _where(self.retried & ~accept_first, self.second, self.first)
        return new, energy_error(self.start, last)


#: Points of a transition: where it starts, and where its three legs end, in their order.
START, FIRST, SECOND, BACK = range(4)


class Leg(NamedTuple):
    """One of the trajectories of a transition.

    Args:
        origin: the point that it sets out from: ``START``, ``FIRST`` or ``SECOND``.
        direction: 1, or -1 with the momentum reversed.
        step_size: in whitened coordinates.
        num_steps: how many.
    """

    origin: Any
    direction: Any
    step_size: Any
    num_steps: Any


def attempt(
    follow: Callable,
    start: Point,
    step_size: Array,
    num_steps: Array,
    *,
    retry_below: float,
    retry_steps: int,
    max_num_steps: int,
) -> Attempts:
    """Trajectories from a start; those that fail are tried again with smaller steps.

    Args:
        follow: ``integrate`` as a function of its last four arguments.
        start: where they begin.
        step_size, num_steps: of the first attempt.
        retry_below: acceptance probability below which a trajectory has failed.
        retry_steps: steps of a second attempt for each of the first, and as many times smaller.
        max_num_steps: steps of a second attempt at most.
    """
    num_small = jnp.minimum(retry_steps * num_steps, max_num_steps)
    legs = (
        Leg(START, 1.0, step_size, num_steps),  # leads to FIRST
        Leg(START, 1.0, step_size / retry_steps, num_small),  # to SECOND
        Leg(SECOND, -1.0, step_size, num_steps),  # to BACK
    )
    points, failed = _walk(follow, start, legs, retry_below)
    total = num_steps + jnp.where(failed, num_small + num_steps, 0)
    first, second, back = (_at(points, name) for name in (FIRST, SECOND, BACK))
    return Attempts(start, first, second, back, failed, total, retry_below)


def _walk(follow, start, legs, retry_below):
    """The four points, stacked, and which chains failed at the first leg: only they go on."""
    # One loop over the legs, so that the gradient is compiled once.
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *legs)

    def advance(carry):
        i, points, active = carry
        leg = _at(stacked, i)
        origin = _at(points, leg.origin)
        momentum = leg.direction.astype(start.momentum.dtype) * origin.momentum
        end = follow(origin._replace(momentum=momentum), leg.step_size, leg.num_steps, active)
        points = jax.tree.map(lambda leaf, new: leaf.at[i + 1].set(new), points, end)
        return i + 1, points, accept_prob(_at(points, START), _at(points, FIRST)) < retry_below

    points = jax.tree.map(lambda leaf: jnp.stack(4 * [leaf]), start)
    all_active = jnp.ones(start.z.shape[0], dtype=bool)
    _, points, failed = jax.lax.while_loop(
        lambda carry: (carry[0] < len(legs)) & jnp.any(carry[2]), advance, (0, points, all_active)
    )
    return points, failed


def energy_error(start: Point, end: Point) -> Array:
    """What a trajectory has gained in energy (C,), infinite if that is not finite."""
    error = end.energy - start.energy
    return jnp.where(jnp.isfinite(error), error, jnp.inf)


def accept_prob(start: Point, end: Point) -> Array:
    """Acceptance probability of Metropolis (C,)."""
    return jnp.exp(jnp.minimum(-energy_error(start, end), 0.0))


def _at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def _where(chosen, one, other):
    """Points, each from one of two."""
    return jax.tree.map(
        lambda a, b: jnp.where(chosen.reshape(chosen.shape + (1,) * (a.ndim - 1)), a, b), one, other
    )
