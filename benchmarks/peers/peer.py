"""What the scripts of the peers share: inputs, the likelihood, and one JSON object a line.

Each script runs in the environment of its peer, so nothing here imports numpyro_lens. It is called
with the file that ``table.py`` writes:

* ``image``, ``kernel`` (13x13, at the pixels), ``fine_kernel`` (25x25, at the sub-pixels);
* the parameters, ``lenses.0.theta_E`` and so on, arrays (batch,);
* ``expected``: the images (batch, 60, 60) that numpyro_lens makes of them in double precision.
"""

import importlib.metadata
import json
import os
import platform
import sys
import time

import numpy as np

BACKGROUND_RMS, EXP_TIME, DELTA_PIX, SUPERSAMPLING = 0.2, 100.0, 0.065, 2
REPEATS = int(os.environ.get("REPEATS", "5"))


def load():
    """The arrays of the input file."""
    with np.load(sys.argv[1]) as file:
        return dict(file)


def parameters(data, dtype=np.float32):
    """The 22 parameters by name, each (batch,)."""
    return {name: values.astype(dtype) for name, values in data.items() if "." in name}


def of(p, group, **renamed):
    """Parameters of one profile, ``of(p, "source_light.0", Ie="amp")``."""
    found = {k[len(group) + 1 :]: v for k, v in p.items() if k.startswith(group)}
    return {renamed.get(name, name): value for name, value in found.items()}


def corner(data):
    """Coordinate [arcsec] of the centre of the first pixel."""
    return -DELTA_PIX * (data["image"].shape[0] - 1) / 2


def agreement(found, data):
    """Largest difference from our images, over the peak of each: its median and its worst."""
    expected = data["expected"]
    worst = np.abs(np.asarray(found) - expected).max((1, 2)) / expected.max((1, 2))
    return {"image_error": float(np.median(worst)), "image_error_max": float(np.max(worst))}


def report(name, how, run, batch, *, compile_s, **more):
    """Time ``run()`` and print a JSON object."""
    run()
    wall, threads = zip(*[_seconds(run) for _ in range(REPEATS)], strict=True)
    record = {
        "name": name,
        "how": how,
        "ms_per_sample": round(1e3 * float(np.median(wall)) / batch, 4),
        "ms_per_sample_min": round(1e3 * float(np.min(wall)) / batch, 4),
        "cpu_ms_per_sample": round(1e3 * float(np.median(threads)) / batch, 4),
        "batch": batch,
        "pixels": 60 * 60,
        "cores": len(os.sched_getaffinity(0)),
        "compile_s": round(compile_s, 2),
        "load": round(os.getloadavg()[0], 2),
        **more,
        "versions": {"python": platform.python_version(), name: importlib.metadata.version(name)},
    }
    print(json.dumps(record), flush=True)


def report_gradient(name, how, log_likelihood, p, **more):
    """Time the value and gradient of ``log_likelihood(p)``, a jitted function of a batch."""
    import jax

    batch = next(iter(p.values())).size
    start = time.perf_counter()
    compiled = log_likelihood.lower(p).compile()
    compile_s = time.perf_counter() - start
    value, gradient = compiled(p)
    finite = sum(np.isfinite(g).ravel() for g in jax.tree.leaves((value, gradient)))
    more |= {
        "finite": int(np.sum(finite == 1 + len(p))),
        "num_devices": jax.local_device_count(),
        "jax": jax.__version__,
    }
    report(
        name, how, lambda: jax.block_until_ready(compiled(p)), batch, compile_s=compile_s, **more
    )


def log_likelihood(image, observed):
    """Normal log density of the pixels, summed over the last two axes; its noise is the model's."""
    import jax.numpy as jnp

    variance = BACKGROUND_RMS**2 + jnp.maximum(image, 0.0) / EXP_TIME
    terms = (observed - image) ** 2 / variance + jnp.log(2 * jnp.pi * variance)
    return -0.5 * jnp.sum(terms, axis=(-2, -1))


def report_single(name, image, data):
    """A code that makes one image: by ``vmap``, by ``lax.map``, or over several devices."""
    import jax
    import jax.numpy as jnp

    p, observed = parameters(data), jnp.asarray(data["image"], jnp.float32)
    found = jax.jit(lambda p: jax.lax.map(image, p))(p)
    each = jax.value_and_grad(lambda p: log_likelihood(image(p), observed))
    more = agreement(found, data)
    if jax.local_device_count() == 1:
        report_gradient(name, "vmap", jax.jit(jax.vmap(each)), p, **more)
        report_gradient(name, "lax.map", jax.jit(lambda p: jax.lax.map(each, p)), p, **more)
    else:
        report_gradient(
            name, f"lax.map on {jax.local_device_count()} devices", *over_devices(each, p), **more
        )


def over_devices(each, p):
    """The jitted function and its inputs, with the batch split over the devices."""
    import jax

    n = jax.local_device_count()
    split = {k: v.reshape(n, -1) for k, v in p.items()}
    return jax.pmap(lambda p: jax.lax.map(each, p)), split


def _seconds(run):
    start, threads = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - threads
