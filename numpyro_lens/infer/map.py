"""Maximum a posteriori by gradient descent from many starts at once."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.infer import SVI, Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoDelta
from numpyro.optim import optax_to_numpyro

from numpyro_lens._types import AnyArray, ArrayLike
from numpyro_lens.density import (
    Target,
    compiled,
    evaluate,
    flat_model,
    flat_site,
    map_batch,
    observed_sites,
    unplaced,
)
from numpyro_lens.infer.newton import ascend
from numpyro_lens.infer.optimisation import in_blocks, prepared, updated, with_model
from numpyro_lens.infer.results import Basin, MAPResult
from numpyro_lens.infer.stage import Bar, progress_bar, timed
from numpyro_lens.infer.start import Start, is_named, starts_from


@functools.cache
def adam(learning_rate: float = 3e-2, num_steps: int = 300) -> optax.GradientTransformation:
    """Adam with a short memory, and a cosine decay of the learning rate to a thirtieth.

    The first gradients are a thousand times larger than the later ones; with a ``b2`` below Adam's
    default their weight decays sooner. The same arguments return the same object, so that a second
    fit compiles nothing.
    """
    return optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps, alpha=0.03), b2=0.99)


@dataclass(frozen=True)
class MAP:
    """Multi-start search for the mode of the unconstrained log density.

    Prior draws are screened by their log density; the best of them are optimised, each with an
    optimiser state of its own, through NumPyro's ``AutoDelta``; one that ends lower than it began
    is put back; the best few are polished by damped Newton steps. When no two starts end in the
    best basin, or the best start does not explain the data, there may be a better basin that no
    start reached, and the search continues from new draws. Each of these takes the parameters of
    one component, a galaxy's light perhaps, from the best start: once the brightest is right, the
    ranking depends on how well the others fit. A search that finds nothing better is the last.

    The mode is that of the density in *unconstrained* space, the space of the next two stages.
    ``AutoDelta`` on the user's model itself would find the mode of the constrained density, which
    is another point.

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
        target: Target,
        key: AnyArray,
        *,
        start: ArrayLike | Start | None = None,
        progress: bool = True,
    ) -> MAPResult:
        """Search.

        Args:
            target: the density.
            key: JAX random key.
            start: unconstrained starts (num_starts, d), instead of prior draws; or values of
                sites, as of `starts_from`, or a list of such starts: the other sites are drawn from
                their prior, and there is one search.
            progress: draw a progress bar.

        Raises:
            ValueError: ``start`` of the wrong shape, without a site of the model or with a site
                that it does not have; or no start with a finite log density.
        """
        with timed() as timing, progress_bar("MAP", self.num_steps, progress) as bar:
            if start is None:
                found, num_screened = self._searches(target, key, bar)
            elif is_named(start):
                z, num_screened = self._screen_from(target, key, starts_from(start, target))
                found = self._search(target, z, bar)
            else:
                found, num_screened = self._search(target, _checked(start, target), bar), 0
        return MAPResult(
            target=target,
            params=np.asarray(found.z),
            log_density=np.asarray(found.log_density),
            losses=np.asarray(found.losses),
            num_nonfinite=_count_nonfinite(found.log_density, found.gradient),
            basins=found.basins,
            hessian=found.hessian,
            num_gradients={"screening": num_screened, "map": found.num_gradients},
            timing=timing.as_dict(),
        )

    def _searches(self, target: Target, key: AnyArray, bar: Bar) -> tuple["_Found", int]:
        """Searches from prior draws until one is accepted, and the number of draws screened."""
        num_screened = self._num_draws if self.num_screened is not None else 0
        found = self._search(target, self._screen(target, key), bar)
        improved = True
        for number in range(1, self.max_searches):
            best = found.basins[0]
            key_data, key_draws = jax.random.split(jax.random.fold_in(key, number))
            # A second search that finds nothing better is the last: real data fit no model.
            if best.num_starts > 1 and (
                not improved or _explains(target, found.z[best.start], key_data)
            ):
                return found, number * num_screened
            start = self._screen(target, key_draws, found.z[best.start])
            found = _merge(found, self._search(target, start, bar))
            improved = found.basins[0].log_density >= best.log_density + 3.0
        return found, self.max_searches * num_screened

    def _search(self, target: Target, start: AnyArray, bar: Bar) -> "_Found":
        """One set of starts, optimised and polished."""
        z, losses, at_start = self._descend(target, start, bar)
        bar.set_postfix_str("polishing, which compiles the first time")
        ends, num_gradients = self._evaluated(target, z), (len(losses) + 1) * len(z)
        if np.any(at_start > ends.log_density):  # Adam has left a narrow mode that it began in
            ends.keep_better(np.arange(len(z)), self._evaluated(target, start))
            num_gradients += len(z)
        failed = ~_finite(ends.log_density, ends.gradient)
        _check_any_finite(failed)
        ends, hessian, num_polishing = self._polish(target, ends, failed)
        bar.set_postfix_str(f"best log density {np.nanmax(ends.log_density):.2f}")
        num_gradients += num_polishing
        return _Found(*ends, failed, np.asarray(losses), hessian, num_gradients)

    def _evaluated(self, target: Target, z: AnyArray) -> "_Ends":
        at_z = evaluate(target.log_density, z, self.batch_size)
        return _Ends(np.array(z), *(np.array(each) for each in at_z))

    @property
    def _num_draws(self) -> int:
        return max(self.num_screened or 0, self.num_starts)

    def _screen(self, target: Target, key: AnyArray, best: AnyArray | None = None) -> AnyArray:
        """The most probable of the prior draws, each with a component of the best start so far."""
        draws = prior_draws(target, jax.random.split(key, self._num_draws))
        if best is not None:
            key_component = jax.random.fold_in(key, self._num_draws)
            taken = one_component(target, key_component, self._num_draws)
            draws = jnp.where(taken, best[None], draws)
        return self._ranked(target, draws[None], self.num_starts)

    def _screen_from(
        self, target: Target, key: AnyArray, groups: Sequence[dict[str, AnyArray]]
    ) -> tuple[AnyArray, int]:
        """Starts from given values (n, ...) of some sites, and the number of draws screened.

        Each of the n of all groups is drawn from equally often, and keeps its place among the
        starts.
        """
        sizes = [len(next(iter(given.values()))) for given in groups]
        each = -(-self._num_draws // sum(sizes))
        keys = jax.random.split(key, (sum(sizes), each))
        starts, num_drawn = [], 0
        for size, given in zip(sizes, groups, strict=True):
            own, keys = keys[:size], keys[size:]
            if {site.name for site in target.sites} <= set(given):
                starts.append(jax.vmap(target.unconstrain)(given))
                continue
            draws = _draws_given(target, own, given)
            starts.append(self._ranked(target, draws, max(self.num_starts // sum(sizes), 1)))
            num_drawn += size * each
        return jnp.concatenate(starts), 0 if self.num_screened is None else num_drawn

    def _ranked(self, target: Target, draws: AnyArray, num: int) -> AnyArray:
        """The most probable draws of each group (groups, each, d), all in one array (n, d)."""
        if self.num_screened is not None:
            groups = np.asarray(draws)
            flat = groups.reshape(-1, target.dim)
            value = np.asarray(evaluate(target.log_density, flat, self.batch_size)[0])
            loss = np.where(np.isfinite(value), -value, np.inf).reshape(groups.shape[:2])
            best = np.argsort(loss, axis=1, kind="stable")
            draws = jnp.asarray(np.take_along_axis(groups, best[:, :, None], axis=1))
        return draws[:, :num].reshape(-1, target.dim)

    def _descend(
        self, target: Target, z: AnyArray, bar: Bar
    ) -> tuple[AnyArray, list[float], np.ndarray]:
        """Where the starts end, the best loss of each step, and the log density of the starts."""
        if self.num_steps == 0:
            return z, [], np.full(len(z), -np.inf)
        optimizer, at_start = self.optimizer or adam(num_steps=self.num_steps), []

        def advance(state: Any, num_steps: int) -> tuple[Any, np.ndarray]:
            states, z, losses = _advance(target, optimizer, num_steps, state[0], self.batch_size)
            at_start.append(-np.asarray(losses)[:, 0])  # of the first block it is that
            return (states, z), np.nanmin(np.asarray(losses), axis=0, initial=np.inf)

        (_, z), losses = in_blocks(
            advance,
            (unplaced(_begin(target, optimizer, z)), z),
            num_steps=self.num_steps,
            block=self.block,
            stop=self._stalled,
            bar=bar,
        )
        return z, losses, at_start[0]

    def _stalled(self, losses: list[float]) -> bool:
        if self.patience is None or len(losses) <= self.patience:
            return False
        return min(losses[: -self.patience]) - min(losses) < 0.1

    def _polish(
        self, target: Target, ends: "_Ends", failed: np.ndarray
    ) -> tuple["_Ends", np.ndarray, int]:
        """The ends, the best of them polished; the Hessian there; the gradients that took."""
        ranked = np.argsort(np.where(failed, np.inf, -ends.log_density), kind="stable")
        best = ranked[: max(self.num_polished, 1)]
        # One step evaluates the point itself: there is a Hessian even when nothing is polished.
        rounds, num_steps = (_MAX_ROUNDS, 20) if self.num_polished else (1, 1)
        steps, num_gradients = np.full(len(best), num_steps), 0
        for _ in range(rounds):
            # Not placed on devices, or the next round compiles again for that placement.
            ascent = unplaced(ascend(target, ends.z[best], steps))
            num_gradients += int(np.sum(ascent.num_steps)) * (target.dim + 1)
            ends.keep_better(best, _Ends(*ascent.best[:3]))
            value, top = ascent.best.value, np.argmax(ascent.best.value)
            if ascent.done[top]:
                break
            steps = np.where((value > value[top] - _POLISH_WITHIN) & ~ascent.done, num_steps, 0)
        return ends, ascent.best.hessian[top], num_gradients


#: Of Newton steps, twenty each, until the best start has converged.
_MAX_ROUNDS = 6
#: Starts so much below the best in log density after a round are not polished further.
_POLISH_WITHIN = 30.0


class _Ends(NamedTuple):
    """Where starts ended: (n, d), (n,) and (n, d)."""

    z: np.ndarray
    log_density: np.ndarray
    gradient: np.ndarray

    def keep_better(self, index: np.ndarray, new: "_Ends") -> None:
        """Replace the points at ``index`` by those of ``new`` that are as high or higher."""
        # An ascent that never found a finite point has no gradient to offer either.
        better = np.isfinite(new.log_density) & (new.log_density >= self.log_density[index])
        for mine, its in zip(self, new, strict=True):
            mine[index[better]] = its[better]


class _Found(NamedTuple):
    """What a search found; ``hessian`` is that of minus the log density, at the best start."""

    z: np.ndarray
    log_density: np.ndarray
    gradient: np.ndarray
    failed: np.ndarray
    losses: np.ndarray
    hessian: np.ndarray
    num_gradients: int

    @property
    def basins(self) -> tuple[Basin, ...]:
        return _basins(self.z, self.log_density, self.failed, self.hessian)


def _merge(one: _Found, two: _Found) -> _Found:
    better = two.basins[0].log_density > one.basins[0].log_density
    hessian = two.hessian if better else one.hessian
    both = {
        name: np.concatenate([getattr(one, name), getattr(two, name)])
        for name in _Found._fields[:5]
    }
    return _Found(**both, hessian=hessian, num_gradients=one.num_gradients + two.num_gradients)


@compiled()
def prior_draws(target: Target, keys: AnyArray) -> AnyArray:
    """Draws from the prior as unconstrained vectors (n, d), one for each key."""
    return jax.vmap(target.prior_draw)(keys)


@compiled()
def _draws_given(target: Target, keys: AnyArray, given: dict[str, AnyArray]) -> AnyArray:
    """Prior draws (n, each, d) of the sites that are not given (n, ...)."""
    one = jax.vmap(target.prior_draw, in_axes=(0, None))
    return jax.vmap(one)(keys, given)


@compiled()
def _improbability(target: Target, z: AnyArray, key: AnyArray) -> AnyArray:
    """By how many standard deviations the data are less probable than replicates at a point."""
    sites = list(observed_sites(target.trace(z)).values())

    def log_likelihood(key: AnyArray) -> AnyArray:
        keys = jax.random.split(key, len(sites))
        pairs = zip(sites, keys, strict=True)
        return sum((jnp.sum(s["fn"].log_prob(s["fn"].sample(k))) for s, k in pairs), jnp.zeros(()))

    data = sum(jnp.sum(s["fn"].log_prob(s["value"])) for s in sites)
    replicates = jax.vmap(log_likelihood)(jax.random.split(key, 32))
    return (jnp.mean(replicates) - data) / jnp.std(replicates)


def _explains(target: Target, z: AnyArray, key: AnyArray) -> bool:
    try:
        excess = _improbability(target, z, key)
    except NotImplementedError:  # by a distribution that cannot be drawn from
        return True
    # A model of factors alone has no replicates: its excess is not a number.
    return not float(excess) > 5.0


def one_component(target: Target, key: AnyArray, number: int) -> AnyArray:
    """Which entries (number, d) belong to a component, drawn for each row, such as ``lens``.

    A site without a dot in its name is a component of its own. None is drawn where there is only
    one: it would be the whole vector.
    """
    names = [
        site.name.rpartition(".")[0] or site.name for site in target.sites for _ in range(site.size)
    ]
    _, component = np.unique(names, return_inverse=True)
    drawn = jax.random.randint(key, (number, 1), 0, component.max() + 1)
    return (jnp.asarray(component)[None] == drawn) & (component.max() > 0)


def _svi(target: Target, optimizer: Any) -> SVI:
    origin = init_to_value(values={"z": jnp.zeros(target.dim)})
    guide = AutoDelta(flat_site, init_loc_fn=origin)
    return prepared(SVI(flat_site, guide, optax_to_numpyro(optimizer), Trace_ELBO()), target)


@compiled(static_argnames=("optimizer",))
def _begin(target: Target, optimizer: Any, z: AnyArray) -> Any:
    svi, key = _svi(target, optimizer), jax.random.key(0)  # AutoDelta draws nothing
    return jax.vmap(lambda start: svi.init(key, target, init_params={"z_auto_loc": start}))(z)


@compiled(static_argnames=("optimizer", "num_steps", "batch_size"))
def _advance(
    target: Target, optimizer: Any, num_steps: int, states: Any, batch_size: int | None
) -> tuple[Any, AnyArray, AnyArray]:
    svi = with_model(_svi(target, optimizer), flat_model)

    def one_start(state: Any, target: Target) -> tuple[Any, AnyArray, AnyArray]:
        state, losses = updated(svi, num_steps, state, target)
        return state, svi.get_params(state)["z_auto_loc"], losses

    return map_batch(one_start, states, target, batch_size=batch_size)


def _checked(start: Any, target: Target) -> AnyArray:
    start = jnp.atleast_2d(jnp.asarray(start, dtype=jnp.result_type(float)))
    if start.ndim != 2 or start.shape[1] != target.dim:
        raise ValueError(
            f"`start` is one row of {target.dim} unconstrained values for each start, in the order "
            f"of `result.names`; got an array of shape {start.shape}. Leave it out to start from "
            "the prior."
        )
    return start


def _check_any_finite(failed: np.ndarray) -> None:
    if failed.all():
        raise ValueError(
            f"None of the {failed.size} starts reached a finite log density and gradient. Check "
            "the image and the noise for bad pixels, and that the model is finite over its prior: "
            "`numpyro.infer.Predictive(model, num_samples=100)(key, observation)`."
        )


def _finite(value: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    return np.isfinite(value) & np.all(np.isfinite(gradient), axis=-1)


def _count_nonfinite(value: np.ndarray, gradient: np.ndarray) -> dict[str, int]:
    return {
        "log_density": int(np.sum(~np.isfinite(value))),
        "gradient": int(np.sum(~np.all(np.isfinite(gradient), axis=-1))),
    }


def _basins(
    z: np.ndarray,
    log_density: np.ndarray,
    failed: np.ndarray,
    hessian: np.ndarray,
    nats: float = 3.0,
) -> tuple[Basin, ...]:
    """Group the starts: a start joins the best one left when both can belong to one mode.

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
