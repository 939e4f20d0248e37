r"""Maps that make a posterior look like a standard normal, learned from draws and gradients.

A layer scales, and bends one direction:

.. math:: z = \mu + L\,[v + c\,q(d \cdot v)], \qquad |d| = 1, \quad d \cdot c = 0, \quad
          q(s) \approx s^2 - 1

The bend is that of the twisted Gaussian, the shape of a curved degeneracy: its Jacobian has
determinant one, and its inverse is the same expression with :math:`-c`. Far out q is a straight
line, so that a chain in a tail is not thrown away by an extrapolated parabola.

Layers are fitted one upon the other by the Fisher divergence: the mean of :math:`|s + u|^2`, where
:math:`s` is the gradient of the log density in the coordinates :math:`u` of the map. It is zero for
a standard normal, and as gradients carry no noise, a few hundred draws are enough; they need not
come from the posterior.

References: Haario, Saksman & Tamminen 1999, Comput. Stat. 14, 375, section 3 (twisted Gaussian);
Parno & Marzouk 2018, SIAM/ASA JUQ 6, 645 (transport maps for MCMC); Hyvärinen 2005, JMLR 6, 695
(Fisher divergence).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from numpyro_lens._types import Array
from numpyro_lens.infer.density import Affine, FlatModel


class Transport(NamedTuple):
    """Unconstrained vectors of whitened ones; each layer acts on what the next one gives.

    Args:
        loc: (k, d).
        scale_tril: lower triangular, (k, d, d).
        direction: of unit length, (k, d).
        bend: orthogonal to the direction, (k, d); zero leaves the layer affine.
    """

    loc: Array
    scale_tril: Array
    direction: Array
    bend: Array

    @classmethod
    def of(cls, metric: Affine, num_layers: int = 1) -> "Transport":
        """An affine map, and layers after it that do nothing yet."""
        dim = metric.loc.shape[0]
        first = jnp.arange(num_layers) == 0
        return cls(
            jnp.where(first[:, None], metric.loc[None], 0.0),
            jnp.where(first[:, None, None], metric.scale_tril[None], jnp.eye(dim)[None]),
            jnp.zeros((num_layers, dim)).at[:, 0].set(1.0),
            jnp.zeros((num_layers, dim)),
        )

    @property
    def metric(self) -> Affine:
        """The first layer without its bend."""
        return Affine(self.loc[0], self.scale_tril[0])

    def bind(self, _flat: FlatModel, _args: tuple) -> "Transport":
        """The map of a model and its arguments: the same for all of them."""
        return self

    def fit(self, _flat: FlatModel, _args: tuple, z: Array, gradient: Array) -> "Transport":
        """Layers fitted anew, upon the metric.

        Args:
            _flat, _args: not looked at.
            z: draws (n, d), of the posterior or of something like it.
            gradient: of the log density at the draws (n, d).
        """
        num_layers = len(self.loc)
        return refine(Transport.of(self.metric, num_layers), 1, num_layers - 1, z, gradient)

    def __call__(self, u: Array) -> Array:
        """Unconstrained vectors (n, d) of whitened ones."""

        def apply(u, layer):
            return Affine(layer.loc, layer.scale_tril)(u + _bent(layer, u)), None

        return jax.lax.scan(apply, u, self, reverse=True)[0]

    def whiten(self, z: Array) -> Array:
        """Whitened vectors (n, d) of unconstrained ones."""

        def undo(z, layer):
            v = Affine(layer.loc, layer.scale_tril).whiten(z)
            return v - _bent(layer, v), None

        return jax.lax.scan(undo, z, self)[0]

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """The gradient with respect to ``u`` (n, d) of a function of ``self(u)``."""
        _, pullback = jax.vjp(self.__call__, u)
        return pullback(gradient)[0]


def _bent(layer, v):
    return _curve(v @ layer.direction)[:, None] * layer.bend[None]


def _curve(along):
    r"""The square, less one; far out, where no draw has been, a straight line.

    .. math:: q(s) = 2 k^2\,[\sqrt{1 + s^2/k^2} - 1] - 1, \qquad k = 2
    """
    return 8.0 * (jnp.sqrt(1.0 + 0.25 * along**2) - 1.0) - 1.0


@functools.partial(jax.jit, static_argnames=("first", "num_layers"))
def refine(
    transport: Transport, first: int, num_layers: int, z: Array, gradient: Array
) -> Transport:
    """Fit some layers to draws, one after the other.

    Args:
        transport: the map so far; the layers from ``first`` on do nothing yet.
        first: index of the first layer to fit.
        num_layers: how many.
        z: draws (n, d), of the posterior or of something like it.
        gradient: of the log density at the draws (n, d).

    Returns:
        The map with the layers; one whose fit is not finite is left out.
    """

    def fit_layer(index, transport):
        u = transport.whiten(z)
        score = transport.pull_back(u, gradient)
        weight = weights(u, score)
        score = jnp.where(weight[:, None] > 0.0, score, 0.0)
        metric = fit_affine(u, score, weight)
        bend = fit_bend(metric.whiten(u), score @ metric.scale_tril, weight)
        new = jax.tree.map(
            lambda leaf, value: leaf.at[index].set(value), transport, Transport(*metric, *bend)
        )
        finite = jnp.all(jnp.isfinite(jnp.concatenate([jnp.ravel(leaf) for leaf in new])))
        return jax.tree.map(lambda n, old: jnp.where(finite, n, old), new, transport)

    return jax.lax.fori_loop(first, first + num_layers, fit_layer, transport)


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
    shrink = prior_count / (x.shape[0] + prior_count)
    return mean, (1.0 - shrink) * covariance + shrink * jnp.eye(x.shape[1])


def _square_roots(covariance):
    """The symmetric square root of a covariance (d, d), and its inverse."""
    values, vectors = jnp.linalg.eigh(covariance)
    root = jnp.sqrt(jnp.maximum(values, jnp.finfo(values.dtype).tiny))[None]
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def fit_bend(u: Array, score: Array, weight: Array) -> tuple[Array, Array]:
    r"""Direction and bend (d,) of least Fisher divergence.

    A bend :math:`c` along :math:`d` has the third derivatives :math:`2\,c_k d_i d_j` and their
    permutations, so directions are looked for by power iteration on those of the log density.

    Args:
        u: draws (n, d), whitened.
        score: gradient of the log density (n, d).
        weight: of the draws (n,), adding up to one.
    """
    third = _third_derivatives(u, score, weight)
    starts = jnp.linalg.eigh(jnp.einsum("ijk,ljk->il", third, third))[1].T[-8:]

    def climb(direction, _):
        bend, divergence = _bend_along(direction, u, score, weight)
        values, vectors = jnp.linalg.eigh(jnp.einsum("ijk,k->ij", third, bend))
        return vectors[:, jnp.argmax(jnp.abs(values))], (direction, bend, divergence)

    steps = jax.lax.map(lambda start: jax.lax.scan(climb, start, length=5)[1], starts)
    directions, bends, divergences = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in steps)
    best = jnp.argmin(jnp.where(jnp.isfinite(divergences), divergences, jnp.inf))
    return directions[best], bends[best]


def _third_derivatives(u, score, weight):
    """Mean third derivatives of the log density (d, d, d), by Stein's identity."""
    residual = weight[:, None] * (score + u)
    third = jnp.einsum("ni,nj,nk->ijk", u, u, residual)
    third -= jnp.eye(u.shape[1])[:, :, None] * jnp.sum(residual, axis=0)[None, None, :]
    return (third + third.transpose(0, 2, 1) + third.transpose(2, 1, 0)) / 3.0


def _bend_along(direction, u, score, weight):
    """The best bend for a direction, and the Fisher divergence that it leaves.

    The residual of the score is linear in the bend, so this is a least-squares problem, with a
    ridge that leaves out what few draws ask for.
    """
    number, dim = u.shape
    across = jnp.eye(dim) - jnp.outer(direction, direction)
    along, residual, score_across = u @ direction, score + u, score @ across
    square, slope = _curve(along), 2.0 * along / jnp.sqrt(1.0 + 0.25 * along**2)
    normal = (weight @ square**2 + dim / number) * jnp.eye(dim)
    normal += (score_across * (weight * slope**2)[:, None]).T @ score_across
    target = (weight * square) @ residual @ across
    target -= (weight * slope * (residual @ direction)) @ score_across
    bend = across @ jnp.linalg.solve(normal, target)
    left = residual - square[:, None] * bend[None]
    left += (slope * (score @ bend))[:, None] * direction[None]
    return bend, weight @ jnp.sum(left**2, axis=1)
