"""Point sources: where their images are, and when they arrive."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._completion import own_names
from numpyro_lens._constants import constants
from numpyro_lens._types import Array, Coordinates, Field, Parameter, Scalar, Vector
from numpyro_lens.lensing import deflection_jacobian, inverse_magnification
from numpyro_lens.mass import AbstractMass, potential_of
from numpyro_lens.numerics.safe import as_float
from numpyro_lens.scene import Lens, Scene, as_deflector, ray_trace, rays


def fermat_potential(
    mass: Lens, x: Coordinates, y: Coordinates, source_x: Scalar, source_y: Scalar
) -> Field:
    r"""Fermat potential, :math:`\phi = \tfrac12|\theta-\beta|^2 - \psi(\theta)`.

    Its stationary points are the images of a source at beta.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions in the image plane [arcsec], of one shape.
        source_x, source_y: position of the source [arcsec], scalars.

    Returns:
        Fermat potential [arcsec²], shaped like x; its zero point has no meaning.

    Raises:
        NotImplementedError: a profile has no closed-form potential.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> round(float(fermat_potential(SIS(theta_E=1.0), 1.2, 0.0, 0.2, 0.0)), 3)
        -0.7
    """
    x, y = as_float(x, y)
    offset = (x - source_x) ** 2 + (y - source_y) ** 2
    return 0.5 * offset - potential_of(as_deflector(mass), x, y)


def time_delays(
    mass: Lens,
    x: Coordinates,
    y: Coordinates,
    source_x: Scalar,
    source_y: Scalar,
    *,
    time_delay_distance: Parameter,
) -> Vector:
    r"""Arrival times of images, :math:`\Delta t_i = \frac{D_{\Delta t}}{c}(\phi_i - \phi_0)`.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions of the images [arcsec], shape (n,).
        source_x, source_y: position of the source [arcsec], scalars.
        time_delay_distance: :math:`(1+z_d) D_d D_s / D_{ds}` [Mpc], say
            `cosmology.Distances.time_delay_distance`; of a scene of several planes those between
            neighbouring planes, `cosmology.time_delay_distances`, shape (num_planes - 1,).

    Returns:
        Arrival times after the first of the images given [day], shape (n,).

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> x, y = np.array([1.2, -0.8]), np.zeros(2)
        >>> delays = time_delays(SIS(theta_E=1.0), x, y, 0.2, 0.0, time_delay_distance=3000.0)
        >>> round(float(delays[1]), 1)
        33.6
    """
    if isinstance(mass, Scene) and len(mass.planes) > 2:
        distances = _checked(jnp.asarray(time_delay_distance), len(mass.planes))
        path = _arrival(mass, x, y, source_x, source_y, distances)
    else:
        fermat = fermat_potential(mass, x, y, source_x, source_y)
        path = fermat * time_delay_distance
    light, _, arcsec, day, megaparsec = constants()
    days = megaparsec / light / day * arcsec**2
    return (path - path[0]) * days


def _checked(distances: Array, num: int) -> Array:
    if distances.shape != (num - 1,):
        raise ValueError(
            f"Arrival times through {num} planes need the time-delay distances between "
            f"neighbouring ones, {num - 1} numbers; got {distances.shape}. Take "
            "cosmology.time_delay_distances(redshifts, cosmology)."
        )
    return distances


def _arrival(
    scene: Scene,
    x: Coordinates,
    y: Coordinates,
    source_x: Scalar,
    source_y: Scalar,
    distances: Array,
) -> Field:
    """Arrival time through several planes times the speed of light [Mpc arcsec²].

    Schneider, Ehlers & Falco 1992, equation 9.14, from plane to plane.
    """
    met = rays(scene, x, y)
    met[-1] = (source_x + 0.0 * met[-1][0], source_y + 0.0 * met[-1][1])
    total = jnp.zeros_like(met[0][0])
    for i, plane in enumerate(scene.planes[:-1]):
        (here_x, here_y), (next_x, next_y) = met[i], met[i + 1]
        path = 0.5 * ((next_x - here_x) ** 2 + (next_y - here_y) ** 2)
        if plane.mass is not None:
            factor = scene.factor(i, i + 1)
            path = path - factor * potential_of(plane.mass, here_x, here_y)
        total = total + distances[i] * path
    return total


def polish_images(
    mass: Lens,
    x: Coordinates,
    y: Coordinates,
    source_x: Scalar,
    source_y: Scalar,
    *,
    steps: int = 1,
) -> tuple[Vector, Vector]:
    r"""Newton steps on the lens equation, by :math:`A^{-1}(\beta - \beta(\theta))`.

    From converged positions one step changes nothing, and its derivative is that of the image
    positions in every parameter of the lens and the source: an image model is differentiable by
    solving with `image_positions` once and polishing inside the model.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions near the images [arcsec], shape (n,).
        source_x, source_y: position of the source [arcsec], scalars.
        steps: number of steps.

    Returns:
        ``(x, y)``, each of shape (n,) [arcsec].

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> x, y = polish_images(SIS(theta_E=1.0), np.array([1.19]), np.zeros(1), 0.2, 0.0)
        >>> round(float(x[0]), 4)
        1.2
    """

    def newton(_: Array, position: tuple[Vector, Vector]) -> tuple[Vector, Vector]:
        x, y = position
        beta_x, beta_y = ray_trace(mass, x, y)
        xx, xy, yx, yy = deflection_jacobian(mass, x, y)
        gap_x, gap_y = source_x - beta_x, source_y - beta_y
        a, b, c, d = 1.0 - xx, -xy, -yx, 1.0 - yy
        det = a * d - b * c
        return x + (d * gap_x - b * gap_y) / det, y + (a * gap_y - c * gap_x) / det

    return jax.lax.fori_loop(0, steps, newton, jax.lax.stop_gradient(tuple(as_float(x, y))))


def image_positions(
    mass: Lens,
    source_x: float,
    source_y: float,
    *,
    center: tuple[float, float] = (0.0, 0.0),
    half_width: float = 5.0,
    num: int = 200,
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the lens equation: every image of a point source in a square.

    The square is cut into triangles; those that the lens maps around the source are each refined by
    Newton steps. Two images closer than a grid step, near a critical curve, can be missed: then
    raise num. The image at a singular centre is none, and is left out.

    Args:
        mass: a deflector, a list of them, or a scene.
        source_x, source_y: position of the source [arcsec], numbers.
        center: centre ``(x, y)`` of the square [arcsec].
        half_width: half of its side [arcsec].
        num: grid points a side.

    Returns:
        ``(x, y)``, NumPy arrays of shape (n,) [arcsec], in the order of their arrival; through
        several planes, where that takes distances, the brightest first.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> x, y = image_positions(SIS(theta_E=1.0), 0.2, 0.0)
        >>> np.round(x, 3)
        array([ 1.2, -0.8])
    """
    lens, mass = mass, as_deflector(mass)
    # An odd shift, so that no grid point is the singular centre of a lens.
    offsets = np.linspace(-half_width, half_width, num) + 0.137 * half_width / num
    x, y = np.meshgrid(center[0] + offsets, center[1] + offsets)
    beta = [np.asarray(b, float) for b in _traced(mass, x, y)]
    starts = _triangle_centers(x, y, beta[0] - source_x, beta[1] - source_y)
    if not starts.size:
        return np.empty(0), np.empty(0)
    step = 2.0 * half_width / (num - 1)
    images = _refined(mass, starts, (source_x, source_y), step)
    x, y = images[np.argsort(_order(lens, mass, *images.T, source_x, source_y))].T
    return x, y


def _order(lens: Lens, mass: AbstractMass, *where: Any) -> np.ndarray:
    """What sorts images: their arrival, or through several planes their faintness."""
    if isinstance(lens, Scene) and len(lens.planes) > 2:
        return np.abs(np.asarray(_inverse_magnification(mass, *where[:2])))
    return np.asarray(_fermat_potential(mass, *where))


_traced = jax.jit(ray_trace)
_fermat_potential = jax.jit(fermat_potential)
_inverse_magnification = jax.jit(inverse_magnification)
_polished = jax.jit(polish_images, static_argnames="steps")


def _triangle_centers(x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Centres of the triangles whose image in the source plane contains the origin of (u, v)."""
    centers = []
    for corners in ((0, 1, 2), (3, 2, 1)):  # lower left and upper right half of each cell
        px, py, pu, pv = (_corners(array)[list(corners)] for array in (x, y, u, v))
        cross = pu * np.roll(pv, -1, axis=0) - pv * np.roll(pu, -1, axis=0)
        inside = (cross >= 0).all(axis=0) | (cross <= 0).all(axis=0)
        centers.append(np.stack([px.mean(axis=0)[inside], py.mean(axis=0)[inside]], axis=1))
    return np.concatenate(centers)


def _corners(array: np.ndarray) -> np.ndarray:
    return np.stack([array[:-1, :-1], array[:-1, 1:], array[1:, :-1], array[1:, 1:]])


def _refined(
    mass: AbstractMass, starts: np.ndarray, source: tuple[float, float], step: float
) -> np.ndarray:
    """Newton from every start; what diverges or is found twice is dropped."""
    # Filled up to a multiple of 32, so that few sizes are ever compiled.
    starts = np.resize(starts, (-(-len(starts) // 32) * 32, 2))
    x, y = (np.asarray(v, float) for v in _polished(mass, *starts.T, *source, steps=10))
    near = np.hypot(x - starts[:, 0], y - starts[:, 1]) < 3.0 * step
    beta = _traced(mass, x, y)
    residual = np.hypot(np.asarray(beta[0]) - source[0], np.asarray(beta[1]) - source[1])
    found = np.stack([x, y], axis=1)[near & (residual < 1e-3 * step)]
    unique: list[np.ndarray] = []
    for image in found:
        if all(np.hypot(*(image - other)) > 0.01 * step for other in unique):
            unique.append(image)
    return np.array(unique).reshape(-1, 2)


def __dir__() -> list[str]:
    return own_names(globals())
