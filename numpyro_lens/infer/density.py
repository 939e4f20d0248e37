"""Any NumPyro model as a log density over one unconstrained vector.

All three stages of the fit work on this vector, so there is one order of the parameters (that of
the model) and no way to pass a covariance in another one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import erfc, ndtri
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import IndependentTransform, Transform
from numpyro.infer import util

from numpyro_lens._types import Array

Sites: TypeAlias = dict[str, dict[str, Any]]
"""Sites of a NumPyro trace, by name."""


class NormalQuantileTransform(Transform):
    r"""Real line to an interval through the normal distribution function.

    .. math:: y = a + (b - a)\,\Phi(x)

    A likelihood that is flat near a bound has Gaussian tails in :math:`x`; with the logistic map,
    NumPyro's own choice, they would be exponential, and harder to sample.

    Args:
        low, high: the bounds a < b, scalars or arrays that broadcast.
    """

    domain = constraints.real

    def __init__(self, low: Array | float, high: Array | float) -> None:
        self.low, self.high = low, high

    @property
    def codomain(self) -> constraints.Constraint:
        """The interval."""
        return constraints.interval(self.low, self.high)

    def __call__(self, x: Array) -> Array:
        """Points of the interval."""
        # Counted from the nearer bound, so that neither side is lost to rounding.
        width = self.high - self.low
        tail = 0.5 * width * erfc(math.sqrt(0.5) * jnp.abs(x))
        tiny = jnp.finfo(jnp.result_type(float)).tiny
        return jnp.where(x < 0, self.low + jnp.maximum(tail, tiny), self.high - tail)

    def _inverse(self, y: Array) -> Array:
        width = self.high - self.low
        eps = jnp.finfo(jnp.result_type(float)).eps
        below, above = (jnp.clip(d / width, eps, 1.0) for d in (y - self.low, self.high - y))
        return jnp.where(below < above, ndtri(below), -ndtri(above))

    def log_abs_det_jacobian(
        self,
        x: Array,
        y: Array,  # noqa: ARG002 NumPyro's signature
        intermediates: Any = None,  # noqa: ARG002
    ) -> Array:
        """Log of the derivative dy/dx at ``x``."""
        return jnp.log(self.high - self.low) - 0.5 * (x**2 + math.log(2 * math.pi))

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """The bounds and their names, as NumPyro makes pytrees of its transforms."""
        return (self.low, self.high), (("low", "high"), {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NormalQuantileTransform) and bool(
            jnp.all(self.low == other.low) & jnp.all(self.high == other.high)
        )


def bijection(support: constraints.Constraint) -> Transform:
    """The map from unconstrained space to a site's support.

    NumPyro's ``biject_to``, but for intervals, which go through the normal quantile.
    """
    if isinstance(support, constraints.independent):
        base = bijection(support.base_constraint)
        return IndependentTransform(base, support.reinterpreted_batch_ndims)
    intervals = (type(constraints.unit_interval), type(constraints.interval(0.0, 1.0)))
    if isinstance(support, intervals):
        return NormalQuantileTransform(support.lower_bound, support.upper_bound)
    return biject_to(support)


class Affine(NamedTuple):
    """Whitened coordinates u of unconstrained vectors, ``z = loc + scale_tril @ u``.

    Args:
        loc: (d,).
        scale_tril: lower Cholesky factor of a covariance, (d, d).
    """

    loc: Array
    scale_tril: Array

    def __call__(self, u: Array) -> Array:
        """Unconstrained vectors of whitened ones (..., d)."""
        return u @ self.scale_tril.T + jnp.broadcast_to(self.loc, u.shape)

    def whiten(self, z: Array) -> Array:
        """Whitened vectors of unconstrained ones (n, d)."""
        offset = z - jnp.broadcast_to(self.loc, z.shape)
        return solve_triangular(self.scale_tril, offset.T, lower=True).T

    def log_prob(self, z: Array) -> Array:
        """Log density at ``z`` (n, d) of the Gaussian that whitens to the standard normal."""
        log_volume = jnp.sum(jnp.log(jnp.diag(self.scale_tril)))
        constant = log_volume + 0.5 * z.shape[-1] * math.log(2 * math.pi)
        return -0.5 * jnp.sum(self.whiten(z) ** 2, axis=-1) - constant


@dataclass(frozen=True)
class Site:
    """A latent site: its name, its two shapes, and whether an interval bounds it."""

    name: str
    shape: tuple[int, ...]
    unconstrained_shape: tuple[int, ...]
    bounded: bool

    @property
    def size(self) -> int:
        """Number of unconstrained values."""
        return math.prod(self.unconstrained_shape)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Name of each unconstrained value: ``x`` for a scalar, ``x[0,1]`` and so on otherwise."""
        if not self.unconstrained_shape:
            return (self.name,)
        indices = np.ndindex(self.unconstrained_shape)
        return tuple(f"{self.name}[{','.join(map(str, index))}]" for index in indices)


@dataclass(frozen=True)
class FlatModel:
    """A NumPyro model seen as a log density over one unconstrained vector of length ``dim``.

    Two of them are equal when the model function and the shapes of its sites are: functions
    compiled for one observation serve every other of the same shape.

    Args:
        model: NumPyro model function.
        sites: its latent sites, in the order of the model.
    """

    model: Callable
    sites: tuple[Site, ...]

    @property
    def dim(self) -> int:
        """Length of the unconstrained vector."""
        return sum(site.size for site in self.sites)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each entry of the unconstrained vector."""
        return tuple(name for site in self.sites for name in site.coordinate_names)

    @property
    def bounded(self) -> tuple[bool, ...]:
        """Whether an interval bounds each entry of the unconstrained vector."""
        return tuple(site.bounded for site in self.sites for _ in site.coordinate_names)

    def unravel(self, z: Array) -> dict[str, Array]:
        """The vector cut into the unconstrained values of the sites."""
        ends = np.cumsum([site.size for site in self.sites])
        pieces = jnp.split(z, ends[:-1])
        return {
            site.name: piece.reshape(site.unconstrained_shape)
            for site, piece in zip(self.sites, pieces, strict=True)
        }

    def _substituted(self, z: Array, log_dets: list[Array]) -> Callable:
        values = self.unravel(z)

        def constrained(site: dict[str, Any]) -> Array | None:
            if site["type"] != "sample" or site["name"] not in values:
                return None
            transform, x = bijection(site["fn"].support), values[site["name"]]
            y = transform(x)
            log_dets.append(jnp.sum(transform.log_abs_det_jacobian(x, y)))
            return y

        return handlers.substitute(self.model, substitute_fn=constrained)

    def log_density(self, z: Array, args: tuple) -> Array:
        """Log density of the unconstrained vector, the Jacobian of the map included."""
        log_dets: list[Array] = []
        # Sites of the model stay inside, also when this runs within another model (`as_numpyro`).
        with handlers.block():
            log_joint, _ = util.log_density(self._substituted(z, log_dets), args, {}, {})
        return sum(log_dets, start=log_joint)

    def trace(self, z: Array, args: tuple) -> Sites:
        """NumPyro trace of the model with its latent sites set from the vector."""
        seeded = handlers.seed(self._substituted(z, []), jax.random.key(0))
        return handlers.trace(seeded).get_trace(*args)

    def constrain(self, z: Array, args: tuple) -> dict[str, Array]:
        """Values of the latent and of the deterministic sites."""
        latent = {site.name for site in self.sites}
        return {
            name: site["value"]
            for name, site in self.trace(z, args).items()
            if name in latent or site["type"] == "deterministic"
        }

    def unconstrain(self, values: dict[str, Any], args: tuple) -> Array:
        """The unconstrained vector of given site values, the inverse of ``constrain``."""
        model = handlers.substitute(handlers.seed(self.model, jax.random.key(0)), data=values)
        trace = handlers.trace(model).get_trace(*args)
        pieces = (bijection(trace[s.name]["fn"].support).inv(values[s.name]) for s in self.sites)
        return jnp.concatenate([jnp.ravel(piece) for piece in pieces])

    def prior_draw(self, key: Array, args: tuple) -> Array:
        """One draw from the prior, as an unconstrained vector."""
        trace = handlers.trace(handlers.seed(self.model, key)).get_trace(*args)
        return self.unconstrain({s.name: trace[s.name]["value"] for s in self.sites}, args)

    def as_numpyro(self, frame: Affine | None = None) -> Callable:
        """A NumPyro model with one latent site ``z``, for NumPyro's own guides and kernels.

        With a ``frame``, the site holds whitened coordinates.
        """

        def flat(*args: Any) -> None:
            z = self.flat_site(*args)
            z = z if frame is None else frame(z)
            numpyro.factor("log_density", self.log_density(z, args))

        return flat

    def flat_site(self, *_args: Any) -> Array:
        """A model with the site ``z`` and no likelihood: enough to set up an autoguide.

        Set up on the full model, it would compile that model's gradient only to check the first
        value.
        """
        return numpyro.sample("z", dist.ImproperUniform(constraints.real_vector, (), (self.dim,)))


def flat_model(model: Callable, args: tuple) -> FlatModel:
    """Look once at a model, and check that it can be fitted.

    Args:
        model: NumPyro model function.
        args: its arguments.

    Raises:
        ValueError: no observed site, no latent site, or a discrete one.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Uniform(-5, 5))
        ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
        >>> flat_model(model, (0.3,)).names
        ('mu',)
    """
    shapes: list[Site] = []

    def look(key: Array) -> int:
        trace = handlers.trace(handlers.seed(model, key)).get_trace(*args)
        _check_sites(trace)
        shapes.extend(_site(s) for s in trace.values() if _is_latent(s))
        return 0

    jax.eval_shape(look, jax.random.key(0))
    return FlatModel(model, tuple(shapes))


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _site(site: dict[str, Any]) -> Site:
    shape = jnp.shape(site["value"])
    transform = bijection(site["fn"].support)
    base = transform.base_transform if isinstance(transform, IndependentTransform) else transform
    bounded = isinstance(base, NormalQuantileTransform)
    return Site(site["name"], tuple(shape), tuple(transform.inverse_shape(shape)), bounded)


def observed_sites(trace: Sites) -> Sites:
    """Observed sites but those of ``numpyro.factor``, which predict nothing."""
    observed = {n: s for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]}
    return {name: site for name, site in observed.items() if not isinstance(site["fn"], dist.Unit)}


def _check_sites(trace: Sites) -> None:
    latent = [site for site in trace.values() if _is_latent(site)]
    observed = [s for s in trace.values() if s["type"] == "sample" and s["is_observed"]]
    if not latent:
        raise ValueError(
            "A model needs at least one latent site, and this one has none. "
            "Place one with `numpyro.sample(name, distribution)` or `numpyro_lens.sample`."
        )
    if not observed and not any(
        site["type"] == "sample" and "log_factor" in site for site in trace.values()
    ):
        names = ", ".join(site["name"] for site in latent)
        raise ValueError(
            f"A model needs at least one observed site, and this one only samples: {names}. "
            'End it with `nl.observe("image", image, observation)` or '
            "`numpyro.sample(name, distribution, obs=data)`."
        )
    discrete = [site["name"] for site in latent if site["fn"].support.is_discrete]
    if discrete:
        raise ValueError(
            f"Gradients need continuous sites, and these are discrete: {', '.join(discrete)}. "
            "Sum them out of the model, or give them as fixed values."
        )
