"""What is true of any lens: everything here follows from its deflection."""

from collections.abc import Callable
from typing import Any

import contourpy
import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._completion import own_names
from numpyro_lens._types import Array, Coordinates, Field, Scalar
from numpyro_lens.mass import AbstractMass, convergence_of
from numpyro_lens.numerics.safe import as_float
from numpyro_lens.scene import Lens, as_deflector
from numpyro_lens.scene import ray_trace as ray_trace

#: Points of a curve that are traced at once.
_CURVE_BLOCK = 1000


def deflection_jacobian(
    mass: Lens, x: Coordinates, y: Coordinates
) -> tuple[Field, Field, Field, Field]:
    r"""Derivatives of the deflection, :math:`\partial \alpha_i / \partial \theta_j`.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions in the image plane [arcsec], of one shape.

    Returns:
        ``(a_xx, a_xy, a_yx, a_yy)``, shaped like x; a_xy is the derivative of alpha_x in y.

    Example:
        >>> from numpyro_lens.mass import Shear
        >>> xx, _, _, yy = deflection_jacobian(Shear(gamma1=0.1, gamma2=0.0), 1.0, 1.0)
        >>> round(float(xx), 3), round(float(yy), 3)
        (0.1, -0.1)
    """
    mass = as_deflector(mass)
    x, y = as_float(x, y)
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    _, (xx, yx) = jax.jvp(mass.deflection, (x, y), (one, zero))
    _, (xy, yy) = jax.jvp(mass.deflection, (x, y), (zero, one))
    return xx, xy, yx, yy


def convergence(mass: Lens, x: Coordinates, y: Coordinates) -> Field:
    r"""Convergence, :math:`\kappa = \tfrac12 \nabla\cdot\alpha`.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions in the image plane [arcsec], of one shape.

    Returns:
        Convergence, shaped like x.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> round(float(convergence(SIS(theta_E=1.0), 1.0, 0.0)), 3)
        0.5
    """
    return convergence_of(as_deflector(mass), *as_float(x, y))


def shear(mass: Lens, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
    r"""Shear, :math:`\gamma_1 = (\alpha_{x,x} - \alpha_{y,y})/2, \gamma_2 = \alpha_{x,y}`.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions in the image plane [arcsec], of one shape.

    Returns:
        ``(gamma1, gamma2)``, shaped like x.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> gamma1, gamma2 = shear(SIS(theta_E=1.0), 1.0, 0.0)
        >>> round(float(gamma1), 3)
        -0.5
    """
    xx, xy, _, yy = deflection_jacobian(mass, x, y)
    return 0.5 * (xx - yy), xy


def inverse_magnification(mass: Lens, x: Coordinates, y: Coordinates) -> Field:
    r"""Determinant of the lens map, :math:`\mu^{-1} = \det(1 - \partial\alpha/\partial\theta)`.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions in the image plane [arcsec], of one shape.

    Returns:
        Inverse magnification, shaped like x; it vanishes on critical curves.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> round(float(inverse_magnification(SIS(theta_E=1.0), 2.0, 0.0)), 3)
        0.5
    """
    xx, xy, yx, yy = deflection_jacobian(mass, x, y)
    return (1.0 - xx) * (1.0 - yy) - xy * yx


def magnification(mass: Lens, x: Coordinates, y: Coordinates) -> Field:
    r"""Signed magnification :math:`\mu` of a point source.

    Args:
        mass: a deflector, a list of them, or a scene.
        x, y: positions in the image plane [arcsec], of one shape.

    Returns:
        Magnification, shaped like x; negative for a mirrored image, infinite on a critical curve.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> round(float(magnification(SIS(theta_E=1.0), 2.0, 0.0)), 3)
        2.0
    """
    return 1.0 / inverse_magnification(mass, x, y)


def critical_curves(
    mass: Lens,
    *,
    center: tuple[float, float] = (0.0, 0.0),
    half_width: float = 5.0,
    num: int = 400,
) -> list[np.ndarray]:
    """Curves of infinite magnification, for looking at, not for differentiating.

    Contours of the inverse magnification on a grid, then moved onto its zero by Newton steps.

    Args:
        mass: a deflector, a list of them, or a scene.
        center: centre ``(x, y)`` of the square that is searched [arcsec].
        half_width: half of its side [arcsec].
        num: grid points a side; curves smaller than a few grid steps are left out.

    Returns:
        List of ``(n, 2)`` NumPy arrays of positions (x, y) [arcsec], the longest curve around the
        most area first. A curve is closed when its first and last points agree.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> curve, = critical_curves(SIS(theta_E=1.0))
        >>> bool(abs((curve**2).sum(axis=1) - 1).max() < 1e-4)
        True
    """
    mass = as_deflector(mass)
    # An odd shift, so that no grid point is the singular centre of a lens.
    offsets = np.linspace(-half_width, half_width, num) + 0.137 * half_width / num
    x, y = center[0] + offsets, center[1] + offsets
    x_grid, y_grid = np.meshgrid(x, y)
    values = _in_blocks(_inverse_magnification, mass, x_grid, y_grid, num**2)
    step = 2.0 * half_width / (num - 1)
    contours = map(np.asarray, contourpy.contour_generator(x, y, values).lines(0.0))
    large = [c for c in contours if np.ptp(c, axis=0).max() > 3.0 * step]
    curves = [_polished(mass, curve, step, num**2) for curve in large]
    return sorted(curves, key=_area, reverse=True)


_inverse_magnification = jax.jit(inverse_magnification)


@jax.jit
def _traced(mass: AbstractMass, x: Array, y: Array) -> Array:
    return jnp.stack(ray_trace(mass, x, y))


def _in_blocks(
    function: Callable, mass: AbstractMass, x: np.ndarray, y: np.ndarray, block: int
) -> np.ndarray:
    """A compiled function of any number of points, which it only ever sees in blocks of one size.

    Each new size would be compiled anew, for every curve of every lens.
    """
    blocks = -(-x.size // block)
    # The last block is filled up by repeating points.
    x_blocks, y_blocks = (np.resize(v, (blocks, block)) for v in (x, y))
    pairs = zip(x_blocks, y_blocks, strict=True)
    values = np.concatenate([function(mass, *pair) for pair in pairs], axis=-1)
    return values[..., : x.size].reshape(*values.shape[:-1], *x.shape).astype(float)


def _polished(mass: AbstractMass, curve: np.ndarray, step: float, block: int) -> np.ndarray:
    """Points moved along the gradient to the zero; a point never leaves its grid cell."""
    # Differences of the compiled function: its derivative would take longer to compile.
    h = 0.02 * step
    stencil = h * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    for _ in range(3):
        points = curve.T[:, None] + stencil.T[:, :, None]
        values = _in_blocks(_inverse_magnification, mass, points[0], points[1], block)
        value, right, left, up, down = values
        dx, dy = (right - left) / (2.0 * h), (up - down) / (2.0 * h)
        slope = dx**2 + dy**2
        move = np.stack([dx, dy], axis=1) * (value / np.maximum(slope, 1e-12))[:, None]
        curve = curve - np.clip(move, -step, step)
    return curve


def _area(curve: np.ndarray) -> float:
    x, y = curve.T
    return 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def caustics(mass: Lens, **search: Any) -> list[np.ndarray]:
    """Critical curves traced to the source plane.

    Args:
        mass: a deflector, a list of them, or a scene.
        **search: ``center``, ``half_width`` and ``num`` of `critical_curves`.

    Returns:
        List of ``(n, 2)`` NumPy arrays of positions (x, y) [arcsec], in the order of
        `critical_curves`.

    Example:
        >>> from numpyro_lens.mass import SIS, Shear
        >>> curve, = caustics(SIS(theta_E=1.0) + Shear(gamma1=0.05, gamma2=0.0))
        >>> curve.shape[1]
        2
    """
    mass = as_deflector(mass)
    curves = critical_curves(mass, **search)
    return [_in_blocks(_traced, mass, x, y, _CURVE_BLOCK).T for x, y in (c.T for c in curves)]


def einstein_radius(mass: Lens, **search: Any) -> float:
    r"""Effective Einstein radius, :math:`\sqrt{A/\pi}` with the area A in the outer critical curve.

    Args:
        mass: a deflector, a list of them, or a scene.
        **search: ``center``, ``half_width`` and ``num`` of `critical_curves`.

    Returns:
        Radius [arcsec].

    Raises:
        ValueError: no closed critical curve lies in the square that was searched.

    Example:
        >>> from numpyro_lens.mass import SIE
        >>> round(einstein_radius(SIE(theta_E=1.2, e1=0.2, e2=0.1)), 3)
        1.2
    """
    curves = critical_curves(mass, **search)
    closed = [c for c in curves if np.allclose(c[0], c[-1], atol=1e-6)]
    if not closed or len(closed) < len(curves):
        got = f"{len(closed)} closed and {len(curves) - len(closed)} open ones"
        raise ValueError(
            "The Einstein radius needs the critical curves to be closed inside the square that is "
            f"searched; got {got}. Widen it: einstein_radius(mass, half_width=20.0), or move "
            f"it with "
            "center=(x, y)."
        )
    return float(np.sqrt(_area(closed[0]) / np.pi))


def mass_within(
    mass: Lens, radius: Scalar, *, center: tuple[float, float] = (0.0, 0.0), num: int = 128
) -> Array:
    r"""Projected mass in a circle, :math:`\tfrac12 r \oint \alpha\cdot\hat n\,d\phi`.

    By Gauss's theorem from the deflection on the circle alone: a cusp or a point mass inside needs
    no care. Differentiable in the radius and in every parameter.

    Args:
        mass: a deflector, a list of them, or a scene.
        radius: radius of the circle [arcsec], scalar.
        center: its centre ``(x, y)`` [arcsec].
        num: points on the circle; the error falls geometrically with it.

    Returns:
        Mass over the critical surface density [arcsec²], scalar. Times
        `cosmology.Distances.critical_density` it is in solar masses.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> round(float(mass_within(SIS(theta_E=1.0), 1.0)), 4)  # pi theta_E²
        3.1416
    """
    phi = 2.0 * np.pi * np.arange(num) / num
    radius = as_float(radius)[0]
    cosine, sine = (jnp.asarray(f(phi), radius.dtype) for f in (np.cos, np.sin))
    alpha_x, alpha_y = as_deflector(mass).deflection(
        center[0] + radius * cosine, center[1] + radius * sine
    )
    return np.pi * radius * jnp.mean(alpha_x * cosine + alpha_y * sine)


def local_slope(mass: Lens, radius: Scalar, *, center: tuple[float, float] = (0.0, 0.0)) -> Array:
    r"""Slope at a radius, :math:`\gamma = 1 - d\ln\kappa/d\ln r`, of the average over a ring.

    The gamma of an `EPL` of any ellipticity; of other lenses the slope of the density that a power
    law would need there. Evaluated at the Einstein radius it is what lens models are compared by.

    Args:
        mass: a deflector, a list of them, or a scene.
        radius: radius of the ring [arcsec], scalar.
        center: its centre ``(x, y)`` [arcsec].

    Returns:
        Slope, scalar.

    Example:
        >>> from numpyro_lens.mass import EPL
        >>> round(float(local_slope(EPL(theta_E=1.2, gamma=1.8, e1=0.2), 1.2)), 3)
        1.8
    """
    radius = as_float(radius)[0]

    def ring(r: Array) -> Array:
        """Average convergence on the ring, from the mass inside."""
        return jax.grad(lambda r: mass_within(mass, r, center=center))(r) / (2.0 * np.pi * r)

    kappa, slope = jax.value_and_grad(ring)(radius)
    return 1.0 - radius * slope / kappa


def mass_in_einstein_radius(mass: Lens, **search: Any) -> float:
    r"""Projected mass in the circle of the effective Einstein radius.

    For a round lens this is :math:`\pi\theta_E^2` exactly: its mean convergence there is one.

    Args:
        mass: a deflector, a list of them, or a scene.
        **search: ``center``, ``half_width`` and ``num`` of `critical_curves`.

    Returns:
        Mass over the critical surface density [arcsec²].

    Raises:
        ValueError: no closed critical curve lies in the square that was searched.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> round(mass_in_einstein_radius(SIS(theta_E=1.0)), 2)
        3.14
    """
    radius = einstein_radius(mass, **search)
    return float(mass_within(mass, radius, center=search.get("center", (0.0, 0.0))))


def __dir__() -> list[str]:
    return own_names(globals())
