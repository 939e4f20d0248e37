"""GIGA-Lens's demo, written as its users write, and what GIGA-Lens 2.0.1 gave for it."""

from pathlib import Path

import numpy as np
from numpyro_lens.gigalens.jax.profiles.light import sersic
from numpyro_lens.gigalens.jax.profiles.mass import epl, shear

from numpyro_lens.gigalens import tfp
from numpyro_lens.gigalens.model import PhysicalModel

tfd = tfp.distributions


def joint(*profiles):
    return tfd.JointDistributionSequential([tfd.JointDistributionNamed(p) for p in profiles])


def ellipse(scale, bound):
    return {name: tfd.TruncatedNormal(0, scale, -bound, bound) for name in ("e1", "e2")}


def centre(scale):
    return {name: tfd.Normal(0, scale) for name in ("center_x", "center_y")}


def lens_prior():
    power_law = dict(
        theta_E=tfd.LogNormal(np.log(1.25), 0.25),
        gamma=tfd.TruncatedNormal(2, 0.25, 1, 3),
        e1=tfd.Normal(0, 0.1),
        e2=tfd.Normal(0, 0.1),
        **centre(0.05),
    )
    return joint(power_law, {"gamma1": tfd.Normal(0, 0.05), "gamma2": tfd.Normal(0, 0.05)})


def lens_light_prior(**amplitude):
    return joint(
        dict(
            R_sersic=tfd.LogNormal(np.log(1.0), 0.15),
            n_sersic=tfd.Uniform(2, 6),
            **ellipse(0.1, 0.3),
            **centre(0.05),
            **amplitude,
        )
    )


def source_prior(**amplitude):
    return joint(
        dict(
            R_sersic=tfd.LogNormal(np.log(0.25), 0.15),
            n_sersic=tfd.Uniform(0.5, 4),
            **ellipse(0.15, 0.5),
            **centre(0.25),
            **amplitude,
        )
    )


def forward_prior():
    lens_light = lens_light_prior(Ie=tfd.LogNormal(np.log(500.0), 0.3))
    source = source_prior(Ie=tfd.LogNormal(np.log(150.0), 0.5))
    return tfd.JointDistributionSequential([lens_prior(), lens_light, source])


def physical_model(use_lstsq=False, source=None):
    lens_light = [sersic.SersicEllipse(use_lstsq=use_lstsq)]
    source = [source or sersic.SersicEllipse(use_lstsq=use_lstsq)]
    return PhysicalModel([epl.EPL(50), shear.Shear()], lens_light, source)


def reference():
    with np.load(Path(__file__).parent / "reference_2_0_1.npz") as file:
        return dict(file)


def psf(numbers):
    """The PSF of the demo, 13x13: for an odd factor lenstronomy's refinement sums back to it."""
    return numbers["s3_kernel"].reshape(13, 3, 13, 3).sum(axis=(1, 3))
