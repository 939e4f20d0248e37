"""Recover mean and width of the slopes of mock lenses from their posteriors.

Each lens has a slope from a normal population, measured with a known error; its posterior is that
of a fit with the truncated normal prior of the ready models. Three samples: all lenses; those whose
measured slope is above a cut, as if they were all; and the same with injections that tell which
lenses are detected. One JSON object for each seed and sample, and `--table` prints what the
documents show:

    python benchmarks/population.py --seeds 20 --table
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import typer
from numpyro.infer import MCMC, NUTS

import numpyro_lens as nl

MEAN, WIDTH, CUT = 2.05, 0.15, 1.95
SITE = "lens.gamma"
PRIOR = dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0)  # of each fit


def slopes(draws, injections=None):
    mean = numpyro.sample("mean", dist.Normal(2.0, 0.5))
    width = numpyro.sample("width", dist.HalfNormal(0.3))

    def population(lens):
        return dist.Normal(mean, width).log_prob(lens[SITE])

    nl.population.reweight("lenses", draws, population, injections=injections)


def measured(rng, num):
    """A measurement of the slope of each lens, and its error."""
    sigma = rng.uniform(0.05, 0.12, num)
    return rng.normal(rng.normal(MEAN, WIDTH, num), sigma), sigma


def posteriors(rng, value, sigma, num_draws):
    """Draws of the posterior of each lens: a normal likelihood times a truncated normal prior."""
    variance = 1 / (1 / sigma**2 + 1 / 0.3**2)
    mean = variance * (value / sigma**2 + 2.0 / 0.3**2)
    uniform = jnp.asarray(rng.uniform(1e-6, 1.0, (len(value), num_draws)))
    of = dist.TruncatedNormal(mean[:, None], np.sqrt(variance)[:, None], low=1.0, high=3.0)
    draws = of.icdf(uniform)
    return nl.population.Draws({SITE: draws}, PRIOR.log_prob(draws))


def injected(rng, num=100_000):
    """Mock lenses from a wide population, measured with errors like the others."""
    drawn = rng.normal(2.05, 0.25, num)
    found = rng.normal(drawn, rng.uniform(0.05, 0.12, num)) > CUT
    density = dist.Normal(2.05, 0.25).log_prob(drawn)
    return nl.population.Injections({SITE: drawn[found]}, density[found], num_drawn=num)


def samples_of(seed, num_lenses, num_draws):
    """The three samples, all of the same number of lenses: arguments of the model by name."""
    rng = np.random.default_rng(seed)
    value, sigma = measured(rng, 4 * num_lenses)
    yield "all", (posteriors(rng, value[:num_lenses], sigma[:num_lenses], num_draws),)
    chosen = np.flatnonzero(value > CUT)[:num_lenses]
    selected = posteriors(rng, value[chosen], sigma[chosen], num_draws)
    yield "selected, taken for all", (selected,)
    yield "selected, with injections", (selected, injected(rng))


def run(args, seed):
    kernel = NUTS(slopes)
    mcmc = MCMC(kernel, num_warmup=200, num_samples=500, progress_bar=False)
    mcmc.run(jax.random.key(seed), *args)
    found = {name: np.asarray(v) for name, v in mcmc.get_samples().items()}
    nl.population.check(found, "lenses")
    return found


def summary(found):
    """Mean, standard deviation and distance from the truth in units of it."""
    row = {}
    for name, truth in (("mean", MEAN), ("width", WIDTH)):
        mean, sd = float(found[name].mean()), float(found[name].std())
        row |= {name: round(mean, 4), f"{name}_sd": round(sd, 4)}
        row[f"{name}_off"] = round((mean - truth) / sd, 2)
    row["min_ess"] = round(float(np.quantile(found["lenses.ess"], 0.05)), 1)
    row["variance"] = round(float(np.quantile(found["lenses.variance"], 0.95)), 3)
    return row


def print_table(rows):
    """For each sample its averages over the seeds, and how far they are from the truth."""
    print(
        f"| sample | mean (true {MEAN}) | width (true {WIDTH}) | rms distance | within one sigma |"
    )
    print("|---|---|---|---|---|")
    for sample in dict.fromkeys(row["sample"] for row in rows):
        own = {key: np.array([r[key] for r in rows if r["sample"] == sample]) for key in rows[0]}
        found = [f"{own[n].mean():.3f} ± {own[f'{n}_sd'].mean():.3f}" for n in ("mean", "width")]
        off = [own[f"{n}_off"] for n in ("mean", "width")]
        rms = " and ".join(f"{np.sqrt(np.mean(o**2)):.2f}" for o in off)
        inside = " and ".join(f"{np.sum(np.abs(o) < 1)}" for o in off)
        print(f"| {sample} | {' | '.join(found)} | {rms} | {inside} of {len(off[0])} |")


def main(seeds: int = 1, num_lenses: int = 200, num_draws: int = 500, table: bool = False):
    """Print a JSON object for each seed and sample; with --table what the documents show."""
    rows = []
    for seed in range(seeds):
        for sample, args in samples_of(seed, num_lenses, num_draws):
            rows.append({"seed": seed, "sample": sample, **summary(run(args, seed))})
            print(json.dumps(rows[-1]), flush=True)
    if table:
        print_table(rows)


if __name__ == "__main__":
    typer.run(main)
