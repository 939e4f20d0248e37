"""Hamiltonian Monte Carlo from the VI Gaussian, until the chains agree."""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.infer
from numpyro.infer.mcmc import MCMCKernel

from numpyro_lens._types import Array
from numpyro_lens.infer import diagnostics
from numpyro_lens.infer._stage import progress_bar, timed
from numpyro_lens.infer.batching import evaluate, unplaced
from numpyro_lens.infer.checkpoint import Checkpoint, Progress, fingerprint
from numpyro_lens.infer.coupling import CoupledTransport, brightest_pixel
from numpyro_lens.infer.density import Affine, FlatModel
from numpyro_lens.infer.kernels import NUM_LAYERS, CrossChain, init_state, transition
from numpyro_lens.infer.posterior import HMCResult
from numpyro_lens.infer.results import MAPResult, SVIResult
from numpyro_lens.infer.transport import Transport

#: Per-draw statistics, by the name ArviZ gives them.
_STATISTICS = {
    "acceptance_rate": "accept_prob",
    "step_size": "step_size",
    "n_steps": "num_steps",
    "energy": "energy",
    "diverging": "diverging",
}


@dataclass(frozen=True)
class HMC:
    """Draw chains from the posterior, with the VI covariance as inverse mass matrix.

    Args:
        kernel: ``CrossChain`` settings; or a NumPyro kernel: ``NUTS``, ``HMC`` or a ``partial`` of
            them (they get the VI covariance as ``inverse_mass_matrix``), any other function of a
            model that returns an ``MCMCKernel`` (it gets the model in whitened coordinates), or an
            instance with a model of its own.
        num_chains: chains.
        num_burnin_steps: transitions that adapt and are thrown away.
        num_results: draws of each chain, at least.
        max_results: draws of each chain, at most.
        target_ess: draw until bulk and tail effective sample sizes reach this, and R-hat is below
            1.01; ``None`` asks for what the verdict asks for. NumPyro's kernels draw
            ``num_results``.
        max_seconds: stop sampling after this time, with what has been drawn by then.
        batch_size: chains evaluated at once on a device; see ``map_batch``.
        num_bend_draws: draws from the VI Gaussian whose gradients tell ``CrossChain`` how the
            posterior is bent; 0 leaves that to burn-in.
    """

    kernel: CrossChain | Callable | MCMCKernel = CrossChain()  # noqa: RUF009 it is frozen
    num_chains: int = 8
    num_burnin_steps: int = 300
    num_results: int = 800
    max_results: int = 6000
    target_ess: float | None = None
    max_seconds: float | None = None
    batch_size: int | None = None
    num_bend_draws: int = field(default=512, repr=False)
    block: int = field(default=50, repr=False)

    def run(
        self,
        flat: FlatModel,
        args: tuple,
        key: Array,
        *,
        svi: SVIResult,
        map: MAPResult | None = None,
        progress: bool = True,
        checkpoint: str | PathLike | None = None,
    ) -> HMCResult:
        """Sample.

        Args:
            flat: the model.
            args: arguments of the model.
            key: JAX random key.
            svi: the Gaussian to start from; anything with ``mean``, ``covariance_matrix`` and
                ``sample``.
            map: MAP result to carry along.
            progress: draw a progress bar.
            checkpoint: folder to which the run is written after every block. A run found there is
                gone on with, and gives the draws that it would have given unbroken; one that was
                finished gets more of them, if more are asked for.

        Raises:
            ValueError: the folder holds another run, or the kernel is one of NumPyro's.
        """
        self._check_checkpoint(checkpoint)
        key_start, key_run = jax.random.split(key)
        with timed() as timing:
            tril = jnp.linalg.cholesky(jnp.asarray(svi.covariance_matrix))
            metric = Affine(jnp.asarray(svi.mean), tril)
            start = _starts(flat, args, key_start, svi, self.num_chains)
            if isinstance(self.kernel, CrossChain):
                kept = None
                if checkpoint is not None:
                    kept = Checkpoint(checkpoint, self._manifest(flat, args, key, svi))
                z, statistics, gradients = self._run_cross_chain(
                    flat, args, key_run, start, metric, progress, kept
                )
            else:
                z, statistics, gradients = self._run_numpyro(
                    flat, args, key_run, start, metric, progress
                )
        return HMCResult(
            flat=flat,
            args=args,
            z=z,
            statistics=statistics,
            svi=svi,
            map=map,
            stage_gradients=gradients,
            timing=timing.as_dict(),
            hmc_settings=self,
        )

    def _check_checkpoint(self, checkpoint) -> None:
        if checkpoint is not None and not isinstance(self.kernel, CrossChain):
            raise ValueError(
                "`checkpoint` works with `CrossChain` settings as the kernel, and this one is "
                f"{self.kernel!r}. NumPyro's kernels run in one piece: leave `checkpoint` out, and "
                "keep the result with `result.save(path)`."
            )

    def _manifest(self, flat, args, key, svi) -> dict[str, Any]:
        mean = np.asarray(svi.mean, dtype=float)
        return fingerprint(flat, args, key) | {
            "kernel": repr(self.kernel),
            "num_chains": self.num_chains,
            "num_burnin_steps": self.num_burnin_steps,
            "svi": mean.tolist(),
        }

    def _run_cross_chain(self, flat, args, key, start, metric, progress, checkpoint):
        kernel, began = cast(CrossChain, self.kernel), time.monotonic()
        key_bend, key = jax.random.split(key)
        transport = self._first_transport(flat, args, key_bend, metric)
        state = init_state(
            flat, kernel, self.num_burnin_steps, start, transport, key, args, self.batch_size
        )
        spent = {"burn_in": self.num_chains + self.num_bend_draws, "sampling": 0}
        run = Progress(unplaced(state), 0, spent)
        keep = lambda run: run  # noqa: E731
        if checkpoint is not None:
            run, keep = checkpoint.read(run), checkpoint.write
        with progress_bar("HMC", self.num_burnin_steps + self.num_results, progress) as bar:
            bar.update(run.burn_in + self.block * len(run.blocks))
            while run.burn_in < self.num_burnin_steps or not self._enough(run.blocks, began):
                run = self._advance(flat, args, run, bar)
                keep(run)
        blocks = run.blocks
        draws = {
            name: np.concatenate([b[name] for b in blocks]).swapaxes(0, 1) for name in blocks[0]
        }
        statistics = {name: draws[source] for name, source in _STATISTICS.items()}
        statistics["lp"] = -draws["potential_energy"]
        return draws["z"], statistics, run.gradients

    def _advance(self, flat, args, run, bar) -> Progress:
        """One block of burn-in or of sampling."""
        left = self.num_burnin_steps - run.burn_in
        steps = min(self.block, left) if left else self.block
        state, block = unplaced(
            _advance(
                flat, self.kernel, self.num_burnin_steps, steps, run.state, args, self.batch_size
            )
        )
        stage = "burn_in" if left else "sampling"
        spent = run.gradients[stage] + int(np.sum(block["num_steps"]))
        bar.total = max(bar.total, bar.n + steps)
        _show(bar, steps, block, "burn-in" if left else "sampling")
        run = run._replace(state=state, gradients=run.gradients | {stage: spent})
        if left:
            return run._replace(burn_in=run.burn_in + steps)
        return run._replace(blocks=(*run.blocks, block))

    def _first_transport(self, flat, args, key, metric):
        pixel, affine = brightest_pixel(flat, metric.loc, args), Transport.of(metric, NUM_LAYERS)
        transport = affine if pixel is None else CoupledTransport.of(pixel, affine)
        if self.num_bend_draws == 0:
            return transport
        z = metric(jax.random.normal(key, (self.num_bend_draws, flat.dim)))
        _, gradient = evaluate(flat, z, args, self.batch_size)
        return _fit_transport(transport, flat, args, z, gradient)

    def _enough(self, blocks, began) -> bool:
        drawn = len(blocks) * self.block
        if drawn and self.max_seconds is not None and time.monotonic() - began > self.max_seconds:
            return True
        if drawn < self.num_results:
            return False
        if drawn >= self.max_results:
            return True
        # Diagnostics of many draws take longer than another block of them.
        if len(blocks) % max(1, len(blocks) // 10):
            return False
        z = np.concatenate([block["z"] for block in blocks]).swapaxes(0, 1)
        smallest = min(diagnostics.ess(z, kind).min() for kind in ("bulk", "tail"))
        target = self.target_ess or 1.2 * diagnostics.ESS_LIMIT
        # A little below the limit of the verdict, so that its last digit is not left to chance.
        return bool(
            smallest >= target and diagnostics.r_hat(z).max() < diagnostics.RHAT_LIMIT - 0.001
        )

    def _run_numpyro(self, flat, args, key, start, metric, progress):
        kernel, init_params, to_flat = _numpyro_kernel(self.kernel, flat, args, start, metric)
        is_hmc = isinstance(kernel, numpyro.infer.HMC)
        mcmc = numpyro.infer.MCMC(
            kernel,
            num_warmup=self.num_burnin_steps,
            num_samples=self.num_results,
            num_chains=self.num_chains,
            chain_method="vectorized" if is_hmc or kernel.is_ensemble_kernel else "sequential",
            progress_bar=False,
        )
        fields = ("accept_prob", "num_steps", "energy", "potential_energy", "adapt_state.step_size")
        with progress_bar("HMC", self.num_burnin_steps + self.num_results, progress) as bar:
            mcmc.warmup(
                key,
                *args,
                init_params=init_params,
                extra_fields=fields if is_hmc else (),
                collect_warmup=True,
            )
            warmup = mcmc.get_extra_fields(group_by_chain=True)
            bar.update(self.num_burnin_steps)
            mcmc.run(jax.random.fold_in(key, 1), *args, extra_fields=fields if is_hmc else ())
            bar.update(self.num_results)
        z = np.asarray(to_flat(mcmc.get_samples(group_by_chain=True)))
        extra = jax.tree.map(np.asarray, mcmc.get_extra_fields(group_by_chain=True))
        statistics = {"diverging": extra.get("diverging", np.zeros(z.shape[:2], dtype=bool))}
        if not is_hmc:
            lp, _ = evaluate(flat, z.reshape(-1, flat.dim), args, self.batch_size)
            statistics["lp"] = np.asarray(lp).reshape(z.shape[:2])
            drawn = {"burn_in": self.num_burnin_steps * self.num_chains, "sampling": lp.size}
            return z, statistics, drawn
        statistics |= {
            "acceptance_rate": extra["accept_prob"],
            "step_size": extra["adapt_state.step_size"],
            "n_steps": extra["num_steps"],
            "energy": extra["energy"],
            "lp": -extra["potential_energy"],
        }
        counts = {
            "burn_in": int(np.sum(warmup["num_steps"])),
            "sampling": int(np.sum(extra["num_steps"])),
        }
        return z, statistics, counts


@functools.partial(
    jax.jit, static_argnames=("flat", "settings", "num_warmup", "num_steps", "batch_size")
)
def _advance(flat, settings, num_warmup, num_steps, state, args, batch_size=None):
    def step(state, _):
        state = transition(flat, settings, num_warmup, state, args, batch_size)
        kept = {
            name: getattr(state, name) for name in (*_STATISTICS.values(), "z", "potential_energy")
        }
        return state, kept

    return jax.lax.scan(step, state, length=num_steps)


@functools.partial(jax.jit, static_argnames=("flat",))
def _fit_transport(transport, flat, args, z, gradient):
    return transport.fit(flat, args, z, gradient)


def _starts(flat, args, key, svi, num_chains):
    """Draws from the Gaussian where the density is finite; others are drawn towards the mean."""
    z = svi.sample(key, (num_chains,))
    mean = jnp.broadcast_to(jnp.asarray(svi.mean), z.shape)
    for _ in range(8):
        finite = jnp.isfinite(evaluate(flat, z, args)[0])
        if bool(jnp.all(finite)):
            return z
        z = jnp.where(finite[:, None], z, 0.5 * (z + mean))
    raise ValueError(
        f"{int(jnp.sum(~finite))} of {num_chains} chains start at a log density that is not "
        "finite, even close to the mean of the VI Gaussian. Check `result.svi`, or start SVI from "
        "another MAP."
    )


def _show(bar, steps, block, phase):
    bar.update(steps)
    bar.set_postfix_str(
        f"{phase}, acceptance {float(np.mean(block['accept_prob'])):.2f}, "
        f"{int(np.mean(block['num_steps']))} gradients a draw"
    )


def _numpyro_kernel(kernel, flat, args, start, metric):
    """A NumPyro kernel, where it starts, and the map from samples to unconstrained vectors."""
    if isinstance(kernel, MCMCKernel):
        if kernel.model is None:
            raise ValueError(
                "A kernel passed as an instance needs a model: `NUTS(model)`, or pass the class "
                "`NUTS`."
            )
        values = jax.vmap(lambda z: flat.constrain(z, args))(start)
        values = {site.name: values[site.name] for site in flat.sites}
        unconstrain = functools.partial(numpyro.infer.util.unconstrain_fn, kernel.model, args, {})

        def to_flat(samples):
            samples = {site.name: samples[site.name] for site in flat.sites}
            return jax.vmap(jax.vmap(lambda values: flat.unconstrain(values, args)))(samples)

        return kernel, jax.vmap(unconstrain)(values), to_flat
    base = getattr(kernel, "func", kernel)
    if isinstance(base, type) and issubclass(base, numpyro.infer.HMC):
        # One flat site: no second order of the parameters exists in which the matrix could be read.
        covariance = metric.scale_tril @ metric.scale_tril.T
        settings = {
            "adapt_mass_matrix": False,
            "dense_mass": [("z",)],
            "inverse_mass_matrix": {("z",): covariance},
        }
        if base is numpyro.infer.HMC:
            settings["trajectory_length"] = math.pi / 2
        settings |= getattr(kernel, "keywords", {})
        return base(flat.as_numpyro(), **settings), {"z": start}, lambda samples: samples["z"]
    # Any other kernel finds the metric in its coordinates.
    built = kernel(flat.as_numpyro(metric))
    return built, {"z": metric.whiten(start)}, lambda samples: metric(samples["z"])
