"""The gradient and its compilation against the number of bands and of planes.

    python benchmarks/bands.py            # the points that bands.jsonl lacks, then the table
    python benchmarks/bands.py --table    # the table so far

Every point is a process of its own, so that what it traces, compiles and holds is cold, and a line
of `bands.jsonl` beside this file. The series, of images of 80x80 pixels with a PSF of 21x21:

- bands: the ready model `epl_shear_sersic`, offsets and rotations sampled;
- planes: an elliptical power law in each but the last, a Sersic in each but the first;
- spread: two power laws and two Sersics, in two planes or in three.

The exponents are slopes of the logarithms, fitted to all points of a series. `cold_cpu_s` is the
processor time of tracing and compiling, which depends little on other work on the machine.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import records
import typer
from demo import problem
from measure import measure_gradient, report, use_devices

import numpyro_lens as nl
from numpyro_lens.density import values_and_gradients

RESULTS = Path(__file__).with_suffix(".jsonl")
SERIES = {"bands": tuple(range(1, 9)), "planes": (2, 3, 4, 5), "spread": (2, 3)}
COLUMNS = ("operations", "cold_cpu_s", "cpu_ms_per_sample", "xla_mib", "peak_mib")
app = typer.Typer(add_completion=False)


def instrument(side=80):
    """A band of Euclid's VIS."""
    steps = np.arange(21) - 10
    kernel = np.exp(-0.5 * (steps[:, None] ** 2 + steps**2) / 1.5**2)
    image = np.random.default_rng(0).normal(0.5, 0.1, (side, side))
    noise = nl.NoiseMap(np.full((side, side), 0.1))
    return nl.Observation(image, pixel_scale=0.1, noise=noise, psf=nl.PSF(kernel))


def profiles_of(num):
    """A deflector in every plane but the last, light in every plane but the first."""
    place = dist.Normal(0.0, 0.1)
    shape = {"e1": place, "e2": place, "center_x": place, "center_y": place}
    masses, lights = [], []
    for j in range(num - 1):
        theta_E = dist.LogNormal(-float(j), 0.2)
        masses.append(nl.sample(f"mass{j}", nl.mass.EPL, theta_E=theta_E, gamma=2.0, **shape))
        shape_of_light = {"R_sersic": dist.LogNormal(-1.5, 0.3), "n_sersic": dist.Uniform(0.5, 4.0)}
        amp = dist.LogNormal(2.0, 0.5)
        lights.append(nl.sample(f"light{j}", nl.light.Sersic, amp=amp, **shape_of_light, **shape))
    return masses, lights


def in_planes(num, observation):
    """Each profile in a plane of its own."""
    masses, lights = profiles_of(num)
    pairs = zip([*masses, None], [None, *lights], strict=True)
    scaling = jnp.triu(jnp.full((num, num), 0.7), 1).at[:-1, -1].set(1.0)
    planes = [nl.Plane(deflector, light) for deflector, light in pairs]
    nl.observe("image", observation, planes=planes, scaling=scaling)


def in_two_planes(num, observation):
    """As many profiles in two planes."""
    masses, lights = profiles_of(num)
    nl.observe("image", observation, mass=masses, source=lights)


def of_series(series, size, batch):
    """The problem of a point."""
    band = instrument()
    if series == "bands":
        return problem(nl.models.epl_shear_sersic, {f"B{i}": band for i in range(size)}, batch)
    if series == "spread":
        model = functools.partial({2: in_two_planes, 3: in_planes}[size], 3)
    else:
        model = functools.partial(in_planes, size)
    return problem(model, band, batch)


def num_operations(p):
    """Operations of the program that XLA is given."""
    gradient = jax.jit(lambda z, target: values_and_gradients(target.log_density, z, None))
    return gradient.lower(p.z, p.target).as_text().count(" = ")


@app.command()
def point(series: str, size: int, batch: int = 8):
    """Measure one point."""
    use_devices(1)
    p = of_series(series, size, batch)
    timing = measure_gradient(p, repeats=5)
    more = {"size": size, "dim": p.target.dim, "operations": num_operations(p)}
    report(series, timing, batch=batch, pixels=80 * 80, **more)


@app.command()
def main(table: bool = False):
    """Measure what is missing, and print the table."""
    done = {(line["name"], line["size"]) for line in records.read(RESULTS)}
    wanted = [(series, size) for series, sizes in SERIES.items() for size in sizes]
    for series, size in () if table else wanted:
        if (series, size) not in done:
            command = [sys.executable, __file__, "point", series, str(size)]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            records.append(RESULTS, json.loads(found))
    points = records.read(RESULTS)
    for series in SERIES:
        print_table(series, sorted(filter(lambda r: r["name"] == series, points), key=_size))


def _size(record):
    return record["size"]


def print_table(series, records):
    """A row for each point, and the exponents."""
    print(f"| {series} | {' | '.join(COLUMNS)} |\n|{'---|' * (1 + len(COLUMNS))}")
    for record in records:
        print(f"| {record['size']} | {' | '.join(f'{record[name]:.4g}' for name in COLUMNS)} |")
    if len(records) > 2:
        values = np.log([[r[name] for name in ("size", *COLUMNS)] for r in records])
        slopes = [np.polyfit(values[:, 0], column, 1)[0] for column in values.T[1:]]
        print(f"| exponent | {' | '.join(f'{slope:.2f}' for slope in slopes)} |")


if __name__ == "__main__":
    app()
