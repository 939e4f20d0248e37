"""GIGA-Lens's unconstrained vector: its order of the parameters, and its maps of them.

A prior is a tree of lists and dicts. GIGA-Lens flattens it list by list, and each dict by its
sorted names; it maps intervals by the logistic function, where the rest of this package takes the
normal quantile. Vectors that its users saved keep their meaning, so its interface keeps to that.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import Transform
from numpyro.util import is_prng_key

from numpyro_lens._types import Array

Path: TypeAlias = tuple[int | str, ...]
"""Where a leaf is in a tree: numbers in lists, names in dicts."""

Visit: TypeAlias = Callable[[Path, dist.Distribution], Any]
"""What gives a leaf its value."""


def place(tree: Any, visit: Visit, path: Path = ()) -> Any:
    """A tree with a value for each of its distributions, visited in the order of the vector.

    Args:
        tree: lists and dicts, with leaves that are distributions, numbers, or functions of
            parameters of the same dict that return either.
        visit: value of a distribution, given where it is.
        path: where the tree is.

    Returns:
        The same lists and dicts of values.

    Raises:
        ValueError: a function needs a parameter that its dict does not have.

    Example:
        >>> place([{"b": dist.Normal(0, 1), "a": 2.0}], lambda path, _: path)
        [{'b': (0, 'b'), 'a': 2.0}]
    """
    if isinstance(tree, Mapping):
        return _place_dict(tree, visit, path)
    if isinstance(tree, list | tuple):
        return [place(branch, visit, (*path, i)) for i, branch in enumerate(tree)]
    return visit(path, tree) if isinstance(tree, dist.Distribution) else tree


def _place_dict(tree: Mapping, visit: Visit, path: Path) -> dict[str, Any]:
    """Each entry once the values that it depends on are known, by sorted names."""
    values: dict[str, Any] = {}
    waiting = {name: tree[name] for name in sorted(tree)}
    while waiting:
        ready = [name for name, entry in waiting.items() if _needs(entry) <= values.keys()]
        if not ready:
            raise ValueError(
                "A function in the prior depends on parameters of the same dict, named as its "
                f"arguments. `{'.'.join(map(str, path))}` has {', '.join(tree)}, and cannot "
                f"resolve: {', '.join(waiting)}."
            )
        for name in ready:
            entry = waiting.pop(name)
            if _is_function(entry):
                entry = entry(**{needed: values[needed] for needed in _needs(entry)})
            values[name] = place(unwrapped(entry), visit, (*path, name))
    return {name: values[name] for name in tree}


def unwrapped(entry: Any) -> Any:
    """What a wrapper of `numpyro_lens.gigalens.tfd` holds; anything else as it is."""
    return entry.tree if hasattr(entry, "tree") else entry


def _is_function(entry: Any) -> bool:
    return callable(entry) and not isinstance(entry, dist.Distribution)


def _needs(entry: Any) -> set[str]:
    return set(inspect.signature(entry).parameters) if _is_function(entry) else set()


def at(tree: Any, path: Path) -> Any:
    """The leaf of a tree at a path."""
    for step in path:
        tree = tree[step]
    return tree


# --- maps of one parameter -----------------------------------------------------------------------


class LogisticInterval(constraints.Constraint):
    """An interval that the logistic function maps to, which is GIGA-Lens's choice.

    Args:
        low, high: the bounds.
    """

    def __init__(self, low: Any, high: Any) -> None:
        self.lower_bound, self.upper_bound = low, high

    def __call__(self, x: Array) -> Array:
        """Whether values lie inside."""
        return (x >= self.lower_bound) & (x <= self.upper_bound)

    def feasible_like(self, prototype: Array) -> Array:
        """Values inside, shaped like another array."""
        middle = 0.5 * (self.lower_bound + self.upper_bound)
        return jnp.broadcast_to(middle, jnp.shape(prototype))

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """The bounds and their names, as NumPyro makes pytrees of its constraints."""
        names = ("lower_bound", "upper_bound")
        return (self.lower_bound, self.upper_bound), (names, {})


class LogisticTransform(Transform):
    r"""Real line to an interval through the logistic function.

    .. math:: y = \frac{a + b}{2} + \frac{b - a}{2} \tanh \frac{x}{2}
                = a + \frac{b - a}{1 + e^{-x}}

    By the first form, values close to the middle keep their digits.

    Args:
        low, high: the bounds a < b.
    """

    domain = constraints.real

    def __init__(self, low: Any, high: Any) -> None:
        self.low, self.high = low, high

    @property
    def codomain(self) -> constraints.Constraint:
        """The interval."""
        return LogisticInterval(self.low, self.high)

    def __call__(self, x: Array) -> Array:
        """Points of the interval."""
        return 0.5 * (self.low + self.high) + 0.5 * (self.high - self.low) * jnp.tanh(0.5 * x)

    def _inverse(self, y: Array) -> Array:
        ratio = (2.0 * y - (self.low + self.high)) / (self.high - self.low)
        limit = 1.0 - jnp.finfo(jnp.result_type(float)).epsneg
        return 2.0 * jnp.arctanh(jnp.clip(ratio, -limit, limit))

    def log_abs_det_jacobian(
        self,
        x: Array,
        y: Array,  # noqa: ARG002 NumPyro's signature
        intermediates: Any = None,  # noqa: ARG002
    ) -> Array:
        """Log of the derivative dy/dx at ``x``."""
        return jnp.log(self.high - self.low) - jax.nn.softplus(x) - jax.nn.softplus(-x)

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """The bounds and their names, as NumPyro makes pytrees of its transforms."""
        return (self.low, self.high), (("low", "high"), {})


def _logistic(support: LogisticInterval) -> Transform:
    return LogisticTransform(support.lower_bound, support.upper_bound)


biject_to.register(LogisticInterval, _logistic)


class Logistic(dist.Distribution):
    """A distribution on an interval, whose unconstrained values are GIGA-Lens's.

    Args:
        base: the same distribution.

    Example:
        >>> from numpyro_lens.density import bijection
        >>> float(bijection(Logistic(dist.Uniform(2.0, 6.0)).support)(0.0))
        4.0
    """

    pytree_data_fields = ("base",)

    def __init__(self, base: dist.Distribution) -> None:
        self.base = base
        super().__init__(base.batch_shape, base.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        """The interval."""
        return LogisticInterval(self.base.support.lower_bound, self.base.support.upper_bound)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws."""
        assert is_prng_key(key)
        return self.base.sample(key, sample_shape)

    def log_prob(self, value: Array) -> Array:
        """Log density."""
        return self.base.log_prob(value)

    def cdf(self, value: Array) -> Array:
        """Probability of a smaller value."""
        return self.base.cdf(value)

    def icdf(self, q: Array) -> Array:
        """Quantiles."""
        return self.base.icdf(q)


def logistic(distribution: dist.Distribution) -> dist.Distribution:
    """The distribution with GIGA-Lens's unconstrained values: another one only on an interval."""
    if isinstance(distribution, dist.Independent):
        base = logistic(distribution.base_dist)
        return base.to_event(distribution.reinterpreted_batch_ndims)
    support = distribution.support
    intervals = (type(constraints.unit_interval), type(constraints.interval(0.0, 1.0)))
    return Logistic(distribution) if isinstance(support, intervals) else distribution


# --- maps of the whole vector --------------------------------------------------------------------


class Unconstraining:
    """The map of trees of unconstrained values to trees of parameters, ``unconstraining_bij``.

    Args:
        tree: of the prior.
    """

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def forward(self, z: Any) -> Any:
        """Parameters of a tree of unconstrained values, of any batch shape."""
        return place(self.tree, lambda path, d: _transform(d)(jnp.asarray(at(z, path))))

    def inverse(self, x: Any) -> Any:
        """Unconstrained values of a tree of parameters."""
        unconstrained: list[tuple[Path, Any]] = []

        def visit(path: Path, distribution: dist.Distribution) -> Any:
            value = jnp.asarray(at(x, path))
            unconstrained.append((path, _transform(distribution).inv(value)))
            return value

        place(self.tree, visit)
        return _replaced(self.tree, dict(unconstrained))

    def forward_log_det_jacobian(self, z: Any) -> Array:
        """Log determinant of the derivative of the map, of the batch shape."""
        terms: list[Array] = []

        def visit(path: Path, distribution: dist.Distribution) -> Any:
            transform, value = _transform(distribution), jnp.asarray(at(z, path))
            y = transform(value)
            term = transform.log_abs_det_jacobian(value, y)
            ndim = len(distribution.event_shape) - transform.codomain.event_dim
            terms.append(jnp.sum(term, axis=tuple(range(-ndim, 0))) if ndim else term)
            return y

        place(self.tree, visit)
        return sum(terms, jnp.zeros(()))


class Packing:
    """The map of GIGA-Lens's vectors to trees, which changes no value, ``pack_bij``.

    Vectors are a list with an array for each entry, ``list(z.T)``, of any one shape, or an array
    ``(..., d)``.

    Args:
        tree: of the prior.
    """

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def forward(self, z: Any) -> Any:
        """The tree of a vector."""
        columns = _columns(z)
        expected = sum(size for _, size in self._leaves())
        if len(columns) != expected:
            raise ValueError(
                f"The vector of this prior has {expected} entries; got {len(columns)}. Pass "
                "list(z.T) of draws z (n, d), or the array (..., d) itself."
            )
        following = iter(columns)
        return place(self.tree, lambda _, d: _taken(following, d.event_shape))

    def inverse(self, z: Any) -> list[Array]:
        """The list of d arrays of a tree; ``jnp.stack(...).T`` is (n, d)."""
        columns: list[Array] = []
        for path, size in self._leaves():
            value = jnp.asarray(at(z, path))
            if size == 1:
                columns.append(value)
            else:
                flat = value.reshape(*value.shape[:-1], size)
                columns.extend(flat[..., i] for i in range(size))
        return columns

    def free(self, z: Any) -> Any:
        """The tree of a vector, with None for each fixed number, which JAX counts as no leaf."""
        tree = self.forward(z)
        return _only({path: at(tree, path) for path, _ in self._leaves()}, tree)

    def _leaves(self) -> list[tuple[Path, int]]:
        """Where each distribution is, and how many entries it has."""
        leaves: list[tuple[Path, int]] = []

        def visit(path: Path, distribution: dist.Distribution) -> Any:
            leaves.append((path, math.prod(distribution.event_shape)))
            return _transform(distribution)(jnp.zeros(distribution.event_shape))

        place(self.tree, visit)
        return leaves


class Chain:
    """Two maps, one after the other: ``bij`` of a vector to parameters.

    Args:
        unpack: of vectors to trees.
        constrain: of trees of unconstrained values to trees of parameters.

    Example:
        >>> from numpyro_lens.gigalens import tfd
        >>> prior = tfd.JointDistributionSequential(
        ...     [tfd.JointDistributionNamed(dict(gamma=tfd.Uniform(1, 3), e1=tfd.Normal(0, 0.1)))])
        >>> bij = Chain(Packing(prior.tree), Unconstraining(prior.tree))
        >>> x = bij.forward([jnp.array([0.1]), jnp.array([0.0])])  # e1, gamma
        >>> float(x[0]["e1"][0]), float(x[0]["gamma"][0])
        (0.1..., 2.0)
        >>> len(bij.inverse(x))
        2
    """

    def __init__(self, unpack: Packing, constrain: Unconstraining) -> None:
        self.unpack, self.constrain = unpack, constrain

    def forward(self, z: Any) -> Any:
        """Parameters of a vector: a list of d arrays, or an array (..., d).

        An array of NumPy gives such, which TensorFlow takes in a list where it takes none of JAX.
        """
        x = self.constrain.forward(self.unpack.forward(z))
        return jax.tree.map(np.asarray, x) if isinstance(z, np.ndarray) else x

    def inverse(self, x: Any) -> list[Array]:
        """Vectors of parameters, as a list of d arrays."""
        return self.unpack.inverse(self.constrain.inverse(x))

    def forward_log_det_jacobian(self, z: Any) -> Array:
        """Log determinant of the derivative, of the batch shape."""
        return self.constrain.forward_log_det_jacobian(self.unpack.forward(z))


def _transform(distribution: dist.Distribution) -> Transform:
    return biject_to(logistic(distribution).support)


def _columns(z: Any) -> list[Any]:
    if isinstance(z, list | tuple):
        return [jnp.asarray(column) for column in z]
    return list(jnp.moveaxis(jnp.asarray(z), -1, 0))


def _taken(columns: Iterator[Any], shape: tuple[int, ...]) -> Array:
    if not shape:
        return next(columns)
    taken = jnp.stack([next(columns) for _ in range(math.prod(shape))], axis=-1)
    return taken.reshape(*taken.shape[:-1], *shape)


def _replaced(tree: Any, leaves: dict[Path, Any], path: Path = ()) -> Any:
    """The tree with the leaves at some paths replaced."""
    if path in leaves:
        return leaves[path]
    if isinstance(tree, Mapping):
        return {k: _replaced(unwrapped(v), leaves, (*path, k)) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_replaced(v, leaves, (*path, i)) for i, v in enumerate(tree)]
    return tree


def _only(leaves: dict[Path, Any], tree: Any, path: Path = ()) -> Any:
    """The tree with None for all but the leaves at some paths."""
    if path in leaves:
        return leaves[path]
    if isinstance(tree, Mapping):
        return {k: _only(leaves, v, (*path, k)) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_only(leaves, v, (*path, i)) for i, v in enumerate(tree)]
    return None
