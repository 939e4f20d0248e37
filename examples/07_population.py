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
# # From many lenses to their population
#
# Two hundred fits have left draws of the slope of each lens. Which distribution do the slopes have?
# No lens is fitted again: the draws are reweighted from the prior of the fits to the population.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

import numpyro_lens as nl

# %% [markdown]
# ## Draws of 200 lenses
#
# From fits they come by `nl.population.collect(folders, "lens.gamma")`. Here the posteriors are made up:
# each slope is measured with a Gaussian error, under the prior that the ready models have.

# %%
MEAN, WIDTH, CUT = 2.05, 0.15, 1.95
prior = dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0)
rng = np.random.default_rng(1)
sigma = rng.uniform(0.05, 0.12, 500)
value = rng.normal(rng.normal(MEAN, WIDTH, 500), sigma)


def posteriors(value, sigma, num_draws=500):
    variance = 1 / (1 / sigma**2 + 1 / 0.3**2)
    mean = variance * (value / sigma**2 + 2.0 / 0.3**2)
    scale = np.sqrt(variance)
    each = dist.TruncatedNormal(mean[:, None], scale[:, None], low=1.0, high=3.0)
    slopes = each.sample(jax.random.key(0), (num_draws,))[..., 0].T
    return nl.population.Draws({"lens.gamma": slopes}, log_prior=prior.log_prob(slopes))


draws = posteriors(value[:200], sigma[:200])
draws.num_lenses

# %% [markdown]
# ## The population
#
# A plain NumPyro model of the mean and the width.


# %%
def population(draws, injections=None):
    mean = numpyro.sample("mean", dist.Normal(2.0, 0.5))
    width = numpyro.sample("width", dist.HalfNormal(0.3))

    def log_density(lens):
        return dist.Normal(mean, width).log_prob(lens["lens.gamma"])

    nl.population.reweight("lenses", draws, log_density, injections=injections)


def run(*args):
    mcmc = MCMC(NUTS(population), num_warmup=200, num_samples=500, progress_bar=False)
    mcmc.run(jax.random.key(0), *args)
    samples = mcmc.get_samples()
    nl.population.check(samples, "lenses")
    return samples


found = run(draws)
for name, truth in (("mean", MEAN), ("width", WIDTH)):
    print(f"{name}: {found[name].mean():.3f} ± {found[name].std():.3f} (true: {truth})")

# %% [markdown]
# The histogram of the measured slopes is wider than the population: it holds their errors too.

# %%
x = np.linspace(1.4, 2.7, 200)
plt.hist(value[:200], bins=30, density=True, alpha=0.3, label="measured")
density = [dist.Normal(found["mean"][i], found["width"][i]).log_prob(x) for i in range(0, 500, 25)]
plt.plot(x, np.exp(density).T, "C0", lw=0.5)
plt.plot(x, np.exp(dist.Normal(MEAN, WIDTH).log_prob(x)), "k--", label="truth")
plt.xlabel("slope")
plt.legend()

# %% [markdown]
# ## How many draws does each lens rest on?
#
# Few, where its slope is far from the population. `check` was silent above, so there are enough.

# %%
best = dist.Normal(found["mean"].mean(), found["width"].mean())
ess = nl.population.reweighted(draws, lambda lens: best.log_prob(lens["lens.gamma"])).ess
print(f"of 500: {ess.min():.0f} for the worst lens, {np.median(ess):.0f} for the median")

# %% [markdown]
# ## A selected sample
#
# Steep lenses only: those that were measured above a cut. Taken for all, they look like a steeper and
# narrower population. Mock lenses that went through the same cut tell which fraction it lets through.

# %%
chosen = np.flatnonzero(value > CUT)[:200]
steep = posteriors(value[chosen], sigma[chosen])
drawn = rng.normal(2.05, 0.25, 100_000)
is_found = rng.normal(drawn, rng.uniform(0.05, 0.12, drawn.size)) > CUT
injections = nl.population.Injections(
    {"lens.gamma": drawn[is_found]},
    log_density=dist.Normal(2.05, 0.25).log_prob(drawn[is_found]),
    num_drawn=drawn.size,
)
for label, args in {"taken for all": (steep,), "with injections": (steep, injections)}.items():
    biased = run(*args)
    print(f"{label}: mean {biased['mean'].mean():.3f} ± {biased['mean'].std():.3f}")
