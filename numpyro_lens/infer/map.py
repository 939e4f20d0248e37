"""Maximum a posteriori by gradient descent from many starts at once."""

import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike
from numpyro.infer import SVI, Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoDelta
from numpyro.optim import optax_to_numpyro

from numpyro_lens._types import Array
from numpyro_lens.infer._stage import progress_bar, timed
from numpyro_lens.infer.batching import evaluate, map_batch, unplaced
from numpyro_lens.infer.density import FlatModel, observed_sites
from numpyro_lens.infer.results import Basin, MAPResult


@functools.cache
def adam(learning_rate: float = 3e-2, num_steps: int = 300) -> optax.GradientTransformation:
    """Adam with a short memory, and a cosine decay of the learning rate to a thirtieth.

    The first gradients are a thousand times the later ones, and are forgotten sooner than with
    Adam's own ``b2``. The same arguments return the same object, so that a second fit compiles
    nothing.
    """
    return optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps, alpha=0.03), b2=0.99)


@dataclass(frozen=True)
class MAP:
    """Multi-start search for the mode of the unconstrained log density.

    Prior draws are screened by their log density; the best of them are optimised, each with an
    optimiser state of its own, through NumPyro's ``AutoDelta``; the best few of these are polished
    by damped Newton steps. When no two starts end in the best basin, or the best start does not
    explain the data, a better basin may still be hidden, and the search goes on from new draws.
    Each of these takes the parameters of one component, a galaxy's light perhaps, from the best
    start: once the brightest is right, screening tells apart how well the others fit. A search that
    finds nothing better ends this.

    The mode is that of the density in *unconstrained* space, where the next two stages live.
    ``AutoDelta`` on the user's model itself would find the mode of the constrained density, which
    lies elsewhere.

    Args:
        num_starts: starts that are optimised.
        num_screened: prior draws of which the best become starts; ``None`` takes the draws as they
            come.
        num_steps: gradient steps at most.
        optimizer: optax transformation; ``None`` is ``adam(3e-2, num_steps)``.
        num_polished: best starts that are polished; 0 for none.
        max_searches: searches at most, until two starts end in the best basin and it explains the
            data: replicates of them, drawn from the model there, are no more probable.
        patience: stop when the best log density rose by less than 0.1 in this many steps; ``None``
            never stops early.
        batch_size: samples evaluated at once on a device; see ``map_batch``.
    """

    num_starts: int = 48
    num_screened: int | None = 2000
    num_steps: int = 200
    optimizer: optax.GradientTransformation | None = None
    num_polished: int = 6
    max_searches: int = 3
    patience: int | None = None
    batch_size: int | None = None
    block: int = field(default=25, repr=False)

    def run(
        self,
        flat: FlatModel,
        args: tuple,
        key: Array,
        *,
        start: ArrayLike | None = None,
        progress: bool = True,
    ) -> MAPResult:
        """Search.

        Args:
            flat: the model.
            args: arguments of the model.
            key: JAX random key.
            start: unconstrained starts (num_starts, d), instead of prior draws.
            progress: draw a progress bar.

        Raises:
            ValueError: ``start`` of the wrong shape, or no start with a finite log density.
        """
        with timed() as timing:
            gradients = {"screening": 0, "map": 0}
            if start is None:
                start = self._screen(flat, args, key, gradients)
                searches = self.max_searches
            else:
                start, searches = _check_start(start, flat), 1
            found = self._search(flat, args, start, gradients, progress)
            settled = False
            for number in range(1, searches):
                best = found.basins[0]
                point = found.z[best.start]
                key_data, key_draws = jax.random.split(jax.random.fold_in(key, number))
                if best.num_starts > 1 and (settled or _explains(flat, point, args, key_data)):
                    break
                start = self._screen(flat, args, key_draws, gradients, point)
                found = _merge(found, self._search(flat, args, start, gradients, progress))
                # A second look that finds nothing better is believed: real data fit no model.
                settled = found.basins[0].log_density < best.log_density + 3.0
        return MAPResult(
            flat=flat,
            args=args,
            params=np.asarray(found.z),
            log_density=np.asarray(found.log_density),
            losses=np.asarray(found.losses),
            num_nonfinite=_count_nonfinite(found.log_density, found.gradient),
            basins=found.basins,
            hessian=found.hessian,
            num_gradients=gradients,
            timing=timing.as_dict(),
        )

    def _search(self, flat, args, start, gradients, progress):
        """One set of starts, optimised and polished."""
        z, losses = self._descend(flat, args, start, progress)
        gradients["map"] += len(losses) * len(z)
        log_density, gradient = evaluate(flat, z, args, self.batch_size)
        gradients["map"] += len(z)
        failed = ~_finite(log_density, gradient)
        _check_any_finite(failed)
        z, log_density, hessian = self._polish(flat, args, z, log_density, failed, gradients)
        return _Search(z, log_density, gradient, failed, losses, hessian)

    def _screen(self, flat, args, key, gradients, best=None):
        number = max(self.num_screened or 0, self.num_starts)
        draws = prior_draws(flat, jax.random.split(key, number), args)
        if best is not None:
            key_component = jax.random.fold_in(key, number)
            draws = jnp.where(_one_component(flat, key_component, number), best[None], draws)
        if self.num_screened is None:
            return draws
        gradients["screening"] += number
        log_density, _ = evaluate(flat, draws, args, self.batch_size)
        ranked = jnp.argsort(jnp.where(jnp.isfinite(log_density), -log_density, jnp.inf))
        return draws[ranked[: self.num_starts]]

    def _descend(self, flat, args, z, progress):
        if self.num_steps == 0:
            return z, jnp.zeros((0,))
        optimizer = self.optimizer or adam(num_steps=self.num_steps)
        states = unplaced(_begin(flat, optimizer, z, args))
        losses: list = []
        with progress_bar("MAP", self.num_steps, progress) as bar:
            while len(losses) < self.num_steps and not self._stalled(losses):
                steps = min(self.block, self.num_steps - len(losses))
                states, z, block = unplaced(
                    _advance(flat, optimizer, steps, states, args, self.batch_size)
                )
                losses.extend(np.nanmin(np.asarray(block), axis=0, initial=np.inf))
                bar.update(steps)
                bar.set_postfix_str(f"best log density {-min(losses):.2f}")
        return jnp.asarray(z), jnp.asarray(losses)

    def _stalled(self, losses) -> bool:
        if self.patience is None or len(losses) <= self.patience:
            return False
        return min(losses[: -self.patience]) - min(losses) < 0.1

    def _polish(self, flat, args, z, log_density, failed, gradients):
        """Polish the best starts; the Hessian at the best is for the Laplace covariance."""
        ranked = jnp.argsort(jnp.where(failed, jnp.inf, -log_density))
        best = ranked[: max(self.num_polished, 1)]
        polished, values = unplaced((z[best], log_density[best]))
        # One step is the evaluation of the point itself.
        for _ in range(_MAX_ROUNDS if self.num_polished else 1):
            # Off the devices again, or the next round compiles for where its start lies.
            climbed = unplaced(newton(flat, polished, args, 20 if self.num_polished else 1))
            gradients["map"] += int(jnp.sum(climbed.num_steps)) * (flat.dim + 1)
            improved = climbed.value >= values
            polished = np.where(improved[:, None], climbed.z, polished)
            values = np.where(improved, climbed.value, values)
            if climbed.done[np.argmax(climbed.value)]:
                break
        z, log_density = z.at[best].set(polished), log_density.at[best].set(values)
        return z, log_density, np.asarray(climbed.hessian[jnp.argmax(climbed.value)])


#: Of Newton steps, twenty each, until the best start has converged.
_MAX_ROUNDS = 6


class _Search(NamedTuple):
    """Where a set of starts ended."""

    z: Any
    log_density: Any
    gradient: Any
    failed: Any
    losses: Any
    hessian: Any  # of minus the log density, at the best start

    @property
    def basins(self):
        return _basins(self.z, self.log_density, self.failed, self.hessian)


def _merge(one: _Search, two: _Search) -> _Search:
    better = two.basins[0].log_density > one.basins[0].log_density
    hessian = two.hessian if better else one.hessian
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), one, two)
    return joined._replace(hessian=hessian)


@functools.partial(jax.jit, static_argnames=("flat",))
def prior_draws(flat: FlatModel, keys: Array, args: tuple) -> Array:
    """Draws from the prior as unconstrained vectors (n, d), one for each key."""
    return jax.vmap(lambda key: flat.prior_draw(key, args))(keys)


@functools.partial(jax.jit, static_argnames=("flat",))
def _improbability(flat, z, args, key):
    """By how many standard deviations the data are less probable than replicates at a point."""
    sites = list(observed_sites(flat.trace(z, args)).values())

    def log_likelihood(key):
        keys = jax.random.split(key, len(sites))
        return sum(
            jnp.sum(s["fn"].log_prob(s["fn"].sample(k))) for s, k in zip(sites, keys, strict=True)
        )

    data = sum(jnp.sum(s["fn"].log_prob(s["value"])) for s in sites)
    replicates = jax.vmap(log_likelihood)(jax.random.split(key, 32))
    return (jnp.mean(replicates) - data) / jnp.std(replicates)


def _explains(flat, z, args, key) -> bool:
    try:
        excess = _improbability(flat, z, args, key)
    except NotImplementedError:  # by a distribution that cannot be drawn from
        return True
    # A model of factors alone has no replicates: its excess is not a number.
    return not float(excess) > 5.0


def _one_component(flat, key, number):
    """Which entries (number, d) belong to a component, drawn for each row: ``lens`` and the like.

    A site without a dot in its name is a component of its own. None is drawn where there is but
    one: it would be the whole of the vector.
    """
    names = [
        site.name.rpartition(".")[0] or site.name for site in flat.sites for _ in range(site.size)
    ]
    _, component = np.unique(names, return_inverse=True)
    drawn = jax.random.randint(key, (number, 1), 0, component.max() + 1)
    return (jnp.asarray(component)[None] == drawn) & (component.max() > 0)


def _svi(flat, optimizer):
    # The guide is set up once, outside of the map over starts: an autoguide keeps its first
    # initialisation.
    guide = AutoDelta(flat.flat_site, init_loc_fn=init_to_value(values={"z": jnp.zeros(flat.dim)}))
    return SVI(flat.as_numpyro(), guide, optax_to_numpyro(optimizer), Trace_ELBO())


@functools.partial(jax.jit, static_argnames=("flat", "optimizer"))
def _begin(flat, optimizer, z, args):
    svi = _svi(flat, optimizer)
    key = jax.random.key(0)  # AutoDelta draws nothing
    svi.init(key, *args)
    return jax.vmap(lambda start: svi.init(key, *args, init_params={"z_auto_loc": start}))(z)


@functools.partial(jax.jit, static_argnames=("flat", "optimizer", "num_steps", "batch_size"))
def _advance(flat, optimizer, num_steps, states, args, batch_size):
    svi = _svi(flat, optimizer)
    svi.init(jax.random.key(0), *args)

    def one_start(state, args):
        # `stable_update` leaves a start that meets a non-finite value or gradient where it is.
        step = lambda state, _: svi.stable_update(state, *args)  # noqa: E731
        state, losses = jax.lax.scan(step, state, length=num_steps)
        return state, svi.get_params(state)["z_auto_loc"], losses

    return map_batch(one_start, states, args, batch_size=batch_size)


def _value_gradient_hessian(flat, z, args):
    """Log density, gradient, and the Hessian of minus the log density at one point."""
    density = jax.value_and_grad(lambda z: flat.log_density(z, args))
    (value, gradient), tangent = jax.linearize(density, z)
    columns = jax.lax.map(lambda v: tangent(v)[1], jnp.eye(flat.dim))
    return value, gradient, -0.5 * (columns + columns.T)


class _Newton(NamedTuple):
    z: Any
    value: Any
    gradient: Any
    hessian: Any
    damping: Any
    num_steps: Any
    done: Any


@functools.partial(jax.jit, static_argnames=("flat", "max_steps"))
def newton(flat: FlatModel, z: Array, args: tuple, max_steps: int = 20) -> _Newton:
    """Damped Newton ascent of each row of ``z`` (n, d).

    A step solves with the eigenvalues of the negative Hessian in absolute value, so that it climbs
    at a saddle too, plus a damping that falls when a step succeeds and rises when it does not.

    Returns:
        The points ``z`` (n, d), their log density ``value`` (n,), its ``gradient`` and the negative
        ``hessian`` there (n, d, d), the number of Hessians used ``num_steps`` (n,), and whether
        each is ``done``.
    """

    def propose(state):
        eigenvalues, vectors = jnp.linalg.eigh(state.hessian)
        coordinates = vectors.T @ state.gradient
        return state.z + vectors @ (coordinates / (jnp.abs(eigenvalues) + state.damping))

    def step(args, state):
        trial = propose(state)
        value, gradient, hessian = _value_gradient_hessian(flat, trial, args)
        gain = value - state.value
        finite = jnp.all(jnp.isfinite(gradient)) & jnp.all(jnp.isfinite(hessian))
        # The first step evaluates the start itself, whose value is still unknown.
        accept = (gain >= 0) & finite
        damping = jnp.where(accept, 0.1 * state.damping, 10.0 * jnp.maximum(state.damping, 1e-3))
        done = (accept & (gain < 0.01)) | (damping > 1e8)
        better = _Newton(trial, value, gradient, hessian, damping, state.num_steps + 1, done)
        return jax.tree.map(
            lambda new, old: jnp.where(accept, new, old),
            better,
            state._replace(damping=damping, num_steps=state.num_steps + 1, done=done),
        )

    def climb(start, args):
        zeros = jnp.zeros_like(start)
        first = _Newton(
            start,
            -jnp.inf,
            zeros,
            jnp.eye(flat.dim),
            jnp.ones(()),
            jnp.zeros((), int),
            jnp.array(False),
        )
        first = jax.tree.map(jnp.asarray, first)
        return jax.lax.while_loop(
            lambda s: (s.num_steps < max_steps) & ~s.done, functools.partial(step, args), first
        )

    return map_batch(climb, z, args, batch_size=1)


def _check_start(start, flat):
    start = jnp.atleast_2d(jnp.asarray(start, dtype=jnp.result_type(float)))
    if start.ndim != 2 or start.shape[1] != flat.dim:
        raise ValueError(
            f"`start` is one row of {flat.dim} unconstrained values for each start, in the order "
            f"of `result.names`; got an array of shape {start.shape}. Leave it out to start from "
            "the prior."
        )
    return start


def _check_any_finite(failed) -> None:
    if bool(jnp.all(failed)):
        raise ValueError(
            f"None of the {failed.size} starts reached a finite log density and gradient. Check "
            "the image and the noise for bad pixels, and that the model is finite over its prior: "
            "`numpyro.infer.Predictive(model, num_samples=100)(key, observation)`."
        )


def _finite(value, gradient):
    return jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient), axis=-1)


def _count_nonfinite(value, gradient) -> dict[str, int]:
    return {
        "log_density": int(jnp.sum(~jnp.isfinite(value))),
        "gradient": int(jnp.sum(~jnp.all(jnp.isfinite(gradient), axis=-1))),
    }


def _basins(z, log_density, failed, hessian, nats: float = 3.0) -> tuple[Basin, ...]:
    """Group the starts: a start belongs to the best one left when the two could lie on one peak.

    That is when its log density is within ``nats`` of it, and the quadratic form of the curvature
    at the best start does not put it a hundred nats away.
    """
    z, values = np.asarray(z, dtype=float), np.asarray(log_density)
    order = np.argsort(np.where(np.asarray(failed), np.inf, -values))
    order = order[: int(np.sum(~np.asarray(failed)))]
    eigenvalues, vectors = np.linalg.eigh(np.asarray(hessian, dtype=float))
    scaled = z @ (vectors * np.sqrt(np.abs(eigenvalues)))
    basins: list[Basin] = []
    while len(order):
        leader = order[0]
        apart = 0.5 * np.sum((scaled[order] - scaled[leader]) ** 2, axis=1)
        members = (values[order] > values[leader] - nats) & (apart < 100.0)
        basins.append(Basin(float(values[leader]), int(members.sum()), int(leader)))
        order = order[~members]
    return tuple(basins)


def laplace_scale_tril(hessian: ArrayLike, floor: float = 1e-2) -> np.ndarray:
    """Cholesky factor (d, d) of the inverse of a negative Hessian, its eigenvalues floored.

    The priors have unit curvature or so in unconstrained space; no direction is taken to be wider
    than ``floor`` allows.
    """
    eigenvalues, vectors = np.linalg.eigh(np.asarray(hessian, dtype=np.float64))
    covariance = (vectors / np.maximum(np.abs(eigenvalues), floor)) @ vectors.T
    return np.linalg.cholesky(0.5 * (covariance + covariance.T))
