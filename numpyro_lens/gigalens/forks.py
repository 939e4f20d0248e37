"""What branches of GIGA-Lens changed under the same names, which an import ``as`` gives back."""

from typing import Any

import jax.numpy as jnp

from numpyro_lens._types import Array
from numpyro_lens.gigalens import simulator
from numpyro_lens.gigalens.jax import inference


class ModellingSequenceWithHistory(inference.ModellingSequence):
    """A `ModellingSequence` whose MAP gives the chi-square of every step, as on ``xh-dev``.

    ``from numpyro_lens.gigalens.forks import ModellingSequenceWithHistory as ModellingSequence``
    """

    def MAP(self, optimizer: Any = None, *args: Any, **settings: Any) -> tuple[Array, list[float]]:
        """The starts after the last step, and the smallest chi-square of each step.

        Args:
            optimizer: as of `ModellingSequence.MAP`.
            *args: as of `ModellingSequence.MAP`.
            **settings: as of `ModellingSequence.MAP`.

        Returns:
            Vectors (n_samples, d) and num_steps reduced chi-squares.
        """
        z, _, chi_square = super().MAP(optimizer, *args, **settings | {"output_type": "all"})
        return z[:, -1], jnp.nanmin(chi_square, axis=0).tolist()


class LensSimulatorWithDeflection(simulator.LensSimulator):
    """A `LensSimulator` whose ``_beta`` gives the deflection too, as on ``xh-dev``.

    ``from numpyro_lens.gigalens.forks import LensSimulatorWithDeflection as LensSimulator``
    """

    def _beta(self, lens_params: Any) -> Any:
        """Positions in the source plane, and the deflection by the last lens alone."""
        *_, (last, values) = zip(self.phys_model.profiles("lenses"), lens_params, strict=False)
        return *super()._beta(lens_params), *last.deriv(self.img_X, self.img_Y, **values)

    beta = _beta
