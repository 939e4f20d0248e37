r"""Maps that make a posterior look like a standard normal, learned from draws and gradients.

A layer scales, and bends along a few directions:

.. math:: z = \mu + L\,\Big[v + \sum_{i \le j} c_{ij}\,q_{ij}(Dv)\Big], \qquad D D^\top = 1, \quad
          D c_{ij} = 0, \quad q_{ij}(s) \approx s_i s_j - \delta_{ij}

With one direction that is the bend of the twisted Gaussian, the shape of a curved degeneracy; with
several, a sheet that is curved along all of them. Its Jacobian has determinant one, and its inverse
is the same expression with :math:`-c`. Far out q is a straight line, so that a chain in a tail is
not thrown away by an extrapolated parabola.

Layers are fitted one upon the other by the Fisher divergence: the mean of :math:`|s + u|^2`, where
:math:`s` is the gradient of the log density in the coordinates :math:`u` of the map. It is zero for
a standard normal, and as gradients carry no noise, a few hundred draws are enough; they need not
come from the posterior. The first layers bend along the widest directions of the draws, which the
data leave open and along which a degeneracy runs; the others along single ones, where the third
derivatives of the log density are large.

References: Haario, Saksman & Tamminen 1999, Comput. Stat. 14, 375, section 3 (twisted Gaussian);
Parno & Marzouk 2018, SIAM/ASA JUQ 6, 645 (transport maps for MCMC); Hyvärinen 2005, JMLR 6, 695
(Fisher divergence).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array
from numpyro_lens.infer.density import Affine, FlatModel

#: How many of the widest directions the first bent layers go along.
WIDEST = (4, 8)
_NUM_DIRECTIONS = max(WIDEST)
_NUM_PAIRS = _NUM_DIRECTIONS * (_NUM_DIRECTIONS + 1) // 2
_RIDGE = 0.1


class Transport(NamedTuple):
    """Unconstrained vectors of whitened ones; each layer acts on what the next one gives.

    Args:
        loc: (k, d).
        scale_tril: lower triangular, (k, d, d).
        direction: orthonormal or zero, (k, a, d).
        bend: orthogonal to the directions, one for each pair of them (k, a (a + 1) / 2, d); zero
            leaves the layer affine.
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
            jnp.zeros((num_layers, _NUM_DIRECTIONS, dim)),
            jnp.zeros((num_layers, _NUM_PAIRS, dim)),
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
        return refine(Transport.of(self.metric, len(self.loc)), z, gradient)

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
    return jax.vmap(_products)(v @ layer.direction.T) @ layer.bend


def _products(along):
    r"""Products of all pairs (m,), less their mean; far out, where no draw has been, linear.

    .. math:: q_{ij}(s) = t_i t_j - \delta_{ij}, \qquad t = s\,(1 + s^2/k^2)^{-1/4}, \qquad k = 3
    """
    i, j = np.triu_indices(len(along))
    t = along * (1.0 + along**2 / 9.0) ** -0.25
    return t[i] * t[j] - jnp.asarray(i == j, along.dtype)


@jax.jit
def refine(transport: Transport, z: Array, gradient: Array) -> Transport:
    """Fit all layers but the first to draws, one after the other.

    Args:
        transport: an affine map, and layers that do nothing yet.
        z: draws (n, d), of the posterior or of something like it.
        gradient: of the log density at the draws (n, d).

    Returns:
        The map with the layers; one whose fit is not finite is left out.
    """
    num_layers = len(transport.loc)
    last = min(1 + len(WIDEST), num_layers)
    wide, one = (
        functools.partial(_fit_layer, find_bends, z, gradient)
        for find_bends in (_along_widest, _along_one)
    )
    transport = jax.lax.fori_loop(1, last, wide, transport)
    return jax.lax.fori_loop(last, num_layers, one, transport)


def _fit_layer(find_bends, z, gradient, index, transport):
    u = transport.whiten(z)
    score = transport.pull_back(u, gradient)
    weight = weights(u, score)
    score = jnp.where(weight[:, None] > 0.0, score, 0.0)
    metric = fit_affine(u, score, weight)
    scaled = transport._replace(scale_tril=transport.scale_tril.at[index].set(metric.scale_tril))
    bends = find_bends(scaled, index, metric.whiten(u), score @ metric.scale_tril, weight)
    new = jax.tree.map(
        lambda leaf, value: leaf.at[index].set(value), transport, Transport(*metric, *bends)
    )
    finite = jnp.all(jnp.isfinite(jnp.concatenate([jnp.ravel(leaf) for leaf in new])))
    return jax.tree.map(lambda n, old: jnp.where(finite, n, old), new, transport)


def _along_widest(transport, index, u, score, weight):
    scale = functools.reduce(jnp.matmul, transport.scale_tril)  # identity where nothing is fitted
    direction = _widest(scale, jnp.array(WIDEST)[index - 1])
    return direction, fit_bends(direction, u, score, weight)


def _along_one(transport, index, u, score, weight):
    direction, bend = fit_bend(u, score, weight)
    return transport.direction[index].at[0].set(direction), transport.bend[index].at[0].set(bend)


def _widest(scale, number):
    """The widest directions of draws, in the coordinates that ``scale`` whitens."""
    dim = len(scale)
    vectors = jnp.linalg.eigh(scale @ scale.T)[1][:, ::-1][:, :_NUM_DIRECTIONS]
    orthonormal = jnp.linalg.qr(scale.T @ vectors)[0].T
    used = jnp.arange(_NUM_DIRECTIONS) < jnp.minimum(number, dim - 1)
    padding = ((0, _NUM_DIRECTIONS - len(orthonormal)), (0, 0))
    return jnp.where(used[:, None], jnp.pad(orthonormal, padding), 0.0)


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


def fit_bends(direction: Array, u: Array, score: Array, weight: Array) -> Array:
    r"""Bends (m, d) of least Fisher divergence, one for each pair of some directions.

    The residual of the score is linear in the bends, so this is a least-squares problem:

    .. math:: r(c) = u + s - \sum c_{ij}\,q_{ij} + D^\top \sum \nabla q_{ij}\,(c_{ij} \cdot s)

    It is solved by conjugate gradients, with a ridge that leaves out what few draws ask for.

    Args:
        direction: orthonormal or zero (a, d).
        u: draws (n, d), whitened.
        score: gradient of the log density (n, d).
        weight: of the draws (n,), adding up to one.
    """
    across = jnp.eye(u.shape[1]) - direction.T @ direction
    along, score_across = u @ direction.T, score @ across
    products, slope = jax.vmap(_products)(along), jax.vmap(jax.jacfwd(_products))(along)
    slope = jnp.where(jnp.any(direction != 0.0, axis=1)[None, None], slope, 0.0)
    products = jnp.where(jnp.any(slope != 0.0, axis=(0, 2))[None], products, 0.0)

    def residual(bend):
        turned = jnp.einsum("nma,nm->na", slope, score_across @ bend.T) @ direction
        return turned - products @ bend @ across

    def transposed(left):
        left = left * weight[:, None]
        turned = jnp.einsum("nma,na->nm", slope, left @ direction.T).T @ score_across
        return turned - products.T @ left @ across

    size = (weight @ products**2)[:, None]
    size += (jnp.sum(slope**2, axis=2) * weight[:, None]).T @ score_across**2
    unit = jnp.where(size > 0.0, jax.lax.rsqrt(jnp.where(size > 0.0, size, 1.0)), 0.0)

    def normal(x):
        return unit * transposed(residual(unit * x)) + _RIDGE * x

    target = -unit * transposed(u + score)
    solution, _ = jax.scipy.sparse.linalg.cg(normal, target, tol=1e-4, maxiter=60)
    return unit * solution @ across


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
    square, slope = jax.vmap(jax.value_and_grad(lambda s: _products(s[None])[0]))(along)
    normal = (weight @ square**2 + dim / number) * jnp.eye(dim)
    normal += (score_across * (weight * slope**2)[:, None]).T @ score_across
    target = (weight * square) @ residual @ across
    target -= (weight * slope * (residual @ direction)) @ score_across
    bend = across @ jnp.linalg.solve(normal, target)
    left = residual - square[:, None] * bend[None]
    left += (slope * (score @ bend))[:, None] * direction[None]
    return bend, weight @ jnp.sum(left**2, axis=1)
