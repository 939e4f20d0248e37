"""What a free-form source costs: gradients on a real ring, beside one Sersic.

    JAX_PLATFORMS=cpu python benchmarks/free_form.py

The HST ring of `../shared/data`, 120x120 pixels with a mask of 2" (7,860 pixels in use),
supersampling 2. Each row is the value and gradient of the log density of a batch, by the threads'
own time, and its ratio to the first row.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from measure import Timing, measure

import numpyro_lens as nl
from numpyro_lens.density import Target, values_and_gradients
from numpyro_lens.models import free_form_source, galaxy_source, power_law_with_shear

RING = Path(__file__).parents[2] / "shared" / "data" / "hst_f390w_ring" / "hst_f390w_ring.fits"
BATCH = 4


def one_sersic(observation):
    ellipticity, position = dist.Normal(0.0, 0.2), dist.Normal(0.0, 0.3)
    source = nl.sample(
        "source",
        nl.light.Sersic,
        amp=dist.LogNormal(0.0, 1.0),
        R_sersic=dist.LogUniform(0.01, 0.6),
        n_sersic=dist.Uniform(0.5, 6.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    nl.observe("image", observation, mass=power_law_with_shear(), source=source)


def shapelets(n_max):
    def model(observation):
        num = len(nl.light.shapelet_orders(n_max))
        source = nl.sample(
            "source",
            nl.light.Shapelets,
            amp=nl.Linear(scale=jnp.full(num, 10.0)),
            beta=dist.LogNormal(-1.8, 0.5),
        )
        nl.observe("image", observation, mass=power_law_with_shear(), source=source)

    return model


def free_form(order):
    def model(observation):
        bands = {"image": observation}
        source = free_form_source(bands, galaxy_source(bands), order)["image"]
        nl.observe("image", observation, mass=power_law_with_shear(), source=source)

    return model


def milliseconds(model, observation) -> tuple[float, Timing]:
    target = Target.of(model, observation)
    z = 0.1 * jax.random.normal(jax.random.key(0), (BATCH, target.dim))
    run = jax.jit(lambda z, target: values_and_gradients(target.log_density, z, None))
    timing = measure(run, z, target, repeats=7)
    return 1e3 * sorted(timing.threads_s)[3] / BATCH, timing


def main():
    observation = nl.read_fits(RING, psf="PSF", exposure="EXPTIME", mask_radius=2.0)
    noise = nl.NoiseMap(observation.noise.sigma(observation.image))
    observation = observation.with_noise(noise)
    cases = {"one Sersic": one_sersic, "66 shapelets": shapelets(10)}
    cases |= {f"{len(nl.light.hsgp_orders(n))} modes": free_form(n) for n in (9, 13, 18)}
    print(numpyro.__version__, jax.__version__, observation, sep="\n")
    print("| source | gradient, ms | ratio | cold, s of CPU | memory, MiB |\n|---|---|---|---|---|")
    first = None
    for name, model in cases.items():
        took, timing = milliseconds(model, observation)
        first = first or took
        cold, memory = timing.cold_cpu_s, timing.xla_mib
        print(
            f"| {name} | {took:.2f} | {took / first:.1f} | {cold:.1f} | {memory:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
