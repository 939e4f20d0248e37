"""Calibration on the 22 parameters of GIGA-Lens's demo, and arms that are wrong on purpose.

    python benchmarks/calibration.py                      # the fits that the files lack, all arms
    python benchmarks/calibration.py --arm right --num 50 --workers 2
    python benchmarks/calibration.py --table              # what there is so far
    python benchmarks/calibration.py --pictures docs/images/calibration

`calibration_<arm>.jsonl`, beside this file, holds a line for each fit; a run that is interrupted
goes on where it was. Lenses are drawn from the demo's own prior, 60x60 pixels of 0.065" with its
noise and PSF, and fitted with the defaults:

- `right`: the model that made the data. It must be calibrated; beside it the Gaussian of VI.
- `noise`: the noise of the data is 10 % larger than the fit believes.
- `psf`: the fit believes in a PSF that is 5 % wider.
- `supersampling`: the data have 4x4 sub-pixels, the fit has one.
- `spiral`: the source is a spiral galaxy, `../shared/data/sources/spiral.fits.gz`.

The last four must be caught.
"""

import argparse
import functools
import runpy
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from astropy.io import fits
from demo import DATA, ROOT

import numpyro_lens as nl

ARMS = ("right", "noise", "psf", "supersampling", "spiral")
SIGMA = 0.8  # of the PSF [pixel], that of the demo's example


@functools.cache
def example():
    """Prior and profiles of the demo."""
    return runpy.run_path(str(ROOT / "examples" / "gigalens_demo.py"))


@functools.cache
def forward():
    """Its prior as a NumPyro model places it, `lenses.0.theta_E` and so on."""
    image = np.zeros((60, 60))
    return nl.ForwardProbModel(
        example()["prior"], image, example()["BACKGROUND_RMS"], example()["EXP_TIME"]
    )


def demo(observation):
    """The model of the demo."""
    forward().numpyro_model(example()["phys_model"])(observation)


def spiral(observation, picture):
    """The demo's lens, and a spiral galaxy of the size and brightness of its Sersic source."""
    physical = example()["phys_model"]
    masses, lens_light, (sersic,) = physical.build(forward().sample_prior(physical))
    angle = numpyro.sample("angle", dist.Uniform(0.0, 2.0 * np.pi))
    scale = 5.0 * sersic.R_sersic / max(picture.shape)
    place = sersic.center_x, sersic.center_y
    source = nl.light.Interpolated(picture, sersic.amp, scale, angle, *place)
    nl.observe("image", observation, mass=masses, source=source, lens_light=lens_light)


def picture():
    """The spiral, its brighter tenth of pixels with a mean of one."""
    with fits.open(DATA / "sources" / "spiral.fits.gz") as file:
        image = np.asarray(file[0].data, dtype=np.float32)
    return jnp.asarray(image / image[image > np.quantile(image, 0.9)].mean())


def camera(*, noise=1.0, psf=1.0, supersampling=2):
    """The instrument of the demo, with noise and PSF scaled."""
    offset = np.arange(13) - 6
    kernel = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / (psf * SIGMA) ** 2)
    config = nl.SimulatorConfig(
        delta_pix=0.065, num_pix=60, supersample=supersampling, kernel=kernel / kernel.sum()
    )
    rms, time_ = example()["BACKGROUND_RMS"], example()["EXP_TIME"]
    found = forward().observation(config)
    return found.with_noise(nl.PoissonNoise(noise * rms, time_ / noise**2))


def arm(name):
    """What is fitted, and what makes the data."""
    fitted = {
        "psf": lambda: camera(psf=1.05),
        "supersampling": lambda: camera(supersampling=1),
    }.get(name, camera)()
    makes = {
        "noise": lambda: (demo, camera(noise=1.1)),
        "supersampling": lambda: (demo, camera(supersampling=4)),
        "spiral": lambda: (spiral, camera(supersampling=4), picture()),
    }.get(name, lambda: (demo, camera()))()
    return fitted, makes


def path_of(name):
    return Path(__file__).with_name(f"calibration_{name}.jsonl")


def run(name, num, workers, quick):
    fitted, makes = arm(name)
    short = {
        "map": nl.infer.MAP(num_starts=8, num_screened=200, num_steps=100, max_searches=1),
        "svi": nl.infer.SVI(num_steps=50),
        "hmc": nl.infer.HMC(num_chains=4, num_burnin_steps=60, num_results=100, max_results=100),
    }
    out = Path("/tmp") / f"quick_{name}.jsonl" if quick else path_of(name)
    return nl.calibrate(
        demo,
        fitted,
        num=num,
        out=out,
        simulate_with=makes,
        workers=workers,
        **(short if quick else {}),
    )


def print_tables(names):
    for name in names:
        if path_of(name).exists():
            found = nl.load_calibration(path_of(name))
            print(f"\n## {name}\n\n{found}\n\n{found.table.to_string(float_format='%.3g')}")
            print(f"\nOf the VI Gaussian:\n{found.vi}")


def draw(names, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if path_of(name).exists():
            found = nl.load_calibration(path_of(name))
            found.plot().savefig(folder / f"{name}.png", dpi=120)
            found.vi.plot().savefig(folder / f"{name}_vi.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arm", choices=ARMS, action="append")
    parser.add_argument("--num", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a trial of the script itself")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    names = given.arm or ARMS
    for name in [] if given.table or given.pictures else names:
        began = time.perf_counter()
        found = run(name, given.num, given.workers, given.quick)
        print(f"\n## {name}, {time.perf_counter() - began:.0f} s\n\n{found}", flush=True)
    if given.table:
        print_tables(names)
    if given.pictures:
        draw(names, given.pictures)


if __name__ == "__main__":
    main()
