"""JAXtronomy: value and gradient of the likelihood of one image at a time."""

import numpy as np
import peer
from jaxtronomy.Data.imaging_data import ImageData
from jaxtronomy.ImSim.image_model import ImageModel
from jaxtronomy.LensModel.lens_model import LensModel
from jaxtronomy.LightModel.light_model import LightModel
from lenstronomy.Data.psf import PSF

data = peer.load()
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
    },
)


def image(p):
    return model.image(
        kwargs_lens=[peer.of(p, "lenses.0"), peer.of(p, "lenses.1")],
        kwargs_source=[peer.of(p, "source_light.0", Ie="amp")],
        kwargs_lens_light=[peer.of(p, "lens_light.0", Ie="amp")],
        point_source_add=False,
    )


peer.report_single("jaxtronomy", image, data)
