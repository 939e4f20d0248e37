r"""A map of an affine layer and of quadratic layers upon it, for curved degeneracies.

A quadratic layer scales, and adds products of the coordinates along a few directions:

.. math:: z = \mu + L\,\Big[v + \sum_{i \le j} c_{ij}\,q_{ij}(Dv)\Big], \qquad D D^\top = 1, \quad
          D c_{ij} = 0, \quad q_{ij}(s) \approx s_i s_j - \delta_{ij}

With one direction that is the twisted Gaussian, the shape of a curved degeneracy; with several, a
sheet that is curved along all of them. The determinant of its Jacobian is that of L, and its
inverse is the same expression with :math:`-c`. In the tails q is linear, so that a chain far out is
not moved by an extrapolated parabola.

Layers are fitted one upon the other by the Fisher divergence (see ``sampler.maps``). The first
are quadratic in the widest directions of the draws, which the data leave open and along which a
degeneracy runs; the others in a single direction each, where the third derivatives of the log
density are large.

References: Haario, Saksman & Tamminen 1999, Comput. Stat. 14, 375, section 3 (twisted Gaussian);
Parno & Marzouk 2018, SIAM/ASA JUQ 6, 645 (transport maps for MCMC).
"""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array
from numpyro_lens.sampler.maps import AbstractMap, Affine, finite_or, fit_affine, weights


class Layer(eqx.Module):
    """A quadratic layer; many of them share leaves with a leading axis.

    Args:
        loc: (d,).
        scale_tril: lower triangular, (d, d).
        direction: orthonormal or zero, (a, d).
        coefficients: orthogonal to the directions, one vector for each pair of them
            (a (a + 1) / 2, d); zero leaves the layer affine.
    """

    loc: Array
    scale_tril: Array
    direction: Array
    coefficients: Array

    @property
    def affine(self) -> Affine:
        """The layer without its quadratic part."""
        return Affine(self.loc, self.scale_tril)

    def __call__(self, v: Array) -> Array:
        """What the layer gives for ``v`` (n, d)."""
        return self.affine(v + self._quadratic(v))

    def whiten(self, z: Array) -> Array:
        """The inverse."""
        v = self.affine.whiten(z)
        return v - self._quadratic(v)

    def _quadratic(self, v: Array) -> Array:
        return jax.vmap(_products)(v @ self.direction.T) @ self.coefficients


class Quadratic(AbstractMap):
    """An affine layer, and quadratic layers upon it; each acts on what the next one gives.

    Make one with ``Quadratic.of(metric)``.

    Args:
        layers: a ``Layer`` whose leaves have a leading axis (k, ...).
        widest: numbers of widest directions of the first quadratic layers, one layer each.
        ridge: added to the normal equations of those layers, in units of their diagonal.
    """

    layers: Layer
    widest: tuple[int, ...] = eqx.field(static=True)
    ridge: float = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        metric: Affine,
        widest: tuple[int, ...] = (4, 8),
        num_single: int = 8,
        ridge: float = 0.1,
    ) -> "Quadratic":
        """An affine map, and quadratic layers upon it that do nothing yet.

        Args:
            metric: the affine map, for example of the mean and Cholesky factor of an SVI fit.
            widest: numbers of widest directions of the first quadratic layers, one layer each.
            num_single: number of layers in a single direction. Fitting them takes the third
                derivatives of the log density, d³ numbers: 0 for a thousand parameters.
            ridge: see the class.

        Example:
            >>> import jax.numpy as jnp
            >>> map = Quadratic.of(Affine(jnp.zeros(2), jnp.eye(2)))
            >>> map(jnp.ones((1, 2)))
            Array([[1., 1.]], dtype=float32)
        """
        num_layers, dim = 1 + len(widest) + num_single, len(metric.loc)
        num_directions = max((*widest, 1))
        num_pairs = num_directions * (num_directions + 1) // 2
        zeros = functools.partial(jnp.zeros, dtype=jnp.asarray(metric.loc).dtype)
        identity = jnp.eye(dim, dtype=zeros(()).dtype)
        layers = Layer(
            zeros((num_layers, dim)).at[0].set(metric.loc),
            jnp.tile(identity[None], (num_layers, 1, 1)).at[0].set(metric.scale_tril),
            zeros((num_layers, num_directions, dim)),
            zeros((num_layers, num_pairs, dim)),
        )
        return cls(layers, tuple(widest), ridge)

    @property
    def metric(self) -> Affine:
        """The affine map that the quadratic layers are upon."""
        return Affine(self.layers.loc[0], self.layers.scale_tril[0])

    def upon(self, metric: Affine) -> "Quadratic":
        """As many quadratic layers that do nothing yet, upon another affine map."""
        num_single = len(self.layers.loc) - 1 - len(self.widest)
        return Quadratic.of(metric, self.widest, num_single, self.ridge)

    def __call__(self, u: Array) -> Array:
        """Unconstrained vectors (n, d) of whitened ones."""
        return jax.lax.scan(lambda u, layer: (layer(u), None), u, self.layers, reverse=True)[0]

    def whiten(self, z: Array) -> Array:
        """Whitened vectors (n, d) of unconstrained ones."""
        return jax.lax.scan(lambda z, layer: (layer.whiten(z), None), z, self.layers)[0]

    def fit(self, z: Array, gradient: Array) -> "Quadratic":
        """Quadratic layers fitted anew, one after the other, upon the metric as it is.

        A layer whose fit is not finite is left out.
        """
        return _fit_layers(self.upon(self.metric), z, gradient)

    def with_layer(self, index: Array, layer: Layer) -> "Quadratic":
        """The map with one of its layers replaced."""
        layers = jax.tree.map(lambda leaf, new: leaf.at[index].set(new), self.layers, layer)
        return eqx.tree_at(lambda map: map.layers, self, layers)


def _products(along):
    r"""Products of all pairs (m,), less their mean; in the tails, where no draw has been, linear.

    .. math:: q_{ij}(s) = t_i t_j - \delta_{ij}, \qquad t = s\,(1 + s^2/k^2)^{-1/4}, \qquad k = 3
    """
    i, j = np.triu_indices(len(along))
    t = along * (1.0 + along**2 / 9.0) ** -0.25
    return t[i] * t[j] - jnp.asarray(i == j, along.dtype)


@jax.jit
def _fit_layers(map, z, gradient):
    num_layers, end_of_widest = len(map.layers.loc), 1 + len(map.widest)
    for first, last, choose in (
        (1, end_of_widest, _along_widest),
        (end_of_widest, num_layers, _along_single),
    ):
        if first < last:  # a loop without turns would be compiled all the same
            fit = functools.partial(_fit_layer, choose, z, gradient)
            map = jax.lax.fori_loop(first, last, fit, map)
    return map


def _fit_layer(choose: Callable, z: Array, gradient: Array, index: Array, map: Quadratic):
    """Fit one layer: first its affine part, then directions and coefficients by ``choose``."""
    u = map.whiten(z)
    score = map.pull_back(u, gradient)
    weight = weights(u, score)
    score = jnp.where(weight[:, None] > 0.0, score, 0.0)
    affine = fit_affine(u, score, weight)
    scaled = map.layers.scale_tril.at[index].set(affine.scale_tril)
    direction, coefficients = choose(
        map, index, scaled, affine.whiten(u), score @ affine.scale_tril, weight
    )
    layer = Layer(affine.loc, affine.scale_tril, direction, coefficients)
    return finite_or(map.with_layer(index, layer), map)


def _along_widest(map, index, scale_trils, u, score, weight):
    scale = functools.reduce(jnp.matmul, scale_trils)  # identity where nothing is fitted yet
    number = jnp.array(map.widest)[index - 1]
    direction = _widest(scale, number, map.layers.direction.shape[1])
    return direction, fit_coefficients(direction, u, score, weight, map.ridge)


def _along_single(map, index, _scale_trils, u, score, weight):
    direction, coefficients = fit_single(u, score, weight)
    blank = jax.tree.map(lambda leaf: leaf[index], map.layers)
    return blank.direction.at[0].set(direction), blank.coefficients.at[0].set(coefficients)


def _widest(scale, number, num_directions):
    """The widest directions of draws, in the coordinates that ``scale`` whitens."""
    dim = len(scale)
    vectors = jnp.linalg.eigh(scale @ scale.T)[1][:, ::-1][:, :num_directions]
    orthonormal = jnp.linalg.qr(scale.T @ vectors)[0].T
    used = jnp.arange(num_directions) < jnp.minimum(number, dim - 1)
    padding = ((0, num_directions - len(orthonormal)), (0, 0))
    return jnp.where(used[:, None], jnp.pad(orthonormal, padding), 0.0)


def fit_coefficients(
    direction: Array, u: Array, score: Array, weight: Array, ridge: float = 0.1
) -> Array:
    r"""Coefficients (m, d) of least Fisher divergence, for each pair of some directions.

    The residual of the score is linear in the coefficients, :math:`r(c) = u + s + R c`:

    .. math:: R c = D^\top \sum \nabla q_{ij}\,(c_{ij} \cdot s) - \sum c_{ij}\,q_{ij}

    The normal equations :math:`(R^\top W R + \text{ridge})\,c = -R^\top W (u + s)`, with the
    weights W and in units of each coefficient, are solved by conjugate gradients. The ridge leaves
    out what few draws ask for.

    Args:
        direction: orthonormal or zero (a, d).
        u: draws (n, d), whitened.
        score: gradient of the log density (n, d).
        weight: of the draws (n,), adding up to one.
        ridge: in units of the diagonal of the normal equations.
    """
    across = jnp.eye(u.shape[1]) - direction.T @ direction
    along, score_across = u @ direction.T, score @ across
    products, slope = jax.vmap(_products)(along), jax.vmap(jax.jacfwd(_products))(along)
    slope = jnp.where(jnp.any(direction != 0.0, axis=1)[None, None], slope, 0.0)
    products = jnp.where(jnp.any(slope != 0.0, axis=(0, 2))[None], products, 0.0)

    size = (weight @ products**2)[:, None]
    size += (jnp.sum(slope**2, axis=2) * weight[:, None]).T @ score_across**2
    unit = jnp.where(size > 0.0, jax.lax.rsqrt(jnp.where(size > 0.0, size, 1.0)), 0.0)

    def residual(x):
        c = unit * x
        turned = jnp.einsum("nma,nm->na", slope, score_across @ c.T) @ direction
        return turned - products @ c @ across

    def transposed(left):
        return jax.linear_transpose(residual, unit)(left * weight[:, None])[0]

    def normal(x):
        return transposed(residual(x)) + ridge * x

    solution, _ = jax.scipy.sparse.linalg.cg(normal, -transposed(u + score), tol=1e-4, maxiter=60)
    return unit * solution @ across


def fit_single(u: Array, score: Array, weight: Array) -> tuple[Array, Array]:
    r"""Single direction (d,) and its coefficients (d,) of least Fisher divergence.

    A layer with coefficients :math:`c` along :math:`d` has the third derivatives
    :math:`2\,c_k d_i d_j` and their permutations, so directions are looked for by power iteration
    on those of the log density.

    Args:
        u: draws (n, d), whitened.
        score: gradient of the log density (n, d).
        weight: of the draws (n,), adding up to one.
    """
    third = _third_derivatives(u, score, weight)
    starts = jnp.linalg.eigh(jnp.einsum("ijk,ljk->il", third, third))[1].T[-8:]

    def climb(direction, _):
        coefficients, divergence = _fit_along(direction, u, score, weight)
        values, vectors = jnp.linalg.eigh(jnp.einsum("ijk,k->ij", third, coefficients))
        return vectors[:, jnp.argmax(jnp.abs(values))], (direction, coefficients, divergence)

    tried = jax.lax.map(lambda start: jax.lax.scan(climb, start, length=5)[1], starts)
    directions, coefficients, divergences = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in tried)
    best = jnp.argmin(jnp.where(jnp.isfinite(divergences), divergences, jnp.inf))
    return directions[best], coefficients[best]


def _third_derivatives(u, score, weight):
    """Mean third derivatives of the log density (d, d, d), by Stein's identity."""
    residual = weight[:, None] * (score + u)
    third = jnp.einsum("ni,nj,nk->ijk", u, u, residual)
    third -= jnp.eye(u.shape[1])[:, :, None] * jnp.sum(residual, axis=0)[None, None, :]
    return (third + third.transpose(0, 2, 1) + third.transpose(2, 1, 0)) / 3.0


def _fit_along(direction, u, score, weight):
    """The best coefficients (d,) for one direction, and the Fisher divergence that they leave.

    The problem of ``fit_coefficients`` for one direction, small enough to be solved directly.
    """
    number, dim = jnp.sum(weight > 0.0), u.shape[1]
    across = jnp.eye(dim) - jnp.outer(direction, direction)
    along, residual, score_across = u @ direction, score + u, score @ across
    square, slope = jax.vmap(jax.value_and_grad(lambda s: _products(s[None])[0]))(along)
    normal = (weight @ square**2 + dim / number) * jnp.eye(dim)
    normal += (score_across * (weight * slope**2)[:, None]).T @ score_across
    target = (weight * square) @ residual @ across
    target -= (weight * slope * (residual @ direction)) @ score_across
    coefficients = across @ jnp.linalg.solve(normal, target)
    left = residual - square[:, None] * coefficients[None]
    left += (slope * (score @ coefficients))[:, None] * direction[None]
    return coefficients, weight @ jnp.sum(left**2, axis=1)
