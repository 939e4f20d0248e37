"""Hamiltonian Monte Carlo from the VI Gaussian, until the chains agree."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.mcmc import MCMCKernel

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target, compiled, evaluate, unplaced
from numpyro_lens.infer import diagnostics, numpyro_kernels
from numpyro_lens.infer.checkpoint import Checkpoint, Progress
from numpyro_lens.infer.fingerprint import digest, fingerprint, plain
from numpyro_lens.infer.numpyro_kernels import Draws
from numpyro_lens.infer.posterior import HMCResult
from numpyro_lens.infer.results import MAPResult, SVIResult
from numpyro_lens.infer.stage import Bar, progress_bar, timed
from numpyro_lens.sampler import (
    AbstractMap,
    Affine,
    CrossChain,
    CrossChainState,
    Quadratic,
    begin,
    begun_again,
    move,
    refitted,
    windows,
)

#: Per-draw statistics, by the name ArviZ gives them.
_STATISTICS = {
    "acceptance_rate": "accept_prob",
    "step_size": "step_size",
    "n_steps": "num_steps",
    "energy": "energy",
    "diverging": "diverging",
    "lp": "log_density",
}

#: Times that burn-in is gone through at most.
_MAX_BURN_INS = 3
#: R-hat of the draws since the last fit above which the chains are in several places.
_NOT_MET = 1.3
#: Draws of each chain from which that can be told.
_FEWEST_DRAWS = 30
#: R-hat of draws above which chains are in several places; of one place the least that are drawn
#: have less.
_APART = 1.05


@dataclass(frozen=True)
class HMC:
    """Draw chains from the posterior, with the VI covariance as inverse mass matrix.

    Args:
        kernel: ``CrossChain`` settings; or a NumPyro kernel: ``NUTS``, ``HMC`` or a ``partial`` of
            them (they get the VI covariance as ``inverse_mass_matrix``), any other function of a
            model that returns an ``MCMCKernel`` (it gets the model in whitened coordinates), or an
            instance with a model of its own.
        num_chains: chains.
        num_burnin_steps: transitions that adapt and are discarded. Where the chains are in several
            places at their end, R-hat of the draws since the last fit of the map being above 1.3,
            as many again, at most twice.
        num_results: draws of each chain, at least.
        max_results: draws of each chain, at most; ``num_results`` if that is more.
        target_ess: draw until bulk and tail effective sample sizes reach this, and R-hat is below
            1.01; ``None`` asks for what the verdict asks for. NumPyro's kernels draw
            ``num_results``.
        max_seconds: stop sampling after this time, with what has been drawn by then; burn-in does
            not begin again after it.
        batch_size: chains evaluated at once on a device; see ``map_batch``.
        make_map: the map that ``CrossChain`` begins with, an ``AbstractMap``, as a function of the
            target and of the VI Gaussian; ``None`` is ``Quadratic.of`` the Gaussian.
    """

    kernel: CrossChain | Callable | MCMCKernel = CrossChain()  # noqa: RUF009 it is frozen
    num_chains: int = 8
    num_burnin_steps: int = 300
    num_results: int = 800
    max_results: int = 6000
    target_ess: float | int | None = None
    max_seconds: float | int | None = None
    batch_size: int | None = None
    make_map: Callable[[Target, Affine], AbstractMap] | None = None
    block: int = field(default=50, repr=False)

    def run(
        self,
        target: Target,
        key: AnyArray,
        *,
        svi: SVIResult,
        map: MAPResult | None = None,
        progress: bool = True,
        checkpoint: str | PathLike | None = None,
        stop_above: float = np.inf,
        stop_apart_above: float = np.inf,
    ) -> HMCResult:
        """Sample.

        Args:
            target: the density.
            key: JAX random key.
            svi: the Gaussian to start from; anything with ``mean``, ``covariance_matrix`` and
                ``sample``.
            map: MAP result to carry along.
            progress: draw a progress bar.
            checkpoint: folder to which the run is written after every block. A run found there is
                continued, and gives the draws of an uninterrupted one; to a finished one draws are
                added, if more are asked for.
            stop_above: stop where a draw, or a transition of burn-in, has a log density above this,
                after the block that it is in. NumPyro's kernels run to their end.
            stop_apart_above: the same for this lower limit where the chains are `apart` too, after
                ``num_results`` draws.

        Raises:
            ValueError: the folder holds another run, or the kernel is one of NumPyro's.
        """
        self._check_checkpoint(checkpoint)
        key_start, key_run = jax.random.split(key)
        with timed() as timing:
            tril = jnp.linalg.cholesky(jnp.asarray(svi.covariance_matrix))
            gaussian = Affine(jnp.asarray(svi.mean), tril)
            start = _starts(target, key_start, svi, self.num_chains)
            if isinstance(self.kernel, CrossChain):
                kept = None if checkpoint is None else Checkpoint(checkpoint)
                manifest = {} if kept is None else self._manifest(target, key, svi)
                chains = _Chains(self, self.kernel, target, stop_above, stop_apart_above)
                draws = chains.run(key_run, start, gaussian, progress, kept, manifest)
            else:
                draws = self._run_numpyro(target, key_run, start, gaussian, progress)
        return HMCResult(
            target=target,
            z=draws.z,
            statistics=draws.statistics,
            svi=svi,
            map=map,
            own_gradients=draws.num_gradients,
            timing=timing.as_dict(),
            hmc_settings=self,
        )

    def _check_checkpoint(self, checkpoint: str | PathLike | None) -> None:
        if checkpoint is not None and not isinstance(self.kernel, CrossChain):
            raise ValueError(
                "`checkpoint` works with `CrossChain` settings as the kernel, and this one is "
                f"{self.kernel!r}. NumPyro's kernels run in one piece: leave `checkpoint` out, and "
                "keep the result with `result.save(path)`."
            )

    def _manifest(self, target: Target, key: AnyArray, svi: SVIResult) -> dict[str, Any]:
        """What has to be the same for a run to continue: all but how much is drawn."""
        return fingerprint(target, key) | {
            "kernel": plain(self.kernel),
            "num_chains": self.num_chains,
            "num_burnin_steps": self.num_burnin_steps,
            "make_map": plain(self.make_map),
            "svi": digest((svi.mean, svi.covariance_matrix)),
        }

    def _run_numpyro(
        self, target: Target, key: AnyArray, start: AnyArray, gaussian: Affine, progress: bool
    ) -> Draws:
        return numpyro_kernels.run(
            numpyro_kernels.setup(self.kernel, target, start, gaussian),
            target,
            key,
            num_chains=self.num_chains,
            num_burnin_steps=self.num_burnin_steps,
            num_results=self.num_results,
            batch_size=self.batch_size,
            progress=progress,
        )


@dataclass(frozen=True)
class _Chains:
    """Chains of the default sampler, driven from the host in blocks."""

    stage: HMC
    kernel: CrossChain
    target: Target
    stop_above: float
    stop_apart_above: float

    def run(
        self,
        key: AnyArray,
        start: AnyArray,
        gaussian: Affine,
        progress: bool,
        checkpoint: Checkpoint | None,
        manifest: dict[str, Any],
    ) -> Draws:
        """Burn in, then draw until there is enough."""
        stage, began = self.stage, time.monotonic()
        with progress_bar("HMC", stage.num_burnin_steps + stage.num_results, progress) as bar:
            run = self._begin(key, start, gaussian)
            if checkpoint is not None:
                run = checkpoint.read(run, manifest)
            bar.update(run.burn_in + _num_draws(run.blocks))
            while self._burns_in(run) or not self._enough(run.blocks, began):
                run = self._begun_again(self._advance(run, bar), began)
                if checkpoint is not None:
                    checkpoint.write(run, manifest)
        draws = {name: _joined(run.blocks, name) for name in run.blocks[0]}
        statistics = {name: draws[source] for name, source in _STATISTICS.items()}
        return Draws(draws["z"], statistics, run.gradients)

    def _begin(self, key: AnyArray, start: AnyArray, gaussian: Affine) -> Progress:
        stage, make_map = self.stage, self.stage.make_map
        state, spent = begin(
            self.kernel,
            self.target.log_density,
            start,
            Quadratic.of(gaussian) if make_map is None else make_map(self.target, gaussian),
            stage.num_burnin_steps,
            key,
            stage.batch_size,
        )
        return Progress(unplaced(state), 0, {"burn_in": spent, "sampling": 0})

    def _advance(self, run: Progress, bar: Bar) -> Progress:
        """One block of burn-in or of sampling."""
        num_warmup, block = self.stage.num_burnin_steps, self.stage.block
        left = self._until_fit(int(run.state.i)) if self._burns_in(run) else 0
        phase = "burn_in" if left else "sampling"
        steps = min(block, left or self._still(_num_draws(run.blocks)))
        density, batch_size = self.target.log_density, self.stage.batch_size
        state, rows = unplaced(
            _advance(self.kernel, density, num_warmup, block, steps, run.state, batch_size)
        )
        state = unplaced(refitted(self.kernel, num_warmup, state))
        drawn = {name: row[:steps] for name, row in rows.items()}
        _show(bar, steps, drawn, phase)
        spent = run.gradients[phase] + int(np.sum(drawn["num_steps"]))
        run = run._replace(state=state, gradients=run.gradients | {phase: spent})
        # Where burn-in has found more than it should, nothing is left to wait for.
        if not left or self._is_above(drawn):
            return run._replace(blocks=(*run.blocks, drawn))
        return run._replace(burn_in=run.burn_in + steps)

    def _burns_in(self, run: Progress) -> bool:
        return not run.blocks and int(run.state.i) < self.stage.num_burnin_steps

    def _begun_again(self, run: Progress, began: float) -> Progress:
        """Before the first transition of burn-in where its end finds the chains apart."""
        num_warmup = self.stage.num_burnin_steps
        if self._burns_in(run) or run.blocks or run.burn_in >= _MAX_BURN_INS * num_warmup:
            return run
        if self._is_late(began) or not self._have_not_met(run.state.adaptation.z):
            return run
        return run._replace(state=unplaced(begun_again(self.kernel, num_warmup, run.state)))

    def _have_not_met(self, z: AnyArray) -> bool:
        """Whether the draws of burn-in (i, chain, d) since the last fit are not in one place."""
        since_fit = max(windows(self.kernel, self.stage.num_burnin_steps)[0], default=0)
        draws = np.asarray(z)[since_fit:].swapaxes(0, 1)
        return draws.shape[1] >= _FEWEST_DRAWS and bool(diagnostics.r_hat(draws).max() > _NOT_MET)

    def _is_above(self, block: dict[str, np.ndarray]) -> bool:
        """Whether a draw is one to stop at; one that is not finite is none."""
        return bool(np.max(block["log_density"]) > self.stop_above)

    def _until_fit(self, done: int) -> int:
        """Transitions of burn-in until its end, or until the map is fitted anew."""
        num_warmup = self.stage.num_burnin_steps
        ends = (*windows(self.kernel, num_warmup)[0], num_warmup)
        return min((end for end in ends if end > done), default=done) - done

    def _still(self, drawn: int) -> int:
        """Draws that are still to come: up to ``num_results``, and then up to ``max_results``."""
        stage = self.stage
        return (stage.num_results if drawn < stage.num_results else stage.max_results) - drawn

    def _is_late(self, began: float) -> bool:
        allowed = self.stage.max_seconds
        return allowed is not None and time.monotonic() - began > allowed

    def _enough(self, blocks: tuple, began: float) -> bool:
        stage, drawn = self.stage, _num_draws(blocks)
        if drawn and self._is_late(began):
            return True
        if drawn and self._is_above(blocks[-1]):
            return True
        if drawn < stage.num_results:
            return False
        if drawn >= stage.max_results:
            return True
        # Diagnostics of many draws take longer than another block of them.
        if len(blocks) % max(1, len(blocks) // 10):
            return False
        z = _joined(blocks, "z")
        highest = max(np.max(block["log_density"]) for block in blocks)
        if highest > self.stop_apart_above and apart(z):
            return True
        smallest = min(diagnostics.ess(z, kind).min() for kind in ("bulk", "tail"))
        target_ess = stage.target_ess or 1.2 * diagnostics.ESS_LIMIT
        # A little below the limit of the verdict, which rounding may not exceed.
        return bool(
            smallest >= target_ess and diagnostics.r_hat(z).max() < diagnostics.RHAT_LIMIT - 0.001
        )


def apart(z: np.ndarray) -> bool:
    """Whether chains (chain, draw, d) are in several places: more draws may not make them agree.

    Args:
        z: draws.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(8, 300, 2))
        >>> apart(z), apart(z + np.arange(8)[:, None, None])
        (False, True)
    """
    return bool(diagnostics.r_hat(z).max() > _APART)


def _num_draws(blocks: tuple[dict[str, np.ndarray], ...]) -> int:
    return sum(len(block["z"]) for block in blocks)


def _joined(blocks: tuple[dict[str, np.ndarray], ...], name: str) -> np.ndarray:
    """One quantity of all blocks, (chain, draw, ...)."""
    return np.concatenate([block[name] for block in blocks]).swapaxes(0, 1)


@compiled(static_argnames=("settings", "num_warmup", "block", "batch_size"))
def _advance(
    settings: CrossChain,
    log_density: Callable,
    num_warmup: int,
    block: int,
    num_steps: AnyArray | int,
    state: CrossChainState,
    batch_size: int | None,
) -> tuple[CrossChainState, dict[str, AnyArray]]:
    """The state after some transitions, and what each of them drew (block, chain, ...).

    Any number up to ``block`` is one compiled function; the rows after it are zero.
    """

    def drawn(state: CrossChainState) -> dict[str, AnyArray]:
        return {name: getattr(state, name) for name in ("z", *_STATISTICS.values())}

    def step(i: AnyArray, carry: Any) -> Any:
        state = move(settings, log_density, num_warmup, carry[0], batch_size)
        rows = jax.tree.map(lambda row, new: row.at[i].set(new), carry[1], drawn(state))
        return state, rows

    rows = jax.tree.map(lambda leaf: jnp.zeros((block, *leaf.shape), leaf.dtype), drawn(state))
    return jax.lax.fori_loop(0, num_steps, step, (state, rows))


def _starts(target: Target, key: AnyArray, svi: SVIResult, num_chains: int) -> AnyArray:
    """Draws from the Gaussian where the density is finite; others are drawn towards the mean."""
    z, mean = np.asarray(svi.sample(key, (num_chains,))), np.asarray(svi.mean)[None]
    for _ in range(8):
        finite = np.isfinite(evaluate(target.log_density, z)[0])
        if finite.all():
            return jnp.asarray(z)
        z = np.where(finite[:, None], z, z.dtype.type(0.5) * (z + mean))
    raise ValueError(
        f"{int(np.sum(~finite))} of {num_chains} chains start at a log density that is not "
        "finite, even close to the mean of the VI Gaussian. Check `result.svi`, or start SVI from "
        "another MAP."
    )


def _show(bar: Bar, steps: int, block: dict[str, np.ndarray], phase: str) -> None:
    bar.total = max(bar.total, bar.n + steps)
    bar.set_postfix_str(
        f"{phase.replace('_', '-')}, acceptance {float(np.mean(block['accept_prob'])):.2f}, "
        f"{int(np.mean(block['num_steps']))} gradients a draw"
    )
    bar.update(steps)
