"""The sampler as a NumPyro kernel."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from numpyro.infer.mcmc import MCMCKernel

from numpyro_lens._precision import full_precision
from numpyro_lens._types import Array
from numpyro_lens.density import Target, evaluate
from numpyro_lens.sampler.crosschain import CrossChainState, begin, transition
from numpyro_lens.sampler.maps import AbstractMap, Affine
from numpyro_lens.sampler.quadratic import Quadratic
from numpyro_lens.sampler.settings import CrossChain


class CrossChainHMC(MCMCKernel):
    """Hamiltonian Monte Carlo whose chains adapt together, for any NumPyro model.

    It runs in ``MCMC(..., chain_method="vectorized")``.

    Args:
        model: NumPyro model function.
        potential_fn: instead of a model, minus the log density of a vector (d,). ``MCMC.run`` then
            needs ``init_params`` of shape (num_chains, d).
        settings: how the chains move and adapt.
        map: coordinates to start from, such as
            ``Quadratic.of(Affine(svi_mean, svi_scale_tril))``, in the order of the model: fitted
            before burn-in to ``settings.num_fit_draws`` draws, and again during it. Without one, a
            ``Quadratic`` of unit scale around the mean of the starts is fitted during burn-in.
        batch_size: chains evaluated at once on a device; see ``density.map_batch``.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist
        >>> def model():
        ...     numpyro.sample("x", dist.Normal(0, 1))
        ...     numpyro.factor("flat", 0.0)
        >>> mcmc = numpyro.infer.MCMC(
        ...     CrossChainHMC(model), num_warmup=100, num_samples=100, num_chains=8,
        ...     chain_method="vectorized", progress_bar=False)
        >>> mcmc.run(jax.random.key(0))
        >>> mcmc.get_samples()["x"].shape
        (800,)
    """

    is_ensemble_kernel = True
    sample_field = "z"
    default_fields = ("z", "diverging")

    def __init__(
        self,
        model: Callable | None = None,
        *,
        potential_fn: Callable | None = None,
        settings: CrossChain = CrossChain(),  # noqa: B008 it is frozen
        map: AbstractMap | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        _check_arguments(model, potential_fn, unknown)
        self._model = model
        self._plain: Any = None if potential_fn is None else _minus(potential_fn)
        self.settings = settings
        self.map = map
        self.batch_size = batch_size
        self._num_warmup = 0
        self._sample_fn: Callable | None = None

    @property
    def model(self) -> Callable | None:
        """The NumPyro model function."""
        return self._model

    @full_precision
    def init(
        self,
        rng_key: Array,
        num_warmup: int,
        init_params: Array | None = None,
        model_args: tuple = (),
        model_kwargs: dict[str, Any] | None = None,
    ) -> CrossChainState:
        """State of the chains, one key each, at ``init_params`` (C, d) or at draws of the prior."""
        _check_run(rng_key, model_args if self._model is None else (), model_kwargs)
        start = self._starts(rng_key, init_params, model_args)
        settings, map = self.settings, self.map
        if map is None:
            settings = dataclasses.replace(settings, num_fit_draws=0)
            map = Quadratic.of(Affine(jnp.mean(start, axis=0), jnp.eye(start.shape[1])))
        self._num_warmup, self._sample_fn = num_warmup, self._log_density
        log_density, key = self._log_density(model_args), jax.random.fold_in(rng_key[0], 1)
        state, _ = begin(settings, log_density, start, map, num_warmup, key, self.batch_size)
        _check_finite(state.log_density)
        return state

    def _log_density(self, model_args: tuple) -> Callable:
        if self._model is None:
            return self._plain
        return Target.of(self._model, *model_args).log_density

    def _starts(self, keys: Array, init_params: Any, model_args: tuple) -> Array:
        target = None if self._model is None else Target.of(self._model, *model_args)
        if init_params is not None:
            return _checked_starts(init_params, len(keys), target)
        if target is None:
            raise ValueError(
                "A `potential_fn` says nothing of where the chains may start. Pass "
                "`mcmc.run(key, init_params=start)` with `start` of shape (num_chains, d)."
            )
        return _prior_draws(target, keys, self.batch_size)

    @full_precision
    def sample(
        self,
        state: CrossChainState,
        model_args: tuple,
        model_kwargs: Any,  # noqa: ARG002 NumPyro's signature
    ) -> CrossChainState:
        """State of the chains after one transition."""
        log_density = self._log_density(model_args)
        return transition(self.settings, log_density, self._num_warmup, state, self.batch_size)

    def postprocess_fn(self, args: tuple, kwargs: Any) -> Callable:  # noqa: ARG002 NumPyro's
        """Function from an unconstrained vector to the site values, or to itself."""
        if self._model is None:
            return lambda z: z
        return Target.of(self._model, *args).constrain

    def get_diagnostics_str(self, state: CrossChainState) -> str:
        """Gradients, step size and acceptance of the last transition, for the progress bar."""
        return (
            f"{int(state.num_steps[0])} gradients, step size {float(state.step_size[0]):.2e}, "
            f"acceptance {float(jnp.mean(state.accept_prob)):.2f}"
        )


def _minus(potential_fn):
    return Partial(lambda z: -potential_fn(z))


def _prior_draws(target, keys, batch_size):
    """One draw (C, d) for each key; those without a finite density are drawn again."""
    z = jax.vmap(target.prior_draw)(keys)
    for attempt in range(1, 21):
        finite = jnp.isfinite(evaluate(target.log_density, z, batch_size)[0])
        if jnp.all(finite):
            break
        again = jax.vmap(target.prior_draw)(jax.vmap(jax.random.fold_in, (0, None))(keys, attempt))
        z = jnp.where(finite[:, None], z, again)
    return z


def _check_finite(log_density):
    number = int(jnp.sum(~jnp.isfinite(log_density)))
    if number:
        raise ValueError(
            f"{number} of {len(log_density)} chains start at a log density that is not finite. "
            "Pass `init_params`, unconstrained vectors of shape (num_chains, d) where it is."
        )


def _check_arguments(model, potential_fn, unknown):
    if "scale_tril" in unknown:
        raise TypeError(
            "CrossChainHMC takes a map instead of `scale_tril`: write "
            "`CrossChainHMC(model, map=Quadratic.of(Affine(mean, scale_tril)))`, both of them from "
            "`numpyro_lens.sampler`."
        )
    if unknown:
        raise TypeError(
            f"CrossChainHMC got {', '.join(f'`{name}`' for name in unknown)}. Its arguments are "
            "`model` or `potential_fn`, `settings`, `map` and `batch_size`; the rest belongs into "
            "`settings=CrossChain(...)`."
        )
    if (model is None) == (potential_fn is None):
        raise ValueError(
            "CrossChainHMC samples one density, and this call names "
            f"{'none' if model is None else 'two'}. Write `CrossChainHMC(model)` for a NumPyro "
            "model, or `CrossChainHMC(potential_fn=function)` for minus a log density of a vector."
        )


def _check_run(keys, args_of_potential, model_kwargs):
    if model_kwargs:
        names = ", ".join(f"`{name}`" for name in model_kwargs)
        raise ValueError(
            f"CrossChainHMC takes the arguments of the model by position, and {names} came by "
            "name: `mcmc.run(key, x, y)`, or put them into the model with `functools.partial`."
        )
    if args_of_potential:
        raise ValueError(
            "A `potential_fn` takes the vector alone, and `mcmc.run` got "
            f"{len(args_of_potential)} more: put them into it with `functools.partial`."
        )
    dimensions = 1 if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) else 2
    if jnp.ndim(keys) < dimensions:
        raise ValueError(
            "CrossChainHMC adapts its chains together: pass "
            '`chain_method="vectorized"` and `num_chains` of at least 2 to `MCMC`.'
        )


def _checked_starts(init_params, num_chains, target):
    dim = "d" if target is None else target.dim
    shape = np.shape(init_params) if hasattr(init_params, "shape") else type(init_params).__name__
    expected = (num_chains, shape[-1] if dim == "d" and shape else dim)
    if shape != expected:
        raise ValueError(
            "`init_params` are unconstrained vectors, one for each chain, of shape "
            f"({num_chains}, {dim}), and these are {shape}. "
            "`jax.vmap(Target.of(model, *args).unconstrain)(values)` makes them of site values."
        )
    return jnp.asarray(init_params)
