"""Real lenses beside those of SLACS: each band alone, and all together.

    python benchmarks/real_lenses.py                    # the fits that real_lenses.jsonl lacks
    python benchmarks/real_lenses.py --only 102020532
    python benchmarks/real_lenses.py --only 102018665 --kinds VIS NIR_H all
    python benchmarks/real_lenses.py --only dolphin_two_band --quick --file trial.jsonl
    python benchmarks/real_lenses.py --table            # the table so far

Two lenses of Euclid Q1, 102020532 in four bands and 102018665 in eight, a lens of dolphin in two,
the ring of HST in F390W, and the simulated lens on which PyAutoLens measures itself, each by
`nl.fit_galaxy` with its defaults; nothing depends on the lens. A fit of `all` bands has one mass
and one shape of lens and source; the first band is the reference, and the offset and rotation of
every other band are parameters.

A line for each fit is appended with the commit that it was made with; the last one counts, and a
fit that fails is a line as well. Pictures, tables and posteriors go to the folder `--out`. The fits
of `all` bands take long: two processes may write to the same file, one of them with
`--kinds all`, and with `--checkpoints` a fit that was broken off goes on where it was.
"""

import argparse
import functools
import time
import traceback
from pathlib import Path

import jax
import numpy as np
import records

import numpyro_lens as nl
from numpyro_lens import models

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = Path(__file__).with_suffix(".jsonl")
FOUR = DATA / "euclid_q1_102020532" / "euclid_q1_102020532.fits"
RING = DATA / "hst_f390w_ring" / "hst_f390w_ring.fits"
EIGHT = DATA / "euclid_q1_102018665"
MASK = EIGHT / "mask_extra_galaxies.fits"


def main():
    given = parsed()
    if not given.table:
        for lens, kind in wanted(given):
            row = {"lens": lens, "kind": kind, "commit": records.commit()}
            row |= {"devices": len(jax.devices())} | measured(lens, kind, given)
            records.append(given.file, row)
    print(table(records.last(given.file, "lens", "kind")))


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=LENSES, default=list(LENSES))
    parser.add_argument("--kinds", nargs="*", help="bands, all; every one of them by default")
    parser.add_argument("--table", action="store_true")
    parser.add_argument(
        "--quick", action="store_true", help="a trial of the script, on two small bands"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("real_lenses"))
    parser.add_argument("--file", type=Path, default=RESULTS, help="of the lines")
    parser.add_argument("--checkpoints", type=Path, help="folder, to go on with later")
    return parser.parse_args()


def wanted(given):
    """Lens and kind of the fits that are missing, those of single bands first."""
    done = records.last(given.file, "lens", "kind")
    for lens in given.only:
        bands = LENSES[lens][1]
        kinds = bands if len(bands) == 1 else [*bands, "all"]
        for kind in kinds:
            if kind in (given.kinds or kinds) and (lens, kind) not in done:
                yield lens, kind


# --- data ----------------------------------------------------------------------------------------


def four_bands(bands):
    """Of 300x300 pixels the inner 8"."""
    return nl.read_bands(FOUR, bands, psf="PSF", noise="RMS", cutout=80)


def eight_bands(bands, **masked):
    """The mask of other galaxies is one where a pixel is left out."""
    (path,) = EIGHT.glob("102018665_*.fits")
    masked = masked or {"mask": str(MASK), "flags": "any"}
    return nl.read_bands(path, bands, psf="PSF", noise="RMS", **masked)


def two_bands(bands):
    folder, name = DATA / "dolphin_two_band", "lens_system3_{}.h5"
    paths = [[folder / f"{k}_{name.format(band)}" for k in ("image", "psf")] for band in bands]
    return dict(zip(bands, (nl.exchange.read_lenstronomy(*pair) for pair in paths), strict=True))


def hst_ring(bands):
    return {band: nl.read_fits(RING, psf="PSF", exposure="EXPTIME") for band in bands}


def profiling_lens(bands):
    folder = DATA / "autolens_profiling_hst"
    given = {"psf": folder / "psf.fits", "noise": folder / "noise_map.fits", "pixel_scale": 0.05}
    return {band: nl.read_fits(folder / "data.fits", **given) for band in bands}


#: How each lens is read, and its bands, the reference first.
LENSES = {
    "102020532": (four_bands, ("VIS", "NIR_Y", "NIR_J", "NIR_H")),
    "102018665": (
        eight_bands,
        ("VIS", "DES_G", "DES_R", "DES_I", "DES_Z", "NIR_Y", "NIR_J", "NIR_H"),
    ),
    "dolphin_two_band": (two_bands, ("F600LP", "F475X")),
    "hst_f390w_ring": (hst_ring, ("F390W",)),
    "autolens_profiling_hst": (profiling_lens, ("image",)),
}


# --- fits ----------------------------------------------------------------------------------------


SMALL = {"order": 3, "num_gaussians": 2}
SHORT = {
    "map": nl.infer.MAP(num_starts=2, num_screened=8, num_steps=10, num_polished=1, max_searches=1),
    "svi": nl.infer.SVI(num_particles=4, num_steps=10, num_importance=32),
    "hmc": nl.infer.HMC(num_chains=4, num_burnin_steps=10, num_results=20, max_results=20),
}


def fitted(lens, kind, given):
    """The fit of a kind."""
    read, bands = LENSES[lens]
    bands = bands[:2] if given.quick else bands
    settings = {"seed": given.seed, "progress": False, **(SHORT if given.quick else {})}
    data = read(bands if kind == "all" else [kind])
    if given.quick:
        small = {name: nl.cutout(band, 1.2) for name, band in data.items()}
        return nl.fit(functools.partial(models.galaxy, **SMALL), small, **settings)
    if given.checkpoints:
        settings["checkpoint"] = given.checkpoints / f"{lens}_{kind}"
    # An image alone, as the command line gives it.
    return nl.fit_galaxy(data if len(data) > 1 else data[kind], **settings)


# --- lines ---------------------------------------------------------------------------------------


def measured(lens, kind, given):
    """What came out, or the error that ended it."""
    began, cpu = time.perf_counter(), time.process_time()
    try:
        result = fitted(lens, kind, given)
        given.out.mkdir(exist_ok=True)
        path = given.out / f"{lens}_{kind}"
        result.save(path.with_suffix(".nc"))
        result.plot().savefig(path.with_suffix(".png"), dpi=70)
        result.derived(num=20 if given.quick else 200).to_csv(path.with_suffix(".csv"))
        found = summarised(result)
    except Exception as error:
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
    spent = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    return found | {name: round(value, 1) for name, value in spent.items()}


def summarised(result):
    verdict, spent = result.verdict, dict(result.num_gradients)
    kept = ("lens.theta_E", "lens.gamma")
    moved = [name for name in result.samples if name.endswith((".dx", ".dy", ".rotation"))]
    shear = np.hypot(*(result.samples[f"shear.gamma{i}"] for i in (1, 2)))
    return {
        "sites": {n: of_draws(result.samples[n]) for n in (*kept, *moved) if n in result.samples},
        "shear": round(float(np.median(shear)), 4),
        "good": verdict.good,
        "converged": verdict.converged,
        "explained": verdict.explained,
        "doubts": list(verdict.doubts),
        "r_hat": round(verdict.max_r_hat[0], 4),
        "worst": verdict.max_r_hat[1],
        "ess": round(verdict.min_ess[0]),
        "divergent": verdict.num_divergent,
        "residuals": {
            r.name: {
                "mean_square": round(r.mean_square, 4),
                "replicates": round(r.spread, 4),
                "num": r.num,
                "explained": r.explained,
            }
            for r in verdict.residuals
        },
        "search_gradients": spent.pop("search", 0),
        "gradients": sum(spent.values()),
    }


def of_draws(draws):
    """Mean and standard deviation."""
    return [float(f"{value:.4g}") for value in (np.mean(draws), np.std(draws))]


# --- tables --------------------------------------------------------------------------------------


def table(found):
    """A row of each fit, and one of each band's offset."""
    names = ["lens", "bands", "theta_E", "gamma", "R-hat", "mean square", "verdict", "gradients"]
    lines = ["| " + " | ".join([*names, "CPU s"]) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [line(lens, kind, row) for (lens, kind), row in found.items()]
    names = ["lens", "band", "dx [mas]", "dy [mas]", "rotation [degree]"]
    lines += ["", "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    together = {k: r for k, r in found.items() if k[1] == "all" and "error" not in r}
    lines += [one for (lens, _), row in together.items() for one in offsets(lens, row["sites"])]
    return "\n".join(lines)


def line(lens, kind, row):
    if "error" in row:
        return f"| {lens} | {kind} | {row['error']} |"
    values = [pair(row["sites"][f"lens.{name}"]) for name in ("theta_E", "gamma")]
    squares = ", ".join(
        f"{name} {r['mean_square']:.2f} ({1.0:.2f} ± {r['replicates']:.2f})"
        for name, r in row["residuals"].items()
    )
    word = "good" if row["good"] else "doubtful" if row["converged"] else "not converged"
    cells = [lens, kind, *values, row["r_hat"], squares, word, row["gradients"], row["cpu_s"]]
    return "| " + " | ".join(map(str, cells)) + " |"


def offsets(lens, sites):
    """A row of each band but the first."""
    for band in (name.removesuffix(".dx") for name in sites if name.endswith(".dx")):
        step = [pair(sites[f"{band}.{name}"], 1000.0, 1) for name in ("dx", "dy")]
        angle = pair(sites[f"{band}.rotation"], 180.0 / np.pi)
        yield f"| {lens} | {band} | {' | '.join([*step, angle])} |"


def pair(values, unit=1.0, digits=3):
    return "{:.{d}f} ± {:.{d}f}".format(*(unit * v for v in values), d=digits)


if __name__ == "__main__":
    main()
