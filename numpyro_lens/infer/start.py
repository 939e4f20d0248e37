"""Where a search starts that continues an earlier one."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target
from numpyro_lens.infer.posterior import AbstractPosterior
from numpyro_lens.infer.results import MAPResult

Start: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | MAPResult | AbstractPosterior
"""Values of sites by name, several of these, or the result of an earlier fit of any model."""

#: Basins of an earlier search that a start is taken from.
NUM_BASINS = 6


def is_named(start: Any) -> TypeGuard[Start]:
    """Whether a start is values of sites or a result, and not an array.

    Example:
        >>> is_named({"mu": 0.5}), is_named([{"mu": 0.5}, {"mu": 2.0}]), is_named([[0.5]])
        (True, True, False)
    """
    if isinstance(start, list | tuple):
        return len(start) > 0 and all(isinstance(each, Mapping) for each in start)
    return isinstance(start, Mapping | MAPResult | AbstractPosterior)


def starts_from(start: Start, target: Target) -> list[dict[str, AnyArray]]:
    """Values (n, ...) of those sites of a model that a start has, in groups of the same sites.

    Args:
        start: values of sites by name (n is one), or a list of these; a search, of which the best
            basins are taken; or a posterior, of which the best draw is taken. Sites of a result
            that the model does not have are left out.
        target: the model.

    Returns:
        Values by name, at least one; a group for each set of names.

    Raises:
        ValueError: no site is in both, a named one is unknown, or a shape differs.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> (group,) = starts_from([{"mu": 0.5}, {"mu": 2.0}], Target.of(model, 0.3))
        >>> group["mu"].shape
        (2,)
    """
    if not isinstance(start, Sequence):
        return [_shared(_values(start), target, isinstance(start, Mapping))]
    each = [_shared(_values(values), target, True) for values in start]
    groups = {tuple(values): [v for v in each if tuple(v) == tuple(values)] for values in each}
    return [jax.tree.map(lambda *v: jnp.concatenate(v), *same) for same in groups.values()]


def _shared(values: dict[str, np.ndarray], target: Target, all_known: bool) -> dict[str, AnyArray]:
    """Values of sites of the model, in its order."""
    shapes = {site.name: site.shape for site in target.sites}
    unknown = [name for name in values if name not in shapes]
    if all_known and unknown:
        raise ValueError(
            f"`start` names sites of the model, which are {', '.join(shapes)}; got "
            f"{', '.join(unknown)}."
        )
    shared = {name: jnp.asarray(values[name]) for name in shapes if name in values}
    if not shared:
        raise ValueError(
            "`start` has a site in common with the model; got a result of "
            f"{', '.join(values) or 'no site'} for a model of {', '.join(shapes)}. Give the sites "
            "of both the same names, or write start={'lens.theta_E': 1.2}."
        )
    wrong = [name for name, v in shared.items() if v.shape[1:] != shapes[name]]
    if wrong:
        pairs = ", ".join(f"{n} {shapes[n]}, not {shared[n].shape[1:]}" for n in wrong)
        raise ValueError(f"Values of `start` have the shapes of their sites: {pairs}.")
    return shared


def _values(start: Mapping[str, Any] | MAPResult | AbstractPosterior) -> dict[str, np.ndarray]:
    if isinstance(start, MAPResult):
        best = [basin.start for basin in start.basins[:NUM_BASINS]]
        return {name: value[best] for name, value in start.samples.items()}
    values = start if isinstance(start, Mapping) else start.best
    return {name: np.asarray(value)[None] for name, value in values.items()}
