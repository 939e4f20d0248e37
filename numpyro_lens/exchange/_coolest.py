r"""Template files of COOLEST, the code-independent organised lens standard.

There, x points to the right of the image and y up, whatever the sky does; position angles run
counter-clockwise from +y, in degrees between -90 and 90. Elliptical radii are the product average
:math:`\sqrt{q x^2 + y^2/q}`, as here, so that radii go over as they are.

Reference: Galan et al. 2023, JOSS 8, 5567; coolest.readthedocs.io, "Conventions" and "Definitions
of mass and light profiles".
"""

import cmath
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike

from numpyro_lens import light, mass
from numpyro_lens.exchange._coolest_shapelets import shapelet_values, shapelets
from numpyro_lens.exchange._coolest_template import entities_of
from numpyro_lens.exchange._profiles import profiles_of
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.scene import Scene
from numpyro_lens.simulate import render_scene


class _Entry(NamedTuple):
    """A profile: its name there, its class here, and the parameters that only change their name."""

    name: str
    kind: type
    names: dict[str, str]


#: no number of a template is beyond it
_LARGEST = 1e300

# an SIS goes out as a round SIE, which is how the standard has it
_MASSES = (
    _Entry("SIE", mass.SIE, {"theta_E": "theta_E"}),
    _Entry("SIE", mass.SIS, {"theta_E": "theta_E"}),
    _Entry("PEMD", mass.EPL, {"gamma": "gamma", "theta_E": "theta_E"}),
    _Entry("ExternalShear", mass.Shear, {}),
    _Entry("ConvergenceSheet", mass.ConvergenceSheet, {"kappa_s": "kappa"}),
)
_LIGHTS = (
    _Entry("Sersic", light.Sersic, {"I_eff": "amp", "theta_eff": "R_sersic", "n": "n_sersic"}),
    _Entry("Uniform", light.Uniform, {"A": "amp"}),
    _Entry("Shapelets", light.Shapelets, {"beta": "beta"}),
)
_FIELDS = ("ExternalShear", "ConvergenceSheet")
_ANGLES = ("phi", "phi_ext")
#: parts of a template that are no profile of a few parameters
_PIXELS = (
    *("PixelatedRegularGrid", "IrregularGrid", "PixelatedRegularGridPotential"),
    "PixelatedRegularGridFullyDefined",
)


def write_coolest(
    path: str | PathLike,
    scene: Scene,
    observation: Observation,
    *,
    draws: Iterable[Scene] = (),
    lens_redshift: float | None = None,
    source_redshift: float | None = None,
) -> None:
    """Write a COOLEST template: a JSON file, and FITS files of the pixels beside it.

    Brightnesses are in the unit of the image; the standard's is electrons per second.

    Args:
        path: the JSON file to write; ``lens.json`` gets ``lens_image.fits`` and so on beside it.
        scene: mass and light, such as ``fit.scene()``: the point estimate of each parameter.
        observation: the image that it explains.
        draws: scenes of posterior draws: mean, median, 16th and 84th percentile of each parameter.
        lens_redshift, source_redshift: written down, not used.

    Raises:
        ValueError: a profile has no counterpart, or the pixels are not square.

    Example:
        >>> import numpyro_lens as nl
        >>> image = nl.Observation.blank((8, 8), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> lens = nl.mass.SIE(theta_E=1.2, e1=0.1)
        >>> nl.exchange.write_coolest("lens.json", nl.Scene.of(mass=lens), image)
        >>> template = json.loads(Path("lens.json").read_text())
        >>> template["lensing_entities"][0]["mass_model"][0]["type"]
        'SIE'
    """
    path = Path(path)
    turn = _image_axes(observation)
    scenes = (scene, *draws)
    template = {
        "standard": "COOLEST",
        "mode": "MAP",
        "meta": {"code": "numpyro_lens"},
        "cosmology": None,
        "coordinates_origin": _origin(observation),
        "lensing_entities": _entities(scenes, turn, lens_redshift, source_redshift),
        **_pixels(path, scene, observation),
    }
    path.write_text(json.dumps(template, indent=2) + "\n", encoding="utf-8")


def read_coolest(path: str | PathLike, observation: Observation | None = None) -> Scene:
    """Mass and light of a COOLEST template, at the point estimates or else at the medians.

    Pixelated parts, and profiles without any value, as before a fit, are left out, which a warning
    says. The entities of the largest redshift are the source; where redshifts are missing, the one
    galaxy without mass is.

    Args:
        path: the JSON file.
        observation: whose coordinates the scene is to have, where x grows with right ascension or
            the pixels are at an angle; by default x points to the right of the image and y up.

    Returns:
        The scene, for ``nl.simulate.render_scene(observation, scene)``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no template, nothing of it can be read, a profile has no
            counterpart, a parameter is missing, unknown, without a value or out of its range, there
            is more than one lens plane or source plane, or which galaxy the source is cannot be
            told.

    Example:
        >>> import numpyro_lens as nl
        >>> image = nl.Observation.blank((8, 8), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> source = nl.light.Sersic(amp=2.0, R_sersic=0.1, n_sersic=1.0)
        >>> scene = nl.Scene.of(mass=nl.mass.SIS(theta_E=1.2), source=source)
        >>> nl.exchange.write_coolest("lens.json", scene, image)
        >>> again = nl.exchange.read_coolest("lens.json")
        >>> type(again.mass).__name__, again.source.amp
        ('SIE', 2.0)
    """
    entities = entities_of(Path(path))
    turn = np.eye(2) if observation is None else _image_axes(observation).T
    sources = _sources(entities)
    lenses = [entity for entity in entities if entity not in sources]
    _check_one_plane(lenses, sources)
    parts = {
        "mass": _read(lenses, "mass_model", _MASSES, turn),
        "source": _read(sources, "light_model", _LIGHTS, turn),
        "lens_light": _read(lenses, "light_model", _LIGHTS, turn),
    }
    if all(part is None for part in parts.values()):
        raise ValueError(
            f"{str(path)!r} has no profile with values: it holds pixels, or a model before its "
            "fit. Give the template that a fit has written."
        )
    return Scene.of(**parts)


def _image_axes(observation: Observation) -> np.ndarray:
    """The orthogonal matrix from the observation's coordinates to those along columns and rows."""
    matrix = np.asarray(observation.transform_pix2angle, dtype=float)
    turn = np.linalg.inv(matrix) * np.sqrt(abs(np.linalg.det(matrix)))
    if not np.allclose(turn @ turn.T, np.eye(2), atol=1e-3):
        raise ValueError(f"COOLEST images have square pixels; the pixel matrix is {matrix}.")
    return turn


def _turned(spin: complex, turn: np.ndarray) -> complex:
    """An ellipticity or shear e1 + i e2 in turned, and perhaps mirrored, coordinates."""
    first_axis = complex(turn[0, 0], turn[1, 0])
    return first_axis**2 * (spin if np.linalg.det(turn) > 0 else spin.conjugate())


def _east_of_north(spin: complex) -> float:
    """Angle from +y, in (-90, 90] degrees, of the axis that an ellipticity or shear has."""
    return 90.0 - math.degrees(-0.5 * cmath.phase(spin)) % 180.0


def _spin(modulus: float, angle: float) -> complex:
    """The inverse: e1 + i e2 of a modulus and an angle from +y [degree]."""
    return cmath.rect(modulus, 2.0 * math.radians(angle + 90.0))


def _entities(
    scenes: Sequence[Scene],
    turn: np.ndarray,
    lens_redshift: float | None,
    source_redshift: float | None,
) -> list[dict[str, Any]]:
    """The lens galaxy, the fields around it, and the source."""
    masses = _profiles([scene.mass for scene in scenes], _MASSES, turn)
    fields = [profile for profile in masses if profile["type"] in _FIELDS]
    lens = {
        "mass_model": [profile for profile in masses if profile not in fields],
        "light_model": _profiles([scene.lens_light for scene in scenes], _LIGHTS, turn),
    }
    source = {
        "mass_model": [],
        "light_model": _profiles([scene.source for scene in scenes], _LIGHTS, turn),
    }
    kinds = [
        ("Galaxy", "lens", lens_redshift, lens),
        ("MassField", "external field", lens_redshift, {"mass_model": fields}),
        ("Galaxy", "source", source_redshift, source),
    ]
    return [
        {"type": kind, "name": name, "redshift": redshift, **models}
        for kind, name, redshift, models in kinds
        if any(models.values())
    ]


def _profiles(wholes: Sequence, known: Sequence[_Entry], turn: np.ndarray) -> list[dict[str, Any]]:
    """The profiles of the first mass or light, with the spread over those after it."""
    draws = zip(*map(profiles_of, wholes), strict=True)
    return [_profile(profiles, known, turn) for profiles in draws]


def _profile(profiles: Sequence, known: Sequence[_Entry], turn: np.ndarray) -> dict[str, Any]:
    entries = [entry for entry in known if entry.kind is type(profiles[0])]
    if not entries:
        raise ValueError(
            f"{type(profiles[0]).__name__} has no counterpart of the same parameters here in "
            f"COOLEST. Those that have: {', '.join(entry.kind.__name__ for entry in known)}."
        )
    values = [_parameters(profile, entries[0].names, turn) for profile in profiles]
    return {
        "type": entries[0].name,
        "parameters": {
            name: _parameter(name, np.array([value[name] for value in values]))
            for name in values[0]
        },
    }


def _parameters(profile: Any, names: Mapping[str, str], turn: np.ndarray) -> dict[str, Any]:
    values = {theirs: float(getattr(profile, ours)) for theirs, ours in names.items()}
    if hasattr(profile, "center_x"):
        centre = turn @ [float(profile.center_x), float(profile.center_y)]
        values |= dict(zip(("center_x", "center_y"), map(float, centre), strict=True))
    if isinstance(profile, light.Shapelets):
        return values | shapelet_values(profile, turn)
    if hasattr(profile, "gamma1"):
        shear = _turned(complex(profile.gamma1, profile.gamma2), turn)
        return values | {"gamma_ext": abs(shear), "phi_ext": _east_of_north(shear)}
    if hasattr(profile, "center_x"):
        e = _turned(complex(getattr(profile, "e1", 0.0), getattr(profile, "e2", 0.0)), turn)
        values |= {"q": (1 - abs(e)) / (1 + abs(e)), "phi": _east_of_north(e)}
    return values


def _parameter(name: str, values: np.ndarray) -> dict[str, Any]:
    """The first value is the point estimate, the others are draws."""
    best, draws = values[0], values[1:]
    if name in _ANGLES:  # an axis: draws on the other side of 90 degrees are near by
        draws = best + np.mod(draws - best + 90.0, 180.0) - 90.0
    statistics: dict[str, float | list[float] | None] = dict.fromkeys(
        ("mean", "median", "percentile_16th", "percentile_84th")
    )
    if len(draws):
        numbers = (np.mean(draws, axis=0), *np.percentile(draws, [50, 16, 84], axis=0))
        statistics = {key: each.tolist() for key, each in zip(statistics, numbers, strict=True)}
    return {
        "point_estimate": {"value": best.tolist()},
        "posterior_stats": statistics,
        "prior": {"type": None},
    }


def _origin(observation: Observation) -> dict[str, str]:
    from astropy.coordinates import SkyCoord  # slow to import, and seldom needed

    degrees = (0.0, 0.0) if observation.sky_position is None else observation.sky_position
    ra, dec = SkyCoord(*degrees, unit="deg").to_string("hmsdms").split()
    return {"ra": ra, "dec": dec}


def _pixels(path: Path, scene: Scene, observation: Observation) -> dict[str, Any]:
    """Image, noise, mask and PSF: written beside the template, and what it says of them."""
    scale = float(np.sqrt(observation.pixel_area))
    noise = observation.noise.sigma(render_scene(observation, scene))
    images = {"image": observation.image, "noise": noise, "mask": observation.mask}
    grids = {name: _grid(path, name, pixels, scale) for name, pixels in images.items()}
    return {
        "observation": {
            "pixels": grids["image"],
            "exposure_time": None,
            "mag_zero_point": None,
            "mag_sky_brightness": None,
            "noise": {"type": "NoiseMap", "noise_map": grids["noise"]},
        },
        "instrument": {
            "name": "",
            "band": "",
            "pixel_size": scale,
            "readout_noise": None,
            "psf": _psf(path, observation.psf, scale),
        },
        "likelihoods": [{"type": "ImagingDataLikelihood", "mask": grids["mask"]}],
    }


def _psf(path: Path, psf: PSF | None, scale: float) -> dict[str, Any]:
    if psf is None:
        return {"type": None}
    pixels = _grid(path, "psf", psf.kernel, scale / psf.sampling)
    return {"type": "PixelatedPSF", "description": None, "pixels": pixels}


def _grid(path: Path, name: str, pixels: ArrayLike, scale: float) -> dict[str, Any]:
    """Write pixels as FITS, and describe them."""
    values = np.broadcast_to(np.asarray(pixels, dtype=float), np.shape(pixels))
    file = path.with_name(f"{path.stem}_{name}.fits")
    fits.PrimaryHDU(values).writeto(file, overwrite=True)
    ny, nx = values.shape
    return {
        "fits_file": {"path": file.name},
        "field_of_view_x": [-0.5 * nx * scale, 0.5 * nx * scale],
        "field_of_view_y": [-0.5 * ny * scale, 0.5 * ny * scale],
        "num_pix_x": nx,
        "num_pix_y": ny,
    }


def _sources(entities: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    redshifts: list[Any] = [entity.get("redshift") for entity in entities]
    if None not in redshifts and len(set(redshifts)) > 1:
        return [entity for entity in entities if entity.get("redshift") == max(redshifts)]
    massless = [entity for entity in entities if not entity.get("mass_model")]
    if len(massless) > 1:
        names = ", ".join(str(entity.get("name")) for entity in massless)
        raise ValueError(
            f"Without redshifts the source is the one galaxy without mass; here are {names}. Write "
            "redshifts into the file."
        )
    return massless


def _check_one_plane(
    lenses: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]]
) -> None:
    planes = {entity.get("redshift") for entity in lenses if entity.get("mass_model")}
    if len(planes) > 1 or any(entity.get("mass_model") for entity in sources):
        raise ValueError(
            "numpyro_lens has one lens plane; the file has mass at the redshifts "
            f"{', '.join(map(str, sorted(planes, key=str))) or 'of the source'}."
        )
    near = max((z for z in planes if z is not None), default=math.inf)
    if between := [e for e in lenses if (e.get("redshift") or 0.0) > near and _has_profile(e)]:
        raise ValueError(
            "read_coolest reads one source, at the largest redshift; the file has light between it "
            f"and the lens, of {', '.join(str(entity.get('name')) for entity in between)}. Take "
            "all but one source out of the file."
        )


def _has_profile(entity: Mapping[str, Any]) -> bool:
    return any(profile.get("type") not in _PIXELS for profile in entity.get("light_model") or [])


def _read(
    entities: Sequence[Mapping[str, Any]], model: str, known: Sequence[_Entry], turn: np.ndarray
) -> Any:
    profiles = [
        _from_template(profile, known, turn)
        for entity in entities
        for profile in entity.get(model) or []
        if not _is_left_out(profile, entity)
    ]
    join = mass.as_mass if known is _MASSES else light.as_light
    return join(profiles) if profiles else None


def _is_left_out(profile: Mapping[str, Any], entity: Mapping[str, Any]) -> bool:
    """Whether it is pixels, or a profile before a fit; said once."""
    parameters = profile.get("parameters") or {}
    if profile.get("type") in _PIXELS:
        why = "pixels are no profile here"
    elif parameters and all(_estimate(parameter) is None for parameter in parameters.values()):
        why = "none of its parameters has a point estimate or a median"
    else:
        return False
    name = entity.get("name")
    warnings.warn(f"{profile.get('type')} of {name!r} is left out: {why}.", stacklevel=4)
    return True


def _from_template(profile: Mapping[str, Any], known: Sequence[_Entry], turn: np.ndarray) -> Any:
    entry = next((entry for entry in known if entry.name == profile.get("type")), None)
    if entry is None:
        raise ValueError(
            f"COOLEST's {profile.get('type')} has no counterpart here. Those that have: "
            f"{', '.join(dict.fromkeys(entry.name for entry in known))}."
        )
    given, wanted = set(profile.get("parameters") or {}), _their_names(entry)
    if given != wanted:
        missing, unknown = sorted(wanted - given), sorted(given - wanted)
        raise ValueError(
            f"COOLEST's {entry.name} has the parameters {', '.join(sorted(wanted))}; missing: "
            f"{', '.join(missing) or 'none'}, unknown: {', '.join(unknown) or 'none'}."
        )
    _check_estimates(profile)
    values = {name: _value(profile, name) for name in given}
    fields = _our_fields(values, entry.names, turn)
    return shapelets(values, fields, turn) if "amps" in values else entry.kind(**fields)


def _their_names(entry: _Entry) -> set[str]:
    """The parameters that a profile has there, all of which are needed."""
    fields = entry.kind.__dataclass_fields__  # type: ignore[attr-defined]
    shear = {"gamma_ext", "phi_ext"} if "gamma1" in fields else set()
    centre = {"center_x", "center_y"} if "center_x" in fields else set()
    ellipse = {"q", "phi"} if "e1" in fields else set()
    series = {"n_max", "amps"} if entry.kind is light.Shapelets else set()
    return set(entry.names) | shear | centre | ellipse | series


def _estimate(parameter: Mapping[str, Any]) -> Any:
    """The point estimate, or else the median of the posterior; None without both."""
    value = (parameter.get("point_estimate") or {}).get("value")
    is_empty = value is None or value == []  # of a set of amplitudes before its fit
    return (parameter.get("posterior_stats") or {}).get("median") if is_empty else value


def _check_estimates(profile: Mapping[str, Any]) -> None:
    parameters = profile["parameters"].items()
    if lacking := [name for name, parameter in parameters if _estimate(parameter) is None]:
        raise ValueError(
            f"{profile['type']} has no point estimate of {', '.join(lacking)} and no median: the "
            "template is of a model before its fit. Give the one that a fit has written, or values."
        )


def _value(profile: Mapping[str, Any], name: str) -> Any:
    value = _estimate(profile["parameters"][name])
    if name == "amps" and isinstance(value, list) and all(map(_is_number, value)):
        return value
    if name == "amps" or not _is_number(value):
        kind = "a list of finite numbers" if name == "amps" else "a finite number"
        raise ValueError(f"{name} of {profile['type']} must be {kind}; it is {repr(value)[:60]}.")
    if name == "q" and not 0 < value <= 1:
        raise ValueError(f"q of {profile['type']} must be above 0 and at most 1; it is {value}.")
    return float(value)


def _is_number(value: Any) -> bool:
    """Whether a float holds it: a JSON integer may be too large."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_LARGEST < value < _LARGEST


def _our_fields(
    values: Mapping[str, float], names: Mapping[str, str], turn: np.ndarray
) -> dict[str, float]:
    ours = {name: values[theirs] for theirs, name in names.items()}
    if "gamma_ext" in values:
        shear = _turned(_spin(values["gamma_ext"], values["phi_ext"]), turn)
        ours |= {"gamma1": shear.real, "gamma2": shear.imag}
    if "q" in values:
        modulus = (1 - values["q"]) / (1 + values["q"])
        e = _turned(_spin(modulus, values["phi"]), turn)
        ours |= {"e1": e.real, "e2": e.imag}
    if "center_x" in values:
        centre = turn @ [values["center_x"], values["center_y"]]
        ours |= {"center_x": float(centre[0]), "center_y": float(centre[1])}
    return ours
