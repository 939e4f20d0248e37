"""A NumPyro model as a log density over one unconstrained vector.

Everything that optimises or samples works on this vector, so there is one order of the parameters,
that of the model, and no way to pass a covariance in another one.
"""

import abc
import math
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.distributions.transforms import IndependentTransform
from numpyro.infer import util

from numpyro_lens._precision import full_precision
from numpyro_lens._types import AnyArray
from numpyro_lens.density.arguments import as_given, as_leaf
from numpyro_lens.density.transforms import NormalQuantileTransform, bijection

Sites: TypeAlias = dict[str, dict[str, Any]]
"""Sites of a NumPyro trace, by name."""


class AbstractMarginal(dist.Distribution):
    """A distribution with variables integrated out, which can be had back given the data.

    Sites of one ``shared`` name have these variables in common. They are drawn once for all, from
    the distribution of the last of them, which is conditional on the others.
    """

    @property
    def shared(self) -> str | None:
        """Name of the first site with the same variables; none where they are its own."""
        return None

    @abc.abstractmethod
    def conditional(self, value: AnyArray, key: AnyArray | None = None) -> dict[str, AnyArray]:
        """Those variables by name, given a value of the distribution.

        Args:
            value: of the distribution.
            key: of ``jax.random.key`` for a draw; without one, their mean.
        """

    @abc.abstractmethod
    def prior(self, key: AnyArray) -> dict[str, AnyArray]:
        """A draw of those variables from their prior, by name.

        Args:
            key: of ``jax.random.key``.
        """

    @abc.abstractmethod
    def given(self, variables: dict[str, AnyArray]) -> dist.Distribution:
        """The distribution for given values of those variables."""


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


class Target(eqx.Module):
    """A NumPyro model and its arguments, as a log density over one vector of length ``dim``.

    A frozen pytree, whose leaves are the arguments of the model: functions compiled for one
    observation serve every other of the same shape.

    Args:
        model: NumPyro model function.
        sites: its latent sites, in the order of the model.
        args: its arguments; a dict keeps its order.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Uniform(-5, 5))
        ...     numpyro.sample("y", dist.Normal(mu, 1), obs=y)
        >>> target = Target.of(model, 0.3)
        >>> target.names, round(float(target.log_density(jnp.zeros(1))), 3)
        (('mu',), -1.883)
    """

    model: Callable = eqx.field(static=True)
    sites: tuple[Site, ...] = eqx.field(static=True)
    args: tuple = eqx.field(converter=lambda args: tuple(_in_order(as_leaf(a)) for a in args))

    @classmethod
    def of(cls, model: Callable, *args: Any) -> "Target":
        """Look once at a model, and check that it can be fitted.

        Args:
            model: NumPyro model function.
            *args: its arguments.

        Raises:
            ValueError: no observed site, no latent site, or a discrete one.
        """
        sites: list[Site] = []

        args = tuple(map(as_leaf, args))

        def look(key: AnyArray) -> int:
            trace = handlers.trace(_drawn(model, key)).get_trace(*map(as_given, args))
            _check_sites(trace)
            _warn_of_parameters(trace)
            sites.extend(_site(s) for s in trace.values() if _is_latent(s))
            return 0

        jax.eval_shape(look, jax.random.key(0))
        with warnings.catch_warnings():
            # Equinox warns of a module with arrays, which is equal to another where these are.
            warnings.filterwarnings("ignore", "A JAX array is being set as static")
            return cls(model, tuple(sites), args)

    @property
    def arguments(self) -> tuple:
        """The arguments as the model takes them."""
        return tuple(map(as_given, self.args))

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

    def unravel(self, z: AnyArray) -> dict[str, AnyArray]:
        """The vector cut into the unconstrained values of the sites."""
        ends = np.cumsum([site.size for site in self.sites])
        pieces = jnp.split(z, ends[:-1])
        return {
            site.name: piece.reshape(site.unconstrained_shape)
            for site, piece in zip(self.sites, pieces, strict=True)
        }

    def _substituted(self, z: AnyArray, log_dets: list[AnyArray]) -> Callable:
        values = self.unravel(z)

        def constrained(site: dict[str, Any]) -> AnyArray | None:
            if site["type"] != "sample":
                return None
            if site["name"] not in values:
                return site["fn"].mean if _is_fixed(site) else None
            transform, x = bijection(site["fn"].support), values[site["name"]]
            y = transform(x)
            log_dets.append(jnp.sum(transform.log_abs_det_jacobian(x, y)))
            return y

        return handlers.substitute(self.model, substitute_fn=constrained)

    @full_precision
    def log_density(self, z: AnyArray) -> AnyArray:
        """Log density of the unconstrained vector (d,), the Jacobian of the map included."""
        log_dets: list[AnyArray] = []
        # `numpyro.prng_key` gives the same key at every evaluation, as in NumPyro's own kernels.
        seeded = handlers.seed(self._substituted(z, log_dets), jax.random.key(0))
        # Sites of the model stay inside, also when this runs within another model.
        with handlers.block():
            log_joint, _ = util.log_density(seeded, self.arguments, {}, {})
        return sum(log_dets, start=log_joint)

    @full_precision
    def trace(self, z: AnyArray) -> Sites:
        """NumPyro trace of the model with its latent sites set from the vector."""
        seeded = handlers.seed(self._substituted(z, []), jax.random.key(0))
        return handlers.trace(seeded).get_trace(*self.arguments)

    def constrain(self, z: AnyArray) -> dict[str, AnyArray]:
        """Values of the latent and of the deterministic sites."""
        latent = {site.name for site in self.sites}
        return {
            name: site["value"]
            for name, site in self.trace(z).items()
            if name in latent or site["type"] == "deterministic"
        }

    def unconstrain(self, values: dict[str, Any]) -> AnyArray:
        """The unconstrained vector of given site values, the inverse of ``constrain``."""
        model = handlers.substitute(handlers.seed(self.model, jax.random.key(0)), data=values)
        trace = handlers.trace(model).get_trace(*self.arguments)
        pieces = (bijection(trace[s.name]["fn"].support).inv(values[s.name]) for s in self.sites)
        return jnp.concatenate([jnp.ravel(piece) for piece in pieces])

    def prior_draw(self, key: AnyArray, given: dict[str, Any] | None = None) -> AnyArray:
        """One draw from the prior, as an unconstrained vector.

        Args:
            key: JAX random key.
            given: values of some sites; the others are drawn, as the prior has them given these.
        """
        model = handlers.substitute(_drawn(self.model, key), data=given or {})
        trace = handlers.trace(model).get_trace(*self.arguments)
        return self.unconstrain({s.name: trace[s.name]["value"] for s in self.sites})


def _in_order(argument: Any) -> Any:
    """A dict that keeps its order inside compiled functions: JAX sorts the keys of others."""
    return OrderedDict(argument) if type(argument) is dict else argument


def flat_site(target: Target) -> AnyArray:
    """A NumPyro model with one latent site ``z``, the vector of a target, and no likelihood.

    Enough to set up an autoguide: set up on the whole model, it would compile that model's gradient
    only to check the first value.
    """
    return numpyro.sample("z", dist.ImproperUniform(constraints.real_vector, (), (target.dim,)))


def flat_model(target: Target, frame: Callable | None = None) -> None:
    """A NumPyro model of the one site ``z``, for NumPyro's own guides and kernels.

    Args:
        target: the density.
        frame: unconstrained vector of the site; the site itself by default.
    """
    z = flat_site(target)
    numpyro.factor("log_density", target.log_density(z if frame is None else frame(z)))


def observed_sites(trace: Sites) -> Sites:
    """Observed sites but those of ``numpyro.factor``, which predict nothing."""
    observed = {n: s for n, s in trace.items() if s["type"] == "sample" and s["is_observed"]}
    return {name: site for name, site in observed.items() if not isinstance(site["fn"], dist.Unit)}


def conditioned(
    sites: Sites, key: AnyArray | None = None
) -> tuple[Sites, dict[str, dict[str, AnyArray]]]:
    """Observed sites for given values of what their distributions integrated out, and these.

    Args:
        sites: observed sites of a trace.
        key: of ``jax.random.key``: the variables are drawn; without one they have their mean.

    Returns:
        The sites, and for each of them its variables by name.
    """

    def given_data(fn: AbstractMarginal, site: dict[str, Any], index: int) -> dict[str, AnyArray]:
        own_key = None if key is None else jax.random.fold_in(key, index)
        return fn.conditional(site["value"], own_key)

    variables = integrated(sites, given_data)
    marginals = {n for n, site in sites.items() if isinstance(site["fn"], AbstractMarginal)}
    out = {
        name: site | {"fn": site["fn"].given(variables[name])} if name in marginals else site
        for name, site in sites.items()
    }
    return out, variables


def integrated(
    sites: Sites, draw: Callable[[AbstractMarginal, dict[str, Any], int], dict[str, AnyArray]]
) -> dict[str, dict[str, AnyArray]]:
    """For each site the variables that it integrates out; those in common are one object.

    Args:
        sites: observed sites of a trace.
        draw: the variables of a distribution, its site, and the place of the site.

    Returns:
        Variables by name, of each site by its name; empty where nothing is integrated out.
    """
    marginals = {n: s for n, s in sites.items() if isinstance(s["fn"], AbstractMarginal)}
    # The last of those that share variables is the one that knows the values of all.
    last = {site["fn"].shared or name: name for name, site in marginals.items()}
    order = list(sites)
    drawn = {
        key: draw(sites[name]["fn"], sites[name], order.index(name)) for key, name in last.items()
    }
    return {n: drawn[s["fn"].shared or n] if n in marginals else {} for n, s in sites.items()}


def merged(variables: dict[str, dict[str, AnyArray]]) -> dict[str, AnyArray]:
    """Variables of all sites; a name that several sites use has the name of its site in front.

    Args:
        variables: for each site its variables by name, as of `conditioned`; those that sites have
            in common are one object, and have their own names.

    Example:
        >>> sorted(merged({"vis": {"sky": 1.0, "disc": 2.0}, "nir": {"sky": 3.0}}))
        ['disc', 'nir.sky', 'vis.sky']
    """
    distinct = {id(own): (site, own) for site, own in variables.items()}.values()
    names = [name for _, own in distinct for name in own]
    return {
        name if names.count(name) == 1 else f"{site}.{name}": value
        for site, own in distinct
        for name, value in own.items()
    }


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"] and not _is_fixed(site)


def _is_fixed(site: dict[str, Any]) -> bool:
    """Whether the prior is one value, which nothing moves."""
    return not site["is_observed"] and isinstance(base_distribution(site["fn"]), dist.Delta)


def base_distribution(fn: Any) -> Any:
    """What a distribution wraps: without its masks, event dimensions and transforms."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


def _drawn(model: Callable, key: AnyArray) -> Callable:
    """The model with its sites drawn from their priors.

    Where a prior is improper, as NumPyro starts its chains: uniform between -2 and 2 on the
    unconstrained line.
    """

    def improper(site: dict[str, Any]) -> AnyArray | None:
        is_open = site["type"] == "sample" and not site["is_observed"]
        if not is_open or not isinstance(base_distribution(site["fn"]), dist.ImproperUniform):
            return None
        transform = bijection(site["fn"].support)
        shape = transform.inverse_shape(site["fn"].shape())
        return transform(jax.random.uniform(site["kwargs"]["rng_key"], shape, float, -2.0, 2.0))

    return handlers.substitute(handlers.seed(model, key), substitute_fn=improper)


def _warn_of_parameters(trace: Sites) -> None:
    names = [name for name, site in trace.items() if site["type"] == "param"]
    if names:
        warnings.warn(
            f"`numpyro.param` is not fitted: {', '.join(names)} keeps its first value. Write "
            f"numpyro.sample({names[0]!r}, distribution) to fit it.",
            stacklevel=4,
        )


def _site(site: dict[str, Any]) -> Site:
    shape = jnp.shape(site["value"])
    transform = bijection(site["fn"].support)
    base = transform.base_transform if isinstance(transform, IndependentTransform) else transform
    bounded = isinstance(base, NormalQuantileTransform)
    return Site(site["name"], tuple(shape), tuple(transform.inverse_shape(shape)), bounded)


def _kept_names(trace: Sites) -> list[str]:
    """Names of everything that a result holds: sites, and what is integrated out."""
    marginals = [site["fn"] for site in observed_sites(trace).values()]
    marginals = [fn for fn in marginals if isinstance(fn, AbstractMarginal)]
    variables = [name for fn in marginals for name in fn.prior(jax.random.key(0))]
    sites = [n for n, site in trace.items() if site["type"] in ("sample", "deterministic")]
    return sites + variables


def _check_names(names: list[str]) -> None:
    """Names that files and tables of draws cannot hold are refused before a fit, not after it."""
    for name in names:
        if name in ("", ".", "..", "chain", "draw") or "/" in name:
            raise ValueError(
                "A site has a name of its own, without a slash, other than chain and draw: files "
                f"could not hold {name!r}. Rename it; of handlers.scope write "
                'handlers.scope(model, prefix="a", divider=".").'
            )


def _check_sites(trace: Sites) -> None:
    latent = [site for site in trace.values() if _is_latent(site)]
    samples = [site for site in trace.values() if site["type"] == "sample"]
    observed = [site for site in samples if site["is_observed"]]
    if not latent:
        raise ValueError(
            "A model needs at least one latent site, and this one has none. "
            "Place one with `numpyro.sample(name, distribution)` or `numpyro_lens.sample`."
        )
    if not observed and not any("log_factor" in site for site in samples):
        names = ", ".join(site["name"] for site in latent)
        raise ValueError(
            f"A model needs at least one observed site, and this one only samples: {names}. "
            'End it with `nl.observe("image", observation, mass=..., source=...)` or '
            "`numpyro.sample(name, distribution, obs=data)`."
        )
    _check_names(_kept_names(trace))
    discrete = [site["name"] for site in latent if site["fn"].support.is_discrete]
    if discrete:
        raise ValueError(
            f"Gradients need continuous sites, and these are discrete: {', '.join(discrete)}. "
            "Sum them out of the model, or give them as fixed values."
        )
