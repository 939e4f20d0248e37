# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---


# %% [markdown]
# # A real HST image
#
# An Einstein ring seen by HST's WFC3/UVIS in F390W, 0.04" a pixel. The FITS file holds the image, the
# exposure time of every pixel and the PSF. Set `NUMPYRO_LENS_DATA` to the folder that has it; without
# the file the notebook simulates a stand-in, so that every cell runs.

# %%
import os
from pathlib import Path

import jax
import numpy as np
import numpyro.distributions as dist

import numpyro_lens as nl

folder = Path(os.environ.get("NUMPYRO_LENS_DATA", "../shared/data"))
path = folder / "hst_f390w_ring" / "hst_f390w_ring.fits"

if path.exists():
    observation = nl.read_fits(
        path, psf="PSF", exposure="EXPTIME", cutout=88, mask_radius=1.7, supersampling=1
    )
else:
    print(f"{path} is not here: simulating a stand-in")
    camera = nl.Observation.blank(
        (88, 88),
        transform_pix2angle=[[-0.04, 0.0], [0.0, 0.04]],
        noise=nl.PoissonNoise(0.0017, 2000.0),
        psf=nl.GaussianPSF(0.08),
        supersampling=1,
    )
    observation = nl.mock(
        camera,
        jax.random.key(0),
        mass=nl.mass.SIE(theta_E=1.22, e1=0.05, e2=0.05),
        source=nl.light.Sersic(amp=8.0, R_sersic=0.15, n_sersic=1.0, center_x=0.05),
        lens_light=nl.light.Sersic(amp=0.5, R_sersic=0.5, n_sersic=4.0, e1=0.05, e2=0.05),
    )
observation

# %% [markdown]
# Where the file has a WCS, x grows with right ascension and y with declination.
# Masked pixels are hatched.

# %%
nl.plot.plot_observation(observation)[0]

# %% [markdown]
# Inside the ring shines the lens galaxy, faint in the near ultraviolet but not dark: left out of the
# model, its light would be taken for the source's. So the model has mass, shear, the lens galaxy's light
# and a source. Supersampling of 1 and a small cutout keep this notebook short; for a paper take the
# ready model `epl-shear-sersic`, `supersampling=2` and the whole image.


# %%
def model(observation):
    lens = nl.sample(
        "lens",
        nl.mass.SIE,
        theta_E=dist.LogNormal(np.log(1.2), 0.1),
        e1=dist.TruncatedNormal(0, 0.2, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0, 0.2, low=-0.8, high=0.8),
        center_x=dist.Normal(0, 0.1),
        center_y=dist.Normal(0, 0.1),
    )
    shear = nl.sample(
        "shear", nl.mass.Shear, gamma1=dist.Normal(0, 0.06), gamma2=dist.Normal(0, 0.06)
    )
    source = nl.sample(
        "source",
        nl.light.Sersic,
        amp=nl.priors.amplitude(observation),
        R_sersic=dist.LogNormal(-1.5, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=dist.TruncatedNormal(0, 0.3, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0, 0.3, low=-0.8, high=0.8),
        center_x=dist.Normal(0, 0.2),
        center_y=dist.Normal(0, 0.2),
    )
    galaxy = nl.sample(
        "galaxy",
        nl.light.Sersic,
        amp=nl.priors.amplitude(observation),
        R_sersic=dist.LogNormal(-0.7, 0.7),
        n_sersic=dist.Uniform(0.5, 8.0),
        e1=dist.TruncatedNormal(0, 0.2, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0, 0.2, low=-0.8, high=0.8),
        center_x=dist.Normal(0, 0.1),
        center_y=dist.Normal(0, 0.1),
    )
    nl.observe("image", observation, mass=lens + shear, source=source, lens_light=galaxy)


search = nl.infer.MAP(num_starts=24, num_screened=1000)
fit = nl.fit(model, observation, seed=0, map=search)
fit

# %%
fit.plot()

# %% [markdown]
# Do the residuals look like noise? If not, the source is no Sersic profile, and the intervals below
# are too narrow, since they do not account for that. See "Calibration" in the documentation.

# %%
fit.plot_corner(["lens.theta_E", "lens.e1", "lens.e2", "shear.gamma1", "shear.gamma2"])

# %% [markdown]
# Where in the image is the model uncertain?

# %%
nl.plot.plot_prediction(fit, num=50)[0]

# %%
nl.plot.plot_magnification(fit)[0]
