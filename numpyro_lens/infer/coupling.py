r"""The source follows the mass: coordinates along the lens equation.

The data fix the arcs, not the source. Where a draw of the mass profile traces the rays of an arc
elsewhere, the source has to be there too, with the size and the shape that make the same arc; seen
from its own parameters the posterior is a thin curved sheet. Here the source is given relative to
where one pixel of the arcs, the brightest, is seen in the source plane:

.. math:: z = v + [\phi(v) - \phi_0 - B^\top v]\,C, \qquad
          \phi = (\beta_x,\ \beta_y,\ \tfrac12 \ln(\det{}^2\!A + \epsilon^2),\ A_{xx} - A_{yy},\
                  A_{xy} + A_{yx})

with the lens equation :math:`\beta = \theta - \alpha(\theta)` and :math:`A = \partial\beta /
\partial\theta`, both from the corners of the pixel. Only coordinates that :math:`\phi` does not
depend on are moved: the volume stays, and the inverse is the same expression with a minus sign, as
in every additive coupling layer. The linear trend :math:`\phi_0 + B^\top v` of the features is left
to the affine map that follows. C is fitted to draws and gradients by least squares, like the layers
of ``infer.transport``.

Reference: Dinh, Krueger & Bengio 2015, arXiv:1410.8516, section 3.2 (additive coupling layers).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from numpyro_lens._types import Array
from numpyro_lens.infer.density import Affine, FlatModel
from numpyro_lens.infer.posterior import scene_at
from numpyro_lens.infer.transport import Transport, fit_affine, weights
from numpyro_lens.lensing import ray_trace
from numpyro_lens.mass import as_mass
from numpyro_lens.observation import Observation
from numpyro_lens.simulate import record_scenes, render

_NUM_FEATURES = 5
_NUM_ROUNDS = 8


class Pixel(NamedTuple):
    """A pixel of the image plane.

    Args:
        x, y: its centre [arcsec].
        width: [arcsec].
    """

    x: Array
    y: Array
    width: Array


def brightest_pixel(flat: FlatModel, z: Array, args: tuple) -> Pixel | None:
    """Where the lensed source is brightest; None for a model without an observation or a lens.

    Args:
        flat: the model.
        z: unconstrained vector (d,).
        args: arguments of the model.
    """
    observation = next((arg for arg in args if isinstance(arg, Observation)), None)
    image = None if observation is None else _arcs(flat, observation, z, args)
    if observation is None or image is None:
        return None
    row_column = np.unravel_index(np.argmax(image), image.shape)
    x, y = (
        np.mean(np.asarray(axis), axis=(0, 1))[row_column]
        for axis in (observation.sub_x, observation.sub_y)
    )
    return Pixel(x, y, np.sqrt(np.asarray(observation.pixel_area)))


@functools.partial(jax.jit, static_argnames="flat")
def _arcs(flat, observation, z, args):
    """Image of the lensed source alone, if there is one."""
    scene = scene_at(flat, z, args)
    if scene is None or scene.mass is None or scene.source is None:
        return None
    return render(observation, mass=scene.mass, source=scene.source)


def features(flat: FlatModel, pixel: Pixel, z: Array, args: tuple) -> Array:
    """Where a pixel is seen in the source plane, how large, and in what shape, (5,).

    Args:
        flat: a model that renders a lens.
        pixel: in the image plane.
        z: unconstrained vector (d,).
        args: arguments of the model.
    """
    with record_scenes() as scenes:
        flat.trace(z, args)
    half = 0.5 * pixel.width
    corners = pixel.x + half * jnp.array([-1, 1, -1, 1]), pixel.y + half * jnp.array([-1, -1, 1, 1])
    beta = jnp.stack(ray_trace(as_mass(scenes[-1].mass), *corners))
    left, right = beta[:, 0] + beta[:, 2], beta[:, 1] + beta[:, 3]
    below, above = beta[:, 0] + beta[:, 1], beta[:, 2] + beta[:, 3]
    (xx, yx), (xy, yy) = (right - left) / (4.0 * half), (above - below) / (4.0 * half)
    log_area = 0.5 * jnp.log((xx * yy - xy * yx) ** 2 + 0.01)  # smooth across a critical curve
    return jnp.stack([*jnp.mean(beta, axis=1), log_area, xx - yy, xy + yx])


def rounding(pixel: Pixel, dtype: jnp.dtype) -> Array:
    """How far a feature is trusted (5,): a hundred times what rounding does to the rays."""
    error = 100.0 * jnp.finfo(dtype).eps * (jnp.abs(pixel.x) + jnp.abs(pixel.y) + pixel.width)
    differences = error / pixel.width
    return jnp.stack([error, error, differences, differences, differences])


class Coupling(NamedTuple):
    """Coefficients of the map.

    Args:
        offset: mean of the features, (m,).
        slope: their linear trend, (d, m).
        shift: what each feature moves, (m, d).
    """

    offset: Array
    slope: Array
    shift: Array

    def __call__(self, phi: Array, z: Array) -> Array:
        """How far ``z`` (n, d) is moved where the features are ``phi`` (n, m)."""
        return (phi - self.offset[None] - z @ self.slope) @ self.shift


class CoupledTransport(NamedTuple):
    """A transport, and after it the coupling of a source to its lens.

    Args:
        pixel: that the source is given relative to.
        coupling: its coefficients.
        transport: unconstrained vectors, before the coupling, of whitened ones.
    """

    pixel: Pixel
    coupling: Coupling
    transport: Transport

    @classmethod
    def of(cls, pixel: Pixel, transport: Transport) -> "CoupledTransport":
        """A coupling that does nothing yet."""
        dim = transport.loc.shape[1]
        zeros = functools.partial(jnp.zeros, dtype=transport.loc.dtype)
        coupling = Coupling(
            zeros(_NUM_FEATURES), zeros((dim, _NUM_FEATURES)), zeros((_NUM_FEATURES, dim))
        )
        return cls(jax.tree.map(jnp.asarray, pixel), coupling, transport)

    def bind(self, flat: FlatModel, args: tuple) -> "BoundTransport":
        """The map of a model and its arguments."""
        function = jax.vmap(lambda z: features(flat, self.pixel, z, args))
        return BoundTransport(function, self.coupling, self.transport)

    def fit(self, flat: FlatModel, args: tuple, z: Array, gradient: Array) -> "CoupledTransport":
        """Fitted anew; arguments as of ``Transport.fit``."""
        draws = describe(functools.partial(features, flat, self.pixel, args=args), z, gradient)
        noise = rounding(self.pixel, z.dtype)
        coupling, metric = fit_coupling(draws, self.transport.metric, noise)
        v, gradient = draws.decoupled(coupling)
        gradient = jnp.where(draws.usable[:, None], gradient, jnp.nan)
        transport = Transport.of(metric, len(self.transport.loc)).fit(flat, args, v, gradient)
        return self._replace(coupling=coupling, transport=transport)


class BoundTransport:
    """A ``CoupledTransport`` with the features of its model."""

    def __init__(self, function: Callable, coupling: Coupling, transport: Transport) -> None:
        self._function, self._coupling, self._transport = function, coupling, transport

    def __call__(self, u: Array) -> Array:
        """Unconstrained vectors (n, d) of whitened ones."""
        v = self._transport(u)
        return v + self._coupling(self._function(v), v)

    def whiten(self, z: Array) -> Array:
        """Whitened vectors (n, d) of unconstrained ones."""
        return self._transport.whiten(z - self._coupling(self._function(z), z))

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """The gradient with respect to ``u`` (n, d) of a function of ``self(u)``."""
        return jax.vjp(self.__call__, u)[1](gradient)[0]


class Draws(NamedTuple):
    """Draws, and what the features say of them.

    Args:
        z: unconstrained (n, d).
        gradient: of the log density (n, d); zero where something is not finite.
        phi: features without their linear trend (n, m).
        jacobian: of these (n, m, d).
        offset, slope: the trend, see ``Coupling``.
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

    def decoupled(self, coupling: Coupling) -> tuple[Array, Array]:
        """The draws before a coupling, and their gradients."""
        pulled = jnp.einsum("nmd,nm->nd", self.jacobian, self.gradient @ coupling.shift.T)
        return self.z - self.phi @ coupling.shift, self.gradient + pulled

    def whitened(self, metric: Affine, coupling: Coupling) -> tuple[Array, Array, Array]:
        """The draws before a coupling in whitened coordinates, their scores, and weights."""
        v, gradient = self.decoupled(coupling)
        u, score = metric.whiten(v), gradient @ metric.scale_tril
        usable = self.usable[:, None]
        weight = weights(u, jnp.where(usable, score, jnp.nan))
        return jnp.where(usable, u, 0.0), jnp.where(usable, score, 0.0), weight


def describe(function: Callable, z: Array, gradient: Array) -> Draws:
    """Features of draws.

    Args:
        function: features (m,) of an unconstrained vector (d,).
        z: draws (n, d).
        gradient: of the log density at the draws (n, d).
    """
    phi, jacobian = jax.vmap(function)(z), jax.vmap(jax.jacrev(function))(z)
    usable = jnp.ones(len(z), dtype=bool)
    for leaf in (phi, jacobian.reshape(len(z), -1), gradient):
        usable &= jnp.all(jnp.isfinite(leaf), axis=1)
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
    coefficients = jnp.linalg.solve(normal, x.T @ phi / len(x))
    slope = coefficients[1:] / scale[:, None]
    return coefficients[0] - mean @ slope, slope


def fit_coupling(draws: Draws, metric: Affine, noise: Array) -> tuple[Coupling, Affine]:
    """The coupling of least Fisher divergence, and the affine map that goes with it.

    The two take turns: each is a least-squares problem when the other is given.

    Args:
        draws: see ``describe``.
        metric: affine map to start from.
        noise: of the features (m,), which is not to be blown up by large coefficients.
    """
    num_features, dim = draws.jacobian.shape[1:]
    zeros = jnp.zeros((num_features, dim), draws.z.dtype)

    def take_turns(_, fitted):
        coupling, metric = fitted
        inner = fit_affine(*draws.whitened(metric, coupling))
        metric = Affine(metric(inner.loc[None])[0], metric.scale_tril @ inner.scale_tril)
        step = _step(draws, metric, coupling, noise, *draws.whitened(metric, coupling))
        return coupling._replace(shift=coupling.shift + step), metric

    start = Coupling(draws.offset, draws.slope, zeros), metric
    return jax.lax.fori_loop(0, _NUM_ROUNDS, take_turns, start)


def _step(draws, metric, coupling, noise, u, score, weight, ridge=0.01):
    r"""What to add to the coefficients (m, d).

    The residual of the score is linear in them,
    :math:`r(C) = u + s - L^{-1} C^\top \phi + L^\top J^\top C g`.
    """
    tril, gradient = metric.scale_tril, jnp.where(draws.moved[None], draws.gradient, 0.0)
    inverse = jnp.where(
        draws.moved[None], solve_triangular(tril, jnp.eye(len(tril)), lower=True), 0.0
    )
    along = draws.jacobian @ tril
    size = (draws.phi * weight[:, None]).T @ draws.phi + jnp.diag(noise**2)
    gram = inverse.T @ inverse
    normal = jnp.einsum("mk,bc->mbkc", size, gram)
    spread = jnp.einsum("n,nmi,nki->nmk", weight, along, along)
    normal += jnp.einsum("nb,nc,nmk->mbkc", gradient, gradient, spread)
    residual = (u + score) * weight[:, None]
    target = draws.phi.T @ residual @ inverse - noise[:, None] ** 2 * (coupling.shift @ gram)
    target -= jnp.einsum("nmi,ni->nm", along, residual).T @ gradient
    return _solved(normal.reshape(target.size, -1), target.reshape(-1), ridge).reshape(target.shape)


def _solved(normal, target, ridge):
    """Solution of normal equations with a ridge, in units of each unknown; zero if not finite."""
    diagonal = jnp.diag(normal)
    scale = jnp.where(diagonal > 0.0, jax.lax.rsqrt(jnp.where(diagonal > 0.0, diagonal, 1.0)), 0.0)
    scaled = normal * scale[:, None] * scale[None] + ridge * jnp.eye(len(target))
    solution = scale * jnp.linalg.solve(scaled, scale * target)
    return jnp.where(jnp.all(jnp.isfinite(solution)), solution, 0.0)
