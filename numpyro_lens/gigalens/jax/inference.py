"""The three steps as GIGA-Lens's JAX side returns them: chains have an axis for the devices."""

from types import SimpleNamespace
from typing import Any, ClassVar

import jax.numpy as jnp

from numpyro_lens._types import Array
from numpyro_lens.gigalens import inference
from numpyro_lens.gigalens.inference import (
    ModellingSequenceInterface as ModellingSequenceInterface,
)
from numpyro_lens.gigalens.results import Chains, Gaussian


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


class ModellingSequenceMultinode:
    """A fork's sequence, whose vectors are lists and dicts like those of the parameters.

    Args:
        phys_model: ``PhysicalModel``.
        prob_model: ``ForwardProbModel`` or ``BackwardProbModel``.
        sim_config: ``SimulatorConfig``.
    """

    def __init__(self, phys_model: Any, prob_model: Any, sim_config: Any) -> None:
        self.sequence = ModellingSequence(phys_model, prob_model, sim_config)
        self.phys_model, self.prob_model, self.sim_config = phys_model, prob_model, sim_config

    def MAP(self, optimizer: Any = None, *args: Any, **settings: Any) -> tuple[Any, Array]:
        """The starts after the last step, in a tree of arrays (n_samples,), and chi-squares.

        Args:
            optimizer: as of `ModellingSequence.MAP`.
            *args: as of `ModellingSequence.MAP`.
            **settings: as of `ModellingSequence.MAP`.

        Returns:
            The tree, with None for what the prior fixes, and the smallest reduced chi-square of
            each step (num_steps,).
        """
        settings |= {"output_type": "all"}
        z, _, chi_square = self.sequence.MAP(optimizer, *args, **settings)
        return self.prob_model.pack_bij.free(z[:, -1]), jnp.nanmin(chi_square, axis=0)

    def SVI(self, start: Any, optimizer: Any, **settings: Any) -> Gaussian:
        """The Gaussian, which unpacks as ``qz, losses``.

        Args:
            start: a tree of numbers.
            optimizer: as of `ModellingSequence.SVI`.
            **settings: as of `ModellingSequence.SVI`.
        """
        flat = jnp.ravel(jnp.stack(self.prob_model.pack_bij.inverse(start)))
        return self.sequence.SVI(flat, optimizer, **settings)

    def HMC(self, q_z: Any, tree_struct: Any = None, **settings: Any) -> SimpleNamespace:  # noqa: ARG002
        """Chains, ``.all_states`` (num_results, n_hmc, d).

        Args:
            q_z: as of `ModellingSequence.HMC`.
            tree_struct: accepted, and changes nothing.
            **settings: as of `ModellingSequence.HMC`.
        """
        chains = self.sequence.HMC(q_z, **settings)
        return SimpleNamespace(all_states=jnp.asarray(chains.result.chains))
