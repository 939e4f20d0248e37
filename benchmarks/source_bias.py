"""Is the slope of the mass right when the source is a real galaxy? Thirty mocks, three sources.

    python benchmarks/source_bias.py            # the fits that source_bias.jsonl lacks
    python benchmarks/source_bias.py --num 10   # of the first ten mocks
    python benchmarks/source_bias.py --table    # the table so far

The source of a mock is a spiral galaxy, `../shared/data/sources/spiral.fits.gz`, moved, scaled and
turned; the lens is a power law with shear, without light; the image has 80x80 pixels of 0.06", a
PSF of 0.1" and a peak signal-to-noise ratio between 8 and 40 in its brightest pixel, some 70 to 660
in all of the arcs. It is fitted with a Sersic source, with shapelets and with a Sersic and a
Gaussian process, `models.galaxy`'s. Each fit starts from the truth of the mass: this is about the
mode that holds it, not about finding it. The posterior is Laplace's, the Gaussian at the mode.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import records
from astropy.io import fits

import numpyro_lens as nl
from numpyro_lens.density import Target
from numpyro_lens.infer import MAP
from numpyro_lens.infer.map import laplace_scale_tril

ROOT = Path(__file__).parents[1]
SPIRAL = ROOT.parent / "shared" / "data" / "sources" / "spiral.fits.gz"
RESULTS = Path(__file__).with_suffix(".jsonl")


def mock(number):
    """An observation, and the mass that made it."""
    rng = np.random.default_rng(number)
    with fits.open(SPIRAL) as file:
        spiral = jnp.asarray(np.asarray(file[0].data, dtype=np.float32))
    mass = {
        "lens.theta_E": rng.uniform(0.9, 1.4),
        "lens.gamma": rng.normal(2.05, 0.15),
        "lens.e1": rng.normal(0.0, 0.1),
        "lens.e2": rng.normal(0.0, 0.1),
        "lens.center_x": 0.0,
        "lens.center_y": 0.0,
        "shear.gamma1": rng.normal(0.0, 0.03),
        "shear.gamma2": rng.normal(0.0, 0.03),
    }
    center = rng.normal(0.0, 0.12, 2)
    scale = rng.uniform(0.6, 1.6) / max(spiral.shape)
    source = nl.light.Interpolated(spiral, 1.0, scale, rng.uniform(0.0, 2.0 * np.pi), *center)
    values = {name.partition(".")[2]: value for name, value in mass.items()}
    shear = nl.mass.Shear(values.pop("gamma1"), values.pop("gamma2"))
    camera = nl.Observation.blank(
        (80, 80),
        pixel_scale=0.06,
        noise=nl.NoiseMap(1.0),
        psf=nl.GaussianPSF(fwhm=0.1),
        supersampling=4,
    )
    bright = nl.render(camera, mass=nl.mass.EPL(**values) + shear, source=source)
    image = np.asarray(bright) * (np.exp(rng.uniform(np.log(8.0), np.log(40.0))) / bright.max())
    seen = nl.Observation.blank(
        (80, 80), pixel_scale=0.06, noise=nl.NoiseMap(1.0), psf=nl.GaussianPSF(fwhm=0.1)
    )
    return seen.with_image(image + rng.normal(size=image.shape)), mass


def mass_model():
    position, shear = dist.Normal(0.0, 0.03), dist.Normal(0.0, 0.05)
    ellipticity = dist.Normal(0.0, 0.15)
    lens = nl.sample(
        "lens",
        nl.mass.EPL,
        theta_E=dist.LogNormal(0.1, 0.5),
        gamma=dist.Normal(2.0, 0.3),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    return lens + nl.sample("shear", nl.mass.Shear, gamma1=shear, gamma2=shear)


def one_sersic(observation):
    source = nl.models.galaxy_source({"image": observation})["image"]
    nl.observe("image", observation, mass=mass_model(), source=source)


def shapelets(observation, n_max=10):
    num = len(nl.light.shapelet_orders(n_max))
    source = nl.sample(
        "source",
        nl.light.Shapelets,
        amp=nl.Linear(scale=jnp.full(num, jnp.max(observation.image) / observation.pixel_area)),
        beta=dist.LogNormal(-1.8, 0.5),
        center_x=dist.Normal(0.0, 0.3),
        center_y=dist.Normal(0.0, 0.3),
    )
    nl.observe("image", observation, mass=mass_model(), source=source)


def free_form(observation, order=11):
    bands = {"image": observation}
    smooth = nl.models.galaxy_source(bands)
    detail = nl.models.free_form_source(bands, smooth, order)
    source = [smooth["image"], detail["image"]]
    nl.observe("image", observation, mass=mass_model(), source=source)


ARMS = {"Sersic": one_sersic, "shapelets": shapelets, "free form": free_form}


def measured(number, arm):
    observation, mass = mock(number)
    target = Target.of(ARMS[arm], observation)
    stage = MAP(num_starts=6, num_screened=60, num_steps=200, num_polished=1)
    began = time.perf_counter()
    start = {name: jnp.asarray(value, float) for name, value in mass.items()}
    found = stage.run(target, jax.random.key(number), start=start, progress=False)
    tril = laplace_scale_tril(found.hessian)
    row = {"mock": number, "arm": arm, "commit": records.commit()}
    for name in ("lens.gamma", "lens.theta_E"):
        slope = jax.grad(lambda z, name=name: target.constrain(z)[name])(jnp.ravel(found.best))
        value = float(target.constrain(jnp.ravel(found.best))[name])
        sigma = float(np.linalg.norm(np.asarray(slope, float) @ tril))
        row[name] = [round(v, 5) for v in (value, sigma, float(mass[name]))]
    image = target.trace(jnp.ravel(found.best))["image"]["fn"]
    fitted = image.given(image.conditional(observation.image)).mean
    row["mean_square"] = round(float(observation.mean_square(fitted)), 4)
    row["signal_to_noise"] = round(float(jnp.sqrt(jnp.sum(fitted**2))))
    row["log_density"] = round(found.basins[0].log_density, 1)
    return row | {"seconds": round(time.perf_counter() - began, 1)}


def table():
    pulls = ["mean pull", "spread", "largest", "68 % holds"]
    names = ["source", "mocks", "parameter", *pulls, "mean square"]
    head = "| " + " | ".join(names) + " |"
    lines = [head, "|---" * len(names) + "|"]
    found = records.last(RESULTS, "mock", "arm")
    for arm in ARMS:
        rows = [row for (_, own), row in sorted(found.items()) if own == arm]
        for name in ("lens.gamma", "lens.theta_E") if rows else ():
            value, sigma, truth = np.array([row[name] for row in rows]).T
            pull = (value - truth) / sigma
            square = np.median([row["mean_square"] for row in rows])
            mean = f"{pull.mean():+.2f} ± {len(pull) ** -0.5:.2f}"
            largest = pull[np.argmax(np.abs(pull))]
            cells = [arm, len(rows), name, mean, f"{np.std(pull):.2f}", f"{largest:+.1f}"]
            cells += [f"{100.0 * np.mean(np.abs(pull) < 1.0):.0f} %", f"{square:.3f}"]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    ratios = [row["signal_to_noise"] for row in found.values()]
    return "\n".join([*lines, "", f"Signal-to-noise ratios of {min(ratios)} to {max(ratios)}."])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num", type=int, default=30)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    done = records.last(RESULTS, "mock", "arm")
    for number in range(arguments.num):
        for arm in ARMS:
            if (number, arm) not in done:
                records.append(RESULTS, measured(number, arm))


if __name__ == "__main__":
    main()
