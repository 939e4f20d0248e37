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
# # A first lens in five minutes
#
# We simulate a lens, write a model of it, fit the model and look at the result. Nothing is
# downloaded.

# %%
import jax
import numpyro.distributions as dist

import numpyro_lens as nl

# %% [markdown]
# ## Something to fit
#
# An `Observation` is an image with everything that explains its pixels: their size, the noise, the
# PSF. `nl.read_fits` reads one from a FITS file. Here `Observation.blank` describes an instrument without
# data, and `nl.mock` simulates what it would record of a lens.

# %%
camera = nl.Observation.blank(
    (40, 40),
    pixel_scale=0.08,
    noise=nl.PoissonNoise(background_rms=0.01, exposure_time=1000.0),
    psf=nl.GaussianPSF(0.12),
)
truth = {
    "lens.theta_E": 1.0,
    "lens.e1": 0.12,
    "lens.e2": -0.05,
    "source.R_sersic": 0.15,
    "source.center_x": 0.06,
    "source.center_y": 0.04,
}
observation = nl.mock(
    camera,
    jax.random.key(1),
    mass=nl.mass.SIE(theta_E=1.0, e1=0.12, e2=-0.05),
    source=nl.light.Sersic(amp=30.0, R_sersic=0.15, n_sersic=1.0, center_x=0.06, center_y=0.04),
)
observation

# %% [markdown]
# ## A model
#
# A model is a NumPyro function. `nl.sample` places the parameters of a profile: a distribution is
# sampled, a number is fixed, and what is left out keeps its default. `nl.observe` renders the scene and
# compares it with the data.


# %%
def model(observation):
    lens = nl.sample(
        "lens",
        nl.mass.SIE,
        theta_E=dist.LogNormal(0.0, 0.2),
        e1=dist.Normal(0, 0.1),
        e2=dist.Normal(0, 0.1),
    )
    source = nl.sample(
        "source",
        nl.light.Sersic,
        amp=nl.priors.amplitude(observation),
        R_sersic=dist.LogNormal(-1.5, 0.5),
        n_sersic=1.0,
        center_x=dist.Normal(0, 0.1),
        center_y=dist.Normal(0, 0.1),
    )
    nl.observe("image", observation, mass=lens, source=source)


# %% [markdown]
# ## Fit
#
# One call runs three stages: a search from many starts (MAP), a Gaussian approximation (SVI), and
# Hamiltonian Monte Carlo (HMC), started from that Gaussian.

# %%
fit = nl.fit(model, observation, seed=0)
fit

# %% [markdown]
# The sentence above the table is the verdict: it says whether the chains agree, and what to do if
# they do not. R-hat should be below 1.01 and both effective sample sizes above 400.
#
# ## Look
#
# Residuals should look like noise. The blue line on the model is the critical curve; on the source it is
# the caustic.

# %%
fit.plot()

# %% [markdown]
# The posterior with the truth in black. Orange is the Gaussian of the second stage.

# %%
fit.plot_corner(truths=truth, other=fit.svi)

# %% [markdown]
# ## Keep
#
# `posterior.nc` opens with `nl.load` and with ArviZ. The file holds the draws, not the model function,
# so `nl.load` is given that as well.

# %%
import tempfile
from pathlib import Path

path = Path(tempfile.mkdtemp()) / "posterior.nc"
fit.save(path)
again = nl.load(path, model=model)
print(again)

# %% [markdown]
# What next? [Your own model](02_your_own_model), [diagnostics](03_diagnostics), a
# [real image](05_hst_image).
