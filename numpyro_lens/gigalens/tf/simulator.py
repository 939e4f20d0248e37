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
        images = super().simulate(params, no_deflection)
        return images if isinstance(images, jax.core.Tracer) else np.array(images).view(Numbers)
