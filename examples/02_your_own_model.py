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
# # Your own model
#
# A model is a plain NumPyro function, so everything NumPyro does to functions works: ties between
# parameters, hierarchies, plates, reparametrisation, prior predictive checks. The lens here has a
# source of three clumps, whose brightnesses share a common prior.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import Predictive
from numpyro.infer.reparam import LocScaleReparam

import numpyro_lens as nl

camera = nl.Observation.blank(
    (40, 40), pixel_scale=0.08, noise=nl.NoiseMap(0.01), psf=nl.GaussianPSF(0.12)
)
positions = [(0.12, 0.05), (-0.05, 0.1), (0.0, -0.12)]
observation = nl.mock(
    camera,
    jax.random.key(2),
    mass=nl.mass.SIE(theta_E=0.9, e1=0.1, e2=0.05, center_x=0.03),
    source=[
        nl.light.Gaussian(amp=amp, sigma=0.08, center_x=x, center_y=y)
        for amp, (x, y) in zip((1.0, 0.5, 1.5), positions, strict=True)
    ],
    lens_light=nl.light.Sersic(amp=2.0, R_sersic=0.4, n_sersic=3.0, center_x=0.03),
)
observation

# %% [markdown]
# ## Ties, plates and hierarchies
#
# - **Tied**: mass and light of the lens share a centre: one site, used twice.
# - **Plate**: the clumps are independent given their common prior. Inside a plate a site has one value
#   per clump.
# - **Hierarchical**: the mean and scatter of the clumps' log brightness are parameters too.


# %%
def model(observation):
    x = numpyro.sample("center_x", dist.Normal(0, 0.05))
    y = numpyro.sample("center_y", dist.Normal(0, 0.05))
    lens = nl.sample(
        "lens",
        nl.mass.SIE,
        theta_E=dist.LogNormal(0.0, 0.15),
        e1=dist.Normal(0, 0.1),
        e2=dist.Normal(0, 0.1),
        center_x=x,
        center_y=y,
    )
    light = nl.sample(
        "lens_light",
        nl.light.Sersic,
        amp=dist.LogNormal(0.0, 1.0),
        R_sersic=dist.LogNormal(-1.0, 0.5),
        n_sersic=3.0,
        center_x=x,
        center_y=y,
    )
    mean = numpyro.sample("clumps.mean", dist.Normal(0.0, 1.0))
    scatter = numpyro.sample("clumps.scatter", dist.HalfNormal(0.5))
    guess = np.array(positions)
    with numpyro.plate("clumps", len(guess)):
        log_amp = numpyro.sample("clumps.log_amp", dist.Normal(mean, scatter))
        clump_x = numpyro.sample("clumps.x", dist.Normal(guess[:, 0], 0.03))
        clump_y = numpyro.sample("clumps.y", dist.Normal(guess[:, 1], 0.03))
    source = [
        nl.light.Gaussian(
            amp=jax.numpy.exp(log_amp[i]), sigma=0.08, center_x=clump_x[i], center_y=clump_y[i]
        )
        for i in range(len(guess))
    ]
    nl.observe("image", observation, mass=lens, source=source, lens_light=light)


# %% [markdown]
# NumPyro lists what it finds in the model: sites, their shapes, plates.

# %%
with numpyro.handlers.seed(rng_seed=0):
    trace = numpyro.handlers.trace(model).get_trace(observation)
print(numpyro.util.format_shapes(trace))

# %% [markdown]
# ## Prior predictive
#
# Before any fit: could the prior have produced data like these? `Predictive` draws parameters from the
# prior. A `Target` is the model and its arguments as a density over one vector; here it gives the
# noise-free images of such draws, one for each panel.

# %%
draws = Predictive(model, num_samples=8)(jax.random.key(0), camera)
print({name: values.shape for name, values in draws.items()})
target = nl.density.Target.of(model, observation)
keys = jax.random.split(jax.random.key(3), 8)


def image_of(key):
    return target.trace(target.prior_draw(key))["image"]["fn"].mean


images = jax.lax.map(image_of, keys)
figure, axes = plt.subplots(2, 4, figsize=(10, 5), layout="constrained")
for axis, image in zip(axes.flat, images, strict=True):
    axis.imshow(image, origin="lower", extent=observation.extent, cmap="inferno", vmax=0.3)

# %% [markdown]
# ## Which coordinates?
#
# The joint density of a scatter and its members has the shape of a funnel: when the scatter is small the
# members must be close to their mean. Where the data constrain each member little, HMC moves better when
# members are written as `mean + scatter * standard normal`. NumPyro's handler `reparam` does that; the
# model stays as it is.

# %%
decentred = numpyro.handlers.reparam(model, config={"clumps.log_amp": LocScaleReparam(0.0)})
nl.density.Target.of(decentred, observation).names

# %% [markdown]
# These clumps are bright: the data constrain each amplitude far better than the hierarchy does, and in the
# other coordinates that constraint would correlate the mean, the scatter and every member. So we fit the
# model as it is written; fit `decentred` too to compare their verdicts and `num_gradients`.

# %%
fit = nl.fit(model, observation, seed=0)
fit

# %% [markdown]
# The posterior of the brightnesses, beside the true values:

# %%
log_amp = fit.samples["clumps.log_amp"]
print(log_amp.shape, log_amp.mean(axis=(0, 1)), "true:", np.log([1.0, 0.5, 1.5]))
fit.plot()

# %%
fit.plot_corner(["center_x", "center_y", "lens.theta_E", "clumps.mean", "clumps.scatter"])
