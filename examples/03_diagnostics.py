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
# # Diagnostics with ArviZ
#
# When can a posterior be trusted? This notebook shows the diagnostics that tell, what good and bad ones
# look like, and what to do about the bad ones.

# %%
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import arviz as az

import jax
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist

import numpyro_lens as nl

camera = nl.Observation.blank(
    (32, 32), pixel_scale=0.1, noise=nl.NoiseMap(0.02), psf=nl.GaussianPSF(0.15)
)
observation = nl.mock(
    camera,
    jax.random.key(3),
    mass=nl.mass.SIE(theta_E=1.0, e1=0.1, e2=0.0),
    source=nl.light.Gaussian(amp=3.0, sigma=0.15, center_x=0.05, center_y=0.05),
)


def model(observation, high=2.0):
    lens = nl.sample(
        "lens",
        nl.mass.SIE,
        theta_E=dist.Uniform(0.5, high),
        e1=dist.Normal(0, 0.1),
        e2=dist.Normal(0, 0.1),
    )
    source = nl.sample(
        "source",
        nl.light.Gaussian,
        amp=dist.LogNormal(1.0, 0.5),
        sigma=dist.LogNormal(-2.0, 0.5),
        center_x=dist.Normal(0, 0.1),
        center_y=dist.Normal(0, 0.1),
    )
    nl.observe("image", observation, mass=lens, source=source)


fit = nl.fit(model, observation, seed=0)
print(fit.verdict)
names = ["lens.theta_E", "lens.e1", "source.sigma"]

# %% [markdown]
# ## The stages before
#
# How many starts reached the best mode? If few did, there may be a better one that none reached:
# use more starts. If two basins have nearly the same log density, the posterior has two modes.

# %%
nl.plot.plot_starts(fit.map)[0]

# %%
nl.plot.plot_elbo(fit.svi)[0]

# %% [markdown]
# ## Do the chains agree?
#
# **Trace**: every chain should look like the same noise, with no drift and no plateau.

# %%
data = fit.to_arviz(log_likelihood=True, posterior_predictive=True, num=400)
az.plot_trace(data, var_names=names)
plt.show()

# %% [markdown]
# **Rank**: the ranks of each chain's draws among all draws should be uniform.

# %%
az.plot_rank(data, var_names=names)
plt.show()

# %% [markdown]
# **Pair**: which parameters are correlated? Strongly curved shapes or separate modes suggest another
# parametrisation.

# %%
az.plot_pair(data, var_names=names)
plt.show()

# %% [markdown]
# **Energy**: the two curves should overlap. If the transitions are much narrower than the marginal,
# the chains explore the tails slowly.

# %%
az.plot_energy(data)
plt.show()

# %% [markdown]
# ## Does the model fit?
#
# **Posterior predictive**: simulate images from the posterior, and compare a number that matters with
# that of the data. Here it is the mean square of the residuals. For a model that fits, the value of the
# data lies within the distribution of the simulated ones; a p-value near 0 or 1 says that it does not.

# %%
replicas = data["posterior_predictive"]["image"].values.reshape(-1, *observation.shape)
mean = np.asarray(fit.predict(200)["image"]).mean(axis=0)
sigma = np.asarray(observation.noise.sigma(mean))
simulated = np.mean(((replicas - mean) / sigma) ** 2, axis=(1, 2))
observed = np.mean(((np.asarray(observation.image) - mean) / sigma) ** 2)
figure, axis = plt.subplots()
axis.hist(simulated, bins=30, color="#5BA3CF")
axis.axvline(observed, color="black")
axis.set(xlabel="mean square of the normalised residuals", title="Posterior predictive")
print("p =", np.mean(simulated > observed))

# %% [markdown]
# **LOO** estimates how well each pixel is predicted by all the others. Compare two source models by
# the difference of their `elpd`, in units of its standard error. Pixels with Pareto k above 0.7 are
# influential: the posterior would change noticeably without them.

# %%
print(az.loo(data))

# %% [markdown]
# ## What bad looks like
#
# **Too short.** After a short burn-in and ten draws R-hat is large, and the verdict says that the chains
# have not converged. What to do: draw more.

# %%
short = nl.infer.HMC(num_burnin_steps=5, num_results=10, max_results=10, num_chains=4)
hasty = nl.fit(model, observation, seed=0, hmc=short)
print(hasty.verdict)

# %% [markdown]
# **A prior that cuts.** The Einstein radius is 1.0 and this prior ends at 0.99. All chains agree, R-hat is
# perfect, and the answer is wrong: the verdict names parameters at a bound. What to do: widen the prior.


# %%
def cut(observation):
    model(observation, high=0.99)


trapped = nl.fit(cut, observation, seed=0)
print(trapped.verdict)
figure, axes = nl.plot.plot_corner(
    fit, ["lens.theta_E", "lens.e1"], other=trapped, labels=("good", "cut")
)
figure

# %% [markdown]
# The residuals show it as well:

# %%
trapped.plot()
