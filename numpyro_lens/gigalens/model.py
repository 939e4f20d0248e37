"""GIGA-Lens's way to write a model: profiles, pixels and a nested prior make a NumPyro model."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from numpyro_lens._types import Array, ArrayLike, Image
from numpyro_lens.linear import solve_amplitudes
from numpyro_lens.models import observe, observe_image
from numpyro_lens.noise import AbstractNoise, NoiseMap, PoissonNoise
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.simulate import render

_ROLES = ("lenses", "lens_light", "source_light")

Params: TypeAlias = Sequence[Sequence[dict[str, Any]]]
"""Values of the lenses, of the lens light and of the source, a dict for each profile."""


@dataclass(frozen=True)
class PhysicalModel:
    """Profiles of the lens, of its light and of the source.

    Args:
        lenses: mass profile classes, such as ``[mass.EPL, mass.Shear]``.
        lens_light: light profile classes.
        source_light: light profile classes.
    """

    lenses: Sequence[type]
    lens_light: Sequence[type]
    source_light: Sequence[type]

    def build(self, params: Params) -> tuple[list, list, list]:
        """Profiles with their values.

        ``params`` is ``(lens_params, lens_light_params, source_light_params)``. The middle list may
        be left out when there is no lens light; ``Ie`` is accepted for ``amp``.

        Raises:
            ValueError: the lists do not match the profiles.
        """
        groups = dict(zip(_ROLES, self.split(params), strict=True))
        lenses, lens_light, source_light = (
            [
                _build(profile, values)
                for profile, values in zip(getattr(self, role), groups[role], strict=True)
            ]
            for role in _ROLES
        )
        return lenses, lens_light, source_light

    def split(self, params: Params) -> list[Sequence[dict[str, Any]]]:
        """The three lists, after a check of their lengths."""
        groups = list(params)
        if len(groups) == 2 and not self.lens_light:
            groups.insert(1, [])
        expected = [len(getattr(self, role)) for role in _ROLES]
        found = [len(group) for group in groups]
        if found != expected:
            raise ValueError(
                f"Parameters come as three lists of dicts, one dict for each of {expected} lenses, "
                f"lens-light and source-light profiles; got {found}."
            )
        return groups


@dataclass(frozen=True)
class SimulatorConfig:
    """Pixels and PSF.

    Args:
        delta_pix: pixel scale [arcsec].
        num_pix: pixels on a side, or (ny, nx).
        supersample: sub-pixels on a side of each pixel.
        kernel: PSF sampled at the pixels; it is refined to the sub-pixels, as GIGA-Lens does.
        transform_pix2angle: pixel matrix (2, 2) [arcsec], instead of ``delta_pix``.
    """

    delta_pix: float
    num_pix: int | tuple[int, int]
    supersample: int = 1
    kernel: Any = None
    transform_pix2angle: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        sides: Any = self.num_pix
        return (sides, sides) if np.ndim(sides) == 0 else tuple(sides)

    def observation(self, image: ArrayLike, noise: AbstractNoise) -> Observation:
        """These pixels with an image and its noise.

        Raises:
            ValueError: the image has another shape.
        """
        if np.shape(image) != self.shape:
            raise ValueError(
                f"`observed_image` has the shape of `num_pix`; got {np.shape(image)} and "
                f"{self.shape}. "
                "Type `SimulatorConfig(delta_pix, num_pix=observed_image.shape, ...)`."
            )
        psf = None if self.kernel is None else PSF(np.asarray(self.kernel))
        if psf is not None and self.supersample > 1:
            psf = psf.refined(self.supersample)
        matrix = self.transform_pix2angle
        scale = (
            {"pixel_scale": self.delta_pix} if matrix is None else {"transform_pix2angle": matrix}
        )
        return Observation(image, noise=noise, psf=psf, supersampling=self.supersample, **scale)


class ProbabilisticModel(ABC):
    """A prior and an image.

    Args:
        prior: lists of dicts ``[lenses, lens_light, source_light]``, or a NumPyro function that
            returns them. In a dict each parameter is a distribution, a number (fixed), or a
            function of parameters of the same dict that returns either.
        observed_image: (ny, nx).
        background_rms: standard deviation of the background, scalar or (ny, nx).
        exp_time: exposure time, scalar or (ny, nx).
    """

    def __init__(
        self,
        prior: Params | Callable[[], Params],
        observed_image: ArrayLike,
        background_rms: Any,
        exp_time: Any,
    ) -> None:
        self.prior, self.observed_image = prior, observed_image
        self.background_rms, self.exp_time = background_rms, exp_time

    @abstractmethod
    def observation(self, sim_config: SimulatorConfig) -> Observation:
        """The data as the library holds them."""

    @abstractmethod
    def numpyro_model(self, phys_model: PhysicalModel) -> Callable:
        """The NumPyro model function, of the observation."""

    def sample_prior(self, phys_model: PhysicalModel) -> Params:
        """Place the prior in a NumPyro model; sites are called ``lenses.0.theta_E`` and so on."""
        if callable(self.prior):
            return phys_model.split(self.prior())
        groups = phys_model.split(self.prior)
        return [
            [_sample_dict(f"{role}.{i}", entries) for i, entries in enumerate(group)]
            for role, group in zip(_ROLES, groups, strict=True)
        ]


class ForwardProbModel(ProbabilisticModel):
    """All parameters are sampled, amplitudes included; the noise follows the model image."""

    def observation(self, sim_config: SimulatorConfig) -> Observation:
        """The data, with noise that follows the model image."""
        return sim_config.observation(
            self.observed_image, PoissonNoise(self.background_rms, self.exp_time)
        )

    def numpyro_model(self, phys_model: PhysicalModel) -> Callable:
        """The NumPyro model function, with every parameter of the prior a site."""

        def model(observation: Observation) -> None:
            masses, lens_light, source = phys_model.build(self.sample_prior(phys_model))
            observe("image", observation, mass=masses, source=source, lens_light=lens_light)

        return model


class BackwardProbModel(ProbabilisticModel):
    """Amplitudes are solved for by least squares at each step; the noise is that of the data.

    A profile of the likelihood over the amplitudes, not a marginal: their uncertainty is left out.
    """

    def observation(self, sim_config: SimulatorConfig) -> Observation:
        """The data, with noise computed from the image itself."""
        image = np.asarray(self.observed_image, dtype=float)
        variance = np.square(self.background_rms) + np.maximum(image, 0.0) / self.exp_time
        return sim_config.observation(image, NoiseMap(np.sqrt(variance)))

    def numpyro_model(self, phys_model: PhysicalModel) -> Callable:
        """The NumPyro model function, without sites for the amplitudes."""

        def model(observation: Observation) -> None:
            params = self.sample_prior(phys_model)
            image, _ = _solved_image(phys_model, params, observation)
            observe_image("image", image, observation)

        return model


class LensSimulator:
    """Images of a physical model.

    Args:
        phys_model: profiles.
        sim_config: pixels and PSF.
    """

    def __init__(self, phys_model: PhysicalModel, sim_config: SimulatorConfig) -> None:
        self.phys_model, self.sim_config = phys_model, sim_config
        blank = np.zeros(sim_config.shape)
        self._observation = sim_config.observation(blank, NoiseMap(np.ones(sim_config.shape)))

    def simulate(self, params: Params) -> Image:
        """Image (ny, nx) of ``(lens_params, lens_light_params, source_light_params)``.

        The parameters are numbers, not batches.
        """
        masses, lens_light, source = self.phys_model.build(params)
        return render(self._observation, mass=masses, source=source, lens_light=lens_light)

    def lstsq_simulate(
        self, params: Params, observed_image: ArrayLike, err_map: ArrayLike
    ) -> Image:
        """Image (ny, nx) whose amplitudes fit ``observed_image`` best.

        ``err_map`` holds the standard deviations of its pixels.
        """
        observation = self.sim_config.observation(observed_image, NoiseMap(err_map))
        return _solved_image(self.phys_model, params, observation)[0]


def _solved_image(
    phys_model: PhysicalModel, params: Params, observation: Observation
) -> tuple[Image, Array]:
    """Best-fitting image and its amplitudes, in the order lens light, source."""
    unit = [
        [{"amp": 1.0, **_named_amp(values)} for values in group]
        for group in phys_model.split(params)[1:]
    ]
    masses, lens_light, source = phys_model.build([phys_model.split(params)[0], *unit])
    images = [render(observation, mass=masses, lens_light=[profile]) for profile in lens_light]
    images += [render(observation, mass=masses, source=[profile]) for profile in source]
    stacked = jnp.stack(images)
    sigma = observation.noise.sigma(observation.image)
    amplitudes = solve_amplitudes(stacked, observation.image, sigma, observation.mask)
    return jnp.tensordot(amplitudes, stacked, axes=1), amplitudes


def _named_amp(values: dict) -> dict:
    """``Ie``, as GIGA-Lens calls it, is our ``amp``."""
    return {("amp" if name == "Ie" else name): value for name, value in values.items()}


def _build(profile: type, values: dict[str, Any]) -> Any:
    try:
        return profile(**_named_amp(values))
    except TypeError as error:
        names = ", ".join(inspect.signature(profile).parameters)
        raise ValueError(f"{profile.__name__} takes: {names}. Got: {', '.join(values)}.") from error


def _sample_dict(prefix: str, entries: dict) -> dict:
    """Sample each entry once the values that it depends on are known."""
    values: dict[str, Any] = {}
    waiting = dict(entries)
    while waiting:
        ready = [name for name, entry in waiting.items() if _needs(entry) <= values.keys()]
        if not ready:
            raise ValueError(
                "A function in the prior depends on parameters of the same dict, named as its "
                f"arguments. `{prefix}` has {', '.join(entries)}, and cannot resolve: "
                f"{', '.join(waiting)}."
            )
        for name in ready:
            values[name] = _sample_entry(f"{prefix}.{name}", waiting.pop(name), values)
    return {name: values[name] for name in entries}


def _needs(entry: Any) -> set[str]:
    is_function = callable(entry) and not isinstance(entry, dist.Distribution)
    return set(inspect.signature(entry).parameters) if is_function else set()


def _sample_entry(site: str, entry: Any, values: dict) -> Any:
    if callable(entry) and not isinstance(entry, dist.Distribution):
        entry = entry(**{name: values[name] for name in _needs(entry)})
    return numpyro.sample(site, entry) if isinstance(entry, dist.Distribution) else entry
