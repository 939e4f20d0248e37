"""What each stage returns: frozen objects that carry everything and feed the next step."""

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from numpyro_lens._types import AnyArray, ArrayLike
from numpyro_lens.density import Target, map_batch, unplaced
from numpyro_lens.infer.diagnostics import PARETO_K_LIMIT
from numpyro_lens.sampler import Affine


class Basin(NamedTuple):
    """Starts that ended at one mode: its log density, their number, and which start is the best."""

    log_density: float
    num_starts: int
    start: int


def constrain(target: Target, z: ArrayLike) -> dict[str, np.ndarray]:
    """Site values of each row of ``z`` (n, d), stacked along a leading axis."""
    return unplaced(_constrain(target, z))


@functools.partial(jax.jit, static_argnames="shape")
def _drawn(gaussian: Affine, key: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    return gaussian(jax.random.normal(key, (*shape, len(gaussian.loc))))


@jax.jit
def _constrain(target: Target, z: AnyArray) -> dict[str, AnyArray]:
    return map_batch(lambda z, target: target.constrain(z), z, target)


@dataclass(frozen=True, repr=False, eq=False)
class MAPResult:
    """The starts of a MAP search after optimisation.

    It behaves as the array of unconstrained parameters (``np.asarray``, ``shape``, indexing), as
    GIGA-Lens returns it.

    Attributes:
        params: unconstrained parameters (num_starts, d).
        log_density: unconstrained log density of exactly these parameters (num_starts,).
        losses: best loss at each step (num_steps,).
        basins: modes that were found, best first.
        num_nonfinite: starts that ended with a non-finite log density, and with a non-finite
            gradient.
        hessian: of minus the log density at the best start (d, d).
        num_gradients: evaluations of the log density, by stage.
        timing: seconds of compilation and of running.
    """

    target: Target
    params: np.ndarray
    log_density: np.ndarray
    losses: np.ndarray
    num_nonfinite: dict[str, int]
    basins: tuple[Basin, ...]
    hessian: np.ndarray
    num_gradients: dict[str, int]
    timing: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column of ``params``."""
        return self.target.names

    @property
    def shape(self) -> tuple[int, ...]:
        """(num_starts, d)."""
        return self.params.shape

    @property
    def best(self) -> np.ndarray:
        """Unconstrained parameters of the best start, (1, d): what ``SVI`` starts from."""
        return self.params[[self.basins[0].start]]

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Site values of every start, best values at index ``basins[0].start``."""
        return constrain(self.target, self.params)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.params, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.params[index]

    def __len__(self) -> int:
        return len(self.params)

    def __repr__(self) -> str:
        best = self.basins[0]
        return (
            f"MAPResult: best log density {best.log_density:.2f}, reached by {best.num_starts} of "
            f"{len(self)} starts; {len(self.basins)} basins; "
            f"{sum(self.num_gradients.values())} gradients"
        )


@dataclass(frozen=True, repr=False, eq=False)
class SVIResult:
    """A full-rank Gaussian fitted to the posterior in unconstrained space.

    It behaves as a NumPyro distribution over the unconstrained vector: ``mean``,
    ``covariance_matrix``, ``sample``, ``log_prob``.

    Attributes:
        mean: (d,).
        scale_tril: lower Cholesky factor of the covariance (d, d).
        losses: negative ELBO at each step (num_steps,).
        pareto_k: shape of the tail of the importance weights; above 0.7 the Gaussian is a poor fit.
        num_gradients: evaluations of the log density.
        timing: seconds of compilation and of running.
    """

    target: Target
    mean: np.ndarray
    scale_tril: np.ndarray
    losses: np.ndarray
    pareto_k: float
    num_gradients: dict[str, int]
    timing: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each entry of ``mean``."""
        return self.target.names

    @property
    def covariance_matrix(self) -> np.ndarray:
        """Covariance (d, d); NumPyro's ``inverse_mass_matrix`` is this very matrix."""
        return self.scale_tril @ self.scale_tril.T

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Site values of 2,000 draws from the Gaussian, (1, 2000, ...) each."""
        draws = self.sample(jax.random.key(0), (2000,))
        values = constrain(self.target, draws)
        return {name: value[None] for name, value in values.items()}

    @property
    def gaussian(self) -> Affine:
        """The map of the standard normal to this Gaussian."""
        return Affine(jnp.asarray(self.mean), jnp.asarray(self.scale_tril))

    def sample(self, key: AnyArray, sample_shape: tuple[int, ...] = ()) -> AnyArray:
        """Draws of the unconstrained vector, ``(*sample_shape, d)``."""
        return _drawn(self.gaussian, key, sample_shape)

    def log_prob(self, z: ArrayLike) -> AnyArray:
        """Log density of the Gaussian at ``z`` (..., d)."""
        z = jnp.asarray(z)
        return self.gaussian.log_prob(z.reshape(-1, z.shape[-1])).reshape(z.shape[:-1])

    def __repr__(self) -> str:
        verdict = "good" if self.pareto_k <= PARETO_K_LIMIT else "poor"
        return (
            f"SVIResult: ELBO {-float(np.mean(self.losses[-20:])):.2f}, "
            f"Pareto k {self.pareto_k:.2f} ({verdict} fit); {self.num_gradients['svi']} gradients"
            if len(self.losses)
            else f"SVIResult: Pareto k {self.pareto_k:.2f} ({verdict} fit)"
        )
