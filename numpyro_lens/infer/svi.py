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
from numpyro.infer import ELBO, init_to_value
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.optim import optax_to_numpyro

from numpyro_lens._types import AnyArray, ArrayLike
from numpyro_lens.density import (
    Target,
    compiled,
    evaluate,
    flat_model,
    flat_site,
    map_batch,
    unplaced,
)
from numpyro_lens.infer.diagnostics import pareto_k
from numpyro_lens.infer.optimisation import in_blocks, prepared, updated, with_model
from numpyro_lens.infer.results import SVIResult
from numpyro_lens.infer.stage import Bar, progress_bar, timed
from numpyro_lens.sampler import Affine


@functools.cache
def adam(learning_rate: float = 2e-2, num_steps: int = 200) -> optax.GradientTransformation:
    """Adam with a cosine decay of the rate to a twentieth; one object for the same arguments."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps, alpha=0.05))


class StickingTheLanding(ELBO):
    """Negative ELBO, the variance of whose gradient vanishes as the guide nears the posterior.

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
        rng_key: AnyArray,
        param_map: dict[str, Any],
        model: Callable,
        guide: Any,
        *args: Any,
        **kwargs: Any,  # noqa: ARG002 NumPyro's signature
    ) -> AnyArray:
        """Negative ELBO, the mean over the draws."""
        posterior = guide.get_posterior(param_map)
        frame = Affine(posterior.loc, posterior.scale_tril)
        half = jax.random.normal(rng_key, (self.num_particles // 2, posterior.event_shape[0]))
        z = frame(jnp.concatenate([half, -half]))
        # Only the path through the draws is differentiated, not the density of the guide itself.
        log_q = jax.tree.map(jax.lax.stop_gradient, frame).log_prob(z)
        return jnp.mean(log_q - _log_density_of_site(model, z, args, self.batch_size))


def _log_density_of_site(
    model: Callable, z: AnyArray, args: tuple, batch_size: int | None
) -> AnyArray:
    """Log density of a model with one flat site ``z`` at many values; gradients in batches."""

    def one(z: AnyArray, args: tuple) -> AnyArray:
        return numpyro.infer.util.log_density(model, args, {}, {"z": z})[0]

    @jax.custom_vjp
    def many(z: AnyArray, args: tuple) -> AnyArray:
        return map_batch(one, z, args, batch_size=batch_size)

    def forward(z: AnyArray, args: tuple) -> tuple[AnyArray, AnyArray]:
        return map_batch(jax.value_and_grad(one), z, args, batch_size=batch_size)

    def backward(gradient: AnyArray, upstream: AnyArray) -> tuple[AnyArray, None]:
        return upstream[:, None] * gradient, None

    many.defvjp(forward, backward)
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
        target: Target,
        key: AnyArray,
        *,
        start: ArrayLike,
        scale_tril: ArrayLike,
        progress: bool = True,
    ) -> SVIResult:
        """Fit.

        Args:
            target: the density.
            key: JAX random key.
            start: mean of the first Gaussian, (d,) or (1, d).
            scale_tril: lower Cholesky factor of its covariance (d, d).
            progress: draw a progress bar.

        Raises:
            ValueError: ``start`` or ``scale_tril`` of the wrong shape.
        """
        start, scale_tril = _checked(start, scale_tril, target)
        key_fit, key_weights = jax.random.split(key)
        with timed() as timing, progress_bar("SVI", self.num_steps, progress) as bar:
            elbo = self.elbo or _sticking_the_landing(self.num_particles, self.batch_size)
            identity = jnp.eye(target.dim)
            frame = Affine(start, scale_tril if self.whiten else identity)
            first = identity if self.whiten else scale_tril
            fitted, losses = self._fit(target, key_fit, elbo, frame, first, bar)
            k = _importance_k(target, key_weights, fitted, self)
        return SVIResult(
            target=target,
            mean=np.asarray(fitted.loc),
            scale_tril=np.asarray(fitted.scale_tril),
            losses=np.asarray(losses),
            pareto_k=k,
            num_gradients={"svi": len(losses) * elbo.num_particles + self.num_importance},
            timing=timing.as_dict(),
        )

    def _fit(
        self,
        target: Target,
        key: AnyArray,
        elbo: ELBO,
        frame: Affine,
        first: AnyArray,
        bar: Bar,
    ) -> tuple[Affine, list[float]]:
        """The fitted Gaussian, and the negative ELBO of each step."""
        optimizer = self.optimizer or adam(num_steps=self.num_steps)
        # The guide's density is that of whitened coordinates; the ELBO is that of the posterior.
        log_volume = float(np.sum(np.log(np.diag(np.asarray(frame.scale_tril)))))

        def advance(state: Any, num_steps: int) -> tuple[Any, np.ndarray]:
            state, losses = _advance(target, optimizer, elbo, num_steps, state, frame)
            return state, np.asarray(losses) - log_volume

        state, losses = in_blocks(
            advance,
            unplaced(_begin(target, optimizer, elbo, key, first)),
            num_steps=self.num_steps,
            block=self.block,
            stop=self._settled,
            bar=bar,
        )
        return _gaussian(target, optimizer, elbo, state, frame), losses

    def _settled(self, losses: list[float]) -> bool:
        window = self.patience
        if window is None or len(losses) < 2 * window:
            return False
        before, last = np.asarray(losses[-2 * window : -window]), np.asarray(losses[-window:])
        noise = np.sqrt((before.var() + last.var()) / window)
        return bool(before.mean() - last.mean() < max(0.02, noise))


@functools.cache
def _sticking_the_landing(num_particles: int, batch_size: int | None) -> StickingTheLanding:
    return StickingTheLanding(num_particles, batch_size)


def _svi(target: Target, optimizer: Any, elbo: ELBO) -> numpyro.infer.SVI:
    origin = init_to_value(values={"z": jnp.zeros(target.dim)})
    guide = AutoMultivariateNormal(flat_site, init_loc_fn=origin, init_scale=1.0)
    return numpyro.infer.SVI(flat_site, guide, optax_to_numpyro(optimizer), elbo)


@compiled(static_argnames=("optimizer", "elbo"))
def _begin(target: Target, optimizer: Any, elbo: ELBO, key: AnyArray, first: AnyArray) -> Any:
    svi = _svi(target, optimizer, elbo)
    return svi.init(key, target, init_params={"auto_scale_tril": first})


@compiled(static_argnames=("optimizer", "elbo", "num_steps"))
def _advance(
    target: Target, optimizer: Any, elbo: ELBO, num_steps: int, state: Any, frame: Affine
) -> tuple[Any, AnyArray]:
    svi = prepared(_svi(target, optimizer, elbo), target)
    svi = with_model(svi, functools.partial(flat_model, frame=frame))
    return updated(svi, num_steps, state, target)


@compiled(static_argnames=("optimizer", "elbo"))
def _gaussian(target: Target, optimizer: Any, elbo: ELBO, state: Any, frame: Affine) -> Affine:
    """The fitted Gaussian, in the coordinates that ``frame`` whitens."""
    svi = prepared(_svi(target, optimizer, elbo), target)
    posterior = svi.guide.get_posterior(svi.get_params(state))
    return frame.after(Affine(posterior.loc, posterior.scale_tril))


def _importance_k(target: Target, key: AnyArray, fitted: Affine, settings: SVI) -> float:
    z, noise = _drawn(fitted, key, settings.num_importance)
    log_p, _ = evaluate(target.log_density, z, settings.batch_size)
    # The normalisation of the Gaussian is the same for every draw, and drops out of the tail.
    log_weights = np.asarray(log_p, dtype=float) + 0.5 * np.sum(np.square(noise), axis=1)
    return pareto_k(np.where(np.isfinite(log_weights), log_weights, -np.inf))


@compiled(static_argnames=("num",))
def _drawn(gaussian: Affine, key: AnyArray, num: int) -> tuple[AnyArray, AnyArray]:
    """Draws (num, d), and the standard normal ones that they are made of."""
    noise = jax.random.normal(key, (num, len(gaussian.loc)))
    return gaussian(noise), noise


def _checked(start: ArrayLike, scale_tril: ArrayLike, target: Target) -> tuple[AnyArray, AnyArray]:
    dtype = jnp.result_type(float)
    start, scale_tril = jnp.asarray(start, dtype), jnp.asarray(scale_tril, dtype)
    if start.size != target.dim:
        raise ValueError(
            f"`start` is one point of {target.dim} unconstrained values, of shape "
            f"({target.dim},) or (1, {target.dim}); got {start.shape}. `map_result.best` is one."
        )
    if scale_tril.shape != (target.dim, target.dim):
        raise ValueError(
            f"`scale_tril` is a ({target.dim}, {target.dim}) lower Cholesky factor; "
            f"got {scale_tril.shape}."
        )
    return start.reshape(target.dim), scale_tril
