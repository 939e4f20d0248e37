"""GIGA-Lens's interface to the three steps."""

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from numpyro_lens import infer
from numpyro_lens._types import Array
from numpyro_lens.fitting import LensFit, fit_target, source_map
from numpyro_lens.gigalens.density import descend, log_prob_and_chi_square
from numpyro_lens.gigalens.model import PhysicalModel, ProbabilisticModel, target_of
from numpyro_lens.gigalens.optimizers import as_optax, is_optimizer
from numpyro_lens.gigalens.results import Chains, Gaussian, Starts, as_svi_result
from numpyro_lens.gigalens.simulator import SimulatorConfig
from numpyro_lens.infer import CrossChain, Target
from numpyro_lens.infer.map import adam, prior_draws


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
        prob_model: ``ForwardProbModel`` or ``BackwardProbModel``, or one with a ``log_prob`` of
            your own.
        sim_config: ``SimulatorConfig``.

    Raises:
        ValueError: the image, the noise or the PSF do not fit together, or the model cannot be
        fitted.
    """

    target: Target
    #: Whether the chains have an axis for the devices, as those of GIGA-Lens 2.
    chains_by_device: ClassVar[bool] = False

    def __init__(
        self, phys_model: PhysicalModel, prob_model: ProbabilisticModel, sim_config: SimulatorConfig
    ):
        super().__init__(phys_model, prob_model, sim_config)
        self.target = target_of(phys_model, prob_model, sim_config)

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
        sequence.target = Target.of(model, *args)
        return sequence

    def MAP(
        self,
        optimizer: Any = None,
        start: Any = None,
        n_samples: int = 500,
        num_steps: int = 350,
        seed: int = 0,
        output_type: str | None = None,
        pbar_interval: int = 5,
        *,
        progress: bool = True,
    ) -> Any:
        """Optimise many starts at once.

        Args:
            optimizer: optax transformation; by default Adam with a decaying rate.
            start: unconstrained starts (n_samples, d), or parameters as ``prior.sample`` gives
                them; by default draws from the prior.
            n_samples: starts.
            num_steps: gradient steps.
            seed: of the prior draws.
            output_type: as in GIGA-Lens 2: ``"best"`` of all steps, the ``"best_step"`` of each,
                or ``"all"``, each a tuple of vectors, log densities and reduced chi-squares.
            pbar_interval: 0 draws no progress bar.
            progress: draw a progress bar.

        Returns:
            The unconstrained parameters (n_samples, d), with their log density, which unpack as
            ``best, lp, chisq``; with an ``output_type``, the tuple.
        """
        start = self._starts(start, n_samples, seed)
        optimizer = self._scaled(as_optax(optimizer), len(start))
        if output_type is not None:
            _check_output_type(output_type)
            return _OUTPUTS[output_type](*self._descended(optimizer, start, num_steps))
        settings = infer.MAP(
            num_starts=n_samples,
            num_screened=None,
            num_steps=num_steps,
            optimizer=optimizer,
            num_polished=0,
            max_searches=1,
        )
        shown = progress and pbar_interval > 0
        found = settings.run(self.target, jax.random.key(seed), start=start, progress=shown)
        _, chi_square = log_prob_and_chi_square(self.target, jnp.asarray(found.best))
        return Starts(found, float(chi_square[0]))

    def _starts(self, start: Any, n_samples: int, seed: int) -> Any:
        """Unconstrained starts (n_samples, d) of whatever the user gave."""
        prior: Any = getattr(self.prob_model, "prior", None)
        if start is None and not hasattr(prior, "sample"):
            return prior_draws(self.target, jax.random.split(jax.random.key(seed), n_samples))
        if start is None:
            start = prior.sample(n_samples, seed=jax.random.key(seed))
        if isinstance(start, list | tuple) and _is_tree(start):
            columns = self.prob_model.bij.inverse(start)
            start = jnp.stack(columns, axis=-1) if isinstance(columns, list) else columns
        return jnp.asarray(start)

    def _scaled(self, optimizer: Any, n_samples: int) -> Any:
        """The optimiser of GIGA-Lens's loss, the mean of all starts over the number of pixels.

        Adam does not see the difference; a rate of plain gradient descent is meant for that loss.
        """
        image = getattr(self.prob_model, "observed_image", None)
        if optimizer is None or image is None:
            return optimizer
        if not is_optimizer(optimizer):
            raise TypeError(
                f"`optimizer` is an optax transformation; got {type(optimizer).__name__}. Write "
                "optax.adam(1e-2)."
            )
        return _after_scale(optimizer, 1.0 / (n_samples * np.size(image)))

    def _descended(self, optimizer: Any, start: Any, num_steps: int) -> tuple[Array, Array, Array]:
        optimizer = optimizer or adam(num_steps=num_steps)
        return descend(self.target, optimizer, num_steps, jnp.atleast_2d(jnp.asarray(start)))

    def SVI(
        self,
        optimizer: Any = None,
        start: Any = None,
        n_vi: int = 250,
        num_steps: int = 500,
        init_scales: ArrayLike = 1e-3,
        seed: int = 0,
        pbar_interval: int = 5,
        *,
        precision_parameterization: bool = False,  # noqa: ARG002 of a fork of GIGA-Lens
        progress: bool = True,
    ) -> Gaussian:
        """Fit a full-rank Gaussian from ``start``.

        ``optimizer`` and ``start`` are told apart by what they are; either order works.

        Args:
            optimizer: optax transformation; by default Adam with a decaying rate.
            start: unconstrained, (1, d) or (d,).
            n_vi: draws for each estimate of the ELBO.
            num_steps: steps.
            init_scales: first standard deviation, a float or (d,), or lower Cholesky factor (d, d).
            seed: of the draws.
            pbar_interval: 0 draws no progress bar.
            precision_parameterization: accepted, and changes nothing.
            progress: draw a progress bar.

        Returns:
            The Gaussian, a NumPyro distribution with TFP's calls besides: ``mean()``,
            ``covariance()``, ``sample(n, seed=)``. It unpacks as ``qz, losses``.
        """
        optimizer, start = as_optax(optimizer), as_optax(start)
        if not is_optimizer(optimizer) and (start is None or is_optimizer(start)):
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
        fitted = settings.run(
            self.target,
            jax.random.key(seed),
            start=jnp.asarray(start),
            scale_tril=_scale_tril(init_scales, self.target.dim),
            progress=progress and pbar_interval > 0,
        )
        return Gaussian(fitted)

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
        pbar_interval: int = 5,
        *,
        kernel: Any = None,
        progress: bool = True,
    ) -> Chains:
        """Draw chains from the posterior.

        Args:
            q_z: the Gaussian from ``SVI``, or any with TFP's calls, such as
                ``tfd.MultivariateNormalTriL``; its covariance is the inverse mass matrix.
            init_eps: first step size, in units of the metric.
            init_l: first number of leapfrog steps.
            n_hmc: chains.
            num_burnin_steps: transitions that tune the sampler and are thrown away.
            num_results: draws of each chain.
            max_leapfrog_steps: leapfrog steps for each draw, at most.
            seed: of the draws.
            pbar_interval: 0 draws no progress bar.
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
        svi, shown = as_svi_result(q_z, self.target), progress and pbar_interval > 0
        result = settings.run(self.target, jax.random.key(seed), svi=svi, progress=shown)
        fit = LensFit.of(dataclasses.replace(result, seed=seed))
        return Chains(fit, self.chains_by_device)

    def fit(self, seed: int = 0, **settings: Any) -> LensFit:
        """Run the three steps with settings that need no hand.

        Args:
            seed: the same seed gives the same result.
            **settings: of ``numpyro_lens.fit``.

        Returns:
            The posterior, with ``.map`` and ``.svi``.
        """
        return fit_target(self.target, seed, **settings)


@functools.cache
def _after_scale(optimizer: Any, factor: float) -> Any:
    """One object for the same arguments, so that a second MAP compiles nothing."""
    return optax.chain(optax.scale(factor), optimizer)


def _best(z: Array, log_prob: Array, chi_square: Array) -> tuple[Array, Array, Array]:
    """The best of all starts and steps: (1, d) and two numbers."""
    start, step = np.unravel_index(np.nanargmax(np.asarray(log_prob)), log_prob.shape)
    return z[start, step][None], log_prob[start, step], chi_square[start, step]


def _best_step(z: Array, log_prob: Array, chi_square: Array) -> tuple[Array, Array, Array]:
    """The best start of each step: (num_steps, d) and twice (num_steps,)."""
    best = np.argmax(np.nan_to_num(np.asarray(log_prob), nan=-np.inf), axis=0)
    steps = np.arange(log_prob.shape[1])
    return z[best, steps], log_prob[best, steps], chi_square[best, steps]


def _all(z: Array, log_prob: Array, chi_square: Array) -> tuple[Array, Array, Array]:
    """All starts and steps: (n_samples, num_steps, d) and twice (n_samples, num_steps)."""
    return z, log_prob, chi_square


_OUTPUTS = {"best": _best, "best_step": _best_step, "all": _all}


def _check_output_type(output_type: str) -> None:
    if output_type not in _OUTPUTS:
        raise ValueError(
            f"`output_type` is one of {', '.join(map(repr, _OUTPUTS))}, or left out for all starts "
            f"after the last step; got {output_type!r}."
        )


def _is_tree(start: Any) -> bool:
    """Whether starts are parameters in lists and dicts."""
    groups = [group for group in start if isinstance(group, list | tuple)]
    return any(isinstance(values, dict) for group in groups for values in group)


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
