"""Pixel grids, the ways to write an ellipse, and the conventions of other codes."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro_lens._completion import own_names
from numpyro_lens._types import Matrix, Scalar


def to_ellipticity(q: Scalar, phi: Scalar) -> tuple[Scalar, Scalar]:
    r"""Ellipticity components of an axis ratio and a position angle.

    .. math:: e_1 = \frac{1-q}{1+q}\cos 2\phi, \qquad e_2 = \frac{1-q}{1+q}\sin 2\phi

    Args:
        q: minor over major axis, 0 < q <= 1.
        phi: angle of the major axis, counter-clockwise from +x [radian].

    Returns:
        ``(e1, e2)``.

    Example:
        >>> e1, e2 = to_ellipticity(0.5, 0.0)
        >>> round(float(e1), 4), float(e2)
        (0.3333, 0.0)
    """
    modulus = (1.0 - q) / (1.0 + q)
    return modulus * jnp.cos(2.0 * phi), modulus * jnp.sin(2.0 * phi)


def from_ellipticity(e1: Scalar, e2: Scalar) -> tuple[Scalar, Scalar]:
    r"""Axis ratio and position angle of ellipticity components.

    .. math:: q = \frac{1-|e|}{1+|e|}, \qquad \phi = \tfrac12 \operatorname{arctan2}(e_2, e_1)

    For reading results: the angle of a round profile has no derivative, so sample e1 and e2
    instead.

    Args:
        e1, e2: ellipticity components.

    Returns:
        ``(q, phi)``, the angle in radian between -pi/2 and pi/2.

    Example:
        >>> q, phi = from_ellipticity(0.0, 1 / 3)
        >>> round(float(q), 4), round(float(phi), 4)
        (0.5, 0.7854)
    """
    modulus = jnp.hypot(e1, e2)
    return (1.0 - modulus) / (1.0 + modulus), 0.5 * jnp.arctan2(e2, e1)


def to_shear(gamma: Scalar, phi: Scalar) -> tuple[Scalar, Scalar]:
    r"""Shear of a modulus and an angle, :math:`\gamma_1 + i \gamma_2 = \gamma e^{2 i \phi}`.

    Args:
        gamma: shear modulus.
        phi: angle, counter-clockwise from +x [radian].

    Returns:
        ``(gamma1, gamma2)``.

    Example:
        >>> gamma1, gamma2 = to_shear(0.05, 0.0)
        >>> round(float(gamma1), 3), float(gamma2)
        (0.05, 0.0)
    """
    return gamma * jnp.cos(2.0 * phi), gamma * jnp.sin(2.0 * phi)


def from_shear(gamma1: Scalar, gamma2: Scalar) -> tuple[Scalar, Scalar]:
    r"""Modulus and angle of shear components, the inverse of `to_shear`.

    Args:
        gamma1, gamma2: shear components.

    Returns:
        ``(gamma, phi)``, the angle in radian between -pi/2 and pi/2.

    Example:
        >>> gamma, phi = from_shear(0.0, 0.05)
        >>> round(float(gamma), 3), round(float(phi), 4)
        (0.05, 0.7854)
    """
    return jnp.hypot(gamma1, gamma2), 0.5 * jnp.arctan2(gamma2, gamma1)


def from_east_of_north(angle: Scalar) -> Scalar:
    r"""Angle of COOLEST, counter-clockwise from +y in degrees, as an angle from +x in radian.

    COOLEST measures theta_E and R_sersic on the intermediate axis, which is our product average,
    so that q, the angle and the centre are all that a profile needs:
    ``e1, e2 = to_ellipticity(q, from_east_of_north(phi))`` and, for a shear,
    ``gamma1, gamma2 = to_shear(gamma_ext, from_east_of_north(phi_ext))``.

    Args:
        angle: position angle [degree].

    Returns:
        Angle, counter-clockwise from +x, between -pi/2 and pi/2 [radian].

    Example:
        >>> round(float(from_east_of_north(-90.0)), 4)  # along x
        0.0

    Reference: COOLEST, coolest.readthedocs.io/en/latest/conventions.
    """
    return _half_turn(jnp.deg2rad(angle + 90.0))


def to_east_of_north(phi: Scalar) -> Scalar:
    """Angle from +x in radian as COOLEST writes it, the inverse of `from_east_of_north`.

    Args:
        phi: angle, counter-clockwise from +x [radian].

    Returns:
        Position angle, counter-clockwise from +y, in (-90, 90] [degree].

    Example:
        >>> round(float(to_east_of_north(0.0)))
        90
    """
    return 90.0 - jnp.mod(-jnp.rad2deg(phi), 180.0)


def _half_turn(phi: Scalar) -> Scalar:
    """The angle of an axis, in [-pi/2, pi/2)."""
    return jnp.mod(phi + 0.5 * jnp.pi, jnp.pi) - 0.5 * jnp.pi


def from_pyautolens(
    *,
    centre: tuple[Scalar, Scalar] = (0.0, 0.0),
    ell_comps: tuple[Scalar, Scalar] = (0.0, 0.0),
    einstein_radius: Scalar,
    slope: Scalar = 2.0,
) -> dict[str, Scalar]:
    r"""Parameters of an `EPL` from those of PyAutoLens's PowerLaw, or Isothermal at slope 2.

    .. math:: \theta_E = \sqrt q \left(\tfrac{2}{1+q}\right)^{1/(\gamma-1)} \theta_{\rm theirs}

    Args:
        centre: ``(y, x)`` [arcsec].
        ell_comps: ``(e2, e1)``: the component along the diagonals comes first.
        einstein_radius: PyAutoLens's Einstein radius [arcsec].
        slope: logarithmic slope of the three-dimensional density.

    Returns:
        Dictionary of theta_E, gamma, e1, e2, center_x, center_y, for ``EPL(**parameters)``.

    Example:
        >>> lens = from_pyautolens(centre=(0.1, 0.2), ell_comps=(0.0, 0.2), einstein_radius=1.2)
        >>> lens["e1"], lens["center_x"], round(float(lens["theta_E"]), 3)
        (0.2, 0.2, 1.176)
    """
    scale = _pyautolens_scale(ell_comps[1], ell_comps[0], slope)
    return {
        "theta_E": scale * einstein_radius,
        "gamma": slope,
        "e1": ell_comps[1],
        "e2": ell_comps[0],
        "center_x": centre[1],
        "center_y": centre[0],
    }


def to_pyautolens(
    *,
    theta_E: Scalar,
    gamma: Scalar = 2.0,
    e1: Scalar = 0.0,
    e2: Scalar = 0.0,
    center_x: Scalar = 0.0,
    center_y: Scalar = 0.0,
) -> dict[str, Any]:
    """Parameters of PyAutoLens's PowerLaw from those of an `EPL`, the inverse of `from_pyautolens`.

    Args:
        theta_E, gamma, e1, e2, center_x, center_y: the fields of an `EPL`.

    Returns:
        Dictionary of centre, ell_comps, einstein_radius, slope.

    Example:
        >>> to_pyautolens(theta_E=1.2, center_x=0.1)["centre"]
        (0.0, 0.1)
    """
    return {
        "centre": (center_y, center_x),
        "ell_comps": (e2, e1),
        "einstein_radius": theta_E / _pyautolens_scale(e1, e2, gamma),
        "slope": gamma,
    }


def _pyautolens_scale(e1: Scalar, e2: Scalar, gamma: Scalar) -> Scalar:
    q, _ = from_ellipticity(e1, e2)
    return jnp.sqrt(q) * (2.0 / (1.0 + q)) ** (1.0 / (gamma - 1.0))


def pixel_matrix(pixel_scale: float) -> np.ndarray:
    """Pixel matrix of square pixels with x to the right and y up.

    Args:
        pixel_scale: side of a pixel [arcsec].

    Returns:
        ``(2, 2)`` array [arcsec per pixel].

    Example:
        >>> pixel_matrix(0.05)
        array([[0.05, 0.  ],
               [0.  , 0.05]])
    """
    return pixel_scale * np.eye(2)


def pixel_grid(
    shape: tuple[int, int], matrix: Matrix | np.ndarray, *, offset: tuple[float, float] = (0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray]:
    r"""Positions of pixel centres, with (0, 0) at the centre of the image.

    .. math:: (x, y) = M\,(i - (n_x-1)/2,\; j - (n_y-1)/2)

    Args:
        shape: ``(ny, nx)``.
        matrix: pixel matrix M ``(2, 2)`` [arcsec per pixel], a determinant of either sign.
        offset: shift within the pixels, in pixels ``(column, row)``.

    Returns:
        ``(x, y)``, each ``(ny, nx)`` [arcsec], NumPy arrays in double precision.

    Example:
        >>> x, y = pixel_grid((2, 3), pixel_matrix(0.1))
        >>> x[0]
        array([-0.1,  0. ,  0.1])
    """
    ny, nx = shape
    column = np.arange(nx) - (nx - 1) / 2 + offset[0]
    row = np.arange(ny)[:, None] - (ny - 1) / 2 + offset[1]
    (a, b), (c, d) = np.asarray(matrix, dtype=float)
    return a * column + b * row, c * column + d * row


def sub_pixel_grid(
    shape: tuple[int, int], matrix: Matrix | np.ndarray, supersampling: int, sampling: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of sub-pixel centres, one image-shaped plane for each place within a pixel.

    The planes lead, so that averaging sub-pixels is a sum over leading axes, which every device
    does at memory speed. A sub-pixel belongs to one of ``sampling²`` kernel samples, the first
    axis.

    Args:
        shape: ``(ny, nx)``.
        matrix: pixel matrix ``(2, 2)`` [arcsec per pixel].
        supersampling: sub-pixels per pixel side.
        sampling: samples of the PSF kernel per pixel side; divides supersampling.

    Returns:
        ``(x, y)``, each ``(sampling², (supersampling / sampling)², ny, nx)`` [arcsec].

    Example:
        >>> x, y = sub_pixel_grid((4, 5), pixel_matrix(0.1), 2)
        >>> x.shape, round(float(x[0, 0, 0, 0]), 4)
        ((1, 4, 4, 5), -0.225)
    """
    fine = supersampling // sampling
    place = (np.arange(supersampling) + 0.5) / supersampling - 0.5
    # (sample row, sub row, sample column, sub column) -> (sample, sub)
    places = np.arange(supersampling**2).reshape(sampling, fine, sampling, fine)
    order = places.transpose(0, 2, 1, 3).reshape(sampling**2, fine**2)
    grids = [
        pixel_grid(shape, matrix, offset=(place[k % supersampling], place[k // supersampling]))
        for k in order.ravel()
    ]
    x, y = (np.stack([g[axis] for g in grids]).reshape(*order.shape, *shape) for axis in (0, 1))
    return x, y


def __dir__() -> list[str]:
    return own_names(globals())
