"""Time, memory and machine of a compiled function, as one JSON object a line."""

import functools
import json
import os
import platform
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jaxlib
import numpy as np
import numpyro

import numpyro_lens
from numpyro_lens.density import values_and_gradients


class Timing(NamedTuple):
    """Seconds of tracing, of compiling, of each run and of its threads together; memory in MiB.

    ``cold_cpu_s`` is the time of all threads in tracing and compiling together.
    """

    trace_s: float
    compile_s: float
    cold_cpu_s: float
    runs_s: tuple[float, ...]
    threads_s: tuple[float, ...]
    peak_mib: float
    xla_mib: float


def use_devices(num_devices: int) -> None:
    """Split the processor into host devices; before the first array is made."""
    jax.config.update("jax_num_cpu_devices", num_devices)


def measure(function, *args, repeats: int = 9) -> Timing:
    """Trace, compile and run ``function(*args)``, jitted or not.

    Three runs more come first, so that caches and clock frequency have settled.
    """
    function = function if hasattr(function, "trace") else jax.jit(function)
    start, threads_start = time.perf_counter(), time.process_time()
    lowered = function.trace(*args).lower()
    traced = time.perf_counter()
    compiled = lowered.compile()
    ended, cold = time.perf_counter(), time.process_time() - threads_start
    _reset_peak()
    runs, threads = zip(*[_seconds(compiled, args) for _ in range(3 + repeats)][3:], strict=True)
    took = traced - start, ended - traced, cold
    return Timing(*took, runs, threads, _peak_mib(), _xla_mib(compiled))


def measure_gradient(problem, batch_size=None, repeats: int = 9) -> Timing:
    """The value and gradient of a log density at a batch of points, as every stage takes them."""

    @jax.jit
    def run(z, target):
        return values_and_gradients(target.log_density, z, batch_size)

    return measure(run, problem.z, problem.target, repeats=repeats)


def report(name: str, timing: Timing, *, batch: int, pixels: int, **more) -> dict:
    """Print one JSON object, and return it.

    ``cpu_ms_per_sample``, summed over the threads, depends little on other work on the machine.
    """
    runs, threads = (1e3 * np.asarray(s) / batch for s in (timing.runs_s, timing.threads_s))
    record = {
        "name": name,
        "ms_per_sample": round(float(np.median(runs)), 5),
        "ms_per_sample_min": round(float(np.min(runs)), 5),
        "cpu_ms_per_sample": round(float(np.median(threads)), 5),
        "batch": batch,
        "pixels": pixels,
        **more,
        "device": device(),
        "num_devices": jax.local_device_count(),
        "compile_s": round(timing.compile_s, 3),
        "trace_s": round(timing.trace_s, 3),
        "cold_cpu_s": round(timing.cold_cpu_s, 3),
        "peak_mib": round(timing.peak_mib, 1),
        "xla_mib": round(timing.xla_mib, 1),
        "load": round(os.getloadavg()[0], 2),
        "versions": versions(),
    }
    print(json.dumps(record), flush=True)
    return record


@functools.cache
def device() -> str:
    """The accelerator, or the processor and the number of its cores that this process may use."""
    if jax.default_backend() != "cpu":
        return jax.devices()[0].device_kind
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    model = names[0] if names else platform.processor() or platform.machine()
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


@functools.cache
def versions() -> dict[str, str]:
    """Python and the packages that decide the speed."""
    modules = (jax, jaxlib, numpyro, numpyro_lens)
    return {"python": platform.python_version()} | {m.__name__: m.__version__ for m in modules}


def _seconds(function, args):
    start, threads = time.perf_counter(), time.process_time()
    jax.block_until_ready(function(*args))
    return time.perf_counter() - start, time.process_time() - threads


def _xla_mib(compiled):
    """What XLA sets aside on each device: arguments, results and temporaries."""
    m = compiled.memory_analysis()
    sizes = (m.argument_size_in_bytes, m.output_size_in_bytes, m.temp_size_in_bytes)
    return sum(sizes) / 2**20


def _reset_peak():
    """Forget the peak of the compiler's memory; Linux only."""
    if os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib():
    """Highest memory of the device, or of the whole process on a processor."""
    if jax.default_backend() != "cpu":
        return jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(x.split()[1]) / 2**10 for x in lines if x.startswith("VmHWM")), float("nan"))
