"""Pixel grids and ellipticities."""

import numpy as np
import pytest

from numpyro_lens import coordinates


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
