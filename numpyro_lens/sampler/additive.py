r"""A map that moves some coordinates by known functions of the others.

Where some coordinates follow known features :math:`\phi` of the others, the posterior is a thin
curved sheet that no polynomial makes flat. This map gives them relative to the features:

.. math:: z = v + C^\top [\phi(v) - \phi_0 - B^\top v]

Only coordinates that :math:`\phi` does not depend on are moved: the volume stays, and the inverse
is the same expression with a minus sign. The linear trend :math:`\phi_0 + B^\top v` of the features
is left to the affine map that follows. C is fitted to draws and gradients by least squares, like
the layers of ``sampler.quadratic``.

Reference: Dinh, Krueger & Bengio 2015, arXiv:1410.8516, section 3.2 (additive coupling layers).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.typing import ArrayLike

from numpyro_lens._types import Array
from numpyro_lens.sampler.maps import (
    AbstractMap,
    Affine,
    finite_or,
    fit_affine,
    weights,
)
from numpyro_lens.sampler.quadratic import Quadratic


class Coefficients(NamedTuple):
    """What features move, and how far.

    Args:
        offset: mean of the features, (m,).
        slope: their linear trend, (d, m).
        shift: what each feature moves, (m, d).
    """

    offset: Array
    slope: Array
    shift: Array

    def moves(self, phi: Array, z: Array) -> Array:
        """How far ``z`` (n, d) is moved where the features are ``phi`` (n, m)."""
        return (phi - self.offset[None] - z @ self.slope) @ self.shift


class Additive(AbstractMap):
    """Another map, and after it coordinates that move by features of the others.

    Make one with ``Additive.of(features, resolution, inner)``.

    Args:
        features: function of an unconstrained vector (d,) that gives features (m,); a pytree, such
            as an ``equinox.Module`` or ``jax.tree_util.Partial(function)``.
        resolution: how far a feature is trusted (m,): differences below it move nothing.
        coefficients: see ``Coefficients``.
        inner: unconstrained vectors, before they are moved, of whitened ones; where it is another
            `Additive`, the features may depend on what that one moves.
        num_rounds: how often a fit alternates between the coefficients and the affine map.
        ridge: added to the normal equations of a fit, in units of their diagonal.
    """

    features: Callable
    resolution: Array
    coefficients: Coefficients
    inner: "Quadratic | Additive"
    num_rounds: int = eqx.field(static=True, default=8)
    ridge: float = eqx.field(static=True, default=0.01)

    @classmethod
    def of(
        cls, features: Callable, resolution: ArrayLike, inner: "Quadratic | Additive"
    ) -> "Additive":
        """A map that is ``inner``: nothing is moved yet.

        Args:
            features, resolution, inner: see the class.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> inner = Quadratic.of(Affine(jnp.zeros(2), jnp.eye(2)))
            >>> cosine = jax.tree_util.Partial(lambda z: jnp.cos(z[:1]))
            >>> Additive.of(cosine, jnp.full(1, 1e-5), inner)(jnp.ones((1, 2)))
            Array([[1., 1.]], dtype=float32)
        """
        dim, dtype = len(inner.metric.loc), inner.metric.loc.dtype
        resolution = jnp.asarray(resolution, dtype)
        shapes = (len(resolution),), (dim, len(resolution)), (len(resolution), dim)
        coefficients = Coefficients(*(jnp.zeros(shape, dtype) for shape in shapes))
        return cls(features, resolution, coefficients, inner)

    @property
    def metric(self) -> Affine:
        """The affine map that everything else is upon."""
        return self.inner.metric

    def upon(self, metric: Affine) -> "Additive":
        """The same upon another affine map."""
        return eqx.tree_at(lambda map: map.inner, self, self.inner.upon(metric))

    def __call__(self, u: Array) -> Array:
        """Unconstrained vectors (n, d) of whitened ones."""
        v = self.inner(u)
        return v + self._moves(v)

    def whiten(self, z: Array) -> Array:
        """Whitened vectors (n, d) of unconstrained ones."""
        return self.inner.whiten(z - self._moves(z))

    def _moves(self, z: Array) -> Array:
        moves = self.coefficients.moves(jax.vmap(self.features)(z), z)
        # Features that are not finite move nothing. They are the same before and after the move.
        return jnp.where(jnp.all(jnp.isfinite(moves), axis=1, keepdims=True), moves, 0.0)

    def fit(self, z: Array, gradient: Array) -> "Additive":
        """Coefficients and inner map fitted anew, from the affine map as it is."""
        draws = describe(self.features, z, gradient)
        coefficients, metric = fit_coefficients(
            draws, self.inner.metric, self.resolution, self.num_rounds, self.ridge
        )
        v, gradient = draws.before(coefficients)
        gradient = jnp.where(draws.usable[:, None], gradient, jnp.nan)
        inner = self.inner.upon(metric).fit(v, gradient)
        fitted = finite_or((coefficients, inner), (self.coefficients, self.inner))
        return eqx.tree_at(lambda map: (map.coefficients, map.inner), self, fitted)


class Draws(NamedTuple):
    """Draws, and what the features say of them.

    Args:
        z: unconstrained (n, d).
        gradient: of the log density (n, d); zero where something is not finite.
        phi: features without their linear trend (n, m).
        jacobian: of these (n, m, d).
        offset, slope: the trend, see ``Coefficients``.
        moved: whether the features leave a coordinate alone, and so may move it (d,).
        usable: whether all of a draw is finite (n,).
    """

    z: Array
    gradient: Array
    phi: Array
    jacobian: Array
    offset: Array
    slope: Array
    moved: Array
    usable: Array

    def before(self, coefficients: Coefficients) -> tuple[Array, Array]:
        """The draws before they were moved, and their gradients."""
        shift = coefficients.shift
        pulled = jnp.einsum("nmd,nm->nd", self.jacobian, self.gradient @ shift.T)
        return self.z - self.phi @ shift, self.gradient + pulled

    def whitened(self, metric: Affine, coefficients: Coefficients) -> tuple[Array, Array, Array]:
        """The draws before they were moved in whitened coordinates, their scores, and weights."""
        v, gradient = self.before(coefficients)
        u, score = metric.whiten(v), gradient @ metric.scale_tril
        usable = self.usable[:, None]
        weight = weights(u, jnp.where(usable, score, jnp.nan))
        return jnp.where(usable, u, 0.0), jnp.where(usable, score, 0.0), weight


def describe(features: Callable, z: Array, gradient: Array) -> Draws:
    """Features of draws.

    Args:
        features: features (m,) of an unconstrained vector (d,).
        z: draws (n, d).
        gradient: of the log density at the draws (n, d).
    """
    phi, jacobian = jax.vmap(features)(z), jax.vmap(jax.jacrev(features))(z)
    leaves = phi, jacobian.reshape(len(z), -1), gradient
    usable = functools.reduce(jnp.logical_and, (jnp.all(jnp.isfinite(x), axis=1) for x in leaves))
    phi, gradient = (jnp.where(usable[:, None], leaf, 0.0) for leaf in (phi, gradient))
    jacobian = jnp.where(usable[:, None, None], jacobian, 0.0)
    moved = ~jnp.any(jacobian != 0.0, axis=(0, 1))
    offset, slope = _trend(z, phi, usable, moved)
    phi = jnp.where(usable[:, None], phi - offset[None] - z @ slope, 0.0)
    return Draws(z, gradient, phi, jacobian - slope.T[None], offset, slope, moved, usable)


def _trend(z, phi, usable, moved):
    """Offset (m,) and slope (d, m) of the features by least squares."""
    mean, scale = jnp.mean(z, axis=0), jnp.std(z, axis=0) + jnp.finfo(z.dtype).tiny
    x = jnp.where(moved[None], 0.0, (z - mean[None]) / scale[None])
    x = jnp.where(usable[:, None], jnp.concatenate([jnp.ones_like(x[:, :1]), x], axis=1), 0.0)
    normal = x.T @ x / len(x) + 1e-5 * jnp.eye(x.shape[1])
    solution = jnp.linalg.solve(normal, x.T @ phi / len(x))
    slope = solution[1:] / scale[:, None]
    return solution[0] - mean @ slope, slope


def fit_coefficients(
    draws: Draws, metric: Affine, resolution: Array, num_rounds: int = 8, ridge: float = 0.01
) -> tuple[Coefficients, Affine]:
    """The coefficients of least Fisher divergence, and the affine map that goes with them.

    The two take turns: each is a least-squares problem when the other is given.

    Args:
        draws: see ``describe``.
        metric: affine map to start from.
        resolution: of the features (m,); errors of that size are not to be blown up by large
            coefficients.
        num_rounds: turns.
        ridge: see ``Additive``.
    """
    zeros = jnp.zeros(draws.jacobian.shape[1:], draws.z.dtype)

    def take_turns(_, fitted):
        coefficients, metric = fitted
        metric = metric.after(fit_affine(*draws.whitened(metric, coefficients)))
        step = _step(draws, metric, coefficients, resolution, ridge)
        return coefficients._replace(shift=coefficients.shift + step), metric

    start = Coefficients(draws.offset, draws.slope, zeros), metric
    return jax.lax.fori_loop(0, num_rounds, take_turns, start)


def _step(draws, metric, coefficients, resolution, ridge):
    r"""What to add to the shift C (m, d).

    The residual of the score of a draw with weight w, features φ, their Jacobian J and the gradient
    g of the log density is linear in C:

    .. math:: r(C) = u + s - L^{-1} C^\top \phi + A^\top C g, \qquad A = J L

    Its two terms do not mix, for J is zero along what C moves. With the resolution ε, what is to be
    least is :math:`\sum w |r|^2 + \sum_m \varepsilon_m^2 |L^{-1} C_m|^2`, so that the normal matrix
    of the entries of C, row by row, is

    .. math:: \left(\sum w\,\phi \phi^\top + \mathrm{diag}\,\varepsilon^2\right) \otimes
              (L L^\top)^{-1} + \sum w\,(A A^\top) \otimes (g g^\top)
    """
    u, score, weight = draws.whitened(metric, coefficients)
    tril, gradient = metric.scale_tril, jnp.where(draws.moved[None], draws.gradient, 0.0)
    inverse = solve_triangular(tril, jnp.eye(len(tril)), lower=True)
    inverse = jnp.where(draws.moved[None], inverse, 0.0)  # L⁻¹ of what is moved
    precision = inverse.T @ inverse
    along = draws.jacobian @ tril  # A (n, m, d)
    variance = (draws.phi * weight[:, None]).T @ draws.phi + jnp.diag(resolution**2)
    normal = jnp.kron(variance, precision) + _sum_of_kroneckers(
        jnp.einsum("n,nmi,nki->nmk", weight, along, along),
        gradient[:, :, None] * gradient[:, None, :],
    )
    residual = (u + score) * weight[:, None]
    target = draws.phi.T @ residual @ inverse
    target -= resolution[:, None] ** 2 * (coefficients.shift @ precision)
    target -= jnp.einsum("nmi,ni->nm", along, residual).T @ gradient
    return _solved(normal, target.reshape(-1), ridge).reshape(target.shape)


def _sum_of_kroneckers(left, right):
    """Sum over n of the Kronecker products of (n, m, m) with (n, d, d), a matrix (m d, m d)."""
    size = left.shape[1] * right.shape[1]
    return jnp.einsum("nmk,nbc->mbkc", left, right).reshape(size, size)


def _solved(normal, target, ridge):
    """Solution of normal equations with a ridge, in units of each unknown; zero if not finite."""
    diagonal = jnp.diag(normal)
    scale = jnp.where(diagonal > 0.0, jax.lax.rsqrt(jnp.where(diagonal > 0.0, diagonal, 1.0)), 0.0)
    scaled = normal * scale[:, None] * scale[None] + ridge * jnp.eye(len(target))
    solution = scale * jnp.linalg.solve(scaled, scale * target)
    return jnp.where(jnp.all(jnp.isfinite(solution)), solution, 0.0)
