"""Effective samples per gradient on GIGA-Lens's demo: our default, and NumPyro's NUTS and HMC.

    python benchmarks/inference.py                  # every sampler, to ESS 1,000
    python benchmarks/inference.py --target 26822   # the published figure, with the default alone

All start from the same VI Gaussian. One JSON object a line; smallest values over all parameters,
gradients counted by the library. The image is in the folder named by NUMPYRO_LENS_DATA.
"""

import argparse
import dataclasses
import json
import time

import demo
import jax
import numpyro.infer

from numpyro_lens import infer
from numpyro_lens.fitting import fit_target, source_map
from numpyro_lens.infer import diagnostics
from numpyro_lens.sampler import MINIMUM_NORM, VELOCITY_VERLET, CrossChain


def report(name, result, seconds):
    """One line of figures."""
    count = result.own_gradients
    smallest = {kind: float(diagnostics.ess(result.z, kind).min()) for kind in ("bulk", "tail")}
    line = {
        "name": name,
        "ess_bulk": round(smallest["bulk"]),
        "ess_tail": round(smallest["tail"]),
        "r_hat": round(float(diagnostics.r_hat(result.z).max()), 4),
        "divergences": int(result.statistics["diverging"].sum()),
        "ess_bulk_per_1000_gradients": round(1000 * smallest["bulk"] / count["sampling"], 1),
        "ess_tail_per_1000_gradients": round(1000 * smallest["tail"] / count["sampling"], 1),
        "burn_in_fraction": round(count["burn_in"] / sum(count.values()), 3),
        "num_gradients": result.num_gradients,
        "total_gradients": sum(result.num_gradients.values()),
        "compile_s": result.timing["compile_s"],
        "run_s": result.timing["run_s"],
        "wall_s": round(seconds, 1),
        "seed": result.seed,
        "device": jax.devices()[0].device_kind,
    }
    print(json.dumps(line), flush=True)


def main():
    """Fit once, then sample with each kernel from the same Gaussian."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", type=float, default=1000.0)
    parser.add_argument("--seeds", type=int, default=3, help="fits of the default")
    parser.add_argument("--peers", action="store_true", help="NumPyro's kernels too")
    options = parser.parse_args()
    target = demo.demo_problem(1).target
    hmc = infer.HMC(target_ess=options.target, max_results=100_000, make_map=source_map)
    for seed in range(options.seeds):
        began = time.perf_counter()
        fit = fit_target(target, seed, hmc=hmc, progress=False)
        report("numpyro_lens default", fit, time.perf_counter() - began)
    kernels = {
        "numpyro.infer.NUTS, VI metric": numpyro.infer.NUTS,
        "numpyro.infer.HMC, VI metric": numpyro.infer.HMC,
        "CrossChain, velocity Verlet": CrossChain(integrator=VELOCITY_VERLET),
        "CrossChain, minimum norm": CrossChain(integrator=MINIMUM_NORM),
    }
    for name, kernel in kernels.items() if options.peers else ():
        settings = dataclasses.replace(hmc, kernel=kernel, num_results=500, max_results=500)
        began = time.perf_counter()
        result = settings.run(target, jax.random.key(0), svi=fit.svi, progress=False)
        report(name, result, time.perf_counter() - began)


if __name__ == "__main__":
    main()
