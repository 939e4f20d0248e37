"""The simulator as GIGA-Lens's TensorFlow side has it, whose images have ``.numpy()``."""

from typing import Any

import jax
import numpy as np

from numpyro_lens.gigalens import simulator
from numpyro_lens.gigalens.mcmc import Numbers
from numpyro_lens.gigalens.physical import Params
from numpyro_lens.gigalens.simulator import LensSimulatorInterface as LensSimulatorInterface
from numpyro_lens.gigalens.simulator import SimulatorConfig as SimulatorConfig


class LensSimulator(simulator.LensSimulator):
    """`numpyro_lens.gigalens.simulator.LensSimulator`, whose images are arrays of NumPy.

    Scripts of that side call ``.numpy()`` on what they calculate with images. Under ``jit`` an
    image stays JAX's.
    """

    def simulate(self, params: Params, no_deflection: bool = False) -> Any:
        """Images, (ny, nx) or (n, ny, nx).

        Args:
            params: as of the class that it derives from.
            no_deflection: show the source as if there were no lens.
        """
        return _numbers(super().simulate(params, no_deflection))

    def lstsq_simulate(self, *args: Any, **settings: Any) -> Any:
        """As of the class that it derives from; coefficients and stacks are arrays of NumPy.

        Args:
            *args: as of the class that it derives from.
            **settings: as of the class that it derives from.
        """
        found = super().lstsq_simulate(*args, **settings)
        return _numbers(found) if isinstance(found, jax.Array) else found


def _numbers(values: jax.Array) -> Any:
    return values if isinstance(values, jax.core.Tracer) else np.array(values).view(Numbers)
