"""Stochastic variational inference: a full-rank Gaussian from the MAP."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from numpy.typing import ArrayLike
from numpyro.infer import ELBO, init_to_value
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.optim import optax_to_numpyro

from numpyro_lens._types import Array
from numpyro_lens.infer._stage import progress_bar, timed
from numpyro_lens.infer.batching import evaluate, map_batch, unplaced
from numpyro_lens.infer.density import Affine, FlatModel
from numpyro_lens.infer.diagnostics import pareto_k
from numpyro_lens.infer.results import SVIResult


@functools.cache
def adam(learning_rate: float = 2e-2, num_steps: int = 200) -> optax.GradientTransformation:
    """Adam with a cosine decay of the rate to a twentieth; one object for the same arguments."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps, alpha=0.05))


class StickingTheLanding(ELBO):
    """Negative ELBO whose gradient loses its variance as the guide approaches the posterior.

    The score term of the gradient, whose mean is zero, is left out; the draws come in antithetic
    pairs. For guides with a reparametrised posterior (``AutoContinuous``) over a single flat site.

    Args:
        num_particles: draws for each step, rounded up to an even number.
        batch_size: draws evaluated at once on a device.

    Reference: Roeder, Wu & Duvenaud 2017, NeurIPS, eq. 8.
    """

    def __init__(self, num_particles: int = 32, batch_size: int | None = None) -> None:
        self.batch_size = batch_size
        super().__init__(num_particles=num_particles + num_particles % 2)

    def loss(
        self,
        rng_key: Array,
        param_map: dict[str, Any],
        model: Callable,
        guide: Any,
        *args: Any,
        **kwargs: Any,  # noqa: ARG002 NumPyro's signature
    ) -> Array:
        """Negative ELBO, the mean over the draws."""
        posterior = guide.get_posterior(param_map)
        frame = Affine(posterior.loc, posterior.scale_tril)
        half = jax.random.normal(rng_key, (self.num_particles // 2, posterior.event_shape[0]))
        z = frame(jnp.concatenate([half, -half]))
        # Only the path through the draws is differentiated, not the density of the guide itself.
        log_q = jax.tree.map(jax.lax.stop_gradient, frame).log_prob(z)
        return jnp.mean(log_q - _log_density_of_site(model, z, args, self.batch_size))


def _log_density_of_site(model, z, args, batch_size):
    """Log density of a model with one flat site ``z`` at many values; gradients in batches."""

    def one(z, args):
        return numpyro.infer.util.log_density(model, args, {}, {"z": z})[0]

    @jax.custom_vjp
    def many(z, args):
        return map_batch(one, z, args, batch_size=batch_size)

    def forward(z, args):
        return map_batch(jax.value_and_grad(one), z, args, batch_size=batch_size)

    many.defvjp(forward, lambda gradient, upstream: (upstream[:, None] * gradient, None))
    return many(z, args)


@dataclass(frozen=True)
class SVI:
    """Fit NumPyro's ``AutoMultivariateNormal`` in unconstrained space.

    The guide is fitted in coordinates whitened by its first Gaussian, so that directions whose
    scales differ by orders of magnitude learn at the same rate.

    Args:
        num_particles: draws for each step of the ELBO.
        num_steps: steps at most.
        optimizer: optax transformation; ``None`` is ``adam(2e-2, num_steps)``.
        elbo: NumPyro ``ELBO``; ``None`` is ``StickingTheLanding(num_particles)``.
        patience: stop when the mean ELBO of this many steps is no better than that of as many
            before; ``None`` never stops early.
        whiten: fit in coordinates whitened by the first Gaussian; without, the steps of the
            optimiser are in the units of the unconstrained parameters, as in GIGA-Lens.
        num_importance: draws for the Pareto k of the importance weights.
        batch_size: draws evaluated at once on a device; see ``map_batch``.
    """

    num_particles: int = 24
    num_steps: int = 200
    optimizer: optax.GradientTransformation | None = None
    elbo: ELBO | None = None
    patience: int | None = 25
    whiten: bool = True
    num_importance: int = 256
    batch_size: int | None = None
    block: int = field(default=25, repr=False)

    def run(
        self,
        flat: FlatModel,
        args: tuple,
        key: Array,
        *,
        start: ArrayLike,
        scale_tril: ArrayLike,
        progress: bool = True,
    ) -> SVIResult:
        """Fit.

        Args:
            flat: the model.
            args: arguments of the model.
            key: JAX random key.
            start: mean of the first Gaussian, (d,) or (1, d).
            scale_tril: lower Cholesky factor of its covariance (d, d).
            progress: draw a progress bar.

        Raises:
            ValueError: ``start`` or ``scale_tril`` of the wrong shape.
        """
        start, scale_tril = _check_gaussian(start, scale_tril, flat)
        key_fit, key_weights = jax.random.split(key)
        with timed() as timing:
            elbo = self.elbo or _sticking_the_landing(self.num_particles, self.batch_size)
            identity = jnp.eye(flat.dim)
            frame = Affine(start, scale_tril if self.whiten else identity)
            first = identity if self.whiten else scale_tril
            loc, tril, losses = self._fit(flat, args, key_fit, elbo, frame, first, progress)
            mean, result_tril = frame(loc), frame.scale_tril @ tril
            k = _importance_k(flat, args, key_weights, Affine(mean, result_tril), self)
        return SVIResult(
            flat=flat,
            args=args,
            mean=np.asarray(mean),
            scale_tril=np.asarray(result_tril),
            losses=np.asarray(losses),
            pareto_k=k,
            num_gradients={"svi": len(losses) * elbo.num_particles + self.num_importance},
            timing=timing.as_dict(),
        )

    def _fit(self, flat, args, key, elbo, frame, first, progress):
        optimizer = self.optimizer or adam(num_steps=self.num_steps)
        state = unplaced(_begin(flat, optimizer, elbo, key, frame, first, args))
        losses: list[float] = []
        # The guide's density is that of whitened coordinates; the ELBO is that of the posterior.
        log_volume = float(jnp.sum(jnp.log(jnp.diag(frame.scale_tril))))
        with progress_bar("SVI", self.num_steps, progress) as bar:
            while len(losses) < self.num_steps and not self._settled(losses):
                steps = min(self.block, self.num_steps - len(losses))
                state, block = unplaced(_advance(flat, optimizer, elbo, steps, state, frame, args))
                losses.extend((np.asarray(block) - log_volume).tolist())
                bar.update(steps)
                bar.set_postfix_str(f"ELBO {-np.mean(losses[-steps:]):.2f}")
        loc, tril = _gaussian(flat, optimizer, elbo, state, frame, args)
        return loc, tril, losses

    def _settled(self, losses) -> bool:
        window = self.patience
        if window is None or len(losses) < 2 * window:
            return False
        before, last = np.asarray(losses[-2 * window : -window]), np.asarray(losses[-window:])
        noise = np.sqrt((before.var() + last.var()) / window)
        return bool(before.mean() - last.mean() < max(0.02, noise))


@functools.cache
def _sticking_the_landing(num_particles, batch_size):
    return StickingTheLanding(num_particles, batch_size)


def _svi(flat, optimizer, elbo, frame):
    origin = init_to_value(values={"z": jnp.zeros(flat.dim)})
    guide = AutoMultivariateNormal(flat.flat_site, init_loc_fn=origin, init_scale=1.0)
    return numpyro.infer.SVI(flat.as_numpyro(frame), guide, optax_to_numpyro(optimizer), elbo)


@functools.partial(jax.jit, static_argnames=("flat", "optimizer", "elbo"))
def _begin(flat, optimizer, elbo, key, frame, first, args):
    svi = _svi(flat, optimizer, elbo, frame)
    return svi.init(key, *args, init_params={"auto_scale_tril": first})


@functools.partial(jax.jit, static_argnames=("flat", "optimizer", "elbo", "num_steps"))
def _advance(flat, optimizer, elbo, num_steps, state, frame, args):
    svi = _svi(flat, optimizer, elbo, frame)
    svi.init(jax.random.key(0), *args)
    step = lambda state, _: svi.stable_update(state, *args)  # noqa: E731
    return jax.lax.scan(step, state, length=num_steps)


@functools.partial(jax.jit, static_argnames=("flat", "optimizer", "elbo"))
def _gaussian(flat, optimizer, elbo, state, frame, args):
    svi = _svi(flat, optimizer, elbo, frame)
    svi.init(jax.random.key(0), *args)
    posterior = svi.guide.get_posterior(svi.get_params(state))
    return posterior.loc, posterior.scale_tril


def _importance_k(flat, args, key, fitted, settings) -> float:
    noise = jax.random.normal(key, (settings.num_importance, flat.dim))
    log_p, _ = evaluate(flat, fitted(noise), args, settings.batch_size)
    # The normalisation of the Gaussian is the same for every draw, and drops out of the tail.
    log_weights = np.asarray(log_p + 0.5 * jnp.sum(noise**2, axis=1), dtype=float)
    return pareto_k(np.where(np.isfinite(log_weights), log_weights, -np.inf))


def _check_gaussian(
    start: ArrayLike, scale_tril: ArrayLike, flat: FlatModel
) -> tuple[Array, Array]:
    dtype = jnp.result_type(float)
    start, scale_tril = jnp.asarray(start, dtype), jnp.asarray(scale_tril, dtype)
    if start.size != flat.dim:
        raise ValueError(
            f"`start` is one point of {flat.dim} unconstrained values, of shape ({flat.dim},) or "
            f"(1, {flat.dim}); got {start.shape}. `map_result.best` is one."
        )
    if scale_tril.shape != (flat.dim, flat.dim):
        raise ValueError(
            f"`scale_tril` is a ({flat.dim}, {flat.dim}) lower Cholesky factor; "
            f"got {scale_tril.shape}."
        )
    return start.reshape(flat.dim), scale_tril
