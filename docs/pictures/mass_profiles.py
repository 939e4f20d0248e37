"""Draw every mass profile: ``python docs/pictures/mass_profiles.py``."""

from pathlib import Path

import jax
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from numpyro_lens import mass

SHAPE = {"e1": 0.2, "e2": 0.1}
EPL = {"theta_E": 1.0, "gamma": 2.0} | SHAPE
SUBHALOES = np.random.default_rng(3).uniform(-1.7, 1.7, (2, 40))
PROFILES = {
    "SIS": mass.SIS(theta_E=1.0),
    "SIE": mass.SIE(theta_E=1.0, **SHAPE),
    "NIE": mass.NIE(theta_E=1.0, s_scale=0.3, **SHAPE),
    "EPL": mass.EPL(theta_E=1.0, gamma=1.7, **SHAPE),
    "Shear": mass.Shear(gamma1=0.1, gamma2=0.05),
    "ConvergenceSheet": mass.ConvergenceSheet(kappa=0.1),
    "PointMass": mass.PointMass(theta_E=0.7),
    "NFW": mass.NFW(Rs=4.0, alpha_Rs=1.5),
    "NFWEllipse": mass.NFWEllipse(Rs=4.0, alpha_Rs=1.5, **SHAPE),
    "TNFW": mass.TNFW(Rs=0.6, alpha_Rs=0.8, r_trunc=0.8),
    "DPIE": mass.DPIE(sigma0=2.0, Ra=0.2, Rs=1.0, **SHAPE),
    "Hernquist": mass.Hernquist(sigma0=0.8, Rs=0.9),
    "Gaussian": mass.Gaussian(amp=3.0, sigma=0.7, **SHAPE),
    "MultiGaussian": mass.MultiGaussian(
        amp=np.array([0.5, 3.0]), sigma=np.array([0.15, 0.9]), **SHAPE
    ),
    "Sersic": mass.Sersic(k_eff=0.4, R_sersic=0.8, n_sersic=4.0, **SHAPE),
    "Multipole": mass.SIS(theta_E=1.0) + mass.Multipole(m=4, a_m=0.15, phi_m=0.3),
    "EPLMultipole": mass.EPLMultipole(**EPL, a1_a=0.03, a3_a=0.05, a4_a=0.04),
    "Population": mass.SIE(theta_E=1.0, **SHAPE)
    + mass.Population(mass.SIS(0.02, SUBHALOES[0], SUBHALOES[1])),
}


def main(folder=Path(__file__).parents[1] / "images" / "mass"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, lens in PROFILES.items():
        draw(name, lens, folder / f"{name}.png")


@jax.jit
def convergence(lens, x, y):
    return lens.convergence(x, y)


def draw(name, lens, path, half_width=2.0):
    """Convergence as colour and contours, the deflection as arrows."""
    figure = Figure(figsize=(1.9, 1.9), layout="constrained")
    axis = figure.subplots()
    side = half_width * np.linspace(-1, 1, 121)
    x, y = np.meshgrid(side, side)
    kappa = np.clip(convergence(lens, x, y), 0.02, 5.0)
    axis.pcolormesh(side, side, kappa, norm=LogNorm(0.02, 5.0), cmap="magma", rasterized=True)
    if np.ptp(kappa) > 0.05:
        levels = np.quantile(kappa, [0.4, 0.65, 0.85, 0.96])
        axis.contour(side, side, kappa, np.unique(levels), colors="w", linewidths=0.5)
    every = slice(8, None, 13)
    ax, ay = lens.deflection(x[every, every], y[every, every])
    axis.quiver(x[every, every], y[every, every], -ax, -ay, color="#7FD0FF", width=0.008)
    axis.set(title=name, xticks=[], yticks=[], aspect="equal")
    axis.title.set_fontsize(8)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
