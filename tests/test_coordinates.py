"""Pixel grids and ellipticities."""

import numpy as np
import pytest

from numpyro_lens import coordinates
from numpyro_lens.mass import EPL


def test_ellipticity_round_trip(double):
    q, phi = coordinates.from_ellipticity(*coordinates.to_ellipticity(0.6, 0.4))
    np.testing.assert_allclose([q, phi], [0.6, 0.4])


def test_shear_of_an_angle(double):
    np.testing.assert_allclose(coordinates.to_shear(0.1, np.pi / 4), [0, 0.1], atol=1e-15)


@pytest.mark.parametrize("shape", [(5, 7), (4, 6), (3, 3)])
@pytest.mark.parametrize("sampling", [1, 2, 4])
def test_sub_pixels_average_to_their_pixel(shape, sampling):
    matrix = np.array([[-0.05, 0.01], [0.02, 0.06]])
    x, y = coordinates.pixel_grid(shape, matrix)
    assert abs(x.mean()) < 1e-15
    np.testing.assert_allclose(x[2, 1] - x[2, 0], -0.05)
    np.testing.assert_allclose(y[1, 0] - y[0, 0], 0.06)
    sub_x, sub_y = coordinates.sub_pixel_grid(shape, matrix, 4, sampling)
    assert sub_x.shape == (sampling**2, (4 // sampling) ** 2, *shape)
    np.testing.assert_allclose(sub_x.mean(axis=(0, 1)), x, atol=1e-15)
    np.testing.assert_allclose(sub_y.mean(axis=(0, 1)), y, atol=1e-15)
    assert len(np.unique(np.round(sub_x + 1j * sub_y, 9))) == 16 * shape[0] * shape[1]


def test_shear_round_trip(double):
    gamma, phi = coordinates.from_shear(*coordinates.to_shear(0.07, -0.4))
    np.testing.assert_allclose([gamma, phi], [0.07, -0.4])


@pytest.mark.parametrize("angle", [-89.0, -30.0, 0.0, 45.0, 89.9])
def test_east_of_north_round_trip(angle, double):
    phi = coordinates.from_east_of_north(angle)
    np.testing.assert_allclose(coordinates.to_east_of_north(phi), angle, atol=1e-12)
    lenstronomy = pytest.importorskip("lenstronomy.Util.coolest_read_util")
    # There x points to the left: the second components have the other sign.
    e1, e2 = lenstronomy.qphi_coolest_to_e1e2_lenstronomy(0.7, angle)
    np.testing.assert_allclose(coordinates.to_ellipticity(0.7, phi), [e1, -e2], atol=1e-12)
    gamma1, gamma2 = lenstronomy.gamma_phi_coolest_to_g1_g2_lenstronomy(0.05, angle)
    np.testing.assert_allclose(coordinates.to_shear(0.05, phi), [gamma1, -gamma2], atol=1e-12)


def test_pyautolens_round_trip(double):
    theirs = {
        "centre": (0.1, -0.2),
        "ell_comps": (0.05, 0.2),
        "einstein_radius": 1.3,
        "slope": 1.8,
    }
    again = coordinates.to_pyautolens(**coordinates.from_pyautolens(**theirs))
    for key, value in theirs.items():
        np.testing.assert_allclose(again[key], value)


def test_pyautolens_convergence(double):
    """Its power law in its own words, (3-s)/(1+q) (b/xi)^(s-1) with xi² = x² + y²/q²."""
    q, slope, radius = 0.7, 1.8, 1.3
    comps = (0.0, (1 - q) / (1 + q))
    lens = EPL(**coordinates.from_pyautolens(ell_comps=comps, einstein_radius=radius, slope=slope))
    x, y = np.array([0.5, 1.2]), np.array([0.9, -0.4])
    xi = np.sqrt(x**2 + y**2 / q**2)
    np.testing.assert_allclose(
        lens.convergence(x, y), (3 - slope) / (1 + q) * (radius / xi) ** (slope - 1)
    )
