"""Offsets between bands, put in and found again: coverage over fifty mocks.

    python benchmarks/bands_injection.py            # the mocks that bands_injection.jsonl lacks
    python benchmarks/bands_injection.py --table    # the table so far
    python benchmarks/bands_injection.py --num 1 --side 30 --quick

`bands_injection.jsonl`, beside this file, holds a line for each mock and kind of model with the
commit that it was made with. A mock is a lens in two bands, the second offset by up to half a pixel
in x and in y, and turned by up to 0.3 degrees. Whatever is sampled is drawn from its prior. Each is
fitted twice: with the offset sampled (`nl.align`), and with the offset ignored. The table has the
share of mocks whose 68 % interval holds the truth, and the mean and the spread of the pulls, (mean
- truth) / standard deviation. Of a right model the spread is one, and the mean zero; with the
offset ignored the table shows the bias, whose sign is another in each mock: the spread is larger.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
import numpyro.distributions as dist
import records

import numpyro_lens as nl

RESULTS = Path(__file__).with_suffix(".jsonl")
SCALE = 0.1
MODELS = {"sampled": True, "ignored": False}
#: Half the widths of the uniform priors of the offset [arcsec] and of the rotation [radian].
OFFSET, ROTATION = 0.5 * SCALE, np.deg2rad(0.3)
#: Amplitude, and width of the PSF [arcsec], of each band.
BANDS = {"vis": (60.0, 0.16), "nir": (60.0, 0.3)}


def model(bands, aligned):
    """A lens and a source of one shape, whose amplitudes are integrated out."""
    place, shape = dist.Normal(0.0, 0.1), dist.Normal(0.0, 0.15)
    lens = nl.sample(
        "lens", nl.mass.SIE, theta_E=dist.LogNormal(0.0, 0.15), e1=shape, e2=shape,
        center_x=place, center_y=place,
    )  # fmt: skip
    source = nl.sample_bands(
        "source", nl.light.Sersic, bands, amp=nl.Linear(scale=100.0), n_sersic=1.0,
        R_sersic=dist.LogNormal(-1.5, 0.3), center_x=place, center_y=place,
    )  # fmt: skip
    if aligned:
        offset, rotation = dist.Uniform(-OFFSET, OFFSET), dist.Uniform(-ROTATION, ROTATION)
        bands = nl.align(bands, offset=offset, rotation=rotation)
    for name, band in bands.items():
        nl.observe(name, band, mass=lens, source=source[name])


def with_offset(bands):
    """The right model."""
    model(bands, aligned=True)


def without_offset(bands):
    """The model that takes the astrometry for exact."""
    model(bands, aligned=False)


def draw(seed, side):
    """Truth and data of a mock."""
    rng = np.random.default_rng(seed)
    truth = {"lens.theta_E": rng.lognormal(0.0, 0.15), "source.R_sersic": rng.lognormal(-1.5, 0.3)}
    truth |= {f"lens.{k}": rng.normal(0.0, 0.15) for k in ("e1", "e2")}
    for site in ("lens", "source"):
        truth |= {f"{site}.center_{axis}": rng.normal(0.0, 0.1) for axis in "xy"}
    truth |= {f"nir.{k}": rng.uniform(-OFFSET, OFFSET) for k in ("dx", "dy")}
    truth["nir.rotation"] = rng.uniform(-ROTATION, ROTATION)

    def values_of(site):
        return {k.removeprefix(f"{site}."): v for k, v in truth.items() if k.startswith(f"{site}.")}

    lens = nl.mass.SIE(**values_of("lens"))
    bands = {}
    for number, (name, (amp, width)) in enumerate(BANDS.items()):
        camera = nl.Observation.blank(
            (side, side), pixel_scale=SCALE, noise=nl.NoiseMap(0.02), psf=nl.GaussianPSF(width)
        )
        source = nl.light.Sersic(amp, n_sersic=1.0, **values_of("source"))
        key = jax.random.key(2 * seed + number)
        mock = nl.mock(camera.moved(**values_of(name)), key, mass=lens, source=source)
        bands[name] = camera.with_image(mock.image)
    return truth, bands


def fitted(seed, kind, side, quick):
    """A line of the results."""
    truth, bands = draw(seed, side)
    short = {
        "map": nl.infer.MAP(num_starts=8, num_screened=200, max_searches=1),
        "hmc": nl.infer.HMC(num_burnin_steps=60, num_results=60, max_results=60),
    }
    start = time.perf_counter()
    function = with_offset if MODELS[kind] else without_offset
    fit = nl.fit(function, bands, seed=seed, progress=False, **(short if quick else {}))
    record = {"seed": seed, "kind": kind, "side": side, "commit": records.commit()}
    record |= {"converged": fit.verdict.converged, "explained": fit.verdict.explained}
    record["seconds"] = round(time.perf_counter() - start, 1)
    for name in truth.keys() & fit.samples.keys():
        draws = np.asarray(fit.samples[name], dtype=float).ravel()
        low, high = np.quantile(draws, (0.16, 0.84))
        pull = (draws.mean() - truth[name]) / draws.std()
        record[name] = {"pull": round(pull, 4), "inside": bool(low <= truth[name] <= high)}
    return record


def print_table(rows):
    """Coverage and pulls of each kind of model, and what the verdicts say."""
    columns = ("offset", "parameter", "mocks", "inside 68 %", "mean pull", "spread")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for kind in MODELS:
        own = [record for record in rows if record["kind"] == kind]
        for name in sorted({name for record in own for name in record if "." in name}):
            pulls = np.array([r[name]["pull"] for r in own if name in r])
            inside = 100.0 * np.mean([r[name]["inside"] for r in own if name in r])
            print(
                f"| {kind} | {name} | {len(pulls)} | {inside:.0f} % | {pulls.mean():.2f} "
                f"± {pulls.std() / np.sqrt(len(pulls)):.2f} | {pulls.std():.2f} |"
            )
    for kind in MODELS:
        own = [record for record in rows if record["kind"] == kind]
        counts = (sum(record[name] for record in own) for name in ("converged", "explained"))
        print("\n{}: of {} fits {} converged, {} explain the data".format(kind, len(own), *counts))


def main():
    """Fit what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=50)
    parser.add_argument("--side", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="a trial of the script itself")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    done = records.last(given.results, "seed", "kind")
    wanted = [(seed, kind) for seed in range(given.num) for kind in MODELS]
    for seed, kind in [] if given.table else wanted:
        if (seed, kind) not in done:
            records.append(given.results, fitted(seed, kind, given.side, given.quick))
    print_table(records.read(given.results))


if __name__ == "__main__":
    main()
