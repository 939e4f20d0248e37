r"""The source follows the mass: features of a lens model for the sampler's additive map.

The data constrain the arcs, not the source. Where another mass traces the rays of an arc to another
place, the source has to be there, with the size and the shape that give the same arc; in its own
parameters the posterior is a thin curved sheet. So the map of the sampler (`sampler.Additive`)
gives the source relative to where one pixel of the arcs, the brightest, is seen in the source
plane: by its position there, and by the local Jacobian of the lens equation. Each source of several
planes has a pixel of its own, the nearest first: its mass and its place are in front of the next.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from numpyro_lens._types import Array
from numpyro_lens.density import Target, conditioned, observed_sites
from numpyro_lens.linear import with_amplitudes
from numpyro_lens.models import observations, scenes
from numpyro_lens.sampler import AbstractMap, Additive, Affine, Quadratic
from numpyro_lens.scene import Plane, Scene, ray_trace
from numpyro_lens.simulate import render_scene


class Pixel(NamedTuple):
    """A pixel of the image plane.

    Attributes:
        x, y: its centre [arcsec].
        width: [arcsec].
    """

    x: Array
    y: Array
    width: Array


class PixelFeatures(eqx.Module):
    r"""Where a pixel is seen in the source plane, how large, and in what shape.

    .. math:: \phi = (\beta_x,\ \beta_y,\ \tfrac12 \ln(\det{}^2\!A + \epsilon^2),\
                      A_{xx} - A_{yy},\ A_{xy} + A_{yx})

    with the lens equation :math:`\beta = \theta - \alpha(\theta)` and :math:`A = \partial\beta /
    \partial\theta`, both from the corners of the pixel.

    Args:
        target: a lens model.
        site: name of the site whose scene it is.
        pixel: in the image plane.
        plane: number of the plane of the source; the last by default.
    """

    target: Target
    site: str = eqx.field(static=True)
    pixel: Pixel
    plane: int = eqx.field(static=True, default=-1)

    def __call__(self, z: Array) -> Array:
        """Features (5,) of an unconstrained vector (d,)."""
        scene = scenes(self.target.trace(z))[self.site]
        half = 0.5 * self.pixel.width
        x = self.pixel.x + half * jnp.array([-1, 1, -1, 1])
        y = self.pixel.y + half * jnp.array([-1, -1, 1, 1])
        beta = jnp.stack(ray_trace(scene, x, y, to=self.plane))
        left, right = beta[:, 0] + beta[:, 2], beta[:, 1] + beta[:, 3]
        below, above = beta[:, 0] + beta[:, 1], beta[:, 2] + beta[:, 3]
        (xx, yx), (xy, yy) = (right - left) / (4.0 * half), (above - below) / (4.0 * half)
        log_area = 0.5 * jnp.log((xx * yy - xy * yx) ** 2 + 0.01)  # smooth at a critical curve
        return jnp.stack([*jnp.mean(beta, axis=1), log_area, xx - yy, xy + yx])

    @property
    def resolution(self) -> Array:
        """Uncertainty of each feature (5,): a hundred times the rounding error of the rays."""
        x, y, width = self.pixel
        eps = jnp.finfo(jnp.result_type(float)).eps
        error = 100.0 * eps * (jnp.abs(x) + jnp.abs(y) + width)
        differences = error / width
        return jnp.stack([error, error, differences, differences, differences])


def source_map(target: Target, gaussian: Affine) -> AbstractMap:
    """The map that the chains begin with; without a lensed source, quadratic layers alone.

    Args:
        target: any model.
        gaussian: of the VI.

    Returns:
        Quadratic layers upon the Gaussian, followed by the coupling of each source to the mass in
        front of it.
    """
    layers: Quadratic | Additive = Quadratic.of(gaussian)
    site, planes = _lensed(target)
    for plane in planes:
        pixel = jax.tree.map(jnp.asarray, _brightest_pixel(target, site, plane, gaussian.loc))
        features = PixelFeatures(target, site, pixel, plane)
        layers = Additive.of(features, features.resolution, layers)
    return layers


def _lensed(target: Target) -> tuple[str, list[int]]:
    """The first site that observes a source behind a deflector, and the planes of its sources."""
    found: dict[str, list[int]] = {}

    def look(z: Array) -> int:
        for name, scene in scenes(target.trace(z)).items():
            if behind := [j for j, p in enumerate(scene.planes) if _is_lensed(scene, j, p)]:
                found[name] = behind
        return 0

    jax.eval_shape(look, jnp.zeros(target.dim))
    return next(iter(found.items()), ("", []))


def _is_lensed(scene: Scene, number: int, plane: Plane) -> bool:
    in_front = scene.planes[:number]
    return plane.light is not None and any(p.mass is not None for p in in_front)


@jax.jit(static_argnames=("site", "plane"))
def _brightest_pixel(target: Target, site: str, plane: int, z: Array) -> Pixel:
    """Where the lensed source of a plane is brightest."""
    trace = target.trace(z)
    amplitudes = conditioned(observed_sites(trace))[1][site]
    observation = observations(trace)[site]
    scene = _light_of(plane, with_amplitudes(scenes(trace)[site], amplitudes))
    brightest = jnp.argmax(render_scene(observation, scene))
    x, y = (
        jnp.mean(axis, axis=(0, 1)).reshape(-1)[brightest]
        for axis in (observation.sub_x, observation.sub_y)
    )
    return Pixel(x, y, jnp.sqrt(observation.pixel_area))


def _light_of(number: int, scene: Scene) -> Scene:
    """The same planes, of which one alone emits light."""
    planes = enumerate(scene.planes)
    return Scene(tuple(p if j == number else Plane(p.mass) for j, p in planes), scene.scaling)
