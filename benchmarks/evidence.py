"""The evidence by bridge sampling, beside a nested sampler, on GIGA-Lens's demo of 22 parameters.

    python benchmarks/evidence.py                  # both
    python benchmarks/evidence.py --seeds 3        # of the fit: the scatter of its answers
    python benchmarks/evidence.py --whole-prior    # from the quantiles of the priors: hours

The nested sampler is nautilus (Lange 2023, MNRAS 525, 3181), ``pip install nautilus-sampler``. By
default it begins with a normal whose widths are three times those of VI, and integrates the density
over it (Chen, Hobson, Das & Gelderblom 2019, Stat. Comput. 29, 835): the integral is the same, and
only what lies around the mode that the fit has found is searched.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from demo import demo_problem
from jax.scipy.stats import norm

from numpyro_lens.fitting import fit_target


def priors(target):
    """Prior distribution of each site, by its name."""
    sites = target.trace(jnp.zeros(target.dim))
    return {
        name: site["fn"]
        for name, site in sites.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def log_likelihood(target, values):
    """Log density of the data at values of the sites."""
    model = numpyro.handlers.substitute(target.model, values)
    sites = numpyro.handlers.trace(model).get_trace(*target.args)
    return sum(
        jnp.sum(site["fn"].log_prob(site["value"]))
        for site in sites.values()
        if site["type"] == "sample" and site["is_observed"]
    )


def whole_prior(target):
    """Values of the sites from the unit cube, and the log likelihood there."""
    quantiles = priors(target)

    def to_values(cube):
        return jnp.stack([d.icdf(cube[..., k]) for k, d in enumerate(quantiles.values())], axis=-1)

    def likelihood(point):
        return log_likelihood(target, dict(zip(quantiles, point, strict=True)))

    return to_values, likelihood


def around(target, gaussian, width):
    """Whitened coordinates from the unit cube, and the log density over that of the wide normal."""
    log_volume = jnp.sum(jnp.log(jnp.diag(gaussian.scale_tril)))

    def to_values(cube):
        return width * norm.ppf(cube)

    def likelihood(u):
        density = target.log_density(gaussian(u[None])[0]) + log_volume
        return density - jnp.sum(norm.logpdf(u, scale=width))

    return to_values, likelihood


def nested(to_values, likelihood, dim, num_live, seed=0):
    """Evidence, its error, and the number of likelihoods."""
    from nautilus import Sampler

    values = jax.jit(to_values)
    likelihoods = jax.jit(lambda points: jax.lax.map(likelihood, points))

    def padded(points):
        """In blocks of one shape, for one compilation."""
        size = -(-len(points) // 256) * 256
        whole = np.concatenate([points, np.repeat(points[-1:], size - len(points), axis=0)])
        found = [likelihoods(whole[k : k + 256]) for k in range(0, size, 256)]
        density = np.concatenate(found)[: len(points)].astype(float)
        # Where the likelihood is not a number, it is as good as zero.
        return np.where(np.isnan(density), -1e30, density)

    inside = np.finfo(np.float32).eps  # a quantile of one is infinite
    sampler = Sampler(
        lambda cube: np.asarray(values(np.clip(cube, inside, 1.0 - inside))),
        padded,
        n_dim=dim,
        n_live=num_live,
        vectorized=True,
        pass_dict=False,
        seed=seed,
    )
    sampler.run(verbose=False)
    return sampler.log_z, 1.0 / np.sqrt(sampler.n_eff), sampler.n_like


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--num-live", type=int, default=2000)
    parser.add_argument("--whole-prior", action="store_true")
    parser.add_argument("--width", type=float, default=3.0)
    given = parser.parse_args()
    target = demo_problem(1).target
    for seed in range(given.seeds):
        began = time.process_time()
        fit = fit_target(target, seed, progress=False)
        spent = sum(fit.num_gradients.values())
        print(
            f"bridge sampling, seed {seed}: {fit.log_evidence()}, {spent:,} gradients, "
            f"{time.process_time() - began:.0f} s of the CPU",
            flush=True,
        )
    began = time.process_time()
    where = (
        whole_prior(target) if given.whole_prior else around(target, fit.svi.gaussian, given.width)
    )
    value, error, num = nested(*where, target.dim, given.num_live)
    print(
        f"nautilus, {given.num_live} live points: {value:.2f} \u00b1 {error:.2f}, "
        f"{num:,} likelihoods, {time.process_time() - began:.0f} s of the CPU"
    )


if __name__ == "__main__":
    main()
