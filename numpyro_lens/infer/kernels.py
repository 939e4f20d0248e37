"""Hamiltonian Monte Carlo whose chains adapt together.

All chains share one step size, one trajectory length and one metric, learned from all of them at
once. That adapts faster than chains on their own, and as all trajectories have the same number of
steps, hardly a chain waits for another.
"""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from numpyro.infer.hmc_util import dual_averaging
from numpyro.infer.mcmc import MCMCKernel

from numpyro_lens._types import Array
from numpyro_lens.infer.batching import evaluate, values_and_gradients
from numpyro_lens.infer.coupling import CoupledTransport
from numpyro_lens.infer.density import Affine, FlatModel, flat_model
from numpyro_lens.infer.map import prior_draws
from numpyro_lens.infer.trajectory import HARMONIC, Integrator, Point, attempt, integrate
from numpyro_lens.infer.transport import WIDEST, Transport


class AdaptState(NamedTuple):
    """What is learned during burn-in, shared by all chains.

    The mass matrix is the identity in the coordinates that ``transport`` whitens.
    """

    transport: Transport | CoupledTransport
    step_size: Any  # state of dual averaging, of the logarithm
    log_length: Any
    log_length_mean: Any
    length_optimizer: Any
    z: Any  # draws of the burn-in (num_warmup, C, d)
    z_grad: Any


class CrossChainState(NamedTuple):
    """State of all chains; every field but the last three has a leading chain axis.

    Attributes:
        z: unconstrained positions (C, d).
        potential_energy: minus the log density (C,).
        z_grad: gradient of the potential energy (C, d).
        energy: potential plus kinetic energy of the accepted point (C,).
        accept_prob, num_steps, step_size, trajectory_length, diverging: of the last transition
            (C,).
        i: transitions so far.
        adapt_state: see ``AdaptState``.
        rng_key: JAX random key.
    """

    z: Any
    potential_energy: Any
    z_grad: Any
    energy: Any
    accept_prob: Any
    num_steps: Any
    step_size: Any
    trajectory_length: Any
    diverging: Any
    i: Any
    adapt_state: AdaptState
    rng_key: Any


@dataclass(frozen=True)
class CrossChain:
    """How the chains move and adapt.

    The trajectory length follows the ChEES criterion: the rate at which the squared distance from
    the centre changes along a trajectory is followed uphill. Lengths are jittered by a van der
    Corput sequence.

    Args:
        target_accept_prob: harmonic mean of the acceptance probability of the chains that the step
            size aims at.
        max_num_steps: integrator steps for each transition at most.
        init_step_size: first step size, in units of the metric.
        init_trajectory_length: first trajectory length, likewise; a quarter period of a Gaussian is
            π/2.
        adapt_trajectory_length: learn it during burn-in, up to where the longest is half a period,
            π; otherwise it stays at the first.
        jitter: trajectories are uniform in ``(1 - jitter, 1 + jitter)`` times the length.
        metric_updates: fractions of the burn-in at which the metric is fitted anew, to the draws
            of all chains in the time between two of them, see ``infer.transport``.
        retry_below: a trajectory with an acceptance probability below this is tried once more with
            a quarter of the step, see ``infer.trajectory``; 0 turns that off.
        integrator: see ``Integrator``.

    Reference: Hoffman, Radul & Sountsov 2021, AISTATS, PMLR 130:3907.
    """

    target_accept_prob: float = 0.8
    max_num_steps: int = 60
    init_step_size: float = 0.3
    init_trajectory_length: float = 1.5
    adapt_trajectory_length: bool = True
    jitter: float = 0.5
    metric_updates: tuple[float, ...] = (0.3, 0.6)
    retry_below: float = 0.1
    integrator: Integrator = field(default=HARMONIC, repr=False)


#: An affine map, two layers bent along its widest directions, and eight along single ones.
NUM_LAYERS = 1 + len(WIDEST) + 8
_LENGTH_OPTIMIZER_ARGS = {"learning_rate": 0.025, "b1": 0.0, "b2": 0.95}


def init_state(
    flat: FlatModel,
    settings: CrossChain,
    num_warmup: int,
    z: Array,
    transport: Transport | CoupledTransport,
    key: Array,
    args: tuple,
    batch_size: int | None = None,
) -> CrossChainState:
    """State of chains that start at ``z`` (C, d)."""
    value, gradient = evaluate(flat, z, args, batch_size)
    num_chains, dim = z.shape
    zeros = jnp.zeros(num_chains)
    log_length = jnp.log(jnp.asarray(settings.init_trajectory_length, dtype=z.dtype))
    adapt_state = AdaptState(
        transport,
        _dual_averaging()[0](jnp.log(settings.init_step_size * jnp.ones(()))),
        log_length,
        log_length,
        optax.adam(**_LENGTH_OPTIMIZER_ARGS).init(log_length),
        jnp.zeros((num_warmup, num_chains, dim)),
        jnp.zeros((num_warmup, num_chains, dim)),
    )
    step_size = jnp.full(num_chains, settings.init_step_size, dtype=z.dtype)
    return CrossChainState(
        z,
        -value,
        -gradient,
        -value,
        zeros,
        jnp.zeros(num_chains, dtype=int),
        step_size,
        zeros,
        jnp.zeros(num_chains, dtype=bool),
        jnp.zeros((), dtype=int),
        adapt_state,
        key,
    )


def transition(
    flat: FlatModel,
    settings: CrossChain,
    num_warmup: int,
    state: CrossChainState,
    args: tuple,
    batch_size: int | None = None,
) -> CrossChainState:
    """One transition of all chains, and during burn-in one step of adaptation."""
    key, key_momentum, key_accept = jax.random.split(state.rng_key, 3)
    adapt = state.adapt_state
    burn_in = state.i < num_warmup
    step_size = _step_size(adapt, burn_in)
    jitter = 1.0 + settings.jitter * (2.0 * _van_der_corput(state.i) - 1.0)
    length = jnp.exp(jnp.where(burn_in, adapt.log_length, adapt.log_length_mean)) * jitter
    num_steps = jnp.clip(jnp.ceil(length / step_size).astype(int), 1, settings.max_num_steps)
    # Whole steps that end where the trajectory does: no length is favoured, none is a full period.
    step_size = jnp.minimum(length / num_steps, step_size)

    momentum = jax.random.normal(key_momentum, state.z.shape, dtype=state.z.dtype)
    transport = adapt.transport.bind(flat, args)
    start = _start(transport, state, momentum)
    follow = functools.partial(
        integrate,
        settings.integrator,
        lambda z, active: values_and_gradients(flat, z, args, batch_size, active),
        transport,
    )
    tried = attempt(
        follow, start, step_size, num_steps, settings.retry_below, settings.max_num_steps
    )
    uniform = jax.random.uniform(key_accept, (2, len(state.z)), state.z.dtype)
    new, energy_error = tried.settle(uniform)

    if num_warmup:
        adapt = jax.lax.cond(
            burn_in,
            lambda adapt: _adapt(settings, state.i, adapt, tried, new, jitter),
            lambda adapt: adapt,
            adapt,
        )
        fit = functools.partial(_fit_transport, flat, args)
        adapt = _update_metric(settings, num_warmup, state.i, adapt, fit)
    wide = functools.partial(jnp.full_like, state.potential_energy)
    return CrossChainState(
        new.z,
        new.potential_energy,
        new.z_grad,
        new.energy,
        tried.accept_prob,
        tried.num_steps * settings.integrator.num_gradients,
        wide(step_size),
        wide(length),
        energy_error > 1000.0,
        state.i + 1,
        adapt,
        key,
    )


def _start(transport, state, momentum):
    u = transport.whiten(state.z)
    u_grad = transport.pull_back(u, state.z_grad)
    return Point(state.z, state.potential_energy, state.z_grad, u, u_grad, momentum)


def _adapt(settings, i, adapt, tried, new, jitter):
    # The harmonic mean listens to the chains that move worst, down to those with a second attempt.
    smallest = max(settings.retry_below, 0.01)
    mean_accept = 1.0 / jnp.mean(1.0 / jnp.maximum(tried.accept_prob, smallest))
    gradient = settings.target_accept_prob - mean_accept
    if settings.adapt_trajectory_length:
        adapt = _adapt_length(settings, i, adapt, tried, jitter)
    adapt = adapt._replace(step_size=_dual_averaging()[1](gradient, adapt.step_size))
    return adapt._replace(z=adapt.z.at[i].set(new.z), z_grad=adapt.z_grad.at[i].set(new.z_grad))


def _adapt_length(settings, i, adapt, tried, jitter):
    """Ascend the ChEES criterion, Hoffman et al. 2021, eq. 8, in whitened coordinates."""
    start, end, accept_prob = tried.start, tried.first, tried.accept_prob

    def centred(u):
        return u - jnp.mean(u, axis=0, keepdims=True)

    # A chain that diverged says nothing about the length, nor about the centre of the others.
    usable = (accept_prob > 1e-3)[:, None]
    before, after = centred(start.u), centred(jnp.where(usable, end.u, start.u))
    growth = jnp.sum(after**2, axis=1) - jnp.sum(before**2, axis=1)
    rate = jitter * growth * jnp.sum(after * end.momentum, axis=1)
    rate = jnp.where(jnp.isfinite(rate), rate, 0.0)
    gradient = jnp.sum(accept_prob * rate) / jnp.maximum(jnp.sum(accept_prob), 1e-3)
    optimizer = optax.adam(**_LENGTH_OPTIMIZER_ARGS)
    length, step_size = jnp.exp(adapt.log_length), _step_size(adapt, True)
    update, optimizer_state = optimizer.update(-gradient * length, adapt.length_optimizer)
    # A trajectory that `max_num_steps` cut short says nothing about the length it should have had.
    whole = length * jitter <= settings.max_num_steps * step_size
    changed = jnp.clip(adapt.log_length + update, *_log_length_bounds(settings))
    log_length = jnp.where(whole, changed, adapt.log_length)
    weight = 1.0 / (1.0 + i) ** 0.5
    mean = (1 - weight) * adapt.log_length_mean + weight * log_length
    return adapt._replace(
        log_length=log_length, log_length_mean=mean, length_optimizer=optimizer_state
    )


def _log_length_bounds(settings):
    # After half a period a standard normal comes back. Slow directions ask for longer trajectories,
    # and gain no more by them than by more of the short ones.
    return math.log(0.3), math.log(math.pi / (1.0 + settings.jitter))


def _update_metric(settings, num_warmup, i, adapt, fit):
    """Fit the metric anew at the ends of the windows of the burn-in, all of one length."""
    ends = [int(fraction * num_warmup) for fraction in settings.metric_updates]
    window = min((end - start for start, end in itertools.pairwise([0, *ends])), default=0)
    if window == 0:  # a burn-in too short to learn from
        return adapt
    at_end = jnp.any(i + 1 == jnp.array(ends))
    return jax.lax.cond(at_end, lambda a: fit(a, i + 1, window), lambda a: a, adapt)


def _fit_transport(flat, args, adapt, end, window):
    z, z_grad = (
        jax.lax.dynamic_slice_in_dim(leaf, end - window, window).reshape(-1, leaf.shape[-1])
        for leaf in (adapt.z, adapt.z_grad)
    )
    return adapt._replace(
        transport=adapt.transport.fit(flat, args, z, -z_grad),
        step_size=_dual_averaging()[0](adapt.step_size[1]),
    )


def _dual_averaging():
    init, update = dual_averaging(t0=10, kappa=0.75, gamma=0.05)

    def init_at(log_step_size):
        # The first proposal is the given step size itself, not 1.
        state = init(log_step_size)
        return (log_step_size, log_step_size, *state[2:])

    return init_at, update


def _step_size(adapt, burn_in):
    log_now, log_mean = adapt.step_size[0], adapt.step_size[1]
    return jnp.exp(jnp.where(burn_in, log_now, log_mean))


def _van_der_corput(i, num_bits: int = 16):
    """Radical inverse of ``i`` in base 2, a low-discrepancy sequence in (0, 1)."""
    bits = (i + 1) >> jnp.arange(num_bits) & 1
    weights = 0.5 ** jnp.arange(1, num_bits + 1)
    return jnp.sum(bits * weights)


class CrossChainHMC(MCMCKernel):
    """``CrossChain`` as a NumPyro kernel for any model.

    It runs in ``MCMC(..., chain_method="vectorized")``.

    Args:
        model: NumPyro model function.
        settings: how the chains move and adapt.
        scale_tril: lower Cholesky factor of the covariance of the posterior in unconstrained space,
            in the order of the model; the identity by default.
        batch_size: chains evaluated at once on a device; see ``map_batch``.

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
        model: Callable,
        settings: CrossChain | None = None,
        *,
        scale_tril: Array | None = None,
        batch_size: int | None = None,
    ) -> None:
        self._model = model
        self.settings = settings or CrossChain()
        self.scale_tril = scale_tril
        self.batch_size = batch_size
        self._num_warmup = 0
        self._sample_fn: FlatModel | None = None

    @property
    def model(self) -> Callable:
        """The NumPyro model function."""
        return self._model

    def init(
        self,
        rng_key: Array,
        num_warmup: int,
        init_params: Array | None = None,
        model_args: tuple = (),
        model_kwargs: dict[str, Any] | None = None,
    ) -> CrossChainState:
        """State of the chains, one key each, at ``init_params`` (C, d) or at draws of the prior."""
        if model_kwargs:
            raise ValueError("CrossChainHMC takes the arguments of the model by position only.")
        if jnp.ndim(rng_key) == 0:
            raise ValueError(
                "CrossChainHMC adapts its chains together: pass "
                '`chain_method="vectorized"` and `num_chains` of at least 2 to `MCMC`.'
            )
        flat = flat_model(self._model, model_args)
        z = prior_draws(flat, rng_key, model_args) if init_params is None else init_params
        tril = jnp.eye(flat.dim) if self.scale_tril is None else self.scale_tril
        transport = Transport.of(Affine(jnp.mean(z, axis=0), tril), NUM_LAYERS)
        self._num_warmup, self._sample_fn = num_warmup, flat
        return init_state(
            flat,
            self.settings,
            num_warmup,
            z,
            transport,
            jax.random.fold_in(rng_key[0], 1),
            model_args,
            self.batch_size,
        )

    def sample(
        self,
        state: CrossChainState,
        model_args: tuple,
        model_kwargs: Any,  # noqa: ARG002 NumPyro's signature
    ) -> CrossChainState:
        """State of the chains after one transition."""
        flat = flat_model(self._model, model_args)
        return transition(flat, self.settings, self._num_warmup, state, model_args, self.batch_size)

    def postprocess_fn(self, args: tuple, kwargs: Any) -> Callable:  # noqa: ARG002 NumPyro's
        """Function from an unconstrained vector to the site values."""
        flat = flat_model(self._model, args)
        return lambda z: flat.constrain(z, args)

    def get_diagnostics_str(self, state: CrossChainState) -> str:
        """Gradients, step size and acceptance of the last transition, for the progress bar."""
        return (
            f"{int(state.num_steps[0])} gradients, step size {float(state.step_size[0]):.2e}, "
            f"acceptance {float(jnp.mean(state.accept_prob)):.2f}"
        )
