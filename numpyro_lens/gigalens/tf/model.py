"""The models as GIGA-Lens's TensorFlow side has them, whose vectors are rows of an array."""

from typing import Any, ClassVar

import jax.numpy as jnp

from numpyro_lens._types import Array
from numpyro_lens.gigalens import model
from numpyro_lens.gigalens.bijectors import Chain
from numpyro_lens.gigalens.model import PhysicalModel as PhysicalModel
from numpyro_lens.gigalens.model import ProbabilisticModel as ProbabilisticModel


class Rows(Chain):
    """A `Chain` whose vectors are arrays (..., d), not lists of d arrays."""

    def inverse(self, x: Any) -> Array:  # type: ignore[override]
        """Vectors (..., d) of parameters."""
        return jnp.stack(super().inverse(x), axis=-1)


class ForwardProbModel(model.ForwardProbModel):
    """`numpyro_lens.gigalens.model.ForwardProbModel`, whose ``bij.inverse`` gives an array."""

    chain: ClassVar[type[Chain]] = Rows


class BackwardProbModel(model.BackwardProbModel):
    """`numpyro_lens.gigalens.model.BackwardProbModel`, whose ``bij.inverse`` gives an array."""

    chain: ClassVar[type[Chain]] = Rows
