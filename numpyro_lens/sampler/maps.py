r"""Maps that make a posterior look like a standard normal.

A map is judged by the Fisher divergence, the mean of :math:`|s + u|^2`, where :math:`s` is the
gradient of the log density in the coordinates :math:`u` of the map. It is zero for a standard
normal, and as gradients carry no noise, a few hundred draws are enough; they need not come from the
posterior.

Reference: Hyvärinen 2005, JMLR 6, 695 (Fisher divergence).
"""

import abc
import math
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from numpyro_lens._precision import full_precision
from numpyro_lens._types import Array

T = TypeVar("T")


class AbstractMap(eqx.Module):
    """Unconstrained vectors of whitened ones; its Jacobian has a constant determinant."""

    @abc.abstractmethod
    def __call__(self, u: Array) -> Array:
        """Unconstrained vectors (n, d) of whitened ones."""

    @abc.abstractmethod
    def whiten(self, z: Array) -> Array:
        """Whitened vectors (n, d) of unconstrained ones: the inverse."""

    @abc.abstractmethod
    def fit(self: T, z: Array, gradient: Array) -> T:
        """The map fitted anew; its shapes and types stay the same.

        Args:
            z: draws (n, d), of the posterior or of something like it.
            gradient: of the log density at the draws (n, d); draws where it is not finite are left
                out.
        """

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """The gradient with respect to ``u`` (n, d) of a function of ``self(u)``.

        Args:
            u: whitened vectors (n, d).
            gradient: of the function at ``self(u)`` (n, d).
        """
        return jax.vjp(self, u)[1](gradient)[0]


class Affine(AbstractMap):
    """``z = loc + scale_tril @ u``, for a Gaussian.

    Args:
        loc: (d,).
        scale_tril: lower Cholesky factor of a covariance, (d, d).
    """

    loc: Array
    scale_tril: Array

    @full_precision
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

    @full_precision
    def after(self, first: "Affine") -> "Affine":
        """The map that applies ``first``, then this one."""
        return Affine(self(first.loc[None])[0], self.scale_tril @ first.scale_tril)

    def fit(self, z: Array, gradient: Array) -> "Affine":
        """The affine map of least Fisher divergence."""
        u = self.whiten(z)
        score = self.pull_back(u, gradient)
        weight = weights(u, score)
        used = weight[:, None] > 0.0
        inner = fit_affine(jnp.where(used, u, 0.0), jnp.where(used, score, 0.0), weight)
        return finite_or(self.after(inner), self)


def finite_or(new: T, old: T) -> T:
    """The new pytree, or the old one if any number of the new is not finite."""
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(new)]))
    return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)


def strongly_typed(tree: Any) -> Any:
    """A pytree of arrays without JAX's weak types, which a loop over the pytree would change."""
    arrays = jax.tree.map(jnp.asarray, tree)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), arrays)


def weights(u: Array, score: Array) -> Array:
    """Weights of draws (n,), adding up to one: little far out in a tail, none if not finite.

    Args:
        u: draws (n, d), whitened.
        score: gradient of the log density (n, d).
    """
    distance = jnp.sum((u + score) ** 2, axis=1)
    usable = jnp.isfinite(distance)
    typical = jnp.nanmedian(jnp.where(usable, distance, jnp.nan))
    weight = jnp.where(usable, 1.0 / (1.0 + distance / (5.0 * typical + 1e-6)), 0.0)
    return weight / jnp.sum(weight)


def fit_affine(u: Array, score: Array, weight: Array, prior_count: float = 5.0) -> Affine:
    r"""The affine map of least Fisher divergence.

    .. math:: \Sigma\,\mathrm{Cov}(s)\,\Sigma = \mathrm{Cov}(u), \qquad
              \mu = \bar u + \Sigma \bar s

    Args:
        u: draws (n, d).
        score: gradient of the log density (n, d).
        weight: of the draws (n,), adding up to one.
        prior_count: number of draws of a standard normal that both covariances are mixed with.
    """
    mean_u, cov_u = _moments(u, weight, prior_count)
    mean_s, cov_s = _moments(score, weight, prior_count)
    root, inverse_root = _square_roots(cov_s)
    covariance = inverse_root @ _square_roots(root @ cov_u @ root)[0] @ inverse_root
    tril = jnp.linalg.cholesky(0.5 * (covariance + covariance.T))
    return Affine(mean_u + covariance @ mean_s, tril)


def _moments(x, weight, prior_count):
    mean = weight @ x
    offset = x - mean[None]
    covariance = (offset * weight[:, None]).T @ offset
    shrink = prior_count / (jnp.sum(weight > 0.0) + prior_count)
    return mean, (1.0 - shrink) * covariance + shrink * jnp.eye(x.shape[1])


def _square_roots(covariance):
    """The symmetric square root of a covariance (d, d), and its inverse."""
    values, vectors = jnp.linalg.eigh(covariance)
    root = jnp.sqrt(jnp.maximum(values, jnp.finfo(values.dtype).tiny))[None]
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
