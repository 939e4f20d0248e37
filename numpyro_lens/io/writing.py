"""Writes observations, and images on their pixels, as FITS files."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from astropy.io import fits

from numpyro_lens.noise import PoissonNoise
from numpyro_lens.observation import Observation


def write_fits(
    path: str | PathLike,
    observation: Observation,
    images: Mapping[str, np.ndarray] | None = None,
    *,
    overwrite: bool = True,
) -> None:
    """Write an observation, and images on its pixels, as FITS with WCS.

    `read_fits` reads the file back: ``psf="PSF"``, ``mask="MASK"`` and either ``noise="RMS"`` or
    ``exposure="EXPTIME"``. Without a `sky_position` the axes are offsets
    in arcsec.

    Args:
        path: the file.
        observation: the data.
        images: further images ``(ny, nx)`` by the name of their extension.
        overwrite: replace a file that exists.

    Raises:
        ValueError: an image has another shape.
        OSError: the file exists and is not to be replaced.

    Example:
        >>> import tempfile, numpy as np, numpyro_lens as nl
        >>> data = nl.Observation(np.ones((8, 9)), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        ...     nl.write_fits(file.name, data)
        ...     again = nl.read_fits(file.name, noise="RMS", mask="MASK")
        >>> again.shape
        (8, 9)
    """
    header = _wcs_header(observation)
    layers: dict[str, Any] = {"DATA": observation.image, **_noise_layers(observation, header)}
    layers |= {"MASK": np.asarray(observation.mask).astype(np.uint8), **(images or {})}
    hdus = [fits.PrimaryHDU()]
    for name, image in layers.items():
        if np.shape(image) != observation.shape:
            raise ValueError(
                f"images must have the shape of the observation, {observation.shape}; {name} has "
                f"{np.shape(image)}."
            )
        hdus.append(fits.ImageHDU(np.asarray(image), header, name=name))
    if observation.psf is not None:
        hdus.append(fits.ImageHDU(np.asarray(observation.psf.kernel), name="PSF"))
        hdus[-1].header["SAMPLING"] = (observation.psf.sampling, "samples per pixel side")
    fits.HDUList(hdus).writeto(path, overwrite=overwrite)


def _wcs_header(observation: Observation) -> fits.Header:
    ny, nx = observation.shape
    matrix = np.asarray(observation.transform_pix2angle, dtype=float)
    position = observation.sky_position
    known, (x, y) = position is not None, (0.0, 0.0) if position is None else position
    header = fits.Header()
    # in pixels from (0, 0), where the position on the sky belongs; of moved pixels it is not zero
    center = np.linalg.solve(
        matrix, [np.mean(np.asarray(a, float)) for a in (observation.x, observation.y)]
    )
    for axis, kind in enumerate(("RA---TAN", "DEC--TAN") if known else ("X", "Y"), start=1):
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg" if known else "arcsec"
        header[f"CRPIX{axis}"] = ((nx, ny)[axis - 1] + 1) / 2 - center[axis - 1]
        header[f"CRVAL{axis}"] = float((x, y)[axis - 1])
        for step in (1, 2):
            value = matrix[axis - 1, step - 1]
            header[f"CD{axis}_{step}"] = value / 3600.0 if known else value
    return header


def _noise_layers(observation: Observation, header: fits.Header) -> dict[str, np.ndarray]:
    """A sigma map, or the exposure time with the background in the header (a map: a sigma map)."""
    noise = observation.noise
    if isinstance(noise, PoissonNoise) and np.ndim(noise.background_rms) == 0:
        header["BKGRMS"] = float(noise.background_rms)
        return {"EXPTIME": np.broadcast_to(noise.exposure_time, observation.shape)}
    return {"RMS": np.asarray(noise.sigma(observation.image))}
