"""Maps between the support of a site and the real line."""

import math
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import erfc, ndtri
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import IndependentTransform, Transform

from numpyro_lens._types import AnyArray


class NormalQuantileTransform(Transform):
    r"""Real line to an interval through the normal distribution function.

    .. math:: y = a + (b - a)\,\Phi(x)

    A likelihood that is flat near a bound has Gaussian tails in :math:`x`; with the logistic map,
    NumPyro's own choice, they would be exponential, and harder to sample.

    Args:
        low, high: the bounds a < b, scalars or arrays that broadcast.
    """

    domain = constraints.real

    def __init__(self, low: AnyArray | float, high: AnyArray | float) -> None:
        self.low, self.high = low, high

    @property
    def codomain(self) -> constraints.Constraint:
        """The interval."""
        return constraints.interval(self.low, self.high)

    def __call__(self, x: AnyArray) -> AnyArray:
        """Points of the interval."""
        # Counted from the nearer bound, so that neither side is lost to rounding.
        width = self.high - self.low
        tail = 0.5 * width * erfc(math.sqrt(0.5) * jnp.abs(x))
        tiny = jnp.finfo(jnp.result_type(float)).tiny
        return jnp.where(x < 0, self.low + jnp.maximum(tail, tiny), self.high - tail)

    def _inverse(self, y: AnyArray) -> AnyArray:
        width = self.high - self.low
        eps = jnp.finfo(jnp.result_type(float)).eps
        below, above = (jnp.clip(d / width, eps, 1.0) for d in (y - self.low, self.high - y))
        return jnp.where(below < above, ndtri(below), -ndtri(above))

    def log_abs_det_jacobian(
        self,
        x: AnyArray,
        y: AnyArray,  # noqa: ARG002 NumPyro's signature
        intermediates: Any = None,  # noqa: ARG002
    ) -> AnyArray:
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
