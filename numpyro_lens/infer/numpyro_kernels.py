"""NumPyro's own kernels instead of the default sampler."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import numpyro.infer
from numpyro.infer.mcmc import MCMCKernel

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target, evaluate, flat_model
from numpyro_lens.infer.stage import progress_bar
from numpyro_lens.sampler import Affine

#: Per-draw statistics of NumPyro's HMC and NUTS, by the name ArviZ gives them.
_STATISTICS = {
    "acceptance_rate": "accept_prob",
    "step_size": "adapt_state.step_size",
    "n_steps": "num_steps",
    "energy": "energy",
    "diverging": "diverging",
}


class Setup(NamedTuple):
    """A NumPyro kernel that is ready to run.

    Attributes:
        kernel: with a model of its own.
        args: of that model.
        init_params: where the chains start, in the kernel's space.
        to_vectors: unconstrained vectors (chain, draw, d) of the kernel's samples.
    """

    kernel: MCMCKernel
    args: tuple
    init_params: Any
    to_vectors: Callable


def setup(kernel: Any, target: Target, start: AnyArray, gaussian: Affine) -> Setup:
    """Make a kernel ready.

    Args:
        kernel: an instance with a model; ``NUTS``, ``HMC`` or a ``partial`` of them; or another
            function of a model that returns a kernel.
        target: the density.
        start: of each chain (C, d), unconstrained.
        gaussian: of the VI.

    Raises:
        ValueError: an instance without a model.
    """
    if isinstance(kernel, MCMCKernel):
        return _of_instance(kernel, target, start)
    base = getattr(kernel, "func", kernel)
    if isinstance(base, type) and issubclass(base, numpyro.infer.HMC):
        return _with_metric(kernel, base, target, start, gaussian)
    return _in_whitened(kernel, target, start, gaussian)


def _of_instance(kernel: MCMCKernel, target: Target, start: AnyArray) -> Setup:
    """A kernel that has the user's own model: its samples are site values."""
    if kernel.model is None:
        raise ValueError(
            "A kernel passed as an instance needs a model: `NUTS(model)`, or pass the class `NUTS`."
        )
    names = [site.name for site in target.sites]
    values = jax.vmap(target.constrain)(start)
    unconstrain = functools.partial(
        numpyro.infer.util.unconstrain_fn, kernel.model, target.arguments, {}
    )

    def to_vectors(samples: dict[str, AnyArray]) -> AnyArray:
        return jax.vmap(jax.vmap(target.unconstrain))({name: samples[name] for name in names})

    init_params = jax.vmap(unconstrain)({name: values[name] for name in names})
    return Setup(kernel, target.arguments, init_params, to_vectors)


def _with_metric(
    kernel: Callable, base: type, target: Target, start: AnyArray, gaussian: Affine
) -> Setup:
    """NumPyro's HMC or NUTS: the VI covariance is its ``inverse_mass_matrix``."""
    # One flat site: NumPyro cannot read the matrix in another order of the parameters.
    settings: dict[str, Any] = {
        "adapt_mass_matrix": False,
        "dense_mass": [("z",)],
        "inverse_mass_matrix": {("z",): gaussian.scale_tril @ gaussian.scale_tril.T},
    }
    if base is numpyro.infer.HMC:
        settings["trajectory_length"] = math.pi / 2
    settings |= getattr(kernel, "keywords", {})
    return Setup(base(flat_model, **settings), (target,), {"z": start}, lambda s: s["z"])


def _in_whitened(kernel: Callable, target: Target, start: AnyArray, gaussian: Affine) -> Setup:
    """Any other kernel finds the metric in its coordinates."""
    built = kernel(functools.partial(flat_model, frame=gaussian))
    return Setup(built, (target,), {"z": gaussian.whiten(start)}, lambda s: gaussian(s["z"]))


class Draws(NamedTuple):
    """What chains have drawn.

    Attributes:
        z: unconstrained (chain, draw, d).
        statistics: by ArviZ's names, (chain, draw) each.
        num_gradients: of burn-in and of sampling.
    """

    z: np.ndarray
    statistics: dict[str, np.ndarray]
    num_gradients: dict[str, int]


def run(
    ready: Setup,
    target: Target,
    key: AnyArray,
    *,
    num_chains: int,
    num_burnin_steps: int,
    num_results: int,
    batch_size: int | None = None,
    progress: bool = True,
) -> Draws:
    """Run a kernel in NumPyro's ``MCMC``.

    Args:
        ready: the kernel.
        target: the density.
        key: JAX random key.
        num_chains, num_burnin_steps, num_results: chains, transitions that adapt, draws of each.
        batch_size: see `map_batch`.
        progress: draw a progress bar.
    """
    is_hmc = isinstance(ready.kernel, numpyro.infer.HMC)
    vectorized = is_hmc or ready.kernel.is_ensemble_kernel
    mcmc = numpyro.infer.MCMC(
        ready.kernel,
        num_warmup=num_burnin_steps,
        num_samples=num_results,
        num_chains=num_chains,
        chain_method="vectorized" if vectorized else "sequential",
        progress_bar=False,
    )
    extra = {"extra_fields": (*_STATISTICS.values(), "potential_energy") if is_hmc else ()}
    with progress_bar("HMC", num_burnin_steps + num_results, progress) as bar:
        mcmc.warmup(key, *ready.args, init_params=ready.init_params, collect_warmup=True, **extra)
        warmup = mcmc.get_extra_fields(group_by_chain=True)
        bar.update(num_burnin_steps)
        mcmc.run(jax.random.fold_in(key, 1), *ready.args, **extra)
        bar.update(num_results)
    z = np.asarray(ready.to_vectors(mcmc.get_samples(group_by_chain=True)))
    fields = jax.tree.map(np.asarray, mcmc.get_extra_fields(group_by_chain=True))
    if not is_hmc:
        steps = {"burn_in": num_burnin_steps * num_chains, "sampling": num_results * num_chains}
        return Draws(z, _of_any_kernel(target, z, fields, batch_size), steps)
    statistics = {name: fields[source] for name, source in _STATISTICS.items()}
    statistics["lp"] = -fields["potential_energy"]
    counts = {"burn_in": warmup["num_steps"], "sampling": fields["num_steps"]}
    return Draws(z, statistics, {stage: int(np.sum(n)) for stage, n in counts.items()})


def _of_any_kernel(
    target: Target, z: np.ndarray, fields: dict[str, np.ndarray], batch_size: int | None
) -> dict[str, np.ndarray]:
    """Statistics of a kernel that reports only its draws."""
    lp, _ = evaluate(target.log_density, z.reshape(-1, target.dim), batch_size)
    diverging = fields.get("diverging", np.zeros(z.shape[:2], dtype=bool))
    return {"diverging": diverging, "lp": np.asarray(lp).reshape(z.shape[:2])}
