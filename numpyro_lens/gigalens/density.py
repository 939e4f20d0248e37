"""Log density and reduced chi-square of GIGA-Lens's vectors, and descents that keep their way."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from numpyro_lens._types import Array
from numpyro_lens.density import Target, conditioned, map_batch, observed_sites
from numpyro_lens.models import observations

#: The site under which a model of the user's own keeps its reduced chi-square.
CHI_SQUARE = "reduced_chi_square"


@jax.jit
def log_prob_and_chi_square(target: Target, z: Array) -> tuple[Array, Array]:
    """Unconstrained log density (n,) and reduced chi-square (n,) of vectors (n, d)."""
    return map_batch(_one, z, target)


def _one(z: Array, target: Target) -> tuple[Array, Array]:
    return target.log_density(z), _reduced_chi_square(target, z)


def _reduced_chi_square(target: Target, z: Array) -> Array:
    """Mean square of the normalised residuals over all pixels in use."""
    trace = target.trace(z)
    if CHI_SQUARE in trace:
        return trace[CHI_SQUARE]["value"]
    sites, _ = conditioned(observed_sites(trace))
    pairs = [(data, sites[name]["fn"].mean) for name, data in observations(trace).items()]
    squares = [jnp.sum(data.residuals(image) ** 2) for data, image in pairs]
    return jnp.sum(jnp.stack(squares)) / sum(jnp.sum(data.mask) for data, _ in pairs)


class Way(NamedTuple):
    """Where starts were after each step: (n, num_steps, d), and their log density and chi-square.

    The log density and the reduced chi-square (n, num_steps) are those of exactly these vectors.
    """

    z: Array
    log_prob: Array
    chi_square: Array


@partial(jax.jit, static_argnums=(1, 2))
def descend(
    target: Target, optimizer: optax.GradientTransformation, num_steps: int, start: Array
) -> Way:
    """Descend from starts (n, d), each with an optimiser state of its own, and keep every step."""

    def loss(z: Array, target: Target) -> tuple[Array, tuple[Array, Array]]:
        log_prob, chi_square = _one(z, target)
        return -log_prob, (log_prob, chi_square)

    def one(z: Array, target: Target) -> Way:
        def step(carry: Any, _: None) -> tuple[Any, Way]:
            z, state, gradient = carry
            updates, state = optimizer.update(gradient, state, z)
            z = optax.apply_updates(z, updates)
            gradient, (log_prob, chi_square) = jax.grad(loss, has_aux=True)(z, target)
            return (z, state, gradient), Way(z, log_prob, chi_square)

        gradient, _ = jax.grad(loss, has_aux=True)(z, target)
        return jax.lax.scan(step, (z, optimizer.init(z), gradient), length=num_steps)[1]

    return map_batch(one, start, target)
