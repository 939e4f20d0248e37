"""Images of a physical model: pixels, PSF, and batches of parameters."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from numpyro_lens._precision import full_precision
from numpyro_lens._types import Array, Image
from numpyro_lens.coordinates import pixel_grid, pixel_matrix
from numpyro_lens.density import map_batch
from numpyro_lens.gigalens import kernel as kernels
from numpyro_lens.gigalens.physical import ROLES, Params, PhysicalModel
from numpyro_lens.gigalens.profile import vector_fields
from numpyro_lens.gigalens.results import Solved
from numpyro_lens.linear import solve_amplitudes, unit_images
from numpyro_lens.noise import AbstractNoise, NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.scene import Scene
from numpyro_lens.simulate import render


@dataclass(eq=False)
class SimulatorConfig:
    """Pixels and PSF.

    Args:
        delta_pix: pixel scale [arcsec].
        num_pix: pixels on a side, or (ny, nx).
        supersample: sub-pixels on a side of each pixel.
        kernel: PSF sampled at the pixels, which is refined to the sub-pixels, or a `PSF` that is
            refined already: ``PSF(fine_kernel, sampling=2)``.
        transform_pix2angle: pixel matrix (2, 2) [arcsec], instead of ``delta_pix``.
        refine: how a kernel is refined: `kernel.averaging`, or `kernel.lenstronomy_subgrid`, which
            is GIGA-Lens's way.
    """

    delta_pix: float
    num_pix: int | tuple[int, int]
    supersample: int = 1
    kernel: Any = None
    transform_pix2angle: Any = None
    refine: Callable[[np.ndarray, int], PSF] = kernels.averaging

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        sides: Any = self.num_pix
        return (sides, sides) if np.ndim(sides) == 0 else tuple(sides)

    @property
    def matrix(self) -> np.ndarray:
        """Pixel matrix (2, 2) [arcsec per pixel]."""
        given = self.transform_pix2angle
        return pixel_matrix(float(self.delta_pix)) if given is None else np.asarray(given, float)

    @property
    def key(self) -> tuple:
        """What tells this configuration from another, or from itself before a change."""
        objects = (self.kernel, self.transform_pix2angle)
        return (self.delta_pix, self.shape, self.supersample, self.refine, *map(id, objects))

    def psf(self) -> PSF | None:
        """The PSF at the sub-pixels."""
        if self.kernel is None or isinstance(self.kernel, PSF):
            return self.kernel
        kernel = np.asarray(self.kernel, dtype=float)
        return PSF(kernel) if self.supersample == 1 else self.refine(kernel, self.supersample)

    def observation(
        self, image: ArrayLike, noise: AbstractNoise, mask: ArrayLike | None = None
    ) -> Observation:
        """These pixels with an image and its noise.

        Args:
            image: (ny, nx).
            noise: of it.
            mask: (ny, nx), True uses the pixel.

        Raises:
            ValueError: the image has another shape.
        """
        if np.shape(image) != self.shape:
            raise ValueError(
                f"`observed_image` has the shape of `num_pix`; got {np.shape(image)} and "
                f"{self.shape}. "
                "Type `SimulatorConfig(delta_pix, num_pix=observed_image.shape, ...)`."
            )
        return Observation(
            image,
            noise=noise,
            psf=self.psf(),
            mask=mask,
            supersampling=int(self.supersample),
            transform_pix2angle=self.matrix,
        )


class LensSimulatorInterface(ABC):
    """What simulates batches of lenses.

    Args:
        phys_model: profiles.
        sim_config: pixels and PSF.
        bs: size of a batch.
    """

    def __init__(self, phys_model: PhysicalModel, sim_config: SimulatorConfig, bs: int) -> None:
        self.phys_model, self.sim_config, self.bs = phys_model, sim_config, int(bs)

    @abstractmethod
    def simulate(self, params: Params) -> Array:
        """Images of parameters."""

    @abstractmethod
    def lstsq_simulate(self, params: Params, observed_image: Any, err_map: Any) -> Any:
        """Images whose amplitudes fit an observed one best."""

    @staticmethod
    def get_coords(
        supersample: int, num_pix: Any, transform_pix2angle: ArrayLike
    ) -> tuple[float, float, np.ndarray, np.ndarray]:
        """Positions of the sub-pixels [arcsec]: those of the first one, x and y of all.

        Args:
            supersample: sub-pixels on a side of each pixel.
            num_pix: pixels on a side, or (ny, nx).
            transform_pix2angle: matrix of a *sub-pixel* (2, 2) [arcsec].
        """
        ny, nx = (num_pix, num_pix) if np.ndim(num_pix) == 0 else num_pix
        shape = (int(ny) * supersample, int(nx) * supersample)
        x, y = pixel_grid(shape, np.asarray(transform_pix2angle, dtype=float))
        return float(x[0, 0]), float(y[0, 0]), x.astype(np.float32), y.astype(np.float32)


class LensSimulator(LensSimulatorInterface):
    """Images of a physical model.

    Parameters are numbers, or arrays (n,) for a batch of n lenses; images then have the batch in
    front, (n, ny, nx), while positions have it last, both as in GIGA-Lens.

    Args:
        phys_model: profiles.
        sim_config: pixels and PSF.
        bs: size of the batch of ``img_X`` and ``img_Y``; parameters may have any other.

    Attributes:
        img_X, img_Y: positions of the sub-pixels (ny s, nx s, bs) [arcsec].
        conversion_factor: area of a pixel [arcsec²].
        depth: number of amplitudes of all the light.
    """

    def __init__(self, phys_model: PhysicalModel, sim_config: SimulatorConfig, bs: int = 1) -> None:
        super().__init__(phys_model, sim_config, bs)
        with jax.ensure_compile_time_eval():
            shape = sim_config.shape
            blank = np.zeros(shape)
            self._observation = sim_config.observation(blank, NoiseMap(np.ones(shape)))
            self.supersample, self.numPix = int(sim_config.supersample), sim_config.num_pix
            fine = sim_config.matrix / self.supersample
            grids = self.get_coords(self.supersample, shape, fine)[2:]
            self.img_X, self.img_Y = (
                jnp.repeat(jnp.asarray(grid)[..., None], self.bs, axis=-1) for grid in grids
            )
        self.transform_pix2angle = fine
        self.conversion_factor = abs(float(np.linalg.det(sim_config.matrix)))
        psf = self._observation.psf
        self.flat_kernel = None if psf is None else psf.kernel[None, None, ::-1, ::-1]

    @property
    def depth(self) -> int:
        """Number of amplitudes of all the light."""
        roles = ("lens_light", "source_light")
        return sum(profile.depth for role in roles for profile in self.phys_model.profiles(role))

    def _beta(self, lens_params: Any) -> tuple[Array, Array]:
        """Where the rays of the sub-pixels meet the source plane, (ny s, nx s, bs) each."""
        beta_x, beta_y = self.img_X, self.img_Y
        lenses = self.phys_model.profiles("lenses")
        for lens, values in zip(lenses, lens_params, strict=False):
            alpha_x, alpha_y = lens.deriv(self.img_X, self.img_Y, **values)
            beta_x, beta_y = beta_x - alpha_x, beta_y - alpha_y
        return beta_x, beta_y

    beta = _beta

    def simulate(self, params: Params, no_deflection: bool = False) -> Image:
        """Images of ``(lens_params, lens_light_params, source_light_params)``.

        Args:
            params: three lists of dicts, of numbers or of arrays (n,).
            no_deflection: show the source as if there were no lens.

        Returns:
            (ny, nx), or (n, ny, nx) of a batch of more than one.
        """
        batch, num = _batched(self.phys_model, params, self.bs)
        images = _images(self.phys_model, bool(no_deflection), batch, self._observation)
        return _unbatched(images, num)

    def lstsq_simulate(
        self,
        params: Params,
        observed_image: ArrayLike,
        err_map: ArrayLike,
        return_stacked: bool = False,
        return_coeffs: bool = False,
        no_deflection: bool = False,
    ) -> Any:
        """Images whose amplitudes fit ``observed_image`` best.

        Args:
            params: as of `simulate`, without amplitudes.
            observed_image: (ny, nx).
            err_map: standard deviations of its pixels (ny, nx).
            return_stacked: give the image of each amplitude at one, (n, ny, nx, depth), instead.
            return_coeffs: give the coefficients (n, depth) alone.
            no_deflection: show the source as if there were no lens.

        Returns:
            A `Solved`, which is the image to calculations, (ny, nx) or (n, ny, nx), and unpacks as
            ``image, coeffs``. A coefficient is an amplitude times the area of a pixel, as in
            GIGA-Lens; ``.amplitudes`` has ours.
        """
        batch, num = _batched(self.phys_model, params, self.bs)
        data = (jnp.asarray(observed_image), jnp.asarray(err_map))
        settings = (self.phys_model, bool(no_deflection), bool(return_stacked))
        images, amplitudes, *units = _solutions(*settings, batch, (self._observation, *data))
        area = self._observation.pixel_area
        if return_stacked:
            return jnp.moveaxis(_repeated(units[0], num), 1, -1) / area
        if return_coeffs:
            return _repeated(amplitudes, num) * area
        return Solved(_unbatched(images, num), _unbatched(amplitudes, num), area)


@full_precision
def solved_image(
    phys_model: PhysicalModel, params: Params, observation: Observation, no_deflection: bool = False
) -> tuple[Image, Array, Array]:
    """Best-fitting image of one lens, its amplitudes (depth,) and the image of each at one.

    Args:
        phys_model: profiles.
        params: their values, amplitudes left out.
        observation: image, noise and mask.
        no_deflection: show the source as if there were no lens.
    """
    masses, lens_light, source = phys_model.build_unit(params)
    scene = _scene([] if no_deflection else masses, lens_light, source)
    units = unit_images(observation, scene)
    sigma = observation.noise.sigma(observation.image)
    amplitudes = solve_amplitudes(units, observation.image, sigma, observation.mask)
    return jnp.tensordot(amplitudes, units, axes=1), amplitudes, units


def _scene(masses: list, lens_light: list, source: list) -> Scene:
    return Scene.of(mass=masses or None, lens_light=lens_light or None, source=source or None)


@partial(jax.jit, static_argnums=(0, 1))
def _images(
    phys_model: PhysicalModel, no_deflection: bool, batch: Any, observation: Observation
) -> Array:
    def one(params: Params, observation: Observation) -> Image:
        masses, lens_light, source = phys_model.build(params)
        image = render(
            observation,
            mass=None if no_deflection else masses or None,
            source=source or None,
            lens_light=lens_light or None,
        )
        return _without_rounding(image)

    return map_batch(one, batch, observation)


def _without_rounding(image: Image) -> Image:
    """Zero for negative pixels that are the rounding of a Fourier transform.

    Scripts draw Poisson noise of their images, which a sky of -1e-7 would stop.
    """
    rounding = 4.0 * jnp.finfo(image.dtype).eps * jnp.max(jnp.abs(image))
    below = jnp.where((image < 0.0) & (image > -rounding), image, 0.0)
    return image - jax.lax.stop_gradient(below)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _solutions(
    phys_model: PhysicalModel,
    no_deflection: bool,
    with_units: bool,
    batch: Any,
    data: tuple[Observation, Any, Any],
) -> tuple[Array, ...]:
    def one(params: Params, data: tuple[Observation, Any, Any]) -> tuple[Array, ...]:
        observation = data[0].with_image(data[1]).with_noise(NoiseMap(data[2]))
        solved = solved_image(phys_model, params, observation, no_deflection)
        return solved if with_units else solved[:2]

    return map_batch(one, batch, data)


def _batched(phys_model: PhysicalModel, params: Params, bs: int) -> tuple[Any, int]:
    """Parameters with a leading axis of one length, and the length that the user sees."""
    groups = phys_model.split(params)
    sizes = {
        size
        for role, group in zip(ROLES, groups, strict=True)
        for profile, values in zip(phys_model.profiles(role), group, strict=False)
        for size in _sizes(profile, values)
    }
    if len(sizes - {1}) > 1:
        raise ValueError(
            f"All parameters of a batch have one length, or 1; got {sorted(sizes - {1})}. Their "
            "shape is (n,), also where positions have the batch on their last axis."
        )
    size = max(sizes, default=1)
    batch = [
        [_lifted(profile, values, size) for profile, values in zip(profiles, group, strict=False)]
        for profiles, group in zip(map(phys_model.profiles, ROLES), groups, strict=True)
    ]
    if not jax.tree.leaves(batch):
        raise ValueError(
            "There is nothing to simulate: `params` has no values. Type "
            "simulate([[], [], source_params]) to leave out lens and lens light."
        )
    return batch, size if sizes - {1} else max(bs, size)


def _sizes(profile: Any, values: dict[str, Any]) -> list[int]:
    vectors = vector_fields(profile)
    shapes = {n: np.shape(v)[: np.ndim(v) - (n in vectors)] for n, v in values.items()}
    if wrong := [name for name, shape in shapes.items() if len(shape) > 1]:
        raise ValueError(
            f"A parameter is a number, or has the shape (n,) of a batch; got `{wrong[0]}` of shape "
            f"{np.shape(values[wrong[0]])}. Draws (steps, chains) become one axis by "
            "bij.forward(list(z.reshape(-1, d).T))."
        )
    return [shape[0] for shape in shapes.values() if shape]


def _lifted(profile: Any, values: dict[str, Any], size: int) -> dict[str, Any]:
    vectors = vector_fields(profile)

    def lift(name: str, value: Any) -> Array:
        value = jnp.asarray(value, jnp.result_type(float))
        own = value.shape[value.ndim - (name in vectors) :]
        return jnp.broadcast_to(value, (size, *own))

    return {name: lift(name, value) for name, value in values.items()}


def _repeated(values: Array, num: int) -> Array:
    return jnp.broadcast_to(values, (num, *values.shape[1:]))


def _unbatched(values: Array, num: int) -> Array:
    """Values of one lens without the axis of the batch, as GIGA-Lens gives them."""
    return values[0] if num == 1 else _repeated(values, num)
