"""Run every installed peer and numpyro_lens on the same inputs, and print the table of ratios.

    sh benchmarks/peers/setup.sh && python benchmarks/peers/table.py

All runs happen in turn, within minutes, on the cores that this process may use: on one device and,
with several cores, on as many. JSON objects go to standard error as they come, the Markdown table
to standard output. REPEATS (5) runs make a median. CPU ms are summed over threads: on a machine
with other work on it they are the better measure.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NUM_DEVICES = sorted({1, len(os.sched_getaffinity(0))})
PEERS = ("gigalens", "herculens", "jaxtronomy", "lenstronomy")

INPUTS = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
sys.path.insert(0, sys.argv[1])
from demo import demo_data, demo_problem, site_values
p, (image, kernel) = demo_problem(64), demo_data()
render = jax.jit(lambda target, z: target.trace(z)["image"]["fn"].mean)
expected = np.stack([render(p.target, z) for z in p.z])
fine = np.asarray(p.observation.psf.kernel)
np.savez(sys.argv[2], image=image, kernel=kernel, fine_kernel=fine, expected=expected,
         **site_values(p))
"""


def run(command, devices=1):
    """The JSON objects that a command prints."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=False
    )
    sys.stderr.write(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def run_peer(name, inputs):
    """The results of a peer, on one and on several devices; none where it is not installed."""
    python = HERE / "envs" / name / "bin" / "python"
    if not python.exists():
        sys.stderr.write(f"{name} is not installed: run setup.sh {name}\n")
        return []
    command = [str(python), str(HERE / f"run_{name}.py"), str(inputs)]
    return [r for n in ((1,) if name == "lenstronomy" else NUM_DEVICES) for r in run(command, n)]


def run_ours():
    """Our results, on one and on several devices."""
    command = [sys.executable, str(HERE.parent / "gradient.py"), "--num-devices"]
    return [
        {"how": "lax.map" if n == 1 else f"lax.map on {n} devices", **r}
        for n in NUM_DEVICES
        for r in run([*command, str(n)])
    ]


def table(ours, peers):
    """Markdown rows, with ratios over the best of ours."""
    best = {k: min(r[k] for r in ours) for k in ("ms_per_sample", "cpu_ms_per_sample")}
    lines = [
        "| | how | ms | ratio | CPU ms | ratio | compile s | image error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in (*ours, *peers):
        wall, cpu = r["ms_per_sample"], r["cpu_ms_per_sample"]
        name = r["name"].replace("gradient", "numpyro_lens")
        ratios = wall / best["ms_per_sample"], cpu / best["cpu_ms_per_sample"]
        lines.append(
            f"| {name} | {r['how']} | {wall:.3g} | {ratios[0]:.3g} | {cpu:.3g} | {ratios[1]:.3g} "
            f"| {r['compile_s']:.2g} | {r.get('image_error', 0.0):.0e} |"
        )
    return "\n".join(lines)


def main():
    """Write the inputs, run everything, print the table."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        subprocess.run([sys.executable, "-c", INPUTS, str(HERE.parent), str(inputs)], check=True)
        peers = [r for name in PEERS for r in run_peer(name, inputs)]
        print(table(run_ours(), peers))


if __name__ == "__main__":
    main()
