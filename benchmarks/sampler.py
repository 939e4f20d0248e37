"""Effective samples for each gradient: the sampler beside NUTS, on targets without a lens.

    python benchmarks/sampler.py [--seeds 3] [--chains 16]

Every run has 600 transitions of burn-in and 1,000 draws of each chain, in double precision. NUTS is
NumPyro's with its defaults: it adapts its step size and a diagonal metric, chain by chain; a second
row gives it a dense one. Gradients are those of all chains; NUTS's own search for a first step size
is not counted. The effective sample size is the smallest over parameters, of means and of squares.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC, NUTS

from numpyro_lens.sampler import CrossChainHMC

SCHOOLS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
NUM_WARMUP, NUM_SAMPLES = 600, 1000


def eight_schools_centred():
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    theta = numpyro.sample("theta", dist.Normal(mu, tau).expand([8]).to_event(1))
    numpyro.sample("y", dist.Normal(theta, ERRORS).to_event(1), obs=SCHOOLS)


def eight_schools():
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
    numpyro.sample("y", dist.Normal(mu + tau * raw, ERRORS).to_event(1), obs=SCHOOLS)


def twisted():
    """Haario, Saksman & Tamminen 1999."""
    x = numpyro.sample("x", dist.Normal(0.0, 10.0))
    numpyro.sample("b", dist.Normal(0.03 * (x**2 - 100.0), 1.0))
    numpyro.factor("nothing", 0.0)


def banana():
    """Narrower where it is curved most."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("b", dist.Normal(x**2, 0.3))
    numpyro.factor("nothing", 0.0)


def gaussian(dim=25, condition=1e6):
    """Correlated, with variances from 1 / condition to 1."""
    rotation = np.linalg.qr(np.random.default_rng(dim).normal(size=(dim, dim)))[0]
    precision = (rotation * condition ** np.linspace(0.0, 1.0, dim)) @ rotation.T
    numpyro.sample("x", dist.MultivariateNormal(np.zeros(dim), precision_matrix=precision))
    numpyro.factor("nothing", 0.0)


def logistic(num=500, dim=20):
    """Regression on synthetic data with correlated columns."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(num, dim)) @ (np.eye(dim) + 0.3 * rng.normal(size=(dim, dim)))
    truth = rng.normal(size=dim)
    outcome = rng.uniform(size=num) < 1.0 / (1.0 + np.exp(-design @ truth))
    weights = numpyro.sample("weights", dist.Normal(jnp.zeros(dim), 2.0).to_event(1))
    bias = numpyro.sample("bias", dist.Normal(0.0, 2.0))
    logits = design @ weights + bias
    numpyro.sample("y", dist.Bernoulli(logits=logits).to_event(1), obs=outcome.astype(float))


TARGETS = {
    "eight schools": eight_schools,
    "eight schools, centred": eight_schools_centred,
    "twisted Gaussian": twisted,
    "banana": banana,
    "Gaussian, condition 1e6": gaussian,
    "logistic regression": logistic,
}
KERNELS: dict[str, Callable] = {
    "CrossChainHMC": CrossChainHMC,
    "NUTS": NUTS,
    "NUTS, dense": partial(NUTS, dense_mass=True),
}


class Figures(NamedTuple):
    ess: float
    r_hat: float
    burn_in: float  # gradients
    sampling: float
    divergent: float
    seconds: float


def measure(kernel: Callable, model: Callable, seed: int, num_chains: int) -> Figures:
    """One run of one kernel."""
    mcmc = MCMC(
        kernel(model),
        num_warmup=NUM_WARMUP,
        num_samples=NUM_SAMPLES,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    began = time.perf_counter()
    mcmc.warmup(jax.random.key(seed), extra_fields=("num_steps",), collect_warmup=True)
    burn_in = float(np.sum(mcmc.get_extra_fields()["num_steps"]))
    mcmc.run(jax.random.key(1000 + seed), extra_fields=("num_steps", "diverging"))
    extra = {name: np.asarray(value) for name, value in mcmc.get_extra_fields().items()}
    draws = jax.tree.leaves(mcmc.get_samples(group_by_chain=True))
    draws = np.concatenate([np.reshape(leaf, (*leaf.shape[:2], -1)) for leaf in draws], axis=-1)
    squares = (draws - draws.mean((0, 1))) ** 2
    return Figures(
        min(effective_sample_size(x).min() for x in (draws, squares)),
        split_gelman_rubin(draws).max(),
        burn_in,
        float(np.sum(extra["num_steps"])),
        float(np.mean(extra["diverging"])),
        time.perf_counter() - began,
    )


def row(name: str, label: str, runs: list[Figures]) -> str:
    """A line of the table: the median over seeds."""
    figures = Figures(*np.median(np.array(runs), axis=0))
    after = 1000.0 * figures.ess / figures.sampling
    whole = 1000.0 * figures.ess / (figures.sampling + figures.burn_in)
    divergent = f"{100 * figures.divergent:.1f} %"
    numbers = f"{figures.burn_in:,.0f} | {figures.sampling:,.0f} | {figures.ess:,.0f}"
    rates = f"{after:.1f} | {whole:.1f} | {figures.r_hat:.3f} | {divergent}"
    return f"| {name} | {label} | {numbers} | {rates} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--chains", type=int, default=16)
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(
        "| target | kernel | gradients of burn-in | of sampling | smallest ESS "
        "| ESS per 1,000 gradients | burn-in included | R-hat | divergent |\n" + "|---" * 9 + "|"
    )
    for name in options.targets:
        for label, kernel in KERNELS.items():
            runs = [
                measure(kernel, TARGETS[name], seed, options.chains)
                for seed in range(options.seeds)
            ]
            print(row(name, label, runs), flush=True)
            jax.clear_caches()


if __name__ == "__main__":
    main()
