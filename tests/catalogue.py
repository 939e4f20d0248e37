"""One instance of every profile; a new profile is one row here."""

import numpy as np

from numpyro_lens import light, mass

MASSES = [
    mass.SIS(theta_E=1.1, center_x=0.05, center_y=-0.03),
    mass.SIE(theta_E=1.2, e1=0.15, e2=-0.1, center_x=0.05, center_y=-0.03),
    mass.EPL(theta_E=1.2, gamma=2.2, e1=-0.2, e2=0.1, center_x=0.05, center_y=-0.03),
    mass.Shear(gamma1=0.04, gamma2=-0.02),
    mass.EPL(theta_E=1.2, gamma=1.8, e1=0.1, e2=0.1) + mass.Shear(gamma1=0.04, gamma2=-0.02),
]
LIGHTS = [
    light.Sersic(amp=2.0, R_sersic=0.6, n_sersic=3.0, e1=0.1, e2=-0.2, center_x=0.1),
    light.Gaussian(amp=2.0, sigma=0.4, e1=0.1, e2=-0.2, center_y=0.1),
    light.CoreSersic(amp=2.0, R_sersic=0.6, Rb=0.1, n_sersic=3.0, gamma=0.3, e1=0.1, e2=-0.2),
    light.MultiGaussian(amp=np.array([2.0, 1.0]), sigma=np.array([0.2, 0.6]), e1=0.1, e2=-0.2),
    light.Moffat(amp=2.0, alpha=0.4, beta=2.5, center_x=0.1),
    light.Shapelets(amp=np.array([2.0, 1.0, -0.5, 0.3, 0.2, 0.1]), beta=0.4, center_y=0.1),
    light.Uniform(amp=2.0),
    light.Uniform(amp=2.0) + light.Gaussian(amp=1.0, sigma=0.3),
]


def name(profile):
    """The name of a case."""
    parts = getattr(profile, "components", (profile,))
    return "+".join(type(p).__name__ for p in parts)
