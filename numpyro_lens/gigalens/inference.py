"""GIGA-Lens's interface to the three steps."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from numpyro_lens import infer
from numpyro_lens._types import ArrayLike
from numpyro_lens.fitting import LensFit, fit_target, source_map
from numpyro_lens.gigalens.model import PhysicalModel, ProbabilisticModel, SimulatorConfig
from numpyro_lens.infer import CrossChain, MAPResult, SVIResult, Target


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
    steps with default settings.

    Args:
        phys_model: ``PhysicalModel``.
        prob_model: ``ForwardProbModel`` or ``BackwardProbModel``.
        sim_config: ``SimulatorConfig``.

    Raises:
        ValueError: the image, the noise or the PSF do not fit together, or the model cannot be
        fitted.
    """

    target: Target

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
        self.target = Target.of(model, *args)

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
        settings = infer.MAP(
            num_starts=n_samples,
            num_screened=None,
            num_steps=num_steps,
            optimizer=optimizer,
            num_polished=0,
            max_searches=1,
        )
        return settings.run(self.target, jax.random.key(seed), start=start, progress=progress)

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
        settings = infer.SVI(
            num_particles=n_vi,
            num_steps=num_steps,
            optimizer=optimizer,
            patience=None,
            whiten=False,
        )
        return settings.run(
            self.target,
            jax.random.key(seed),
            start=start,
            scale_tril=_scale_tril(init_scales, self.target.dim),
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
    ) -> LensFit:
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
        settings = infer.HMC(
            kernel=kernel or default,
            num_chains=n_hmc,
            num_burnin_steps=num_burnin_steps,
            num_results=num_results,
            max_results=num_results,
            make_map=source_map,
        )
        result = settings.run(self.target, jax.random.key(seed), svi=q_z, progress=progress)
        return LensFit.of(dataclasses.replace(result, seed=seed))

    def fit(self, seed: int = 0, **settings: Any) -> LensFit:
        """Run the three steps with default settings.

        Args:
            seed: the same seed gives the same result.
            **settings: of ``numpyro_lens.fit``.

        Returns:
            The posterior, with ``.map`` and ``.svi``.
        """
        return fit_target(self.target, seed, **settings)


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
