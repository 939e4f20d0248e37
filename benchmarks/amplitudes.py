"""A source of 66 shapelets, amplitudes integrated out, against one Sersic: value and gradient.

    python benchmarks/amplitudes.py

60x60 pixels, supersampling 2, a 13x13 PSF sampled at the pixels and at the sub-pixels; EPL and
shear deflect both. Rounds of the two alternate, so that other work on the machine slows both.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import typer
from measure import measure, report

import numpyro_lens as nl

POINT = {
    "lens": {"theta_E": 1.1, "gamma": 2.0, "e1": 0.1, "e2": 0.1, "center_x": 0.1, "center_y": 0.0},
    "shear": {"gamma1": -0.01, "gamma2": 0.03},
    "shape": {"center_x": 0.1, "center_y": -0.07},
    "sersic": {"amp": 150.0, "R_sersic": 0.25, "n_sersic": 1.5, "e1": 0.1, "e2": 0.05},
    "shapelets": {"beta": 0.25},
}


def instrument(sampling):
    """An observation of noise: the time does not depend on the image."""
    offset = np.arange(13) - 6
    kernel = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / 0.8**2)
    image = np.random.default_rng(0).normal(size=(60, 60))
    psf = nl.PSF(kernel).refined(sampling)
    return nl.Observation(image, pixel_scale=0.065, noise=nl.NoiseMap(0.2), psf=psf)


def deflector(p):
    """EPL and shear."""
    return nl.mass.EPL(**p["lens"]) + nl.mass.Shear(**p["shear"])


def sersic(p, observation):
    """Log density of a Sersic source but for a constant."""
    source = nl.light.Sersic(**p["sersic"], **p["shape"])
    image = nl.render(observation, mass=deflector(p), source=source)
    return -0.5 * jnp.sum(((observation.image - image) / observation.noise.sigma(image)) ** 2)


def shapelets(p, observation):
    """Log density of a source of 66 shapelets, their amplitudes integrated out."""
    amp = nl.Linear(scale=jnp.full(66, 100.0), name="source.amp")
    source = nl.light.Shapelets(amp, **p["shapelets"], **p["shape"])
    image = nl.linear.linear_image(observation, nl.Scene.of(mass=deflector(p), source=source))
    sigma = observation.noise.sigma(observation.image)
    return nl.linear.log_marginal(image, observation.image, sigma, observation.mask)


def main(rounds: int = 5, repeats: int = 9):
    """Print a JSON object for each source, sampling and round; then the median ratio of rounds."""
    for sampling in (1, 2):
        observation, ratios = instrument(sampling), []
        gradients = {f.__name__: jax.jit(jax.value_and_grad(f)) for f in (sersic, shapelets)}
        for _ in range(rounds):
            cost = {}
            for name, gradient in gradients.items():
                timing = measure(gradient, POINT, observation, repeats=repeats)
                record = report(name, timing, batch=1, pixels=60 * 60, sampling=sampling)
                cost[name] = record["cpu_ms_per_sample"]
            ratios.append(cost["shapelets"] / cost["sersic"])
        print(json.dumps({"sampling": sampling, "ratio": round(float(np.median(ratios)), 2)}))


if __name__ == "__main__":
    typer.run(main)
