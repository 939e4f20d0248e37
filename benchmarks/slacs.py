"""Real lenses: 38 of SLACS, each fitted by one command with the defaults.

    python benchmarks/slacs.py                  # the lenses that slacs.jsonl lacks
    python benchmarks/slacs.py --search         # the first search alone, into slacs_search.jsonl
    python benchmarks/slacs.py --only J0037-0942 J0252+0039
    python benchmarks/slacs.py --table          # the table so far

A line for each lens is appended with the commit that it was made with; the last one counts. Two
processes with `--step 2`, one of them with `--first 1`, may write to the same file. On an
accelerator `--at-once 8` fits eight lenses at a time. Pictures and tables of each lens go to the
folder `--out`.

The images are HST F814W, with noise maps, PSFs and masks, as of Cao et al. 2025; published values
are those of Bolton et al. 2008 (b_SIE) and Shajib et al. 2021 (slope), in
`../shared/data/slacs/published.csv`. Nothing is done that depends on a lens.
"""

import argparse
import csv
import time
import traceback
from pathlib import Path

import jax
import numpy as np
import records
from measure import device

import numpyro_lens as nl
from numpyro_lens.density import run_batched

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "slacs"
PIXEL_SCALE = 0.05
#: Published Einstein radii.
RADII = {"b_SIE": "b_SIE", "theta_E_TinyLensGPU": "Cao et al."}
#: Of the parameters that are written down.
PUBLISHED_AS = {"lens.theta_E": "theta_E", "lens.gamma": "gamma"}


def main():
    arguments = parsed()
    if arguments.table:
        print(table(arguments))
        return
    done = set(rows(arguments))
    names = arguments.only or sorted(path.name[:10] for path in DATA.glob("*.fits.gz"))
    names = names[arguments.first :: arguments.step]
    names = [name for name in names if arguments.only or name not in done]
    run_batched(lambda name: append(name, arguments), names, arguments.at_once)


def append(name, arguments):
    """Write the line of one lens."""
    row = {"name": name, "commit": records.commit(), "device": device()}
    row |= {"devices": len(jax.devices()), "at_once": arguments.at_once}
    records.append(results(arguments), row | measured(name, arguments))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1, help="lenses, on an accelerator")
    parser.add_argument("--bare", action="store_true", help="no pictures and derived numbers")
    parser.add_argument("--out", type=Path, default=Path("slacs"))
    parser.add_argument("--file", type=Path, help="of the lines, instead of that of the project")
    return parser.parse_args()


def results(arguments):
    name = "slacs_search.jsonl" if arguments.search else "slacs.jsonl"
    return arguments.file or Path(__file__).with_name(name)


def rows(arguments):
    """The last line of each lens."""
    return records.last(results(arguments), "name")


def measured(name, arguments):
    """What came out, or the error that ended it: a fit that fails is a row as well."""
    began, cpu = time.perf_counter(), time.process_time()
    try:
        observation = nl.read_fits(
            DATA / f"{name}.fits.gz",
            psf="PSF",
            noise="RMS",
            mask="MASK",
            pixel_scale=PIXEL_SCALE,
        )
        found = (searched if arguments.search else fitted)(name, observation, arguments)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
    spent = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    return found | rounded(spent)


def searched(_name, observation, arguments):
    found = nl.fitting.search_galaxy(observation, arguments.seed, progress=False)
    values = found.samples
    best = [basin.start for basin in found.basins[:3]]
    return {
        "theta_E": [round(float(values["lens.theta_E"][i]), 4) for i in best],
        "log_density": [round(basin.log_density, 1) for basin in found.basins[:3]],
        "gradients": sum(found.num_gradients.values()),
        "timing": rounded(found.timing),
    }


def fitted(name, observation, arguments):
    result = nl.fit_galaxy(observation, arguments.seed, progress=False)
    if not arguments.bare:
        arguments.out.mkdir(exist_ok=True)
        result.plot().savefig(arguments.out / f"{name}.png", dpi=100)
        result.derived().to_csv(arguments.out / f"{name}.csv")
    return summarised(result)


def summarised(result):
    draws, verdict = result.samples, result.verdict
    numbers = {
        key: [round(float(np.mean(draws[site])), 5), round(float(np.std(draws[site])), 5)]
        for site, key in PUBLISHED_AS.items()
    }
    shear = np.hypot(draws["shear.gamma1"], draws["shear.gamma2"])
    offset = np.hypot(*(draws[f"lens.center_{a}"] - draws[f"lens_light.center_{a}"] for a in "xy"))
    spent = dict(result.num_gradients)
    return numbers | {
        "shear": round(float(np.median(shear)), 4),
        "offset": round(float(np.median(offset)), 4),
        "good": verdict.good,
        "converged": verdict.converged,
        "explained": verdict.explained,
        "other_modes": len(verdict.other_modes),
        "doubts": list(verdict.doubts),
        "r_hat": round(verdict.max_r_hat[0], 4),
        "ess": round(verdict.min_ess[0]),
        "divergent": verdict.num_divergent,
        "mean_square": round(verdict.residuals[0].mean_square, 4),
        "num_pixels": verdict.residuals[0].num,
        "num_outlying": verdict.residuals[0].num_outlying,
        "search_gradients": spent.pop("search"),
        "gradients": sum(spent.values()),
        "gradients_by_stage": spent,
        "timings": {stage: rounded(t) for stage, t in result.timings.items()},
    }


def rounded(seconds):
    return {name: round(value, 1) for name, value in seconds.items()}


def table(arguments):
    """A row of each lens beside what is published, and the counts."""
    with (DATA / "published.csv").open(encoding="utf-8") as file:
        published = {row["name"]: row for row in csv.DictReader(file)}
    found = rows(arguments)
    lines = [line(name, row, published[name]) for name, row in sorted(found.items())]
    names = ["lens", "b_SIE", "Cao et al.", "theta_E", "off b_SIE", "off Cao et al."]
    if not arguments.search:
        names += ["gamma", "published", "mean square", "R-hat", "verdict"]
    head = "| " + " | ".join([*names, "gradients", "CPU s"]) + " |"
    rule = "|---" * (len(names) + 2) + "|"
    return "\n".join([head, rule, *lines, "", counts(found, published)])


def line(name, row, published):
    if "error" in row:
        return f"| {name} | {published['b_SIE']} | {row['error']} |"
    value, theirs = radius_of(row), [published[key] for key in RADII]
    off = [f"{100.0 * (value / float(t) - 1.0):+.1f} %" if t else "" for t in theirs]
    cells = [name, *theirs, f"{value:.3f}", *off]
    if "gamma" in row:
        known = published["gamma"] and f"{published['gamma']} ± {published['gamma_error']}"
        cells += ["{:.2f} ± {:.2f}".format(*row["gamma"]), known]
        cells += [row["mean_square"], row["r_hat"], word(row)]
    seconds = row["cpu_s"] if is_alone(row) else "shared"
    return "| " + " | ".join(map(str, [*cells, row["gradients"], seconds])) + " |"


def is_alone(row):
    """Whether the seconds are those of one lens."""
    return row.get("at_once", 1) == 1


def word(row):
    return "good" if row["good"] else "doubtful" if row["converged"] else "not converged"


def radius_of(row):
    return row["theta_E"][0]


def apart(row, theirs):
    return abs(radius_of(row) / float(theirs) - 1.0)


def counts(found, published):
    done = {name: row for name, row in found.items() if "error" not in row}
    text = f"{len(found)} lenses"
    for key, words in RADII.items():
        off = {n: apart(row, published[n][key]) for n, row in done.items() if published[n][key]}
        within = [sum(v <= limit for v in off.values()) for limit in (0.05, 0.10)]
        text += f"; of {len(off)} {within[0]} within 5 %, {within[1]} within 10 % of {words}"
    ratios = [float(published[n]["theta_E_TinyLensGPU"] or "nan") for n in done]
    ratios = np.abs(np.array(ratios) / [float(published[n]["b_SIE"]) for n in done] - 1.0)
    theirs = [int(np.sum(ratios <= limit)) for limit in (0.05, 0.10)]
    text += f"; of Cao et al. {theirs[0]} within 5 %, {theirs[1]} within 10 % of b_SIE"
    off = {n: apart(row, published[n]["b_SIE"]) for n, row in done.items()}
    wrong = [name for name, row in done.items() if off[name] > 0.10 and row.get("good")]
    text += f"; good and more than 10 % off b_SIE: {', '.join(wrong) or 'none'}"
    if any("gamma" in row for row in done.values()):
        seconds = [row["cpu_s"] for row in done.values() if is_alone(row)]
        text += f"; median seconds of CPU {np.median(seconds):.0f} ({len(seconds)} fitted alone)"
        known = [n for n in done if published[n]["gamma"]]
        text += f"; R-hat below 1.01: {sum(row['r_hat'] < 1.01 for row in done.values())}"
        text += f"; data explained: {sum(row['explained'] for row in done.values())}"
        if known:
            pairs = [(done[n]["gamma"][0], float(published[n]["gamma"])) for n in known]
            ours, theirs = np.median(np.array(pairs), axis=0)
            text += f"; median gamma of {len(known)}: {ours:.2f}, published {theirs:.2f}"
    return text + "."


if __name__ == "__main__":
    main()
