"""One instance of every profile; a new profile is one row here."""

import numpy as np

from numpyro_lens import light, mass

MASSES = [
    mass.SIS(theta_E=1.1, center_x=0.05, center_y=-0.03),
    mass.SIE(theta_E=1.2, e1=0.15, e2=-0.1, center_x=0.05, center_y=-0.03),
    mass.EPL(theta_E=1.2, gamma=2.2, e1=-0.2, e2=0.1, center_x=0.05, center_y=-0.03),
    mass.Shear(gamma1=0.04, gamma2=-0.02),
    mass.ConvergenceSheet(kappa=0.05),
    mass.PointMass(theta_E=0.8, center_x=0.05, center_y=-0.03),
    mass.NIE(theta_E=1.2, e1=0.15, e2=-0.1, s_scale=0.1, center_x=0.05, center_y=-0.03),
    mass.DPIE(sigma0=1.5, Ra=0.2, Rs=3.0, e1=0.15, e2=-0.1, center_x=0.05, center_y=-0.03),
    mass.NFW(Rs=4.0, alpha_Rs=0.9, center_x=0.05, center_y=-0.03),
    mass.NFWEllipse(Rs=4.0, alpha_Rs=0.9, e1=0.15, e2=-0.1, center_x=0.05, center_y=-0.03),
    mass.TNFW(Rs=1.0, alpha_Rs=0.5, r_trunc=3.0, center_x=0.05, center_y=-0.03),
    mass.Hernquist(sigma0=0.8, Rs=0.9, center_x=0.05, center_y=-0.03),
    mass.Gaussian(amp=3.0, sigma=0.7, e1=0.15, e2=-0.1, center_x=0.05, center_y=-0.03),
    mass.MultiGaussian(amp=np.array([2.0, 1.0]), sigma=np.array([0.3, 0.9]), e1=0.1, e2=-0.2),
    mass.Sersic(k_eff=0.4, R_sersic=0.8, n_sersic=3.0, e1=0.15, e2=-0.1, center_x=0.05),
    mass.Multipole(m=1, a_m=0.05, phi_m=0.4, center_x=0.05, center_y=-0.03, r_E=1.1),
    mass.Multipole(m=3, a_m=0.05, phi_m=0.4, center_x=0.05, center_y=-0.03),
    mass.Multipole(m=4, a_m=0.05, phi_m=0.4, center_x=0.05, center_y=-0.03),
    mass.EPLMultipole(theta_E=1.2, gamma=2.2, e1=-0.2, e2=0.1, a1_a=0.01, a3_a=0.02, a4_a=0.03),
    mass.Population(mass.NIE(theta_E=np.array([0.8, 0.3]), s_scale=0.5, center_x=0.1)),
    mass.EPL(theta_E=1.2, gamma=1.8, e1=0.1, e2=0.1) + mass.Shear(gamma1=0.04, gamma2=-0.02),
]
LIGHTS = [
    light.Sersic(amp=2.0, R_sersic=0.6, n_sersic=3.0, e1=0.1, e2=-0.2, center_x=0.1),
    light.Gaussian(amp=2.0, sigma=0.4, e1=0.1, e2=-0.2, center_y=0.1),
    light.CoreSersic(amp=2.0, R_sersic=0.6, Rb=0.1, n_sersic=3.0, gamma=0.3, e1=0.1, e2=-0.2),
    light.MultiGaussian(amp=np.array([2.0, 1.0]), sigma=np.array([0.2, 0.6]), e1=0.1, e2=-0.2),
    light.MultiGaussianDipole(amp=np.array([2.0, 1.0, 1.0, 0.5]), sigma=np.array([0.2, 0.6])),
    light.Hernquist(amp=2.0, Rs=0.5, e1=0.1, e2=-0.2, center_x=0.1),
    light.DPIE(amp=2.0, Ra=0.1, Rs=1.5, e1=0.1, e2=-0.2, center_x=0.1),
    light.Moffat(amp=2.0, alpha=0.4, beta=2.5, center_x=0.1),
    light.Shapelets(amp=np.array([2.0, 1.0, -0.5, 0.3, 0.2, 0.1]), beta=0.4, center_y=0.1),
    light.HSGP(amp=np.array([2.0, 1.0, -0.5, 0.3]), width=1.5, center_y=0.1),
    light.Interpolated(
        np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 1.5]]), amp=2.0, scale=1.3, phi_G=0.4, center_x=0.1
    ),
    light.Uniform(amp=2.0),
    light.Uniform(amp=2.0) + light.Gaussian(amp=1.0, sigma=0.3),
]


def parts_of(profile):
    """The profiles that a mass or a light is the sum of."""
    kind = mass if isinstance(profile, mass.AbstractMass) else light
    return kind.components(profile)


def name(profile):
    """The name of a case."""
    return "+".join(f"{type(p).__name__}{getattr(p, 'm', '')}" for p in parts_of(profile))
