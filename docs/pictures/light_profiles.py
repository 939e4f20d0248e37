"""Draw every light profile: ``python docs/pictures/light_profiles.py``."""

from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure

from numpyro_lens import light

SHAPE = {"e1": 0.2, "e2": 0.1}
PROFILES = {
    "Sersic": light.Sersic(amp=1.0, R_sersic=0.7, n_sersic=3.0, **SHAPE),
    "CoreSersic": light.CoreSersic(1.0, R_sersic=0.7, Rb=0.4, n_sersic=3.0, gamma=0.1, **SHAPE),
    "Gaussian": light.Gaussian(amp=8.0, sigma=0.6, **SHAPE),
    "MultiGaussian": light.MultiGaussian(
        amp=np.array([1.0, 8.0]), sigma=np.array([0.15, 0.9]), **SHAPE
    ),
    "MultiGaussianDipole": light.MultiGaussianDipole(
        amp=np.array([0.1, 0.1, 4.0, -2.0]), sigma=np.array([0.15, 0.7])
    ),
    "Hernquist": light.Hernquist(amp=20.0, Rs=0.4, **SHAPE),
    "DPIE": light.DPIE(amp=10.0, Ra=0.1, Rs=1.0, **SHAPE),
    "Moffat": light.Moffat(amp=5.0, alpha=0.3, beta=2.0),
    "Shapelets": light.Shapelets(
        amp=np.array([4.0, 0.5, -1.0, 1.5, 2.0, -1.0, 0.5, -1.0, 0.5, 1.0]), beta=0.4
    ),
    "HSGP": light.HSGP(
        amp=3.0 * np.random.default_rng(3).normal(size=54) * light.matern_scale(9, 0.3), width=1.8
    ),
    "Interpolated": light.Interpolated(
        np.random.default_rng(0).uniform(0.1, 5.0, (4, 6)), amp=1.0, scale=0.5, phi_G=0.3
    ),
    "Uniform": light.Uniform(amp=0.5),
}


def main(folder=Path(__file__).parents[1] / "images" / "light"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, profile in PROFILES.items():
        draw(name, profile, folder / f"{name}.png")


def draw(name, profile, path, half_width=2.0):
    """Surface brightness on a logarithmic scale; some have both signs."""
    figure = Figure(figsize=(1.9, 1.9), layout="constrained")
    axis = figure.subplots()
    side = half_width * np.linspace(-1, 1, 121)
    brightness = np.asarray(profile.brightness(*np.meshgrid(side, side)))
    signed = brightness.min() < 0
    norm = SymLogNorm(0.1, vmin=-3.0, vmax=3.0) if signed else LogNorm(0.02, 10.0, clip=True)
    colours = "RdBu_r" if signed else "magma"
    axis.pcolormesh(side, side, brightness, norm=norm, cmap=colours, rasterized=True)
    axis.set(title=name, xticks=[], yticks=[], aspect="equal")
    axis.title.set_fontsize(8)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
