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
# # From GIGA-Lens, lenstronomy and herculens
#
# The same lens and the same fit, as each of these codes writes it and as it is written here. Conventions
# are lenstronomy's, so numbers carry over unchanged from lenstronomy and GIGA-Lens; herculens
# measures the Sersic radius on the major axis.

# %%
import importlib.util

import jax
import numpy as np
import numpyro.distributions as dist
import optax

import numpyro_lens as nl

kernel = np.exp(-0.5 * np.sum(np.mgrid[-4:5, -4:5] ** 2, axis=0) / 1.2**2)
camera = nl.Observation.blank(
    (40, 40),
    pixel_scale=0.08,
    noise=nl.PoissonNoise(background_rms=0.02, exposure_time=500.0),
    psf=nl.PSF(kernel),
    supersampling=1,
)
lens = {"theta_E": 1.0, "e1": 0.1, "e2": -0.05, "center_x": 0.0, "center_y": 0.0}
source = {
    "amp": 30.0,
    "R_sersic": 0.2,
    "n_sersic": 1.0,
    "e1": 0.0,
    "e2": 0.0,
    "center_x": 0.06,
    "center_y": 0.04,
}
observation = nl.mock(
    camera, jax.random.key(4), mass=nl.mass.SIE(**lens), source=nl.light.Sersic(**source)
)
observation

# %% [markdown]
# ## Here

# %%
prior_lens = {
    "theta_E": dist.LogNormal(0.0, 0.15),
    "e1": dist.Normal(0, 0.1),
    "e2": dist.Normal(0, 0.1),
    "center_x": 0.0,
    "center_y": 0.0,
}
prior_source = {
    "amp": dist.LogNormal(3.0, 0.5),
    "R_sersic": dist.LogNormal(-1.5, 0.3),
    "n_sersic": 1.0,
    "e1": 0.0,
    "e2": 0.0,
    "center_x": dist.Normal(0, 0.1),
    "center_y": dist.Normal(0, 0.1),
}


def model(observation):
    mass = nl.sample("lens", nl.mass.SIE, **prior_lens)
    light = nl.sample("source", nl.light.Sersic, **prior_source)
    nl.observe("image", observation, mass=mass, source=light)


fit = nl.fit(model, observation, seed=0)
print(fit.verdict)

# %% [markdown]
# ## GIGA-Lens
#
# A GIGA-Lens script keeps its structure: change the imports, and `tfd.` to `dist.`. Priors are lists of
# dictionaries, one for each profile; numbers are fixed values.

# %%
sequence = nl.ModellingSequence(
    nl.PhysicalModel([nl.mass.SIE], [], [nl.light.Sersic]),
    nl.ForwardProbModel(
        [[prior_lens], [], [prior_source]], observation.image, background_rms=0.02, exp_time=500.0
    ),
    nl.SimulatorConfig(delta_pix=0.08, num_pix=40, supersample=1, kernel=kernel),
)
starts = sequence.MAP(optax.adam(3e-2), n_samples=50, num_steps=200, seed=0)
gaussian = sequence.SVI(optax.adam(1e-3), starts.best, n_vi=64, num_steps=500)
chains = sequence.HMC(gaussian, n_hmc=16, num_burnin_steps=150, num_results=250)
print(chains.verdict)

# %% [markdown]
# The two posteriors agree up to Monte Carlo noise:

# %%
for ours, theirs in (("lens.theta_E", "lenses.0.theta_E"), ("source.amp", "source_light.0.amp")):
    a, b = fit.samples[ours], chains.samples[theirs]
    print(f"{ours:14} {a.mean():.4f} +- {a.std():.4f}    {b.mean():.4f} +- {b.std():.4f}")

# %% [markdown]
# ## lenstronomy
#
# Parallel lists of names and of keyword dictionaries become profiles; the names of the parameters
# stay. The model images of the two codes agree pixel by pixel.

# %%
if importlib.util.find_spec("lenstronomy"):
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    data = ImageData(
        np.asarray(observation.image),
        background_rms=0.02,
        exposure_time=500.0,
        transform_pix2angle=0.08 * np.eye(2),
        ra_at_xy_0=float(observation.x[0, 0]),
        dec_at_xy_0=float(observation.y[0, 0]),
    )
    image_model = ImageModel(
        data,
        PSF("PIXEL", kernel_point_source=kernel / kernel.sum()),
        lens_model_class=LensModel(["SIE"]),
        source_model_class=LightModel(["SERSIC_ELLIPSE"]),
    )
    theirs = image_model.image([lens], [source])
    ours = nl.render(camera, mass=nl.mass.SIE(**lens), source=nl.light.Sersic(**source))
    print("largest difference:", np.abs(theirs - np.asarray(ours)).max() / theirs.max())

# %% [markdown]
# The best draw as lenstronomy's lists of names and keyword dictionaries:

# %%
nl.exchange.to_lenstronomy(fit.scene())

# %% [markdown]
# ## herculens
#
# In herculens a model is a class with a NumPyro `model` method that fills lists of keyword
# dictionaries by hand, and inference is set up by the user:
#
# ```python
# class ProbModel(NumpyroModel):
#     def model(self):
#         lens = [{"theta_E": numpyro.sample("theta_E", dist.LogNormal(0.0, 0.15)), ...}]
#         source = [{"amp": numpyro.sample("amp", dist.LogNormal(3.0, 0.5)), ...}]
#         image = lens_image.model(kwargs_lens=lens, kwargs_source=source)
#         variance = lens_image.Noise.C_D_model(image)
#         numpyro.sample("obs", dist.Independent(dist.Normal(image, jnp.sqrt(variance)), 2), obs=data)
# ```
#
# To convert such a function, make profiles of the dictionaries, `nl.mass.SIE(**lens[0])`, and end in
# `nl.observe`. One number changes: herculens' `R_sersic` is on the major axis, so multiply it by the
# square root of the axis ratio.

# %%
q, _ = nl.coordinates.from_ellipticity(0.2, 0.1)
print("R_sersic here =", float(q) ** 0.5, "times that of herculens, for e = (0.2, 0.1)")
