"""GIGA-Lens's way to write a model: profiles, pixels and a nested prior make a NumPyro model."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from numpyro_lens._types import Array
from numpyro_lens.density import Target
from numpyro_lens.gigalens import tfd
from numpyro_lens.gigalens.bijectors import (
    Chain,
    Packing,
    Path,
    Unconstraining,
    logistic,
    place,
)
from numpyro_lens.gigalens.density import CHI_SQUARE, log_prob_and_chi_square
from numpyro_lens.gigalens.physical import ROLES, Params
from numpyro_lens.gigalens.physical import PhysicalModel as PhysicalModel
from numpyro_lens.gigalens.simulator import LensSimulator, SimulatorConfig, solved_image
from numpyro_lens.models import observe, observe_image
from numpyro_lens.noise import AbstractNoise, NoiseMap, PoissonNoise
from numpyro_lens.observation import Observation


class ProbabilisticModel(ABC):
    """A prior and a likelihood; a class of your own has `log_prob`.

    Args:
        prior: joint distribution of the parameters.
        bij: map of unconstrained vectors to parameters.
        *args: data.
    """

    def __init__(self, prior: Any, bij: Any = None, *args: Any) -> None:  # noqa: ARG002
        self.prior, self.bij = prior, bij

    @abstractmethod
    def log_prob(self, simulator: LensSimulator, z: Any) -> tuple[Array, Array]:
        """Unconstrained log density and reduced chi-square.

        Args:
            simulator: of the images.
            z: vectors (n, d).

        Returns:
            Two arrays (n,).
        """


class ImageModel(ProbabilisticModel):
    """A prior and an image.

    Args:
        prior: joint distribution of ``tfd``, or lists of dicts ``[lenses, lens_light,
            source_light]``, or a NumPyro function that returns them. In a dict each parameter is a
            distribution, a number (fixed), or a function of parameters of the same dict that
            returns either.
        observed_image: (ny, nx).
        background_rms: standard deviation of the background, scalar or (ny, nx).
        exp_time: exposure time, scalar or (ny, nx).
        error_map: (ny, nx) standard deviations of the pixels, instead of these two.
        mask: (ny, nx), True uses the pixel.

    Attributes:
        bij: map of vectors to parameters: ``bij.forward(list(z.T))`` and ``bij.inverse(params)``.
        pack_bij: the part of it that changes no value.
        unconstraining_bij: the other part; ``bijector`` is another name of it.
    """

    #: What ``bij`` is.
    chain: ClassVar[type[Chain]] = Chain

    def __init__(
        self,
        prior: Any,
        observed_image: ArrayLike,
        background_rms: Any = None,
        exp_time: Any = None,
        error_map: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> None:
        if not (callable(prior) or hasattr(prior, "tree")):
            prior = tfd.JointDistributionSequential(list(prior))
        super().__init__(prior, _NoMap() if callable(prior) else None)
        if not callable(prior):
            self.pack_bij = Packing(prior.tree)
            self.unconstraining_bij = self.bijector = Unconstraining(prior.tree)
            self.bij = self.chain(self.pack_bij, self.unconstraining_bij)
        if error_map is None and (background_rms is None or exp_time is None):
            raise ValueError(
                "The noise comes from `background_rms` and `exp_time`, or from an `error_map`; got "
                f"{background_rms} and {exp_time}. Type error_map=np.full(image.shape, 0.2)."
            )
        self.observed_image = jnp.asarray(observed_image, jnp.result_type(float))
        self.background_rms, self.exp_time = background_rms, exp_time
        self.error_map, self.mask = error_map, mask
        self._targets: dict[tuple, tuple[Any, Target]] = {}

    @abstractmethod
    def noise(self) -> AbstractNoise:
        """Noise of the image."""

    @abstractmethod
    def numpyro_model(self, phys_model: PhysicalModel) -> Callable:
        """The NumPyro model function, of the observation."""

    def observation(self, sim_config: SimulatorConfig) -> Observation:
        """The data as the library holds them."""
        return sim_config.observation(np.asarray(self.observed_image), self.noise(), self.mask)

    def sample_prior(self, phys_model: PhysicalModel) -> Params:
        """Place the prior in a NumPyro model; sites are called ``lenses.0.theta_E`` and so on."""
        if callable(self.prior):
            return phys_model.split(self.prior())

        def site(path: Path, distribution: dist.Distribution) -> Any:
            name = ".".join(map(str, (ROLES[int(path[0])], *path[1:])))
            return numpyro.sample(name, logistic(distribution))

        return place(phys_model.split(self.prior.tree), site)

    def target(self, phys_model: PhysicalModel, sim_config: SimulatorConfig) -> Target:
        """The log density over GIGA-Lens's vector; one object for the same arguments.

        Args:
            phys_model: profiles.
            sim_config: pixels and PSF.
        """
        data = (self.observed_image, self.background_rms, self.exp_time, self.mask, self.errors)
        key = (id(phys_model), sim_config.key, *map(id, data))
        if key not in self._targets:
            with jax.ensure_compile_time_eval():
                made = Target.of(self.numpyro_model(phys_model), self.observation(sim_config))
            # What the key knows by its address is kept, so that nothing else gets that address.
            kept = (phys_model, sim_config.kernel, sim_config.transform_pix2angle, data)
            self._targets[key] = (kept, made)
        return self._targets[key][1]

    @property
    def errors(self) -> Any:
        """The map of standard deviations, None if they follow the model."""
        return self.error_map

    def log_prob(self, simulator: LensSimulator, z: Any) -> tuple[Array, Array]:
        """Unconstrained log density and reduced chi-square.

        Args:
            simulator: of the images.
            z: vectors (n, d), or one (d,), or lists and dicts of their entries.

        Returns:
            Two arrays (n,), or two numbers.
        """
        if isinstance(z, list | tuple):
            z = jnp.stack(self.pack_bij.inverse(z), axis=-1)
        z = jnp.asarray(z, jnp.result_type(float))
        target = self.target(simulator.phys_model, simulator.sim_config)
        values = log_prob_and_chi_square(target, z.reshape(-1, z.shape[-1]))
        log_prob, chi_square = (value.reshape(z.shape[:-1]) for value in values)
        return log_prob, chi_square


class ForwardProbModel(ImageModel):
    """All parameters are sampled, amplitudes included; the noise follows the model image."""

    def noise(self) -> AbstractNoise:
        """Noise that follows the model image, or that of the error map."""
        if self.error_map is not None:
            return NoiseMap(jnp.asarray(self.error_map))
        return PoissonNoise(self.background_rms, self.exp_time)

    def numpyro_model(self, phys_model: PhysicalModel) -> Callable:
        """The NumPyro model function, with every parameter of the prior a site."""

        def model(observation: Observation) -> None:
            masses, lens_light, source = phys_model.build(self.sample_prior(phys_model))
            observe(
                "image",
                observation,
                mass=masses or None,
                source=source or None,
                lens_light=lens_light or None,
            )

        return model


class BackwardProbModel(ImageModel):
    """Amplitudes are solved for by least squares at each step; the noise is that of the data.

    A profile of the likelihood over the amplitudes, not a marginal: their uncertainty is left out.
    `LensSimulator.lstsq_simulate` gives them.

    Attributes:
        err_map: (ny, nx) standard deviations of the data; it may be set.
        observed_dist: the data as a distribution; to set it sets the image and its errors.
    """

    def __init__(self, prior: Any, observed_image: ArrayLike, *args: Any, **named: Any) -> None:
        super().__init__(prior, observed_image, *args, **named)
        image = np.asarray(observed_image, dtype=float)
        if self.error_map is None:
            variance = np.square(self.background_rms) + np.maximum(image, 0.0) / self.exp_time
            self.err_map = jnp.sqrt(jnp.asarray(variance, jnp.result_type(float)))
        else:
            self.err_map = jnp.broadcast_to(jnp.asarray(self.error_map), image.shape)

    @property
    def errors(self) -> Any:
        """The map of standard deviations."""
        return self.err_map

    @property
    def observed_dist(self) -> tfd.Distribution:
        """The data as a distribution."""
        return tfd.Independent(tfd.Normal(self.observed_image, self.err_map), 2)

    @observed_dist.setter
    def observed_dist(self, distribution: tfd.Distribution) -> None:
        normal = distribution.tree.base_dist
        self.observed_image, self.err_map = normal.loc, normal.scale

    def noise(self) -> AbstractNoise:
        """Noise of the data."""
        return NoiseMap(np.asarray(self.err_map))

    def numpyro_model(self, phys_model: PhysicalModel) -> Callable:
        """The NumPyro model function, without sites for the amplitudes."""

        def model(observation: Observation) -> None:
            params = self.sample_prior(phys_model)
            image, _, _ = solved_image(phys_model, params, observation)
            observe_image("image", image, observation)

        return model


class _NoMap:
    """Where there is no map of the vector, because the prior is a function."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            "A prior that is a NumPyro function has no `bij`: its sites are its own. Write it as "
            "lists of dicts, or take `target.constrain(z)` of a ModellingSequence."
        )


# --- a likelihood of the user's own --------------------------------------------------------------


def target_of(phys_model: PhysicalModel, prob_model: Any, sim_config: SimulatorConfig) -> Target:
    """The log density that a `ModellingSequence` works on.

    A ``log_prob`` of the user's own, in a subclass or set on an object, is taken at its word.

    Args:
        phys_model: profiles.
        prob_model: a `ProbabilisticModel`.
        sim_config: pixels and PSF.
    """
    own = isinstance(prob_model, ImageModel) and "log_prob" not in vars(prob_model)
    if own and type(prob_model).log_prob is ImageModel.log_prob:
        return prob_model.target(phys_model, sim_config)
    simulator = LensSimulator(phys_model, sim_config, bs=1)
    dim = len(prob_model.bij.inverse(prob_model.prior.sample(seed=0)))

    def model() -> None:
        flat = dist.Normal().expand([dim]).to_event(1).mask(False)
        z = numpyro.sample("z", flat)
        log_prob, chi_square = prob_model.log_prob(simulator, z[None])
        numpyro.factor("log_prob", jnp.sum(log_prob))
        numpyro.deterministic(CHI_SQUARE, jnp.mean(chi_square))

    return Target.of(model)
