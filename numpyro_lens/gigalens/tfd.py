"""The distributions that GIGA-Lens's scripts take from TFP, with its names and calls.

``from numpyro_lens.gigalens import tfd`` stands for ``tfd = tfp.distributions``. Each of them holds
a NumPyro distribution, and is drawn from with ``sample(shape, seed=)``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from numpyro_lens._types import Array
from numpyro_lens.gigalens.bijectors import Path, Unconstraining, at, place, unwrapped


class Distribution:
    """A NumPyro distribution that is called as TFP's are.

    Args:
        tree: the distribution.

    Example:
        >>> Distribution(dist.Normal(0.0, 1.0)).sample(3, seed=0).shape
        (3,)
    """

    def __init__(self, tree: dist.Distribution) -> None:
        self.tree = tree

    def sample(self, sample_shape: int | Sequence[int] = (), seed: Any = None) -> Array:
        """Draws of shape ``(*sample_shape, ...)``; ``seed`` is a number or a key of JAX."""
        return self.tree.sample(key_of(seed), shape_of(sample_shape))

    def log_prob(self, value: Any) -> Array:
        """Log density."""
        return self.tree.log_prob(jnp.asarray(value))

    def prob(self, value: Any) -> Array:
        """Density."""
        return jnp.exp(self.log_prob(value))

    def mean(self) -> Array:
        """Mean."""
        return self.tree.mean

    def variance(self) -> Array:
        """Variance."""
        return self.tree.variance

    def stddev(self) -> Array:
        """Standard deviation."""
        return jnp.sqrt(self.variance())

    def covariance(self) -> Array:
        """Covariance, of a multivariate normal."""
        return self.tree.covariance_matrix

    @property
    def loc(self) -> Array:
        """Location."""
        return self.tree.loc

    @property
    def scale_tril(self) -> Array:
        """Lower Cholesky factor of the covariance."""
        return self.tree.scale_tril

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the parameters."""
        return self.tree.batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw."""
        return self.tree.event_shape

    def __repr__(self) -> str:
        return f"tfd.{type(self.tree).__name__}"


def Normal(loc: Any, scale: Any, **named: Any) -> Distribution:
    """Normal distribution.

    Args:
        loc, scale: mean and standard deviation.
        **named: ``name``, ``validate_args`` and ``allow_nan_stats`` of TFP, which change nothing.
    """
    return _made(dist.Normal(_float(loc), _float(scale)), named)


def LogNormal(loc: Any, scale: Any, **named: Any) -> Distribution:
    """Log-normal distribution.

    Args:
        loc, scale: mean and standard deviation of the logarithm.
        **named: as of `Normal`.
    """
    return _made(dist.LogNormal(_float(loc), _float(scale)), named)


def Uniform(low: Any = 0.0, high: Any = 1.0, **named: Any) -> Distribution:
    """Uniform distribution.

    Args:
        low, high: its bounds.
        **named: as of `Normal`.
    """
    return _made(dist.Uniform(_float(low), _float(high)), named)


def TruncatedNormal(loc: Any, scale: Any, low: Any, high: Any, **named: Any) -> Distribution:
    """Normal distribution between two bounds.

    Args:
        loc, scale: of the normal distribution that is cut.
        low, high: its bounds.
        **named: as of `Normal`.
    """
    loc, scale, low, high = map(_float, (loc, scale, low, high))
    return _made(dist.TruncatedNormal(loc, scale, low=low, high=high), named)


def MultivariateNormalTriL(loc: Any, scale_tril: Any, **named: Any) -> Distribution:
    """Multivariate normal distribution of a Cholesky factor.

    Args:
        loc: mean (d,).
        scale_tril: lower Cholesky factor of the covariance (d, d).
        **named: as of `Normal`.
    """
    return _made(_multivariate(loc, scale_tril=scale_tril), named)


def MultivariateNormalFullCovariance(
    loc: Any, covariance_matrix: Any, **named: Any
) -> Distribution:
    """Multivariate normal distribution.

    Args:
        loc: mean (d,).
        covariance_matrix: (d, d).
        **named: as of `Normal`.
    """
    return _made(_multivariate(loc, covariance_matrix=covariance_matrix), named)


def MultivariateNormalDiag(loc: Any, scale_diag: Any, **named: Any) -> Distribution:
    """Independent normal distributions as one.

    Args:
        loc, scale_diag: means and standard deviations (d,).
        **named: as of `Normal`.
    """
    return MultivariateNormalTriL(loc, jnp.diag(_float(scale_diag)), **named)


def Sample(distribution: Distribution, sample_shape: Any = (), **named: Any) -> Distribution:
    """Independent draws of a distribution as one event.

    Args:
        distribution: of this module.
        sample_shape: their shape.
        **named: as of `Normal`.
    """
    base, shape = unwrapped(distribution), shape_of(sample_shape)
    return _made(base.expand((*shape, *base.batch_shape)).to_event(len(shape)), named)


def Independent(
    distribution: Distribution, reinterpreted_batch_ndims: int | None = None, **named: Any
) -> Distribution:
    """A distribution whose last parameter axes make up one event.

    Args:
        distribution: of this module.
        reinterpreted_batch_ndims: how many axes; by default all but the first, as of TFP.
        **named: as of `Normal`.
    """
    base = unwrapped(distribution)
    default = max(len(base.batch_shape) - 1, 0)
    ndims = default if reinterpreted_batch_ndims is None else reinterpreted_batch_ndims
    return _made(base.to_event(ndims), named)


class JointDistribution:
    """The joint distribution of a tree of lists and dicts.

    Args:
        model: distributions of this module or of NumPyro, numbers (fixed values), functions of
            parameters of the same dict, and joint distributions again.
        **named: as of `Normal`.
    """

    def __init__(self, model: Any, **named: Any) -> None:
        _check_names(named)
        self.model = model
        self.tree = plain(model)

    def sample(self, sample_shape: int | Sequence[int] = (), seed: Any = None) -> Any:
        """Draws, in the lists and dicts of the model; each leaf has the sample shape in front."""
        key, shape = key_of(seed), shape_of(sample_shape)
        count = iter(range(2**31))

        def visit(_: Path, distribution: dist.Distribution) -> Array:
            own = jax.random.fold_in(key, next(count))
            # What depends on other draws has their shape already.
            drawn = shape and distribution.batch_shape[: len(shape)] == shape
            return distribution.sample(own, () if drawn else shape)

        return place(self.tree, visit)

    def log_prob(self, value: Any) -> Array:
        """Log density of such lists and dicts, of the sample shape."""
        terms: list[Array] = []

        def visit(path: Path, distribution: dist.Distribution) -> Any:
            leaf = jnp.asarray(at(value, path))
            terms.append(distribution.log_prob(leaf))
            return leaf

        place(self.tree, visit)
        return sum(terms, jnp.zeros(()))

    def prob(self, value: Any) -> Array:
        """Density."""
        return jnp.exp(self.log_prob(value))

    def experimental_default_event_space_bijector(self) -> Unconstraining:
        """The map of unconstrained values to parameters."""
        return Unconstraining(self.tree)

    def __repr__(self) -> str:
        return f"tfd.{type(self).__name__}({self.model})"


class JointDistributionSequential(JointDistribution):
    """The joint distribution of a list.

    Args:
        model: list of distributions or of joint distributions.
        **named: as of `Normal`.

    Example:
        >>> prior = JointDistributionSequential(
        ...     [JointDistributionNamed(dict(gamma1=Normal(0, 0.05), gamma2=Normal(0, 0.05)))])
        >>> prior.sample(4, seed=0)[0]["gamma1"].shape
        (4,)
    """


class JointDistributionSequentialAutoBatched(JointDistribution):
    """`JointDistributionSequential`; here both find out the batch by themselves.

    Args:
        model: as of `JointDistributionSequential`.
        **named: as of `Normal`.
    """


class JointDistributionNamed(JointDistribution):
    """The joint distribution of a dict.

    Args:
        model: dict of distributions.
        **named: as of `Normal`.

    Example:
        >>> shear = JointDistributionNamed(dict(gamma1=Normal(0, 0.05), gamma2=Normal(0, 0.05)))
        >>> float(shear.log_prob(dict(gamma1=0.0, gamma2=0.0)))
        4.153...
    """


class JointDistributionNamedAutoBatched(JointDistribution):
    """`JointDistributionNamed`; here both find out the batch by themselves.

    Args:
        model: as of `JointDistributionNamed`.
        **named: as of `Normal`.
    """


def plain(model: Any) -> Any:
    """A model as lists and dicts of NumPyro distributions, numbers and functions."""
    model = unwrapped(model)
    if isinstance(model, Mapping):
        return {name: plain(entry) for name, entry in model.items()}
    if isinstance(model, list | tuple):
        return [plain(entry) for entry in model]
    if isinstance(model, dist.Distribution):
        return model.to_event(len(model.batch_shape))
    return model


_ACCEPTED = {"name", "validate_args", "allow_nan_stats", "use_vectorized_map", "batch_ndims"}


def _multivariate(loc: Any, **scale: Any) -> dist.Distribution:
    # Not checked, as TFP does not: a factor read from a file has rounded entries.
    scale = {name: _float(value) for name, value in scale.items()}
    return dist.MultivariateNormal(_float(loc), **scale, validate_args=False)


def _made(distribution: dist.Distribution, named: dict[str, Any]) -> Distribution:
    _check_names(named)
    return Distribution(distribution)


def _check_names(named: dict[str, Any]) -> None:
    if unknown := sorted(named.keys() - _ACCEPTED):
        raise TypeError(
            f"Distributions take their parameters by position or by TFP's names; got also "
            f"{', '.join(unknown)}. Others that NumPyro has stand as they are in a prior: "
            "numpyro.distributions.StudentT(4.0, 0.0, 1.0)."
        )


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"tfd has no {name}: it holds the distributions that GIGA-Lens's scripts use. Put one of "
        f"numpyro.distributions in its place, with NumPyro's arguments; a prior takes both."
    )


def key_of(seed: Any) -> Array:
    """A key of JAX; without a seed one of NumPy's random state, which ``np.random.seed`` sets."""
    if seed is None:
        seed = np.random.randint(2**31)  # noqa: NPY002 the state that scripts seed
    if np.ndim(seed) == 0 and not isinstance(seed, jax.Array):
        return jax.random.key(int(seed))
    if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) or np.ndim(seed) > 0:
        return jnp.asarray(seed)
    return jax.random.key(seed)


def shape_of(sample_shape: Any) -> tuple[int, ...]:
    """A shape of a number or of several."""
    return tuple(int(size) for size in np.atleast_1d(np.asarray(sample_shape, dtype=int)))


def _float(value: Any) -> Array:
    return jnp.asarray(value, jnp.result_type(float))
