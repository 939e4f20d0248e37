"""The function ``2F1(1, b; 2 - b; u)`` of the elliptical power law as a series that converges."""

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from numpyro_lens._types import Field


def num_terms(dtype: DTypeLike) -> int:
    """Terms for the precision of the dtype at |eps| = 0.85, static since |eps| is bounded."""
    return 20 if jnp.finfo(dtype).bits <= 32 else 46


def series_coefficients(t: float | np.ndarray, num: int) -> np.ndarray:
    """Coefficients g_1 ... g_num of F = 1 + sum g_n v^n, from the differential equation of F in v.

    ``v(1-v²) F' = (4bv - (1-b)(1+v)²) F + (1-b)(1+v)²``, order by order, where b = t/2.
    """
    b = 0.5 * t
    m = 1.0 - b
    known = {1: 2.0 * m, 2: m}
    out: list[float | np.ndarray] = []
    older, old = 0.0 * t, 0.0 * t + 1.0
    for n in range(1, num + 1):
        new = ((6.0 * b - 2.0) * old + (n - 2 - m) * older + known.get(n, 0.0)) / (n + m)
        out.append(new)
        older, old = old, new
    return np.stack(out)


def disk_factor(ur: Field, ui: Field) -> tuple[Field, Field, Field]:
    """``conj(1 + sqrt(1 - u))²`` and its modulus squared: v = u over the square without conj."""
    ar = 1.0 - ur
    sr = jnp.sqrt(0.5 * (jnp.sqrt(ar * ar + ui * ui) + ar))
    si = -0.5 * ui / sr
    sr = 1.0 + sr
    square = sr * sr + si * si
    return sr * sr - si * si, -2.0 * sr * si, square * square
