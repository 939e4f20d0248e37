"""Reads several bands of one lens, from one FITS file or from several."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import equinox as eqx
import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord

from numpyro_lens.io import read_fits
from numpyro_lens.io.extensions import opened
from numpyro_lens.observation import Observation

Path = str | PathLike


def read_bands(
    path: Path | Mapping[str, Path],
    bands: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> dict[str, Observation]:
    r"""Read several bands of one lens, each as an `Observation`.

    In one file a band is known by how the names of its extensions begin: with ``psf="PSF"`` and
    ``noise="RMS"`` the band ``VIS`` has ``VIS_PSF`` and ``VIS_RMS``, and its image is the one
    other extension ``VIS_...``. All bands have the coordinates of the first: where the centre of an
    image has another place on the sky by its WCS, its pixels are moved there.

    Args:
        path: one FITS file that holds all bands; or a file for each band, by its name.
        bands: names of the bands in one file, the reference of the astrometry first; or the
            settings of `read_fits` that a band alone has, by its name. Of a file for each band it
            may be left out.
        **settings: of `read_fits`, for all bands. In one file ``image_ext`` is the end of a name
            here: ``"FLUX"`` means ``VIS_FLUX`` of the band ``VIS``.

    Returns:
        An observation for each band, by its name, in the order given.

    Raises:
        ValueError: no band, a band whose image is not found, or that shows another part of the
            sky; or what `read_fits` raises.
        FileNotFoundError: there is no such file.

    Example:
        >>> import tempfile, numpy as np, numpyro_lens as nl
        >>> from astropy.io import fits
        >>> layers = [fits.ImageHDU(np.ones((9, 9)), name=f"{band}_{kind}")
        ...     for band in ("VIS", "NIR_H") for kind in ("FLUX", "RMS")]
        >>> with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        ...     fits.HDUList([fits.PrimaryHDU(), *layers]).writeto(file.name, overwrite=True)
        ...     bands = nl.read_bands(
        ...         file.name, {"VIS": {}, "NIR_H": {"supersampling": 3}},
        ...         noise="RMS", pixel_scale=0.1)
        >>> {name: band.supersampling for name, band in bands.items()}
        {'VIS': 2, 'NIR_H': 3}
    """
    own: Mapping[str, Any] = (
        bands if isinstance(bands, Mapping) else {name: {} for name in bands or ()}
    )
    if isinstance(path, Mapping):
        _check_names(own, path)
        read = {
            name: read_fits(at, **{**settings, **own.get(name, {})}) for name, at in path.items()
        }
    else:
        read = {name: _of_one_file(path, name, settings, own[name]) for name in own}
    if not read:
        raise ValueError(
            "read_bands reads at least one band; got none. Name those of a file, "
            'read_bands("lens.fits", ["VIS", "NIR_H"]), or a file for each, '
            'read_bands({"VIS": "vis.fits", "NIR_H": "nir_h.fits"}).'
        )
    first = next(iter(read))
    return {name: _placed(band, name, read[first], first) for name, band in read.items()}


def _check_names(own: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    if unknown := [name for name in own if name not in files]:
        raise ValueError(
            f"Settings of a band go by the name of its file; got {', '.join(unknown)}. The files "
            f"are of {', '.join(files)}."
        )


def _of_one_file(
    path: Path, band: str, shared: Mapping[str, Any], own: Mapping[str, Any]
) -> Observation:
    settings = {**shared, **own}
    if "image_ext" not in own:
        end = shared.get("image_ext")
        ends = [value for value in (*shared.values(), *own.values()) if isinstance(value, str)]
        settings["image_ext"] = f"{band}_{end}" if end else _image_ext(path, band, ends)
    return read_fits(path, **settings)


def _image_ext(path: Path, band: str, ends: Sequence[str]) -> str:
    """Name of the extension of a band's image: the only one that is no companion."""
    names = _two_dimensional(path)
    companions = {f"{band}_{end}".upper() for end in ends}
    found = [name for name in names if name == band.upper()] or [
        name for name in names if name.startswith(f"{band.upper()}_") and name not in companions
    ]
    if len(found) == 1:
        return found[0]
    raise ValueError(
        f"The image of the band {band!r} is the one extension whose name begins with it and that "
        f"is no companion; {fspath(path)!r} has {' and '.join(found) or 'none'} of its extensions "
        f"{', '.join(names)}. Give the end of its name, image_ext={_end(found, band)!r}, or a "
        "name that is there."
    )


def _two_dimensional(path: Path) -> list[str]:
    """Names of the extensions that hold an image."""
    with opened(path) as hdus:
        return [h.name.upper() for h in hdus if h.is_image and len(h.shape) == 2]


def _end(found: Sequence[str], band: str) -> str:
    return found[0][len(band) + 1 :] if found else "FLUX"


def _placed(band: Observation, name: str, first: Observation, of: str) -> Observation:
    """A band in the coordinates of the first one."""
    if band.sky_position is None or first.sky_position is None or band is first:
        return band
    here, there = (SkyCoord(*at, unit=units.deg) for at in (band.sky_position, first.sky_position))
    dx, dy = (float(step.to_value(units.arcsec)) for step in there.spherical_offsets_to(here))
    width = float(np.sqrt(band.pixel_area)) * max(band.shape)
    if np.hypot(dx, dy) > width:
        raise ValueError(
            f"Bands show one part of the sky; the centre of {name!r} is {np.hypot(dx, dy):.4g} "
            f"arcsec from that of {of!r}, more than its width. Cut all images around the lens, "
            "or give pixel_scale, which leaves their places on the sky out."
        )
    if np.hypot(dx, dy) < 1e-6 * width:
        return band
    return eqx.tree_at(lambda o: o.sky_position, band.moved(dx, dy), first.sky_position)
