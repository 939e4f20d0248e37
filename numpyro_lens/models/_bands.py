"""Several bands of one lens: profiles that share a shape, and offsets of the astrometry."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpyro.distributions as dist

from numpyro_lens.models._sample import Profile, check_parameters, place
from numpyro_lens.observation import Observation

Amplitude: TypeAlias = Callable[[Observation], Any]
"""The prior of an amplitude, in the units of an observation."""

Data: TypeAlias = Observation | Mapping[str, Observation]
"""One observation, or one of each band by its name."""


def sample_bands(
    name: str, profile: type[Profile], bands: Mapping[str, Observation], /, **parameters: Any
) -> dict[str, Profile]:
    """Place a profile whose shape all bands share, and whose amplitude each band has of its own.

    The linear field of a light, ``amp``, is a parameter of each band; every other parameter is
    placed once, as by `sample`. A parameter is each band's own, too, where it is given as a dict by
    the name of the band, or as a function of the band's observation, such as ``priors.amplitude``.

    Args:
        name: prefix of the sites: ``name.R_sersic`` is shared, ``VIS.name.amp`` belongs to the
            band ``VIS``; with a single band the names are those of `sample`.
        profile: class of the profile, such as ``light.Sersic``.
        bands: the observations, by the name of the band.
        **parameters: for each field a distribution, a number or array, or `Linear`, as in `sample`;
            or one of these for each band.

    Returns:
        The profile of each band, by its name.

    Raises:
        ValueError: a parameter is unknown or missing, or has none for a band.

    Example:
        >>> import numpyro, numpyro.distributions as dist, numpyro_lens as nl
        >>> camera = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> with numpyro.handlers.trace() as trace, numpyro.handlers.seed(rng_seed=0):
        ...     sources = sample_bands(
        ...         "source", nl.light.Sersic, {"VIS": camera, "NIR_H": camera},
        ...         amp=nl.priors.amplitude, R_sersic=dist.LogNormal(-1.5, 0.5), n_sersic=1.0)
        >>> list(trace)
        ['VIS.source.amp', 'NIR_H.source.amp', 'source.R_sersic']
    """
    for band in bands:
        check_parameters(profile, {f: _of_band(v, band, bands) for f, v in parameters.items()})
    values: dict[str, dict[str, Any]] = {band: {} for band in bands}
    for field, value in parameters.items():
        if field == getattr(profile, "linear_field", None) or _is_each_ones(value):
            placed = {
                band: place(f"{_prefix(band, bands)}{name}.{field}", _of_band(value, band, bands))
                for band in bands
            }
        else:
            placed = dict.fromkeys(bands, place(f"{name}.{field}", value))
        for band in bands:
            values[band][field] = placed[band]
    return {band: profile(**own) for band, own in values.items()}


def _prefix(band: str, bands: Mapping[str, Observation]) -> str:
    return f"{band}." if len(bands) > 1 else ""


def _is_each_ones(value: Any) -> bool:
    """A dict by band or a function of an observation: distributions can be called, too."""
    is_function = callable(value) and not isinstance(value, type | dist.Distribution)
    return is_function or isinstance(value, Mapping)


def _of_band(value: Any, band: str, bands: Mapping[str, Observation]) -> Any:
    if not _is_each_ones(value):
        return value
    if not isinstance(value, Mapping):
        return value(bands[band])
    if band not in value:
        raise ValueError(
            f"A parameter that is given by band has a value for each: {', '.join(bands)}; got "
            f"{', '.join(map(str, value))}. Add one for {band!r}, or give one value for all."
        )
    return value[band]


def align(
    bands: Mapping[str, Observation],
    *,
    offset: Any = None,
    rotation: Any = None,
) -> dict[str, Observation]:
    r"""Sample the offset and the rotation of each band from the first, which stays where it is.

    .. math:: (x, y) \to R(\rho)\,(x, y) + (dx, dy)

    Sites are ``NIR_H.dx``, ``NIR_H.dy`` [arcsec] and ``NIR_H.rotation`` [radian] of the band
    ``NIR_H``.

    Args:
        bands: the observations, by the name of the band; the first is the reference.
        offset: prior of ``dx`` and of ``dy`` [arcsec], or a number; by default normal, with half a
            pixel of the band as standard deviation.
        rotation: prior of the rotation about (0, 0) [radian], or a number; by default normal, with
            0.005 (0.3 degrees) as standard deviation.

    Returns:
        The observations, moved.

    Example:
        >>> import numpyro, numpyro_lens as nl
        >>> camera = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> with numpyro.handlers.trace() as trace, numpyro.handlers.seed(rng_seed=0):
        ...     bands = align({"VIS": camera, "NIR_H": camera}, rotation=0.0)
        >>> list(trace)
        ['NIR_H.dx', 'NIR_H.dy']
    """
    turned = dist.Normal(0.0, 0.005) if rotation is None else rotation
    moved = {}
    for number, (name, band) in enumerate(bands.items()):
        if number == 0:
            moved[name] = band
            continue
        shift = _half_a_pixel(band) if offset is None else offset
        values = {"dx": shift, "dy": shift, "rotation": turned}
        moved[name] = band.moved(**{k: place(f"{name}.{k}", v) for k, v in values.items()})
    return moved


def _half_a_pixel(band: Observation) -> dist.Distribution:
    return dist.Normal(0.0, 0.5 * jnp.sqrt(band.pixel_area))


def as_bands(observation: Data) -> dict[str, Observation]:
    """The bands of what a ready model takes: those of a dict, or a single one called ``image``.

    Args:
        observation: the data, or the data of each band by its name.

    Returns:
        Observations by the name of their site.

    Raises:
        TypeError: it is neither.

    Example:
        >>> import numpyro_lens as nl
        >>> list(as_bands(nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))))
        ['image']
    """
    bands = dict(observation) if isinstance(observation, Mapping) else {"image": observation}
    wrong = [type(band).__name__ for band in bands.values() if not isinstance(band, Observation)]
    if wrong or not bands:
        raise TypeError(
            "A ready model takes an Observation, or a dict of them by the name of the band; got "
            f"{', '.join(wrong) or 'no band'}. Write nl.fit(model, observation) or "
            'nl.fit(model, {"VIS": vis, "NIR_H": nir}).'
        )
    return bands
