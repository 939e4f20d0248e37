"""Expansions in products of a function of x and a function of y."""

from collections.abc import Sequence
from typing import cast

import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Amplitudes, Field


def products(
    along_x: Sequence[Field], along_y: Sequence[Field], orders: np.ndarray
) -> tuple[Field, ...]:
    """Each product, ``(1, ...)``, for rows (n, m) of orders counted from zero."""
    return tuple((along_x[n] * along_y[m])[None] for n, m in orders)


def expansion(
    amp: Amplitudes, along_x: Sequence[Field], along_y: Sequence[Field], orders: np.ndarray
) -> Field:
    """The sum of amplitudes (num,) times products, in the order of the rows."""
    # Written out: a product of matrices would take all functions through memory.
    amp = jnp.asarray(amp)
    rows = [
        sum(amp[k] * along_y[m] for k, (order, m) in enumerate(orders) if order == n)
        for n in range(orders[:, 0].max() + 1)
    ]
    return cast("Field", sum(f * row for f, row in zip(along_x, rows, strict=False)))
