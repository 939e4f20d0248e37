"""Whether single precision is enough for a posterior."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import AnyArray, ArrayLike
from numpyro_lens.density import Target, evaluate

#: Error of the gradient, in posterior standard deviations, from which sampling suffers.
LIMIT = 0.1


def precision_error(target: Target, z: ArrayLike, scale_tril: ArrayLike) -> float:
    r"""Error of the single-precision gradient where the posterior is.

    .. math:: \max_z \; |L^T (g_{32} - g_{64})| / \sqrt d

    Differences of the gradient in whitened coordinates, where its own length is about
    :math:`\sqrt d`.

    Args:
        target: the density.
        z: unconstrained vectors (n, d), say the MAP.
        scale_tril: lower Cholesky factor of the covariance of the posterior (d, d).

    Returns:
        The error; 0.1 and more disturbs every stage.

    Example:
        >>> import numpy as np, numpyro, numpyro.distributions as dist
        >>> from numpyro_lens.infer import Target
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> precision_error(Target.of(model, 0.3), np.zeros((1, 1)), np.eye(1)) < 1e-6
        True
    """
    single = np.asarray(evaluate(target.log_density, z)[1], dtype=float)
    with jax.enable_x64(True):
        double = jax.tree.map(_as_double, target)
        gradient = np.asarray(_gradients(double, jnp.asarray(np.asarray(z, dtype=float))))
    error = np.linalg.norm((single - gradient) @ scale_tril, axis=1)
    return float(np.max(error) / np.sqrt(target.dim))


def check_precision(target: Target, z: ArrayLike, scale_tril: ArrayLike) -> None:
    """Warn when single precision is in use and not enough; the arguments of ``precision_error``."""
    if jax.config.read("jax_enable_x64"):
        return
    error = precision_error(target, z, scale_tril)
    if not error < LIMIT:
        warnings.warn(
            "Single precision is not enough for this posterior: its gradient is off by "
            f"{error:.2g} posterior standard deviations (limit {LIMIT}). Set the environment "
            'variable JAX_ENABLE_X64=1, or type `jax.config.update("jax_enable_x64", True)` '
            "before anything else, and fit again.",
            stacklevel=3,
        )


# It runs once: what is not optimised compiles faster by more than it runs longer.
@functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
def _gradients(target: Target, z: AnyArray) -> AnyArray:
    return jax.lax.map(jax.grad(target.log_density), z)


def _as_double(leaf: Any) -> Any:
    if isinstance(leaf, float) or not hasattr(leaf, "dtype"):
        return leaf
    leaf = leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)
    wide = {"float32": np.float64, "complex64": np.complex128}.get(str(leaf.dtype))
    return leaf if wide is None else jnp.asarray(leaf.astype(wide))
