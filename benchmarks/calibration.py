"""Calibration of two models, and arms that are wrong on purpose.

    python benchmarks/calibration.py --model demo --num 200   # the fits that the files lack
    python benchmarks/calibration.py --model small --arm right --num 300 --workers 2
    python benchmarks/calibration.py --table                  # what there is so far
    python benchmarks/calibration.py --pictures docs/images/calibration

`calibration_<model>_<arm>.jsonl`, beside this file, holds a line for each fit; a run that is
interrupted goes on where it was. All fits use the defaults. The models:

- `demo`: the prior of GIGA-Lens's demo, 22 parameters; 60x60 pixels of 0.065", its noise and PSF.
- `small`: SIE, shear and a Sersic source, 14 parameters; 40x40 pixels of 0.08", the same PSF.

The arms:

- `right`: the model that made the data. It must be calibrated; beside it the Gaussian of VI.
- `noise`: the noise of the data is 10 % larger than the fit believes.
- `psf`: the fit believes in a PSF that is 5 % wider.
- `supersampling`: the data have 4x4 sub-pixels, the fit has one.
- `spiral`: the source is a spiral galaxy, `../shared/data/sources/spiral.fits.gz`.

The last four must be caught.
"""

import argparse
import dataclasses
import functools
import itertools
import runpy
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from astropy.io import fits
from demo import DATA, ROOT

import numpyro_lens as nl

ARMS = ("right", "noise", "psf", "supersampling", "spiral")
SIGMA = 0.8  # of the PSF [pixel], that of the demo's example
RMS, EXPOSURE = 0.2, 100.0  # those of the demo


@functools.cache
def example():
    """Prior and profiles of the demo, first asked for while the model is traced."""
    with jax.ensure_compile_time_eval():
        return runpy.run_path(str(ROOT / "examples" / "gigalens_demo.py"))


@functools.cache
def forward():
    """Its prior as a NumPyro model places it, `lenses.0.theta_E` and so on."""
    with jax.ensure_compile_time_eval():
        return nl.ForwardProbModel(example()["prior"], np.zeros((60, 60)), RMS, EXPOSURE)


def demo(observation):
    """The model of the demo."""
    forward().numpyro_model(example()["phys_model"])(observation)


def demo_spiral(observation, picture):
    """The demo's lens, and a spiral galaxy of the size and brightness of its Sersic source."""
    physical = example()["phys_model"]
    masses, lens_light, (sersic,) = physical.build(forward().sample_prior(physical))
    source = spiral_like(sersic, picture)
    nl.observe("image", observation, mass=masses, source=source, lens_light=lens_light)


def small(observation):
    """An isothermal lens without light, an external shear and a Sersic source."""
    nl.observe("image", observation, mass=small_mass(), source=small_source())


def small_spiral(observation, picture):
    """The same lens, and a spiral galaxy of the size and brightness of its Sersic source."""
    source = spiral_like(small_source(), picture)
    nl.observe("image", observation, mass=small_mass(), source=source)


def small_mass():
    near, shear = dist.Normal(0.0, 0.05), dist.Normal(0.0, 0.05)
    radius, e = dist.LogNormal(np.log(0.9), 0.15), dist.Normal(0.0, 0.1)
    lens = nl.sample("lens", nl.mass.SIE, theta_E=radius, e1=e, e2=e, center_x=near, center_y=near)
    return lens + nl.sample("shear", nl.mass.Shear, gamma1=shear, gamma2=shear)


def small_source():
    e, position = dist.TruncatedNormal(0.0, 0.15, low=-0.5, high=0.5), dist.Normal(0.0, 0.15)
    return nl.sample(
        "source",
        nl.light.Sersic,
        amp=dist.LogNormal(np.log(100.0), 0.4),
        R_sersic=dist.LogNormal(np.log(0.2), 0.25),
        n_sersic=dist.Uniform(0.5, 4.0),
        e1=e,
        e2=e,
        center_x=position,
        center_y=position,
    )


def spiral_like(sersic, picture):
    """The spiral in the place of a Sersic profile, turned by any angle."""
    angle = numpyro.sample("angle", dist.Uniform(0.0, 2.0 * np.pi))
    scale = 5.0 * sersic.R_sersic / max(picture.shape)
    place = sersic.center_x, sersic.center_y
    return nl.light.Interpolated(picture, sersic.amp, scale, angle, *place)


def picture():
    """The spiral, its brighter tenth of pixels with a mean of one."""
    with fits.open(DATA / "sources" / "spiral.fits.gz") as file:
        image = np.asarray(file[0].data, dtype=np.float32)
    return jnp.asarray(image / image[image > np.quantile(image, 0.9)].mean())


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, the same lens with a spiral as its source, and the pixels of both."""

    model: Callable
    spiral: Callable
    num_pix: int
    pixel_scale: float


CASES = {"demo": Case(demo, demo_spiral, 60, 0.065), "small": Case(small, small_spiral, 40, 0.08)}


def camera(case, *, noise=1.0, psf=1.0, supersampling=2):
    """The instrument, with noise and PSF scaled."""
    offset = np.arange(13) - 6
    kernel = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / (psf * SIGMA) ** 2)
    return nl.Observation.blank(
        (case.num_pix, case.num_pix),
        pixel_scale=case.pixel_scale,
        psf=nl.PSF(kernel / kernel.sum()),
        noise=nl.PoissonNoise(noise * RMS, EXPOSURE / noise**2),
        supersampling=supersampling,
    )


def arm(case, name):
    """What is fitted, and what makes the data."""
    fitted = {"psf": {"psf": 1.05}, "supersampling": {"supersampling": 1}}.get(name, {})
    makes = {
        "noise": lambda: (case.model, camera(case, noise=1.1)),
        "supersampling": lambda: (case.model, camera(case, supersampling=4)),
        "spiral": lambda: (case.spiral, camera(case, supersampling=4), picture()),
    }.get(name, lambda: (case.model, camera(case)))()
    return camera(case, **fitted), makes


def path_of(model, name):
    return Path(__file__).with_name(f"calibration_{model}_{name}.jsonl")


def run(model, name, num, workers, quick):
    fitted, makes = arm(CASES[model], name)
    short = {
        "map": nl.infer.MAP(num_starts=8, num_screened=200, num_steps=100, max_searches=1),
        "svi": nl.infer.SVI(num_steps=50),
        "hmc": nl.infer.HMC(num_chains=4, num_burnin_steps=60, num_results=100, max_results=100),
    }
    out = Path("/tmp") / f"quick_{model}_{name}.jsonl" if quick else path_of(model, name)
    return nl.calibrate(
        CASES[model].model,
        fitted,
        num=num,
        out=out,
        simulate_with=makes,
        workers=workers,
        **(short if quick else {}),
    )


def print_tables(pairs):
    for model, name in pairs:
        found = nl.load_calibration(path_of(model, name))
        print(f"\n## {model}, {name}\n\n{found}\n\n{found.table.to_string(float_format='%.3g')}")
        shares = found.coverage([0.68, 0.95])["found"].unstack()
        print(f"\n{shares.to_string(float_format='%.3f')}")
        mean = shares.drop(["joint", "log density"]).mean()
        print(f"\nmean of the parameters\n{mean.to_string(float_format='%.3f')}")
        print(f"\n{spent(found.ranked)}")
        print(f"\nOf the VI Gaussian:\n{found.vi}\n\n{found.vi.table.to_string()}")


def spent(lines):
    """What the fits took, and the worst of their diagnostics."""
    gradients = np.array([line["num_gradients"] for line in lines])
    failed = [line for line in lines if not line["converged"]]
    divergent = ", ".join(f"{line['num_divergent']}" for line in failed) or "none"
    return (
        f"gradients: median {np.median(gradients):,.0f}, most {max(gradients):,}, "
        f"{np.sum(gradients > 200_000)} fits above 200,000; median seconds "
        f"{np.median([line['seconds'] for line in lines]):.0f}; divergent transitions of the fits "
        f"that did not converge: {divergent}; largest R-hat "
        f"{max(line['max_r_hat'] for line in lines):.4f}, smallest effective sample size "
        f"{min(line['min_ess'] for line in lines):.0f}"
    )


def draw(pairs, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for model, name in pairs:
        found = nl.load_calibration(path_of(model, name))
        found.plot().savefig(folder / f"{model}_{name}.png", dpi=80)
        found.vi.plot().savefig(folder / f"{model}_{name}_vi.png", dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=CASES, action="append")
    parser.add_argument("--arm", choices=ARMS, action="append")
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a trial of the script itself")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    pairs = list(itertools.product(given.model or CASES, given.arm or ARMS))
    if given.table or given.pictures:
        pairs = [pair for pair in pairs if path_of(*pair).exists()]
        print_tables(pairs) if given.table else draw(pairs, given.pictures)
        return
    for pair in pairs:
        began = time.perf_counter()
        found = run(*pair, given.num, given.workers, given.quick)
        print(f"\n## {', '.join(pair)}, {time.perf_counter() - began:.0f} s\n\n{found}", flush=True)


if __name__ == "__main__":
    main()
