"""The three steps as GIGA-Lens's JAX side returns them: chains have an axis for the devices."""

from typing import Any, ClassVar

import jax.numpy as jnp

from numpyro_lens._types import Array
from numpyro_lens.gigalens import inference
from numpyro_lens.gigalens.inference import (
    ModellingSequenceInterface as ModellingSequenceInterface,
)
from numpyro_lens.gigalens.results import Chains


class ModellingSequence(inference.ModellingSequence):
    """`numpyro_lens.gigalens.inference.ModellingSequence`, whose chains have four axes.

    ``HMC`` returns an array (num_results, n_dev, n_hmc / n_dev, d), as GIGA-Lens 2 does; its
    ``all_states`` has the order of GIGA-Lens 1, (n_dev, num_results, n_hmc / n_dev, d).
    """

    chains_by_device: ClassVar[bool] = True

    def HMC_alt_multi(
        self,
        q_z: Any,
        *args: Any,
        n_vi: int = 1000,  # noqa: ARG002 our mass matrix is tuned while chains burn in
        proportion_burnin_to_use: float = 0.9,  # noqa: ARG002
        force_use_burnin: bool = False,  # noqa: ARG002
        **settings: Any,
    ) -> Chains:
        """`HMC`: its burn-in adapts as this one of GIGA-Lens's does.

        Args:
            q_z: as of `HMC`.
            *args: as of `HMC`.
            n_vi: accepted, and changes nothing.
            proportion_burnin_to_use: accepted, and changes nothing.
            force_use_burnin: accepted, and changes nothing.
            **settings: as of `HMC`.
        """
        return self.HMC(q_z, *args, **settings)


class HarryModellingSequence(ModellingSequence):
    """A fork's `ModellingSequence`, whose MAP returns every step."""

    def MAP(self, optimizer: Any = None, *args: Any, **settings: Any) -> tuple[Array, Array]:
        """All steps of all starts.

        Args:
            optimizer: as of `ModellingSequence.MAP`.
            *args: as of `ModellingSequence.MAP`.
            **settings: as of `ModellingSequence.MAP`.

        Returns:
            Vectors (num_steps, n_samples, d) and reduced chi-squares (num_steps, n_samples).
        """
        z, _, chi_square = super().MAP(optimizer, *args, **settings | {"output_type": "all"})
        return jnp.swapaxes(z, 0, 1), jnp.swapaxes(chi_square, 0, 1)

    MAP_multi = MAP
    SVI_multi = ModellingSequence.SVI

    def HMC_multi(self, *args: Any, **settings: Any) -> Array:
        """Chains (n_dev, n_hmc / n_dev, num_results, d).

        Args:
            *args: as of `HMC`.
            **settings: as of `HMC`.
        """
        return jnp.moveaxis(jnp.asarray(self.HMC(*args, **settings)), 0, 2)

    HMC_multi_alt = ModellingSequence.HMC_alt_multi
