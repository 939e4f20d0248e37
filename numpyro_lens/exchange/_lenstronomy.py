"""lenstronomy's keyword dictionaries and HDF5 files.

Parameters keep lenstronomy's names and conventions, so that most profiles go over as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from os import PathLike, fspath
from typing import Any

import h5py
import numpy as np

from numpyro_lens import light, mass
from numpyro_lens._hdf5 import arrays_of
from numpyro_lens.exchange._lenstronomy_names import LIGHTS, MASSES, built
from numpyro_lens.exchange._profiles import profiles_of
from numpyro_lens.noise import NoiseMap, PoissonNoise
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.scene import Scene

#: lenstronomy's name of each profile whose parameters agree with it by name and meaning.
_MASSES: dict[type, str] = {
    mass.SIS: "SIS",
    mass.SIE: "SIE",
    mass.EPL: "EPL",
    mass.NIE: "NIE",
    mass.NFW: "NFW",
    mass.TNFW: "TNFW",
    mass.Hernquist: "HERNQUIST",
    mass.PointMass: "POINT_MASS",
    mass.Shear: "SHEAR",
}
_LIGHTS: dict[type, str] = {
    light.Sersic: "SERSIC_ELLIPSE",
    light.Gaussian: "GAUSSIAN_ELLIPSE",
    light.Hernquist: "HERNQUIST_ELLIPSE",
    light.Uniform: "UNIFORM",
}
_PARTS = {
    "mass": ("lens_model_list", "kwargs_lens", _MASSES),
    "source": ("source_light_model_list", "kwargs_source", _LIGHTS),
    "lens_light": ("lens_light_model_list", "kwargs_lens_light", _LIGHTS),
}


def to_lenstronomy(scene: Scene) -> dict[str, list]:
    """Lists of profile names and of keyword dictionaries, as lenstronomy takes them.

    Args:
        scene: mass and light, such as ``fit.scene()``.

    Returns:
        A dict with the keys ``lens_model_list``, ``kwargs_lens``, ``source_light_model_list``,
        ``kwargs_source``, ``lens_light_model_list``, ``kwargs_lens_light``. Amplitudes are per
        arcsec², as in lenstronomy's profiles.

    Raises:
        ValueError: a profile has no counterpart of the same parameters.

    Example:
        >>> import numpyro_lens as nl
        >>> scene = nl.Scene.of(mass=nl.mass.SIS(theta_E=1.2))
        >>> nl.exchange.to_lenstronomy(scene)["kwargs_lens"]
        [{'theta_E': 1.2, 'center_x': 0.0, 'center_y': 0.0}]
    """
    lists: dict[str, list] = {}
    for part, (names, kwargs, known) in _PARTS.items():
        profiles = profiles_of(getattr(scene, part))
        lists[names] = [_name(profile, known) for profile in profiles]
        lists[kwargs] = [_values(profile) for profile in profiles]
    return lists


def from_lenstronomy(
    lens_model_list: Sequence[str] = (),
    kwargs_lens: Sequence[Mapping[str, Any]] = (),
    *,
    source_light_model_list: Sequence[str] = (),
    kwargs_source: Sequence[Mapping[str, Any]] = (),
    lens_light_model_list: Sequence[str] = (),
    kwargs_lens_light: Sequence[Mapping[str, Any]] = (),
) -> Scene:
    """Mass and light of lenstronomy's lists.

    Args:
        lens_model_list, kwargs_lens: names of deflectors, and their parameters.
        source_light_model_list, kwargs_source: the same of the source.
        lens_light_model_list, kwargs_lens_light: the same of the lens light.

    Returns:
        The scene, for ``nl.simulate.render_scene(observation, scene)``.

    Raises:
        ValueError: a name has no counterpart, a parameter is missing or unknown, or the lists
            differ in length.

    Example:
        >>> import numpyro_lens as nl
        >>> nl.exchange.from_lenstronomy(["SIS"], [{"theta_E": 1.2}]).mass.theta_E
        1.2
    """
    return Scene.of(
        mass=_profiles(lens_model_list, kwargs_lens, MASSES, mass.as_mass),
        source=_profiles(source_light_model_list, kwargs_source, LIGHTS, light.as_light),
        lens_light=_profiles(lens_light_model_list, kwargs_lens_light, LIGHTS, light.as_light),
    )


def read_lenstronomy(
    image_path: str | PathLike,
    psf_path: str | PathLike | None = None,
    *,
    mask: np.ndarray | None = None,
    supersampling: int = 2,
) -> Observation:
    """Read an observation from HDF5 files in lenstronomy's layout, as dolphin keeps them.

    The image file has the entries of lenstronomy's ``kwargs_data`` as data sets: ``image_data``,
    ``transform_pix2angle``, and either ``noise_map`` or ``background_rms`` with ``exposure_time``.
    The PSF file has ``kernel_point_source`` and, if it is supersampled,
    ``point_source_supersampling_factor``. ``ra_at_xy_0`` and ``dec_at_xy_0`` are the coordinates of
    the first pixel; without them (0, 0) is the centre of the image.

    Args:
        image_path: file of the image.
        psf_path: file of the PSF; by default there is none.
        mask: ``(ny, nx)``, True uses the pixel.
        supersampling: sub-pixels a side at which the model is computed.

    Returns:
        The observation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an entry is missing; the message lists those that exist.

    Example:
        >>> import h5py
        >>> import numpy as np
        >>> import numpyro_lens as nl
        >>> with h5py.File("image.h5", "w") as file:
        ...     file["image_data"], file["noise_map"] = np.zeros((8, 9)), np.ones((8, 9))
        ...     file["transform_pix2angle"] = 0.1 * np.eye(2)
        >>> nl.exchange.read_lenstronomy("image.h5").shape
        (8, 9)
    """
    data = arrays_of(image_path)
    observation = Observation(
        _entry(data, "image_data", image_path),
        transform_pix2angle=_entry(data, "transform_pix2angle", image_path),
        noise=_noise(data, image_path),
        psf=None if psf_path is None else _psf(psf_path),
        mask=mask,
        supersampling=supersampling,
    )
    return _placed(observation, data)


def _placed(observation: Observation, data: Mapping[str, Any]) -> Observation:
    """The observation with its first pixel where the file says."""
    if "ra_at_xy_0" not in data and "dec_at_xy_0" not in data:
        return observation
    # each is zero by default in lenstronomy
    corner = [_one_number(data, name, 0.0) for name in ("ra_at_xy_0", "dec_at_xy_0")]
    ny, nx = observation.shape
    matrix = np.asarray(data["transform_pix2angle"], dtype=float)
    dx, dy = corner + matrix @ [(nx - 1) / 2, (ny - 1) / 2]
    side = np.sqrt(abs(np.linalg.det(matrix)))
    # rounding in the file is no offset
    return (
        observation if np.hypot(dx, dy) < 1e-6 * side * max(nx, ny) else observation.moved(dx, dy)
    )


def _name(profile: object, known: Mapping[type, str]) -> str:
    if type(profile) in known:
        return known[type(profile)]
    raise ValueError(
        f"{type(profile).__name__} has no counterpart of the same parameters in lenstronomy. Those "
        f"that have: {', '.join(kind.__name__ for kind in known)}."
    )


def _values(profile: Any) -> dict[str, float]:
    # lenstronomy flattens cusps inside a radius of its own.
    names = [field.name for field in fields(profile) if field.name != "smoothing"]
    return {name: float(getattr(profile, name)) for name in names}


def _profiles(
    names: Sequence[str],
    kwargs: Sequence[Mapping[str, Any]],
    known: Mapping[str, Callable],
    join: Callable,
) -> Any:
    unknown = [name for name in names if name not in known]
    if unknown or len(names) != len(kwargs):
        problem = f"unknown: {', '.join(unknown)}" if unknown else f"{len(names)} and {len(kwargs)}"
        raise ValueError(
            f"lenstronomy's two lists have one length and known names ({problem}). Known names: "
            f"{', '.join(known)}."
        )
    profiles = [built(name, values, known) for name, values in zip(names, kwargs, strict=True)]
    return join(profiles) if profiles else None


def _entry(data: Mapping[str, Any], name: str, path: str | PathLike) -> Any:
    if name in data:
        return _numbers(data[name], name)
    raise ValueError(
        f"{fspath(path)!r} must have the data set {name!r}; it has {', '.join(data) or 'none'}."
    )


def _numbers(value: Any, name: str) -> np.ndarray:
    if isinstance(value, h5py.Empty) or np.asarray(value).dtype.kind not in "biuf":
        raise ValueError(f"the data set {name!r} must hold real numbers; it holds {value!r}.")
    return np.asarray(value)


def _one_number(data: Mapping[str, Any], name: str, default: float) -> float:
    value = _numbers(data.get(name, default), name)
    if value.size != 1 or not np.isfinite(value).all():
        raise ValueError(f"the data set {name!r} must hold one finite number; it is {value!r}.")
    return float(value.item())


def _noise(data: Mapping[str, Any], path: str | PathLike) -> NoiseMap | PoissonNoise:
    if "noise_map" in data:
        return NoiseMap(_entry(data, "noise_map", path))
    background, exposure = (_entry(data, n, path) for n in ("background_rms", "exposure_time"))
    return PoissonNoise(background, exposure)


def _psf(path: str | PathLike) -> PSF:
    data = arrays_of(path)
    sampling = int(_one_number(data, "point_source_supersampling_factor", 1))
    return PSF(_entry(data, "kernel_point_source", path), sampling=sampling)
