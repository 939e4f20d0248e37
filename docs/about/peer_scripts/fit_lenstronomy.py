"""The fit of the comparison in lenstronomy: PSO, then emcee."""

import h5py
import numpy as np
from lenstronomy.Workflow.fitting_sequence import FittingSequence

with h5py.File("image.h5") as image, h5py.File("psf.h5") as psf:
    kwargs_data = {name: image[name][()] for name in image}
    kernel = psf["kernel_point_source"][()]
kwargs_psf = {"psf_type": "PIXEL", "kernel_point_source": kernel}
kwargs_numerics = {"supersampling_factor": 2, "supersampling_convolution": False}
band = [kwargs_data, kwargs_psf, kwargs_numerics]

shape = {"e1": 0.0, "e2": 0.0, "center_x": 0.0, "center_y": 0.0}
shape_sigma = {"e1": 0.1, "e2": 0.1, "center_x": 0.05, "center_y": 0.05}
shape_lower = {"e1": -0.5, "e2": -0.5, "center_x": -0.5, "center_y": -0.5}
shape_upper = {"e1": 0.5, "e2": 0.5, "center_x": 0.5, "center_y": 0.5}
lens = [
    [{"theta_E": 1.1, "gamma": 2.0, **shape}, {"gamma1": 0.0, "gamma2": 0.0}],
    [{"theta_E": 0.2, "gamma": 0.1, **shape_sigma}, {"gamma1": 0.05, "gamma2": 0.05}],
    [{}, {"ra_0": 0.0, "dec_0": 0.0}],
    [{"theta_E": 0.5, "gamma": 1.0, **shape_lower}, {"gamma1": -0.3, "gamma2": -0.3}],
    [{"theta_E": 2.0, "gamma": 3.0, **shape_upper}, {"gamma1": 0.3, "gamma2": 0.3}],
]


def sersic(radius):
    return [
        [{"R_sersic": radius, "n_sersic": 2.0, **shape}],
        [{"R_sersic": 0.5 * radius, "n_sersic": 1.0, **shape_sigma}],
        [{}],
        [{"R_sersic": 0.01, "n_sersic": 0.5, **shape_lower}],
        [{"R_sersic": 5.0, "n_sersic": 8.0, **shape_upper}],
    ]


fitting = FittingSequence(
    kwargs_data_joint={"multi_band_list": [band], "multi_band_type": "multi-linear"},
    kwargs_model={
        "lens_model_list": ["EPL", "SHEAR"],
        "source_light_model_list": ["SERSIC_ELLIPSE"],
        "lens_light_model_list": ["SERSIC_ELLIPSE"],
    },
    kwargs_constraints={},
    kwargs_likelihood={"source_marg": False},
    kwargs_params={
        "lens_model": lens,
        "source_model": sersic(0.2),
        "lens_light_model": sersic(0.8),
    },
)
chains = fitting.fit_sequence(
    [
        ["PSO", {"n_particles": 200, "n_iterations": 300}],
        ["emcee", {"n_burn": 500, "n_run": 2000, "walkerRatio": 10, "sigma_scale": 0.1}],
    ]
)
print(np.mean(chains[-1][1], axis=0))
