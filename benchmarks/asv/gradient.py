"""The gradient of the demo for asv: tracing, compiling and running apart."""

import sys
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo import demo_problem

from numpyro_lens.infer.batching import values_and_gradients


def fresh(flat):
    """The gradient as a function that JAX has not seen before."""
    return jax.jit(lambda z, args: values_and_gradients.__wrapped__(flat, z, args))


class Run:
    """Seconds of value and gradient at 64 points, compiled."""

    timeout = 300

    def setup(self):
        flat, observation, self.z = demo_problem(64)
        self.args = (observation,)
        self.compiled = fresh(flat).lower(self.z, self.args).compile()
        self.time_gradient()

    def time_gradient(self):
        jax.block_until_ready(self.compiled(self.z, self.args))


class FirstCall:
    """Seconds of tracing, and of compiling what was traced; each repeat starts anew."""

    timeout, number, repeat, warmup_time = 300, 1, 3, 0

    def setup(self):
        self.flat, observation, self.z = demo_problem(64)
        self.args = (observation,)
        jax.clear_caches()
        self.lowered = fresh(self.flat).lower(self.z, self.args)

    def time_trace(self):
        fresh(self.flat).lower(self.z, self.args)

    def time_compile(self):
        self.lowered.compile()
