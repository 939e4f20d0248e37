"""Two sources at different distances, put in and found again: twenty mocks like J0946+1006.

    python benchmarks/double_plane.py            # the mocks that double_plane.jsonl lacks
    python benchmarks/double_plane.py --table    # the table so far
    python benchmarks/double_plane.py --num 2 --quick --file trial.jsonl

A mock is a lens at z = 0.222 with rings of sources at 0.609 and 2.3, of which the nearer deflects
the farther, as HST sees it in F814W: 120x120 pixels of 0.05", 0.008 e-/s of background noise in
2096 s, a PSF of 0.1". Each is fitted by `fit_double_source_plane` with the defaults, with nothing
known of the lens; the ratio of the distances, `scaling`, is a parameter with a flat prior from 0.3
to 1.

`double_plane.jsonl`, beside this file, holds a line for each mock with the commit that it was made
with; the last line of a mock counts, and a fit that fails is a line as well. Two processes with
`--step 2`, one of them with `--first 1`, may write to it. The table has the share of mocks whose
68 % interval holds the truth, and the mean and the spread of the pulls, (mean - truth) / standard
deviation. A fit is in the best basin when its best log density is not more than 3 below that of the
truth itself.
"""

import argparse
import functools
import time
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import records
from astropy.cosmology import Planck18
from numpyro import handlers

import numpyro_lens as nl

RESULTS = Path(__file__).with_suffix(".jsonl")
REDSHIFTS = (0.222, 0.609, 2.3)
#: Rows of the table: the ratio, the mass of the first source, the lens, and what may be biased.
SHOWN = ("scaling", "near_mass.theta_E", "lens.theta_E", "lens.gamma", "near.center_x")
QUICK = {
    "svi": nl.infer.SVI(num_steps=300),
    "hmc": nl.infer.HMC(num_burnin_steps=100, num_results=100, max_results=100),
}
model = nl.models.double_source_plane


def camera():
    """HST's ACS, of one orbit."""
    noise = nl.PoissonNoise(0.008, 2096.0)
    return nl.Observation.blank((120, 120), pixel_scale=0.05, noise=noise, psf=nl.GaussianPSF(0.1))


def truth_of(seed):
    """Values of all sites of the model."""
    rng = np.random.default_rng(seed)
    lens = {"theta_E": rng.uniform(1.95, 2.1), "gamma": rng.normal(2.0, 0.08)}
    shear = dict(zip(("gamma1", "gamma2"), rng.normal(0.0, 0.04, 2), strict=True))
    lights = {
        "lens_light": sersic(rng, amp=60.0, radius=1.2, index=(2.0, 3.5), offset=0.02),
        "near": sersic(rng, amp=15.0, radius=0.25, index=(0.8, 2.0), offset=0.12),
        "far": sersic(rng, amp=8.0, radius=0.15, index=(0.8, 1.5), offset=0.15),
    }
    parts = {"lens": lens | ellipse(rng, 0.06, 0.02), "shear": shear, **lights}
    parts["near_mass"] = {"theta_E": rng.uniform(0.1, 0.22)}
    ratio = float(nl.cosmology.scaling(REDSHIFTS, Planck18)[0, 1])
    sites = {f"{part}.{field}": v for part, own in parts.items() for field, v in own.items()}
    return {"scaling": ratio} | sites


def ellipse(rng, bend, offset):
    e1, e2 = rng.normal(0.0, bend, 2)
    x, y = rng.normal(0.0, offset, 2)
    return {"e1": e1, "e2": e2, "center_x": x, "center_y": y}


def sersic(rng, *, amp, radius, index, offset):
    size = {"amp": amp * rng.lognormal(0.0, 0.2), "R_sersic": radius * rng.lognormal(0.0, 0.15)}
    return size | {"n_sersic": rng.uniform(*index)} | ellipse(rng, 0.1, offset)


def mock(seed):
    """Truth and data."""
    truth, empty = truth_of(seed), camera()
    at_truth = handlers.substitute(functools.partial(model, empty), truth)
    trace = handlers.trace(handlers.seed(at_truth, 0)).get_trace()
    scene = nl.models.scenes(trace)["image"]
    key = jax.random.key(seed)
    return truth, nl.mock(empty, key, planes=scene.planes, scaling=scene.scaling)


def measured(seed, quick):
    """What came out, or the error that ended it."""
    began, cpu = time.perf_counter(), time.process_time()
    truth, observation = mock(seed)
    try:
        settings = QUICK if quick else {}
        fit = nl.fit_double_source_plane(observation, seed=seed, progress=False, **settings)
        found = summarised(fit, truth)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
    spent = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    return found | {name: round(value, 1) for name, value in spent.items()}


def summarised(fit, truth):
    values = {name: jnp.asarray(value) for name, value in truth.items()}
    at_truth = float(fit.target.log_density(fit.target.unconstrain(values)))
    verdict, spent = fit.verdict, dict(fit.num_gradients)
    return {
        "deficit": round(at_truth - float(fit.log_density.max()), 2),
        "search_deficit": round(at_truth - fit.map.basins[0].log_density, 2),
        "starts_in_best_basin": fit.map.basins[0].num_starts,
        "converged": verdict.converged,
        "explained": verdict.explained,
        "r_hat": round(verdict.max_r_hat[0], 4),
        "ess": round(verdict.min_ess[0]),
        "divergent": verdict.num_divergent,
        "mean_square": round(verdict.residuals[0].mean_square, 4),
        "search_gradients": spent.pop("search"),
        "gradients": sum(spent.values()),
        "sites": {name: compared(fit.samples[name], truth[name]) for name in truth},
    }


def compared(draws, truth):
    """Pull, and whether the central 68 % hold the truth."""
    draws = np.asarray(draws, dtype=float).ravel()
    low, high = np.quantile(draws, (0.16, 0.84))
    return {
        "truth": round(float(truth), 5),
        "mean": round(draws.mean(), 5),
        "sd": round(draws.std(), 5),
        "pull": round((draws.mean() - truth) / draws.std(), 4),
        "inside": bool(low <= truth <= high),
    }


def rows(path, quick):
    """The last line of each mock, of a trial or of the measurement."""
    found = records.last(path, "seed", "quick")
    return {seed: row for (seed, was_quick), row in found.items() if was_quick == quick}


def table(found):
    """Coverage and pulls of the mocks, and how the searches and the chains ended."""
    done = [row for row in found.values() if "error" not in row]
    lines = [
        "| parameter | mocks | inside 68 % | mean pull | spread | median sd |",
        f"|{'---|' * 6}",
    ]
    for name in SHOWN if done else ():
        pull, inside, sd = (
            np.array([row["sites"][name][key] for row in done]) for key in ("pull", "inside", "sd")
        )
        error = pull.std() / np.sqrt(len(pull))
        lines.append(
            f"| {name} | {len(pull)} | {100.0 * inside.mean():.0f} % | {pull.mean():.2f} ± "
            f"{error:.2f} | {pull.std():.2f} | {np.median(sd):.4f} |"
        )
    return "\n".join([*lines, "", counts(found, done)])


def counts(found, done):
    text = f"{len(found)} mocks, {len(found) - len(done)} of them failed"
    if done:
        text += f"; in the best basin {sum(row['deficit'] <= 3.0 for row in done)}"
        text += f"; R-hat below 1.01 {sum(row['r_hat'] < 1.01 for row in done)}"
        text += f"; data explained {sum(row['explained'] for row in done)}"
        text += f"; median gradients {np.median([row['gradients'] for row in done]):.0f}"
        text += f"; median seconds of CPU {np.median([row['cpu_s'] for row in done]):.0f}"
    return text + "."


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="short chains: a trial of the search")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--file", type=Path, default=RESULTS, help="of the lines")
    return parser.parse_args()


def main():
    """Fit what is missing, and print the table."""
    given = parsed()
    done = rows(given.file, given.quick)
    for seed in [] if given.table else range(given.first, given.num, given.step):
        if seed in done:
            continue
        row = {"seed": seed, "commit": records.commit(), "quick": given.quick}
        records.append(given.file, row | measured(seed, given.quick))
    print(table(rows(given.file, given.quick)))


if __name__ == "__main__":
    main()
