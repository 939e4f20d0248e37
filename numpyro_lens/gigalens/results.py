"""What the three steps return: arrays and distributions, which also unpack as GIGA-Lens's do."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike

from numpyro_lens._types import Array
from numpyro_lens.density import Target
from numpyro_lens.fitting import LensFit
from numpyro_lens.gigalens import tfd
from numpyro_lens.infer import MAPResult, SVIResult


class AsArray(NDArrayOperatorsMixin):
    """What calculates as an array does, and has its methods, and those of a result it holds."""

    @property
    @abstractmethod
    def array(self) -> Any:
        """The array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return np.shape(self.array)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype=dtype)

    def __jax_array__(self) -> Array:
        return jnp.asarray(self.array)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        plain = [np.asarray(i.array) if isinstance(i, AsArray) else i for i in inputs]
        return getattr(ufunc, method)(*plain, **settings)

    def __getattr__(self, name: str) -> Any:
        result = self.__dict__.get("result")
        if not name.startswith("_") and name in dir(result):
            return getattr(result, name)
        if not name.startswith("_") and hasattr(jax.Array, name):
            return getattr(jnp.asarray(self.array), name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return repr(self.__dict__.get("result", self.array))


class Called(np.ndarray):
    """An array that may be called, as TFP's moments are: ``qz.mean`` and ``qz.mean()``."""

    def __call__(self) -> np.ndarray:
        """The array itself."""
        return np.asarray(self)


class Solved(AsArray):
    """An image with amplitudes that were solved for, the image to calculations.

    It unpacks as ``image, coeffs``, and ``solved[0]`` is the image too.

    Args:
        image: (ny, nx), or (n, ny, nx).
        amplitudes: (depth,), or (n, depth).
        area: of a pixel [arcsec²].

    Attributes:
        coeffs: amplitudes times the area of a pixel, GIGA-Lens's coefficients.
    """

    def __init__(self, image: Array, amplitudes: Array, area: Array) -> None:
        self.image, self.amplitudes, self.coeffs = image, amplitudes, amplitudes * area

    @property
    def array(self) -> Array:
        """The image."""
        return self.image

    def __iter__(self) -> Iterator[Array]:
        return iter((self.image, self.coeffs))

    def __getitem__(self, index: Any) -> Any:
        return (self.image, self.coeffs)[index] if isinstance(index, int) else self.image[index]

    def __len__(self) -> int:
        return 2


class Starts(AsArray):
    """All starts of a MAP search: an array (n_samples, d), which unpacks as the best of them.

    ``best, lp, chisq = starts``, with ``best`` (1, d), as GIGA-Lens 2 returns it. It has all that
    `MAPResult` has.

    Args:
        result: of the search.
        chi_square: reduced chi-square of its best start.
    """

    def __init__(self, result: MAPResult, chi_square: float) -> None:
        self.result, self.chi_square = result, chi_square

    @property
    def array(self) -> np.ndarray:
        """Unconstrained parameters (n_samples, d)."""
        return self.result.params

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __iter__(self) -> Iterator[Any]:
        best = self.result.basins[0]
        return iter((self.result.best, best.log_density, self.chi_square))


class Gaussian:
    """A Gaussian posterior in unconstrained space, with NumPyro's calls and with TFP's.

    It unpacks as ``qz, losses``, and has all that `SVIResult` has.

    Args:
        result: of the fit.
    """

    def __init__(self, result: SVIResult) -> None:
        self.result = result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "result" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.result, name)

    @property
    def mean(self) -> Called:
        """Mean (d,), with or without a call."""
        return np.asarray(self.result.mean).view(Called)

    @property
    def loc(self) -> np.ndarray:
        """Mean (d,)."""
        return np.asarray(self.result.mean)

    def covariance(self) -> np.ndarray:
        """Covariance (d, d)."""
        return self.result.covariance_matrix

    def variance(self) -> np.ndarray:
        """Variances (d,)."""
        return np.diag(self.result.covariance_matrix)

    def stddev(self) -> np.ndarray:
        """Standard deviations (d,)."""
        return np.sqrt(self.variance())

    def sample(self, key: Any = (), sample_shape: Any = (), *, seed: Any = None) -> Array:
        """Draws (*shape, d): ``sample(key, shape)`` as NumPyro's, ``sample(n, seed=)`` as TFP's."""
        if isinstance(key, jax.Array) and seed is None:
            return self.result.sample(key, sample_shape)
        shape = tfd.shape_of(sample_shape if key == () else key)
        return self.result.sample(tfd.key_of(seed), shape)

    def __iter__(self) -> Iterator[Any]:
        return iter((self, self.result.losses))

    def __repr__(self) -> str:
        return repr(self.result)


def as_svi_result(distribution: Any, target: Target) -> SVIResult:
    """What `HMC` starts from, of a `Gaussian` or of any multivariate normal with TFP's calls.

    Args:
        distribution: such as one of ``tfd``, made from saved arrays.
        target: the density.

    Raises:
        ValueError: it has another dimension than the model.
    """
    if isinstance(distribution, Gaussian):
        return distribution.result
    if isinstance(distribution, SVIResult):
        return distribution
    mean = np.asarray(distribution.mean())
    if mean.shape != (target.dim,):
        raise ValueError(
            f"The Gaussian of this model has a mean of shape ({target.dim},); got {mean.shape}."
        )
    tril = np.linalg.cholesky(np.asarray(distribution.covariance(), dtype=float))
    return SVIResult(target, mean, tril, np.zeros(0), float("nan"), {}, {})


class Chains(AsArray):
    """Chains of a lens fit: an array, with all that `numpyro_lens.LensFit` has.

    It unpacks as ``states, statistics``; ``all_states`` has an axis for the devices in front.

    Args:
        result: of the fit.
        by_device: whether the array has GIGA-Lens 2's axis for the devices,
            (num_results, n_dev, n_hmc / n_dev, d), or is (num_results, n_hmc, d).
    """

    def __init__(self, result: LensFit, by_device: bool) -> None:
        self.result, self.by_device = result, by_device

    @property
    def array(self) -> np.ndarray:
        """Unconstrained chains."""
        return _by_device(self.result.chains) if self.by_device else self.result.chains

    @property
    def all_states(self) -> Array:
        """Chains as GIGA-Lens 1 orders them, (n_dev, num_results, n_hmc / n_dev, d)."""
        return jnp.moveaxis(jnp.asarray(_by_device(self.result.chains)), 1, 0)

    @property
    def trace(self) -> dict[str, np.ndarray]:
        """Statistics of each draw, (n_hmc, num_results) by name."""
        return self.result.statistics

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.array, self.result.statistics))


def _by_device(chains: np.ndarray) -> np.ndarray:
    """Chains (num_results, n_hmc, d) with an axis for the devices, one if they do not divide."""
    num, num_chains, dim = chains.shape
    devices = jax.local_device_count()
    devices = devices if num_chains % devices == 0 else 1
    return chains.reshape(num, devices, num_chains // devices, dim)
