"""Herculens: value and gradient of the likelihood of one image at a time."""

import numpy as np
import peer
from herculens.Coordinates.pixel_grid import PixelGrid
from herculens.Instrument.psf import PSF
from herculens.LensImage.lens_image import LensImage
from herculens.LightModel.light_model import LightModel
from herculens.LightModel.Profiles.sersic import Sersic
from herculens.MassModel.mass_model import MassModel
from herculens.MassModel.Profiles.epl import EPL
from herculens.MassModel.Profiles.shear import Shear

data = peer.load()
side = data["image"].shape[0]
grid = PixelGrid(side, side, peer.DELTA_PIX * np.eye(2), peer.corner(data), peer.corner(data))
psf = PSF(
    "PIXEL", kernel_point_source=data["fine_kernel"], kernel_supersampling_factor=peer.SUPERSAMPLING
)


def sersic():
    # By default its radius is that of the major axis; ours, and lenstronomy's, is the product's.
    return LightModel([Sersic(radius_major_axis=False)])


lens_image = LensImage(
    grid,
    psf,
    lens_mass_model_class=MassModel([EPL(), Shear()]),
    source_model_class=sersic(),
    lens_light_model_class=sersic(),
    kwargs_numerics={
        "supersampling_factor": peer.SUPERSAMPLING,
        "supersampling_convolution": True,
        "supersampling_kernel_size": None,  # all of the kernel, not its 5x5 core
    },
)


def image(p):
    return lens_image.model(
        kwargs_lens=[peer.of(p, "lenses.0"), peer.of(p, "lenses.1")],
        kwargs_source=[peer.of(p, "source_light.0", Ie="amp")],
        kwargs_lens_light=[peer.of(p, "lens_light.0", Ie="amp")],
        point_source_add=False,
    )


peer.report_single("herculens", image, data)
