"""The machine's own time for the work that no design of this gradient can leave out.

At each of the 120x120 sub-pixels the physics of EPL + shear + two Sersics takes

* EPL: the power ``|w|^(-t)``, one logarithm and one exponential;
* each Sersic: the power ``R^(1/n)``, one logarithm and one exponential, and one exponential of it;

three logarithms and five exponentials; and at each of the 60x60 pixels the noise takes one
logarithm, the log-determinant of the likelihood. Their derivatives are products of the same
numbers and take no further ones. The PSF takes a real FFT pair (transform and back) forward and
another one backward, at the size that `Blur` uses: four planes of 70x70 to Fourier space and one
back, then one and four. Single precision, the same batching over the same devices.

    python benchmarks/floor.py --num-devices 2                # the floor
    python benchmarks/floor.py --num-devices 2 --ratio        # and the gradient over it
"""

import json
from typing import Annotated

import jax
import jax.numpy as jnp
import typer
from demo import demo_problem
from measure import measure, measure_gradient, report, use_devices

from numpyro_lens.density import map_batch


def transcendentals(scalars, shared):
    """Three logarithms and five exponentials a sub-pixel, one logarithm a pixel."""
    x, image = shared
    a, b, c = (scalars[k] * jnp.log(x + scalars[k]) for k in range(3))
    total = jnp.exp(a) + jnp.exp(-jnp.exp(b)) + jnp.exp(-jnp.exp(c))
    return jnp.sum(total) + jnp.sum(jnp.log(image + scalars[3]))


def transforms(scalars, shared):
    """A pair of real FFTs forward and a pair backward."""
    canvas, kernel = shared
    size = canvas.shape[1:]
    spectrum = jnp.sum(jnp.fft.rfft2(canvas * scalars[0]) * kernel, axis=0)
    image = jnp.fft.irfft2(spectrum, s=size)
    planes = jnp.fft.irfft2(jnp.fft.rfft2(image) * kernel, s=size)
    return jnp.sum(planes * planes)


def both(scalars, shared):
    """The floor: both together."""
    return transcendentals(scalars, shared[0]) + transforms(scalars, shared[1])


def main(
    num_devices: Annotated[int, typer.Option(help="Host devices that share the processor.")] = 1,
    batch: int = 64,
    batch_size: int | None = None,
    repeats: int = 15,
    ratio: Annotated[bool, typer.Option(help="Measure the gradient too, in turns.")] = False,
):
    """Print one JSON object for each kind of work, and with --ratio the gradient over the floor."""
    use_devices(num_devices)
    problem = demo_problem(batch)
    observation = problem.observation
    scalars = 1.0 + jax.random.uniform(jax.random.key(0), (batch, 4))
    points = jnp.abs(observation.sub_x), observation.image**2
    fourier = jnp.ones_like(observation.blur.canvas), observation.blur.transform
    work = {"logs_exps": (transcendentals, points), "fft": (transforms, fourier)}
    work["floor"] = both, (points, fourier)
    for name, (function, shared) in work.items():
        run = jax.jit(lambda s, a, f=function: map_batch(f, s, a, batch_size=batch_size))
        timing = measure(run, scalars, shared, repeats=repeats)
        floor = report(name, timing, batch=batch, pixels=observation.image.size)
    if ratio:
        timing = measure_gradient(problem, batch_size, repeats)
        gradient = report("gradient", timing, batch=batch, pixels=observation.image.size)
        kinds = ("ms_per_sample", "cpu_ms_per_sample")
        ratios = {kind: round(gradient[kind] / floor[kind], 2) for kind in kinds}
        print(json.dumps({"name": "gradient over floor", **ratios}))


if __name__ == "__main__":
    typer.run(main)
