"""Many equal deflectors at once."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from numpyro_lens._types import Coordinates, Field
from numpyro_lens.mass._base import AbstractMass, convergence_of, potential_of
from numpyro_lens.numerics.quadrature import sum_over
from numpyro_lens.numerics.safe import as_float

T = TypeVar("T")


class Population(AbstractMass):
    r"""Many profiles of one kind, :math:`\alpha = \sum_i \alpha_i`: arrays in the place of fields.

    One member is compiled and one is held in memory, whatever their number: a thousand subhaloes
    compile as fast as one.

    Args:
        profile: a profile whose fields are arrays of shape (n,), or scalars that all members share.

    Raises:
        ValueError: no field is an array, or the arrays differ in length.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> subhaloes = Population(SIS(theta_E=0.01, center_x=jnp.linspace(-1, 1, 1000)))
        >>> round(float(subhaloes.deflection(20.0, 0.0)[0]), 1)
        10.0
    """

    profile: AbstractMass

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        """Lensing potential [arcsec²], if the profile has one."""
        return _total(potential_of, self.profile, x, y)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        return _total(_deflection_of, self.profile, x, y)

    def convergence(self, x: Coordinates, y: Coordinates) -> Field:
        """Convergence."""
        return _total(convergence_of, self.profile, x, y)


def _deflection_of(lens: AbstractMass, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
    return lens.deflection(x, y)


def _total(
    function: Callable[[AbstractMass, Field, Field], T],
    profile: AbstractMass,
    x: Coordinates,
    y: Coordinates,
) -> T:
    x, y = as_float(x, y)
    return sum_over(lambda member: function(member, x, y), _members(profile, x.dtype))


def _members(profile: AbstractMass, dtype: DTypeLike) -> AbstractMass:
    """The profile with every field of shape (n,)."""
    leaves = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), profile)
    shapes = {leaf.shape for leaf in jax.tree.leaves(leaves)} - {()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        got = ", ".join(map(str, sorted(shapes))) or "scalars only"
        raise ValueError(
            "The fields of a Population are arrays of one length (n,), or scalars that its members "
            f"share; got {got}. Write Population(SIS(theta_E=jnp.full(100, 0.01), center_x=...))."
        )
    (shape,) = shapes
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, shape), leaves)
