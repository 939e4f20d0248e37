"""A hundred lenses from a wide prior, each fitted with the defaults and without intervention.

    python benchmarks/robustness.py            # the lenses that robustness.jsonl lacks
    python benchmarks/robustness.py --again    # those too that were stopped before they converged
    python benchmarks/robustness.py --table    # the table so far

`robustness.jsonl`, beside this file, holds a line for each fit with the commit that it was made
with; the last line of a lens counts. Two processes with `--step 2`, one of them with `--first 1`,
may write to it. A lens that has not converged when `--max-seconds` are over counts as one that does
not.

The prior is that of Gu et al. 2022, section 4; images have 80x80 pixels of 0.065", background 0.2,
exposure 100 and a Gaussian PSF of 0.16". A lens is drawn again when its source leaves no detectable
arc: when the signal-to-noise ratio of the lensed source, over all pixels in quadrature, is below
20.

Sources have their cusp softened on the scale of a sub-pixel's footprint. Half of the prior has
Sersic indices above 4.25, and the brightness of such a source at one ray changes abruptly as the
source moves: without softening the log density has a local maximum for each ray.

A fit is in the best basin when its best log density is not more than 3 nats below where Newton
steps from the truth end.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import records

import numpyro_lens as nl
from numpyro_lens import infer
from numpyro_lens.density import Target
from numpyro_lens.fitting import fit_target
from numpyro_lens.simulate import render_scene

MIN_SIGNAL_TO_NOISE = 20.0
RESULTS = Path(__file__).with_suffix(".jsonl")


def lens_model(observation, smoothing=nl.light.Footprint()):  # noqa: B008 it is frozen
    """The prior of the paper, and the likelihood."""
    lens = nl.sample(
        "lens",
        nl.mass.EPL,
        theta_E=dist.LogNormal(np.log(1.25), 0.4),
        gamma=dist.TruncatedNormal(2.0, 0.5, low=1.0, high=3.0),
        e1=dist.Normal(0.0, 0.2),
        e2=dist.Normal(0.0, 0.2),
        center_x=dist.Normal(0.0, 0.1),
        center_y=dist.Normal(0.0, 0.1),
    )
    shear = nl.sample(
        "shear", nl.mass.Shear, gamma1=dist.Normal(0.0, 0.06), gamma2=dist.Normal(0.0, 0.06)
    )
    lens_light = _sersic("lens_light", (1.6, 0.25), (0.1, 0.15), 0.02, (300.0, 0.5))
    source = _sersic("source", (0.25, 0.25), (0.3, 0.5), 0.5, (150.0, 0.9), smoothing)
    nl.observe("image", observation, mass=lens + shear, source=source, lens_light=lens_light)


def _sersic(name, radius, ellipticity, center, amplitude, smoothing=0.0):
    scale, bound = ellipticity
    e = dist.TruncatedNormal(0.0, scale, low=-bound, high=bound)
    return nl.sample(
        name,
        nl.light.Sersic,
        R_sersic=dist.LogNormal(np.log(radius[0]), radius[1]),
        n_sersic=dist.Uniform(0.5, 8.0),
        e1=e,
        e2=e,
        center_x=dist.Normal(0.0, center),
        center_y=dist.Normal(0.0, center),
        amp=dist.LogNormal(np.log(amplitude[0]), amplitude[1]),
        smoothing=smoothing,
    )


def instrument():
    """The telescope, without data."""
    return nl.Observation.blank(
        (80, 80),
        pixel_scale=0.065,
        psf=nl.GaussianPSF(0.16),
        noise=nl.PoissonNoise(0.2, 100.0),
    )


def draw_lens(number: int):
    """Mock observation of a lens, and the true site values."""
    # Not the key of the fit: its prior draws would hold the truth itself.
    telescope, key = instrument(), jax.random.fold_in(jax.random.key(2022), number)
    for attempt in range(1000):
        key_truth, key_noise = jax.random.split(jax.random.fold_in(key, attempt))
        seeded = numpyro.handlers.seed(lens_model, key_truth)
        trace = numpyro.handlers.trace(seeded).get_trace(telescope)
        scene = nl.models.scenes(trace)["image"]
        image = render_scene(telescope, scene)
        arc = nl.render(telescope, mass=scene.mass, source=scene.source)
        ratio = float(np.sqrt(np.sum((arc / telescope.noise.sigma(image)) ** 2)))
        if ratio >= MIN_SIGNAL_TO_NOISE:
            break
    truth = {
        name: site["value"]
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"]
    }
    return nl.mock(telescope, key_noise, planes=scene.planes), truth, ratio, attempt


def fit_lens(number: int, max_seconds: float | None = None) -> dict:
    """Fit one lens with the defaults, and compare with the peak that the truth is on."""
    data, truth, ratio, redrawn = draw_lens(number)
    target = Target.of(lens_model, data)
    began = time.perf_counter()
    result = fit_target(target, number, hmc=infer.HMC(max_seconds=max_seconds), progress=False)
    seconds = time.perf_counter() - began
    start = np.asarray(target.unconstrain(truth))
    # As many starts as the fit polishes, so that nothing compiles again; they all are the truth.
    starts = np.broadcast_to(start, (infer.MAP().num_polished, start.size))
    best = infer.MAP(num_steps=0).run(target, jax.random.key(0), start=starts, progress=False)
    found, from_truth = (float(m.log_density.max()) for m in (result.map, best))
    verdict = result.verdict
    return {
        "lens": number,
        "signal_to_noise": round(ratio, 1),
        "redrawn": redrawn,
        "log_density": round(found, 2),
        "log_density_from_truth": round(from_truth, 2),
        "best_basin": found > from_truth - 3.0,
        "starts_in_basin": result.map.basins[0].num_starts,
        "r_hat": round(verdict.max_r_hat[0], 4),
        "ess": round(verdict.min_ess[0]),
        "divergences": verdict.num_divergent,
        "pareto_k": round(float(result.svi.pareto_k), 2),
        "num_gradients": sum(result.num_gradients.values()),
        "seconds": round(seconds, 1),
        "max_seconds": max_seconds,
    }


def converged(line) -> bool:
    """Whether the chains of a lens agree."""
    return line["r_hat"] < 1.01


def table(lines) -> str:
    """The lenses so far, and a few figures over all of them, as Markdown."""
    lines = sorted(lines, key=lambda line: line["lens"])
    best = sum(line["best_basin"] for line in lines)
    agree = sum(map(converged, lines))
    both = sum(line["best_basin"] and converged(line) for line in lines)
    gradients = np.median([line["num_gradients"] for line in lines])
    columns = ("lens", "S/N of the arcs", "best basin", "largest R-hat", "smallest ESS")
    columns += ("divergences", "gradients, all stages")
    return "\n".join(
        [
            f"| {' | '.join(columns)} |",
            "|---|---|---|---|---|---|---|",
            *map(_row, lines),
            "",
            "| lenses | best basin | R-hat < 1.01 | both | median gradients |",
            "|---|---|---|---|---|",
            f"| {len(lines)} | {best} | {agree} | {both} | {gradients:,.0f} |",
        ]
    )


def _row(line):
    r_hat = f"{line['r_hat']:.4f}" if converged(line) else f"**{line['r_hat']:.4f}**"
    basin = "yes" if line["best_basin"] else "**no**"
    return (
        f"| {line['lens']} | {line['signal_to_noise']:.0f} | {basin} | {r_hat} | {line['ess']:,} "
        f"| {line['divergences']} | {line['num_gradients']:,} |"
    )


def main():
    """Fit the lenses that the file does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--step", type=int, default=1, help="every how many lenses")
    parser.add_argument("--max-seconds", type=float, help="stop sampling a lens after this time")
    parser.add_argument("--again", action="store_true", help="fit what has not converged again")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    options = parser.parse_args()
    lines, commit = records.last(options.out, "lens"), records.commit()
    numbers = range(options.first, options.number, options.step)
    for number in () if options.table else numbers:
        old = lines.get(number)
        if old is None or (options.again and not converged(old)):
            lines[number] = fit_lens(number, options.max_seconds) | {"commit": commit}
            records.append(options.out, lines[number])
    print(table(lines.values()))


if __name__ == "__main__":
    main()
