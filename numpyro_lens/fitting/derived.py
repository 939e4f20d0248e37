"""Numbers that people publish, computed from the draws of a lens fit."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array
from numpyro_lens.coordinates import from_ellipticity, from_shear
from numpyro_lens.density import Target, conditioned, map_batch, observed_sites, unplaced
from numpyro_lens.lensing import einstein_radius
from numpyro_lens.light import AbstractLight, Lights, Uniform, components
from numpyro_lens.linear import with_amplitudes
from numpyro_lens.models import observations, scenes
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Plane, Scene, as_deflector
from numpyro_lens.simulate import seen

#: Derived pairs: two fields of a profile, the names of what they become, and how.
_POLAR: tuple[tuple[tuple[str, str], tuple[str, str], Callable], ...] = (
    (("e1", "e2"), ("q", "phi"), from_ellipticity),
    (("gamma1", "gamma2"), ("gamma_ext", "phi_ext"), from_shear),
)


def flux(
    observation: Observation, light: Lights, scene: Scene | None = None, plane: int = -1
) -> Array:
    """Total flux of a light in the field of an observation, before the PSF.

    Args:
        observation: the instrument.
        light: what shines.
        scene: what deflects it; nothing by default.
        plane: number of its plane in that scene; the last by default.

    Returns:
        Flux [units of the image], scalar.

    Example:
        >>> import numpyro_lens as nl
        >>> camera = nl.Observation.blank((80, 80), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> round(float(flux(camera, nl.light.Gaussian(amp=3.0, sigma=0.5))), 3)
        3.0
    """
    mass = None if scene is None else scene.deflector(plane)
    pairs = seen(observation, Scene.of(mass=mass, source=light))
    area = observation.pixel_area / observation.supersampling**2
    return area * sum(jnp.sum(light.brightness(*where)) for light, where in pairs)


def polar(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Axis ratio and angle of every ellipticity, modulus and angle of every shear.

    Args:
        samples: draws (n,) by the names of their sites, such as ``lens.e1`` and ``lens.e2``;
            sites that are arrays are left out.

    Returns:
        Draws of ``lens.q`` and ``lens.phi`` [degree, counter-clockwise from x, within 90 of their
        mean direction], ``shear.gamma_ext`` and ``shear.phi_ext``.

    Example:
        >>> found = polar({"lens.e1": np.array([0.2]), "lens.e2": np.array([0.0])})
        >>> {name: round(float(v[0]), 3) for name, v in found.items()}
        {'lens.q': 0.667, 'lens.phi': 0.0}
    """
    out: dict[str, np.ndarray] = {}
    for (first, second), names, convert in _POLAR:
        for site in samples:
            owner, _, field = site.rpartition(".")
            partner = f"{owner}.{second}"
            scalar = np.ndim(samples[site]) == 1
            if owner and field == first and partner in samples and scalar:
                size, angle = jax.jit(convert)(samples[site], samples[partner])
                out[f"{owner}.{names[0]}"] = np.asarray(size)
                out[f"{owner}.{names[1]}"] = _unwrapped(np.asarray(angle, dtype=float))
    return out


def _unwrapped(phi: np.ndarray) -> np.ndarray:
    """Directions [radian] in degrees, without a jump among them."""
    middle = 0.5 * np.angle(np.mean(np.exp(2j * phi)))
    return np.degrees(middle + 0.5 * np.angle(np.exp(2j * (phi - middle))))


def of_scenes(target: Target, z: np.ndarray) -> dict[str, np.ndarray]:
    """Einstein radius, magnification and fluxes of every image, at each draw (n, d).

    Args:
        target: a lens model.
        z: unconstrained draws.

    Returns:
        By ``site.quantity``: ``einstein_radius`` [arcsec] of the tangential critical curve for the
        last plane, NaN without a closed one; ``magnification`` of the whole source;
        ``source_flux`` and ``lens_light_flux`` [units of the image], without a
        `numpyro_lens.light.Uniform` sky. Those of a source in a plane in between have the number of
        its plane, such as ``plane_1.source_flux``.
    """
    placed, numbers = unplaced(_at_draws(target, jnp.asarray(z)))
    out: dict[str, np.ndarray] = {}
    known: dict[Any, np.ndarray] = {}
    for site, scene in placed.items():
        for prefix, plane in _source_planes(scene).items():
            if scene.deflector(plane) is not None:
                radii = _radii(scene, plane, len(z), known)
                out[f"{site}.{prefix}einstein_radius"] = radii
        out |= {f"{site}.{name}": np.asarray(v) for name, v in numbers[site].items()}
    return out


def _source_planes(scene: Scene) -> dict[str, int]:
    """The planes that numbers are given for, by what their names begin with."""
    between = list(enumerate(scene.planes))[1:-1]
    return {"": -1} | {f"plane_{n}.": n for n, plane in between if plane.light is not None}


def _radii(scene: Scene, plane: int, num: int, known: dict[Any, np.ndarray]) -> np.ndarray:
    """Einstein radii (num,) of draws of a scene; bands that have one mass share what is known."""
    dark = [each.mass for each in scene.planes], scene.scaling
    leaves, structure = jax.tree.flatten(dark)
    key = (structure, plane, *(np.asarray(leaf).tobytes() for leaf in leaves))
    if key not in known:
        draws = (jax.tree.map(lambda leaf, i=i: leaf[i], dark) for i in range(num))
        scenes_of_mass = (Scene(tuple(map(Plane, masses)), scaling) for masses, scaling in draws)
        known[key] = np.array([_radius(each, plane) for each in scenes_of_mass])
    return known[key]


def _radius(scene: Scene, plane: int) -> float:
    try:
        return einstein_radius(as_deflector(scene, plane), num=200)
    except ValueError:  # no closed critical curve
        return float("nan")


@jax.jit
def _at_draws(target: Target, z: Array) -> tuple[dict[str, Scene], dict[str, dict[str, Array]]]:
    def one(z: Array, target: Target) -> Any:
        trace = target.trace(z)
        amplitudes = conditioned(observed_sites(trace))[1]
        placed = {n: with_amplitudes(s, amplitudes[n]) for n, s in scenes(trace).items()}
        images = observations(trace)
        return placed, {name: _fluxes(images[name], scene) for name, scene in placed.items()}

    return map_batch(one, z, target)


def _fluxes(observation: Observation, scene: Scene) -> dict[str, Array]:
    out: dict[str, Array] = {}
    for prefix, plane in _source_planes(scene).items():
        light = scene.source if plane == -1 else scene.planes[plane].light
        if source := _without_sky(light):
            out[f"{prefix}source_flux"] = own = flux(observation, source)
            if scene.deflector(plane) is not None:
                lensed = flux(observation, source, scene, plane)
                out[f"{prefix}magnification"] = lensed / own
    if front := _without_sky(scene.lens_light):
        out["lens_light_flux"] = flux(observation, front)
    return out


def _without_sky(light: AbstractLight | None) -> list[AbstractLight]:
    parts = () if light is None else components(light)
    return [part for part in parts if not isinstance(part, Uniform)]


def magnitudes(values: dict[str, np.ndarray], zero_point: float) -> dict[str, np.ndarray]:
    r"""Magnitudes :math:`m = z - 2.5 \log_{10} f` of every flux, under names of their own.

    Args:
        values: draws by name; those that end in ``_flux`` are fluxes.
        zero_point: magnitude of one unit of the image.

    Returns:
        Draws of ``..._magnitude``; NaN for a flux that is not positive.

    Example:
        >>> magnitudes({"image.source_flux": np.array([100.0])}, 25.0)
        {'image.source_magnitude': array([20.])}
    """
    positive = {n: np.where(v > 0, v, np.nan) for n, v in values.items() if n.endswith("_flux")}
    return {
        name.removesuffix("_flux") + "_magnitude": zero_point - 2.5 * np.log10(flux)
        for name, flux in positive.items()
    }


def table(values: dict[str, np.ndarray]) -> Any:
    """Median and 68 % interval of each quantity, a ``pandas.DataFrame``."""
    import pandas as pd

    rows = {name: np.nanquantile(v, [0.5, 0.16, 0.84]) for name, v in values.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["median", "eti16", "eti84"])
