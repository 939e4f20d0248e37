"""Lenstronomy: the value of the likelihood alone, since it has no gradient."""

import time

import numpy as np
import peer
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

data = peer.load()
p = peer.parameters(data, float)
image_data = ImageData(
    data["image"],
    exposure_time=peer.EXP_TIME,
    background_rms=peer.BACKGROUND_RMS,
    ra_at_xy_0=peer.corner(data),
    dec_at_xy_0=peer.corner(data),
    transform_pix2angle=peer.DELTA_PIX * np.eye(2),
)
model = ImageModel(
    image_data,
    PSF(
        "PIXEL",
        kernel_point_source=data["fine_kernel"],
        point_source_supersampling_factor=peer.SUPERSAMPLING,
    ),
    lens_model_class=LensModel(["EPL", "SHEAR"]),
    source_model_class=LightModel(["SERSIC_ELLIPSE"]),
    lens_light_model_class=LightModel(["SERSIC_ELLIPSE"]),
    kwargs_numerics={
        "supersampling_factor": peer.SUPERSAMPLING,
        "supersampling_convolution": True,
        "supersampling_kernel_size": None,  # all of the kernel, not its 5x5 core
        "convolution_type": "fft_static",
    },
)


def image(i):
    one = {name: values[i] for name, values in p.items()}
    return model.image(
        [peer.of(one, "lenses.0"), peer.of(one, "lenses.1")],
        [peer.of(one, "source_light.0", Ie="amp")],
        [peer.of(one, "lens_light.0", Ie="amp")],
    )


def value(i):
    return image_data.log_likelihood(image(i), np.ones_like(data["image"]))


batch = len(data["expected"])
start = time.perf_counter()
found = np.stack([image(i) for i in range(batch)])
first_s = time.perf_counter() - start
peer.report(
    "lenstronomy",
    "value only, one by one, float64",
    lambda: [value(i) for i in range(batch)],
    batch,
    compile_s=first_s,
    **peer.agreement(found, data),
)
