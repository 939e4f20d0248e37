"""The three steps as one object, and the interface of GIGA-Lens on top of it."""

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from numpyro_lens._types import Array
from numpyro_lens.infer import hmc as hmc_stage
from numpyro_lens.infer import map as map_stage
from numpyro_lens.infer import svi as svi_stage
from numpyro_lens.infer.checkpoint import fingerprint, kept
from numpyro_lens.infer.density import FlatModel, flat_model
from numpyro_lens.infer.kernels import CrossChain
from numpyro_lens.infer.physical import PhysicalModel, ProbabilisticModel, SimulatorConfig
from numpyro_lens.infer.posterior import HMCResult
from numpyro_lens.infer.precision import check_precision
from numpyro_lens.infer.results import MAPResult, SVIResult


class ModellingSequenceInterface(ABC):
    """The three steps of modelling, as GIGA-Lens names them.

    1. ``MAP``: multi-start gradient descent to the maximum a posteriori;
    2. ``SVI``: a full-rank Gaussian fitted from there;
    3. ``HMC``: Hamiltonian Monte Carlo with the inverse of its covariance as mass matrix.

    Args:
        phys_model: profiles of the lens, its light and the source.
        prob_model: prior and data.
        sim_config: pixels and PSF.

    Reference: Gu et al. 2022, ApJ 935, 49.
    """

    def __init__(self, phys_model: Any, prob_model: Any, sim_config: Any) -> None:
        self.phys_model, self.prob_model, self.sim_config = phys_model, prob_model, sim_config

    @abstractmethod
    def MAP(
        self,
        optimizer: Any,
        start: Any = None,
        n_samples: int = 500,
        num_steps: int = 350,
        seed: int = 0,
    ) -> Any:
        """Unconstrained parameters of all starts after optimisation, (n_samples, d)."""

    @abstractmethod
    def SVI(
        self,
        optimizer: Any,
        start: Any,
        n_vi: int = 250,
        num_steps: int = 500,
        init_scales: Any = 1e-3,
        seed: int = 0,
    ) -> Any:
        """The fitted posterior, a distribution over the unconstrained vector."""

    @abstractmethod
    def HMC(
        self,
        q_z: Any,
        init_eps: float = 0.3,
        init_l: int = 3,
        n_hmc: int = 50,
        num_burnin_steps: int = 250,
        num_results: int = 750,
        max_leapfrog_steps: int = 30,
        seed: int = 0,
    ) -> Any:
        """Unconstrained chains, (num_results, n_hmc, d)."""


class ModellingSequence(ModellingSequenceInterface):
    """MAP, SVI and HMC for one model and its data.

    Built from GIGA-Lens's three objects, or by ``from_model`` from a NumPyro model function. The
    methods ``MAP``, ``SVI`` and ``HMC`` do exactly what their arguments say; ``fit`` runs the three
    steps with settings that need no hand.

    Args:
        phys_model: ``PhysicalModel``.
        prob_model: ``ForwardProbModel`` or ``BackwardProbModel``.
        sim_config: ``SimulatorConfig``.

    Raises:
        ValueError: the image, the noise or the PSF do not fit together, or the model cannot be
        fitted.
    """

    flat: FlatModel
    args: tuple

    def __init__(
        self, phys_model: PhysicalModel, prob_model: ProbabilisticModel, sim_config: SimulatorConfig
    ):
        super().__init__(phys_model, prob_model, sim_config)
        self._set_model(prob_model.numpyro_model(phys_model), prob_model.observation(sim_config))

    @classmethod
    def from_model(cls, model: Callable, *args: Any) -> "ModellingSequence":
        """From a NumPyro model function and its arguments.

        Args:
            model: NumPyro model function.
            *args: its arguments, usually one ``Observation``.

        Raises:
            ValueError: no observed site, no latent site, or a discrete one.
        """
        sequence = cls.__new__(cls)
        ModellingSequenceInterface.__init__(sequence, None, None, None)
        sequence._set_model(model, *args)
        return sequence

    def _set_model(self, model: Callable, *args: Any) -> None:
        self.args = args
        self.flat = flat_model(model, args)

    def MAP(
        self,
        optimizer: Any = None,
        start: ArrayLike | None = None,
        n_samples: int = 500,
        num_steps: int = 350,
        seed: int = 0,
        *,
        progress: bool = True,
    ) -> MAPResult:
        """Optimise many starts at once.

        Args:
            optimizer: optax transformation; by default Adam with a decaying rate.
            start: unconstrained starts (n_samples, d); by default draws from the prior.
            n_samples: starts.
            num_steps: gradient steps.
            seed: of the prior draws.
            progress: draw a progress bar.

        Returns:
            The unconstrained parameters (n_samples, d), with their log density.
        """
        settings = map_stage.MAP(
            num_starts=n_samples,
            num_screened=None,
            num_steps=num_steps,
            optimizer=optimizer,
            num_polished=0,
            max_searches=1,
        )
        return settings.run(
            self.flat, self.args, jax.random.key(seed), start=start, progress=progress
        )

    def SVI(
        self,
        optimizer: Any = None,
        start: Any = None,
        n_vi: int = 250,
        num_steps: int = 500,
        init_scales: ArrayLike = 1e-3,
        seed: int = 0,
        *,
        progress: bool = True,
    ) -> SVIResult:
        """Fit a full-rank Gaussian from ``start``.

        ``optimizer`` and ``start`` are told apart by what they are; either order works.

        Args:
            optimizer: optax transformation; by default Adam with a decaying rate.
            start: unconstrained, (1, d) or (d,).
            n_vi: draws for each estimate of the ELBO.
            num_steps: steps.
            init_scales: first standard deviation, a float or (d,), or lower Cholesky factor (d, d).
            seed: of the draws.
            progress: draw a progress bar.

        Returns:
            The Gaussian, with ``mean``, ``covariance_matrix``, ``sample`` and ``log_prob``.
        """
        if not _is_optimizer(optimizer) and (start is None or _is_optimizer(start)):
            optimizer, start = start, optimizer
        if start is None:
            raise ValueError("SVI starts from a point: pass `start=map_result.best`.")
        settings = svi_stage.SVI(
            num_particles=n_vi,
            num_steps=num_steps,
            optimizer=optimizer,
            patience=None,
            whiten=False,
        )
        return settings.run(
            self.flat,
            self.args,
            jax.random.key(seed),
            start=start,
            scale_tril=_scale_tril(init_scales, self.flat.dim),
            progress=progress,
        )

    def HMC(
        self,
        q_z: SVIResult,
        init_eps: float = 0.3,
        init_l: int = 3,
        n_hmc: int = 50,
        num_burnin_steps: int = 250,
        num_results: int = 750,
        max_leapfrog_steps: int = 30,
        seed: int = 0,
        *,
        kernel: Any = None,
        progress: bool = True,
    ) -> HMCResult:
        """Draw chains from the posterior.

        Args:
            q_z: the Gaussian from ``SVI``; its covariance is the inverse mass matrix.
            init_eps: first step size, in units of the metric.
            init_l: first number of leapfrog steps.
            n_hmc: chains.
            num_burnin_steps: transitions that tune the sampler and are thrown away.
            num_results: draws of each chain.
            max_leapfrog_steps: leapfrog steps for each draw, at most.
            seed: of the draws.
            kernel: another kernel, see ``infer.HMC``; it has its own step sizes.
            progress: draw a progress bar.

        Returns:
            The unconstrained chains (num_results, n_hmc, d), with everything ArviZ asks for.
        """
        default = CrossChain(
            init_step_size=init_eps,
            init_trajectory_length=init_eps * init_l,
            max_num_steps=max_leapfrog_steps,
        )
        settings = hmc_stage.HMC(
            kernel=kernel or default,
            num_chains=n_hmc,
            num_burnin_steps=num_burnin_steps,
            num_results=num_results,
            max_results=num_results,
        )
        result = settings.run(
            self.flat, self.args, jax.random.key(seed), svi=q_z, progress=progress
        )
        return dataclasses.replace(result, seed=seed)

    def fit(
        self,
        seed: int = 0,
        *,
        target_ess: float | None = None,
        progress: bool = True,
        map: map_stage.MAP | None = None,
        svi: svi_stage.SVI | None = None,
        hmc: hmc_stage.HMC | None = None,
        callback: Callable[[str, Any], None] | None = None,
        checkpoint: str | PathLike | None = None,
    ) -> HMCResult:
        """Run the three steps.

        Args:
            seed: the same seed gives the same result.
            target_ess: smallest bulk and tail effective sample size to draw; by default as many as
                the verdict asks for.
            progress: draw progress bars.
            map, svi, hmc: settings of each step.
            callback: called with ``"map"``, ``"svi"`` or ``"hmc"`` and the result as each step
                ends.
            checkpoint: folder to which every stage and every block of draws is written. Called
                again with the same folder, ``fit`` goes on where it was, or adds draws when more
                are asked for.

        Returns:
            The posterior, with ``.map`` and ``.svi``.

        Raises:
            ValueError: the checkpoint belongs to another fit.
        """
        map, svi, hmc = map or map_stage.MAP(), svi or svi_stage.SVI(), hmc or hmc_stage.HMC()
        if target_ess is not None:
            hmc = dataclasses.replace(hmc, target_ess=target_ess)
        callback = callback or (lambda _stage, _result: None)
        keys = jax.random.split(jax.random.key(seed), 3)
        model = self.flat, self.args
        keep = functools.partial(self._kept, checkpoint)
        best = keep("map", map, keys[0], lambda: map.run(*model, keys[0], progress=progress))
        callback("map", best)
        tril = map_stage.laplace_scale_tril(best.hessian)
        check_precision(*model, best.best, tril)
        start = {"start": best.best, "scale_tril": tril}
        gaussian = keep(
            "svi", svi, keys[1], lambda: svi.run(*model, keys[1], **start, progress=progress)
        )
        callback("svi", gaussian)
        result = hmc.run(
            *model, keys[2], svi=gaussian, map=best, progress=progress, checkpoint=checkpoint
        )
        settings = {"map": map, "svi": svi, "hmc": hmc}
        result = dataclasses.replace(
            result, seed=seed, settings={name: _plain(stage) for name, stage in settings.items()}
        )
        callback("hmc", result)
        return result

    def _kept(
        self,
        checkpoint: str | PathLike | None,
        stage: str,
        settings: Any,
        key: Array,
        run: Callable,
    ) -> Any:
        manifest = fingerprint(self.flat, self.args, key) | {"settings": _plain(settings)}
        return kept(checkpoint, stage, manifest, self.flat, self.args, run)


def fit(model: Callable, *args: Any, seed: int = 0, **settings: Any) -> HMCResult:
    """Fit a NumPyro model in one call: MAP, SVI, HMC.

    Args:
        model: NumPyro model function.
        *args: its arguments, usually one ``Observation``.
        seed: the same seed gives the same result.
        **settings: of ``ModellingSequence.fit``: ``target_ess``, ``progress``, ``map``, ``svi``,
        ``hmc``, ``callback``, ``checkpoint``.

    Returns:
        The posterior, with ``.map``, ``.svi`` and ``.num_gradients``.

    Raises:
        ValueError: the model cannot be fitted, or no start reached a finite log density.
    """
    return ModellingSequence.from_model(model, *args).fit(seed, **settings)


def _is_optimizer(value: Any) -> bool:
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def _scale_tril(init_scales: ArrayLike, dim: int) -> np.ndarray:
    scales = np.asarray(init_scales, dtype=float)
    if scales.ndim < 2:
        return np.diag(np.broadcast_to(scales, dim))
    if scales.shape != (dim, dim) or not np.allclose(scales, np.tril(scales)):
        raise ValueError(
            f"`init_scales` is a number, ({dim},) standard deviations, or a ({dim}, {dim}) lower "
            f"Cholesky factor; got {scales.shape}. Of a covariance take "
            "`np.linalg.cholesky(covariance)`."
        )
    return scales


def _plain(value: Any) -> Any:
    """Settings as nested dicts of what JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"type": type(value).__name__, **plain}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__name__", type(value).__name__)
