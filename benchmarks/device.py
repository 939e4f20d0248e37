"""What an accelerator does: gradient, MAP, SVI, HMC and a fleet.

    python benchmarks/device.py                      # on whatever device JAX finds
    python benchmarks/device.py --only lenses --lenses 64 --at-once 32

GIGA-Lens's demo (60x60 pixels, supersampling 2, 22 parameters) and mocks like it. One JSON object a
line. Cold times hold compiling, warm ones are of a second lens of the same shape. Lenses of the
fleet are fitted as a worker of `nl.fit_many` does, so many at once, each with its verdict and a
line when it ends; files and pictures are left out. No part is begun once `--minutes` have passed,
but the first batch of lenses may compile for longer than everything else takes.
"""

import argparse
import functools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
from demo import demo_problem
from fleet import mock
from measure import device, measure_gradient, report, versions

import numpyro_lens as nl
from numpyro_lens._precision import full_precision
from numpyro_lens.density import run_batched
from numpyro_lens.fitting import fit
from numpyro_lens.infer.precision import precision_error

ON_CPU = jax.default_backend() == "cpu"


def say(name, **values):
    """One JSON object a line."""
    print(json.dumps({"name": name, **values, "device": device()}), flush=True)


def products(_options):
    """Errors of a product of matrices, by JAX's default and by ours."""
    a, b = jax.random.normal(jax.random.key(0), (2, 256, 256))
    exact = np.asarray(a, float) @ np.asarray(b, float)
    for name, product in (("default", jnp.matmul), ("ours", full_precision(jnp.matmul))):
        error = np.linalg.norm(np.asarray(jax.jit(product)(a, b)) - exact) / np.linalg.norm(exact)
        say("product", precision=name, relative_error=float(error))


def gradient(options):
    """Milliseconds of the log density and its gradient, for batches of draws from the prior."""
    for size in options.batch:
        report("gradient", measure_gradient(demo_problem(size)), batch=size, pixels=60 * 60)


def stages(_options):
    """Seconds of the three stages, of one lens after the other."""
    for number, words in enumerate(("cold", "warm")):
        began = time.perf_counter()
        result = fit(nl.models.epl_shear_sersic, mock(number, 60), progress=False)
        verdict = result.verdict
        spent = {"wall_s": round(time.perf_counter() - began, 2)}
        gradients = sum(result.num_gradients.values())
        say(
            "stages", cache=words, **spent, **result.timings, gradients=gradients, **judged(verdict)
        )
    tril = np.linalg.cholesky(np.cov(result.z.reshape(-1, result.target.dim).T))
    error = precision_error(result.target, result.best_z[None], tril)
    say("precision", gradient_error_in_sigma=float(error))


def judged(verdict):
    """R-hat and the smallest effective sample size."""
    return {"r_hat": round(verdict.max_r_hat[0], 4), "ess": round(verdict.min_ess[0])}


def lens(words, began, data):
    """The verdict of one lens, and how long after the beginning of its batch it came."""
    verdict = fit(nl.models.epl_shear_sersic, data, progress=False).verdict
    say("lens", cache=words, after_s=round(time.perf_counter() - began, 1), **judged(verdict))
    return verdict


def lenses(options):
    """Lenses an hour, several at once; the first places of the batch compile."""
    mocks = [mock(number, 60) for number in range(options.lenses)]

    for words in ("cold", "warm"):
        began = time.perf_counter()
        verdicts = run_batched(functools.partial(lens, words, began), mocks, options.at_once)
        seconds = time.perf_counter() - began
        say(
            "lenses",
            cache=words,
            num=len(mocks),
            at_once=options.at_once,
            seconds=round(seconds, 1),
            an_hour=round(3600 * len(mocks) / seconds),
            good=sum(verdict.good for verdict in verdicts),
            converged=sum(verdict.converged for verdict in verdicts),
            largest_r_hat=round(max(verdict.max_r_hat[0] for verdict in verdicts), 4),
        )


def main():
    """Run the parts while there is time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no part is begun")
    parser.add_argument("--batch", type=int, nargs="+", default=[16] if ON_CPU else [16, 256, 4096])
    parser.add_argument("--lenses", type=int, default=4 if ON_CPU else 64)
    parser.add_argument("--at-once", type=int, default=1 if ON_CPU else 16)
    parser.add_argument("--only", nargs="+", choices=[part.__name__ for part in PARTS])
    options = parser.parse_args()
    began = time.perf_counter()
    say("machine", backend=jax.default_backend(), devices=jax.local_device_count(), **versions())
    for part in PARTS:
        if options.only and part.__name__ not in options.only:
            continue
        spent = (time.perf_counter() - began) / 60.0
        if spent > options.minutes:
            say("no time", part=part.__name__, minutes=round(spent, 1))
        else:
            part(options)


PARTS = (products, gradient, stages, lenses)

if __name__ == "__main__":
    main()
