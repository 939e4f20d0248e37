"""The gradient of the demo for asv: tracing, compiling and running apart."""

import sys
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo import demo_problem

from numpyro_lens.density import values_and_gradients


def fresh():
    """The gradient as a function that JAX has not compiled before."""
    return jax.jit(lambda z, target: values_and_gradients.__wrapped__(target.log_density, z))


class Run:
    """Seconds of value and gradient at 64 points, compiled."""

    timeout = 300

    def setup(self):
        self.target, self.z = demo_problem(64)
        self.compiled = fresh().lower(self.z, self.target).compile()
        self.time_gradient()

    def time_gradient(self):
        jax.block_until_ready(self.compiled(self.z, self.target))


class FirstCall:
    """Seconds of tracing, and of compiling what was traced; each repeat starts anew."""

    timeout, number, repeat, warmup_time = 300, 1, 3, 0

    def setup(self):
        self.target, self.z = demo_problem(64)
        jax.clear_caches()
        self.lowered = fresh().lower(self.z, self.target)

    def time_trace(self):
        fresh().lower(self.z, self.target)

    def time_compile(self):
        self.lowered.compile()
