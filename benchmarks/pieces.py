"""Where the time of the demo's gradient goes: its pieces, each alone, value and gradient.

    python benchmarks/pieces.py --num-devices 2

The value of a piece is a weighted sum of the squares of what it returns, since XLA would compute
the gradient of a linear one once for all samples. The gradient is taken in everything that depends
on the parameters of the lens. What the whole takes beyond the sum of its pieces is
what XLA computes twice, or moves through memory, when it compiles them together.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import typer
from demo import demo_problem, site_values
from measure import measure, measure_gradient, report, use_devices
from numpyro import handlers

from numpyro_lens import light, mass
from numpyro_lens.density import Target, map_batch
from numpyro_lens.simulate import observe_brightness


class Piece(NamedTuple):
    """``function(input, observation)``, and one input for each sample along the leading axes."""

    function: Callable
    inputs: Any


def positions(observation):
    """The sub-pixels in one long axis, as `render` takes them."""
    return observation.sub_x.reshape(-1), observation.sub_y.reshape(-1)


def epl(parameters, observation):
    """Deflection at fixed positions."""
    return mass.EPL(**parameters).deflection(*positions(observation))


def shear(parameters, observation):
    """Deflection at fixed positions."""
    return mass.Shear(**parameters).deflection(*positions(observation))


def sersic_lens(parameters, observation):
    """Brightness at fixed positions."""
    return light.Sersic(**parameters).brightness(*positions(observation))


def sersic_source(inputs, _):
    """Brightness at positions that carry a derivative."""
    parameters, x, y = inputs
    return light.Sersic(**parameters).brightness(x, y)


def blur(brightness, observation):
    """Sub-pixels to pixels."""
    return observe_brightness(observation, brightness)


def likelihood(image, observation):
    """Normal log density of each pixel."""
    sigma = observation.noise.sigma(image)
    return -0.5 * ((observation.image - image) / sigma) ** 2 - jnp.log(sigma)


def pieces(problem) -> dict[str, Piece]:
    """The pieces at the demo's draws."""
    target, observation, z = problem.target, problem.observation, problem.z
    values = site_values(problem)

    def of(group):
        found = {name[len(group) + 1 :]: v for name, v in values.items() if name.startswith(group)}
        return {"amp" if name == "Ie" else name: v for name, v in found.items()}

    prior = handlers.block(target.model, hide=["image"])

    def log_prior(z, observation):
        return Target(prior, target.sites, (observation,)).log_density(z)

    noise = jax.random.uniform(jax.random.key(1), (len(z), *observation.sub_x.shape))
    flat_noise = noise.reshape(len(z), -1)
    x, y = (p + a * flat_noise for p, a in zip(positions(observation), (0.05, -0.05), strict=True))
    return {
        "prior": Piece(log_prior, z),
        "epl": Piece(epl, of("lenses.0")),
        "shear": Piece(shear, of("lenses.1")),
        "sersic_lens": Piece(sersic_lens, of("lens_light.0")),
        "sersic_source": Piece(sersic_source, (of("source_light.0"), x, y)),
        "blur": Piece(blur, noise),
        "likelihood": Piece(likelihood, observation.image + noise[:, 0, 0]),
    }


def weighted(function):
    """Weighted sum of the squares of what a function returns."""

    def value(sample, shared):
        observation, weights = shared
        leaves = jax.tree.leaves(function(sample, observation))
        return sum(jnp.sum(weights[: x.size].reshape(x.shape) * x * x) for x in leaves)

    return value


def main(
    num_devices: Annotated[int, typer.Option(help="Host devices that share the processor.")] = 1,
    batch: int = 64,
    repeats: int = 9,
):
    """Print two JSON objects for each piece, forward and gradient, and those of the whole."""
    use_devices(num_devices)
    problem = demo_problem(batch)
    pixels = problem.observation.image.size
    weights = jax.random.normal(jax.random.key(2), (problem.observation.sub_x.size,))
    for name, piece in pieces(problem).items():
        value = weighted(piece.function)
        for suffix, function in (("forward", value), ("gradient", jax.value_and_grad(value))):
            run = jax.jit(lambda s, a, f=function: map_batch(f, s, a))
            timing = measure(run, piece.inputs, (problem.observation, weights), repeats=repeats)
            report(f"{name} {suffix}", timing, batch=batch, pixels=pixels)
    run = jax.jit(lambda z, target: map_batch(lambda z, t: t.log_density(z), z, target))
    timing = measure(run, problem.z, problem.target, repeats=repeats)
    report("whole forward", timing, batch=batch, pixels=pixels)
    timing = measure_gradient(problem, repeats=repeats)
    report("whole gradient", timing, batch=batch, pixels=pixels)


if __name__ == "__main__":
    typer.run(main)
