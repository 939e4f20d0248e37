"""The integral behind elliptical Gaussian lenses."""

import jax
import jax.numpy as jnp

from numpyro_lens._types import Field
from numpyro_lens.numerics.complex_pair import times
from numpyro_lens.numerics.quadrature import legendre, sum_over


def _gaussian_moments(a, br, bi):
    """Integrals of 1, s and s (1 - s) times exp(-s a - s (1-s) b), as pairs."""
    single = jnp.finfo(a.dtype).bits <= 32
    # Beyond, the integrand is below the precision of the dtype.
    end = (18.0 if single else 38.0) / (a + jnp.minimum(br, 0.0))
    end = jax.lax.stop_gradient(jnp.minimum(1.0, end))
    nodes, weights = (jnp.asarray(v, a.dtype) for v in legendre(16 if single else 40))

    def term(node):
        s, weight = node[0] * end, node[1] * end
        scale = weight * jnp.exp(-s * (a + (1.0 - s) * br))
        phase = -s * (1.0 - s) * bi
        real, imag = scale * jnp.cos(phase), scale * jnp.sin(phase)
        square = s * (1.0 - s)
        return (real, imag), (s * real, s * imag), (square * real, square * imag)

    return sum_over(term, jnp.stack([nodes, weights], axis=1))


@jax.custom_jvp
def gaussian_integral(a: Field, br: Field, bi: Field) -> tuple[Field, Field]:
    r"""The entire function :math:`\int_0^1 e^{-sa - s(1-s)b}\,\mathrm ds` behind Gaussian lenses.

    Gauss-Legendre nodes on the part of the interval where the integrand is above rounding.

    Args:
        a: array, positive.
        br, bi: real and imaginary part of b, shaped like a; abs(b) < a.

    Returns:
        Real and imaginary part, shaped like a.

    Example:
        >>> real, imag = gaussian_integral(*map(jnp.float32, (1.0, 0.0, 0.0)))
        >>> round(float(real), 4)  # 1 - exp(-1)
        0.6321
    """
    return _gaussian_moments(a, br, bi)[0]


@gaussian_integral.defjvp
def _gaussian_integral_jvp(primals, tangents):
    value, first, second = _gaussian_moments(*primals)
    real, imag = times(*second, *tangents[1:])
    return value, (-first[0] * tangents[0] - real, -first[1] * tangents[0] - imag)
