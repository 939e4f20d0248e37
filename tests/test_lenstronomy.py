"""Images pixel by pixel against lenstronomy, whose conventions are ours."""

import warnings

import jax
import numpy as np
import pytest

from numpyro_lens import light, mass
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.simulate import render

pytest.importorskip("lenstronomy")
EPL = {"theta_E": 1.0, "gamma": 2.1, "e1": 0.12, "e2": -0.08, "center_x": 0.03, "center_y": -0.02}
SHEAR = {"gamma1": 0.04, "gamma2": -0.03}
LENS_LIGHT = {"amp": 8.0, "R_sersic": 0.7, "n_sersic": 3.0, "e1": 0.1, "e2": 0.05} | {
    "center_x": 0.031,
    "center_y": -0.022,
}
SOURCE = {"amp": 20.0, "R_sersic": 0.25, "n_sersic": 1.2, "e1": -0.1, "e2": 0.15} | {
    "center_x": 0.11,
    "center_y": 0.06,
}
MATRICES = {"up": [[0.08, 0.0], [0.0, 0.08]], "left": [[-0.07, 0.02], [0.02, 0.07]]}


def lenstronomy_image(shape, matrix, supersampling, kernel, sampling):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenstronomy.Data import psf as kernels
        from lenstronomy.Data.pixel_grid import PixelGrid
        from lenstronomy.ImSim.image_model import ImageModel
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel

        ny, nx = shape
        corner = -np.asarray(matrix) @ [(nx - 1) / 2, (ny - 1) / 2]
        # It makes sub-pixels of square grids only, so ours is a corner of its image.
        size = max(shape)
        grid = PixelGrid(size, size, np.asarray(matrix), corner[0], corner[1])
        psf = kernels.PSF("NONE")
        if kernel is not None:
            psf = kernels.PSF(
                "PIXEL",
                kernel_point_source=kernel,
                point_source_supersampling_factor=sampling,
                kernel_point_source_normalisation=True,
            )
        numerics = {
            "supersampling_factor": supersampling,
            "supersampling_convolution": sampling > 1,
        }
        model = ImageModel(
            grid,
            psf,
            LensModel(["EPL", "SHEAR"]),
            LightModel(["SERSIC_ELLIPSE"]),
            LightModel(["SERSIC_ELLIPSE"]),
            kwargs_numerics=numerics,
        )
        return model.image([EPL, SHEAR], [SOURCE], [LENS_LIGHT])[:ny, :nx]


@jax.jit
def compiled(observation, scene):
    return render(observation, **scene)


def our_image(shape, matrix, supersampling, kernel, sampling):
    observation = Observation(
        np.zeros(shape),
        transform_pix2angle=matrix,
        noise=NoiseMap(1.0),
        psf=None if kernel is None else PSF(kernel, sampling=sampling),
        supersampling=supersampling,
    )
    scene = {
        "mass": mass.EPL(**EPL) + mass.Shear(**SHEAR),
        "source": light.Sersic(**SOURCE),
        "lens_light": light.Sersic(**LENS_LIGHT),
    }
    return compiled(observation, scene)


def kernel_of(size):
    x = np.arange(size) - size // 2
    kernel = np.exp(-0.5 * (x**2 + 1.3 * x[:, None] ** 2 + 0.5 * x * x[:, None]) / 2.0)
    return kernel / kernel.sum()


@pytest.mark.parametrize("psf", ["none", "pixel", "sub-pixel"])
@pytest.mark.parametrize("supersampling", [1, 2, 3])
@pytest.mark.parametrize(
    ("shape", "matrix"), [((40, 40), "up"), ((36, 45), "up"), ((45, 36), "left")]
)
def test_image_equals_lenstronomy(shape, matrix, supersampling, psf, x64):
    sampling = supersampling if psf == "sub-pixel" else 1
    kernel = None if psf == "none" else kernel_of(9 if sampling == 1 else 11)
    settings = (shape, MATRICES[matrix], supersampling, kernel, sampling)
    expected, got = lenstronomy_image(*settings), our_image(*settings)
    if shape[0] != shape[1]:
        # Light from outside our image reaches its last pixels in the larger one.
        expected, got = expected[:-6, :-6], got[:-6, :-6]
    tolerance = 1e-7 if x64 else 1e-4
    np.testing.assert_allclose(
        got, expected, rtol=tolerance, atol=tolerance * 1e-3 * expected.max()
    )
