"""How the gradient grows with pixels, supersampling and number of profiles, and what bounds memory.

    python benchmarks/scaling.py time --num-devices 2
    python benchmarks/scaling.py memory

After the JSON objects of a series comes one with its exponent: the slope of the log CPU time
against log size, fitted to all of its points. One is linear.
"""

import json
from functools import partial
from typing import Annotated

import numpy as np
import numpyro.distributions as dist
import typer
from demo import problem
from measure import measure_gradient, report, use_devices

import numpyro_lens as nl

SIDES = (32, 64, 128, 256, 512)
SUPERSAMPLINGS = (1, 2, 4)
COUNTS = (1, 2, 4, 8)
app = typer.Typer(add_completion=False)
NumDevices = Annotated[int, typer.Option(help="Host devices that share the processor.")]


def lens(num_masses, num_lights, observation):
    """Power laws and Sersic sources, as many as asked for."""
    place, ellipticity = dist.Normal(0.0, 0.1), dist.Normal(0.0, 0.1)
    common = {"e1": ellipticity, "e2": ellipticity, "center_x": place, "center_y": place}
    masses = [
        nl.sample(
            f"lens{i}",
            nl.mass.EPL,
            theta_E=dist.LogNormal(0.0, 0.1),
            gamma=dist.TruncatedNormal(2.0, 0.2, low=1.2, high=2.8),
            **common,
        )
        for i in range(num_masses)
    ]
    lights = [
        nl.sample(
            f"source{i}",
            nl.light.Sersic,
            amp=dist.LogNormal(3.0, 0.5),
            R_sersic=dist.LogNormal(-1.0, 0.2),
            n_sersic=dist.Uniform(0.5, 4.0),
            **common,
        )
        for i in range(num_lights)
    ]
    nl.observe("image", observation, mass=masses, source=lights)


def instrument(side, supersampling):
    """Square images of one field of view, with a PSF that is 13 pixels wide."""
    offset = np.arange(13) - 6
    kernel = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / 1.2**2)
    return nl.Observation(
        np.ones((side, side)),
        pixel_scale=4.0 / side,
        noise=nl.PoissonNoise(0.2, 100.0),
        psf=nl.PSF(kernel).refined(supersampling),
        supersampling=supersampling,
    )


def point(series, size, observation, *, masses=1, lights=1, repeats=3, batch=None):
    """Measure one point; batches are smaller where images are larger."""
    pixels = observation.image.size
    batch = batch or int(np.clip(2**21 // observation.sub_x.size, 2, 64))
    p = problem(partial(lens, masses, lights), observation, batch)
    timing = measure_gradient(p, repeats=repeats)
    more = {"supersampling": observation.supersampling, "masses": masses, "lights": lights}
    record = report(series, timing, batch=batch, pixels=pixels, size=size, **more)
    return size, record["cpu_ms_per_sample"]


def exponent(series, points):
    """Print the fitted exponent of a series."""
    size, ms = np.log(np.array(points)).T
    slope = float(np.polyfit(size, ms, 1)[0])
    print(json.dumps({"name": series, "exponent": round(slope, 3)}), flush=True)


@app.command()
def time(num_devices: NumDevices = 1):
    """Pixels, sub-pixels and profiles."""
    use_devices(num_devices)
    for s in SUPERSAMPLINGS:
        name = f"pixels, supersampling {s}"
        sides = [n for n in SIDES if n * s <= 1024]
        exponent(name, [point(name, n * n, instrument(n, s)) for n in sides])
    exponent("sub-pixels", [point("sub-pixels", s * s, instrument(128, s)) for s in SUPERSAMPLINGS])
    small = instrument(60, 2)
    exponent("masses", [point("masses", k, small, masses=k) for k in COUNTS])
    exponent("lights", [point("lights", k, small, lights=k) for k in COUNTS])


@app.command()
def memory(num_devices: NumDevices = 1, batch: int = 64, side: int = 200):
    """A batch of 64 at 200x200 pixels, supersampling 2, for several ``batch_size``."""
    use_devices(num_devices)
    p = problem(partial(lens, 1, 2), instrument(side, 2), batch)
    for batch_size in (None, 4, 16, 64):
        timing = measure_gradient(p, batch_size, repeats=1)
        report("memory", timing, batch=batch, pixels=side * side, batch_size=batch_size)


if __name__ == "__main__":
    app()
