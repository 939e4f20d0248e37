"""Reads FITS files into observations: image, pixel matrix, PSF, noise, cutout and mask."""

import math
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from numpyro_lens.coordinates import pixel_grid, pixel_matrix
from numpyro_lens.noise import AbstractNoise, NoiseMap, PoissonNoise
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF

Extension = str | int
_MATRIX_CARDS = ("CD1_1", "PC1_1", "CDELT1")


def read_fits(
    path: str | PathLike,
    *,
    image_ext: Extension | None = None,
    psf_ext: Extension | None = None,
    noise_ext: Extension | None = None,
    exposure_ext: Extension | None = None,
    background_rms: float | None = None,
    exposure_time: float | None = None,
    pixel_scale: float | None = None,
    cutout: int | None = None,
    mask_radius: float | None = None,
    mask_ext: Extension | None = None,
    supersampling: int = 2,
    psf_sampling: int = 1,
) -> Observation:
    r"""Read one band of a FITS file as an `Observation`.

    An extension is given by its name, by the unique end of its name (beside the image
    ``VIS_FLUX``, ``RMS`` means ``VIS_RMS``) or by its number. The noise is either a sigma map
    (``noise_ext``) or the background and the photons (``background_rms`` with ``exposure_ext`` or
    ``exposure_time``). Big-endian arrays are converted.

    Args:
        path: the FITS file.
        image_ext: extension of the image; by default the first that holds a 2-D array.
        psf_ext: extension of the PSF kernel, odd in both directions; by default no PSF.
        noise_ext: extension of the noise's standard deviation, in the unit of the image.
        exposure_ext: extension of the exposure time of every pixel [s if the image is per second].
        background_rms: standard deviation of the background, in the unit of the image; by default
            the card ``BKGRMS`` of the image's header, where there is one.
        exposure_time: one exposure time for all pixels, instead of ``exposure_ext``; infinity
            leaves the background alone.
        pixel_scale: side of a pixel [arcsec]. It replaces the WCS of the image's header: x to the
            right, y up. By default the WCS gives the pixel matrix.
        cutout: keep this many pixels a side around the centre of the image.
        mask_radius: fit only the pixels within this distance [arcsec] of the centre of the cutout.
        mask_ext: extension that is zero where a pixel is not to be fitted.
        supersampling: sub-pixels a side at which the model is computed.
        psf_sampling: samples of the PSF kernel per pixel side.

    Returns:
        The observation, its coordinates (0, 0) at the centre of the cutout. With a WCS, x grows
        with right ascension and y with declination; where right ascension increases to the left,
        the determinant of ``transform_pix2angle`` is negative.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no FITS file, an extension is missing or ambiguous, the shapes
            differ, the pixel scale or the noise is unknown.

    Example:
        >>> import tempfile, numpy as np, numpyro_lens as nl
        >>> from astropy.io import fits
        >>> image = fits.PrimaryHDU(np.zeros((20, 20)))
        >>> sigma = fits.ImageHDU(np.ones((20, 20)), name="RMS")
        >>> with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        ...     fits.HDUList([image, sigma]).writeto(file.name, overwrite=True)
        ...     observation = nl.read_fits(file.name, noise_ext="RMS", pixel_scale=0.05, cutout=10)
        >>> observation.shape
        (10, 10)
    """
    _check_noise_choice(noise_ext, exposure_ext, background_rms, exposure_time)
    maps = {"noise_ext": noise_ext, "exposure_ext": exposure_ext, "mask_ext": mask_ext}
    with _open(path) as hdus:
        image_hdu = _image_hdu(hdus, image_ext)
        image = _array(image_hdu)
        beside = _companions(hdus, maps | {"psf_ext": psf_ext}, image_hdu.name)
        matrix = _pixel_matrix(image_hdu, pixel_scale)
        window = _window(image.shape, cutout)
        position = None if pixel_scale is not None else _sky_position(image_hdu, window)
        if background_rms is None and noise_ext is None:
            background_rms = _header_rms(image_hdu)
    for flag in maps:
        _check_same_shape(flag, beside[flag], image.shape)
    exposure = beside["exposure_ext"]
    kernel, image = beside["psf_ext"], image[window]
    return Observation(
        image,
        transform_pix2angle=matrix,
        noise=_noise(beside["noise_ext"], exposure, background_rms, exposure_time, window),
        psf=None if kernel is None else PSF(kernel, sampling=psf_sampling),
        mask=_mask(beside["mask_ext"], mask_radius, matrix, window, image.shape),
        supersampling=supersampling,
        sky_position=position,
    )


def _companions(
    hdus: fits.HDUList, extensions: Mapping[str, Extension | None], band: str
) -> dict[str, np.ndarray | None]:
    """Extensions that belong to the image, by the name of the argument."""
    return {
        flag: None if ext is None else _array(_find(hdus, ext, flag, beside=band))
        for flag, ext in extensions.items()
    }


def write_fits(
    path: str | PathLike,
    observation: Observation,
    images: Mapping[str, np.ndarray] | None = None,
    *,
    overwrite: bool = True,
) -> None:
    """Write an observation, and images on its pixels, as FITS with WCS.

    `read_fits` reads the file back: ``psf_ext="PSF"``, ``mask_ext="MASK"`` and either
    ``noise_ext="RMS"`` or ``exposure_ext="EXPTIME"``. Without a `sky_position` the axes are offsets
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
        ...     again = nl.read_fits(file.name, noise_ext="RMS", mask_ext="MASK")
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


def _open(path: str | PathLike) -> fits.HDUList:
    try:
        # no memory map: the arrays outlive the file
        return fits.open(path, memmap=False)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no such file: {fspath(path)!r}. Give the path of a FITS file."
        ) from None
    except OSError as error:
        raise ValueError(
            f"{fspath(path)!r} could not be read as a FITS file: {error}. Give the path of a FITS "
            "file that holds the image."
        ) from error


def _listing(hdus: Sequence) -> str:
    """Every extension with its number, name and shape: what an error offers to choose from."""
    return ", ".join(
        f"{number} {hdu.name or '(unnamed)'} {_shape(hdu) if _shape(hdu) else 'no array'}"
        for number, hdu in enumerate(hdus)
    )


def _shape(hdu: Any) -> tuple[int, ...]:
    # the header's shape: reading the data of a table or of a compressed image costs time
    return tuple(hdu.shape) if getattr(hdu, "is_image", False) else ()


def _image_hdu(hdus: fits.HDUList, image_ext: Extension | None) -> Any:
    if image_ext is not None:
        return _find(hdus, image_ext, "image_ext", beside="")
    for hdu in hdus:
        if len(_shape(hdu)) == 2:
            return hdu
    raise ValueError(
        f"the file must hold a 2-D image; it has {_listing(hdus)}. Give a file with an image."
    )


def _find(hdus: fits.HDUList, wanted: Extension, flag: str, *, beside: str) -> Any:
    """The extension that ``wanted`` names: a number, a name, or the unique end of a name."""
    if isinstance(wanted, int) or wanted.lstrip("-").isdigit():
        return _by_number(hdus, int(wanted), flag)
    key = wanted.strip().upper()
    exact = [hdu for hdu in hdus if hdu.name.upper() == key]
    found = exact or [hdu for hdu in hdus if hdu.name.upper().endswith("_" + key)]
    if len(found) > 1:
        found = _of_same_band(found, beside) or found
    if len(found) == 1:
        return found[0]
    problem = f"matches {', '.join(h.name for h in found)}" if found else "is not in the file"
    raise ValueError(
        f"{flag} must name one extension: {wanted!r} {problem}. The file has {_listing(hdus)}. "
        f"Give {_as_flag(flag)} one of these names or numbers."
    )


def _by_number(hdus: fits.HDUList, number: int, flag: str) -> Any:
    if 0 <= number < len(hdus):
        return hdus[number]
    raise ValueError(
        f"{flag} must name one extension: there is no number {number}. The file has "
        f"{_listing(hdus)}. Give {_as_flag(flag)} one of these names or numbers."
    )


def _of_same_band(candidates: list, beside: str) -> list:
    """Those that share with the image all but the last word of its name: VIS_FLUX, VIS_RMS."""
    band = beside.upper().rpartition("_")[0]
    return [hdu for hdu in candidates if band and hdu.name.upper().rpartition("_")[0] == band]


def _as_flag(name: str) -> str:
    return f"{name} (--{name.replace('_', '-')})"


def _array(hdu: Any) -> np.ndarray:
    """The extension's 2-D array in this machine's byte order, 32 or 64 bit float."""
    if len(_shape(hdu)) != 2:
        raise ValueError(
            f"extension {hdu.name!r} must hold a 2-D array; it has shape {_shape(hdu) or None}. "
            "Choose another extension, or cut the plane you want out of the cube first."
        )
    data = hdu.data
    return data.astype(np.float64 if data.dtype.itemsize > 4 else np.float32)


def _pixel_matrix(hdu: Any, pixel_scale: float | None) -> np.ndarray:
    """The 2x2 matrix from pixel offsets (column, row) to (x, y) in arcsec."""
    if pixel_scale is not None:
        if not (math.isfinite(pixel_scale) and pixel_scale > 0):
            raise ValueError(f"pixel_scale must be positive [arcsec]; got {pixel_scale}.")
        return pixel_matrix(pixel_scale)
    if not any(card in hdu.header for card in _MATRIX_CARDS):
        raise ValueError(
            f"the pixel scale is unknown: the header of extension {hdu.name!r} has none of the WCS "
            f"cards {', '.join(_MATRIX_CARDS)}. Give {_as_flag('pixel_scale')} in arcsec."
        )
    return _wcs_matrix(hdu.header)


def _wcs(header: fits.Header) -> WCS:
    with warnings.catch_warnings():
        # astropy tells what it repaired in the dates and names of old headers: no matter here
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header, naxis=2)


def _sky_position(hdu: Any, window: tuple[slice, slice]) -> np.ndarray | None:
    """Right ascension and declination [degree] of the centre of the cutout."""
    wcs = _wcs(hdu.header)
    if not wcs.has_celestial:
        return None
    centre = [
        (cut.indices(size)[0] + cut.indices(size)[1] - 1) / 2
        for cut, size in zip(window, _shape(hdu), strict=True)
    ]
    position = np.array(wcs.celestial.pixel_to_world_values(*centre[::-1]), dtype=float)
    return position if np.isfinite(position).all() else None


def _wcs_matrix(header: fits.Header) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = _wcs(header)
        matrix = np.asarray(wcs.pixel_scale_matrix[:2, :2], dtype=float)
        unit = [_arcsec(wcs, axis) for axis in (0, 1)]
    matrix = matrix * np.array(unit)[:, None]
    if not (np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 0):
        raise ValueError(
            f"the WCS of the image must have an invertible pixel matrix; got {matrix.tolist()} "
            f"arcsec. Repair the header or give {_as_flag('pixel_scale')}."
        )
    # declination listed first: x is still right ascension
    return matrix[::-1] if wcs.wcs.lng == 1 else matrix


def _arcsec(wcs: WCS, axis: int) -> float:
    unit = wcs.wcs.cunit[axis]
    try:
        return float(unit.to(units.arcsec))
    except units.UnitConversionError:
        raise ValueError(
            f"the WCS of the image must be in angles; its axis {axis + 1} is in {str(unit)!r}. "
            f"Give {_as_flag('pixel_scale')} in arcsec to replace the WCS."
        ) from None


def _header_rms(hdu: Any) -> float | None:
    value = hdu.header.get("BKGRMS")
    try:
        return None if value is None else float(value)
    except ValueError:
        raise ValueError(
            f"the card BKGRMS of the image must be a number; it is {value!r}. Repair the header or "
            f"give {_as_flag('background_rms')}."
        ) from None


def _window(shape: tuple[int, ...], cutout: int | None) -> tuple[slice, slice]:
    if cutout is None:
        return slice(None), slice(None)
    if not 1 <= cutout <= min(shape):
        raise ValueError(
            f"cutout must be between 1 and {min(shape)} pixels, the image is {shape[0]} by "
            f"{shape[1]}; got {cutout}."
        )
    first = [(size - cutout) // 2 for size in shape]
    return slice(first[0], first[0] + cutout), slice(first[1], first[1] + cutout)


def _mask(
    given: np.ndarray | None,
    radius: float | None,
    matrix: np.ndarray,
    window: tuple[slice, slice],
    shape: tuple[int, int],
) -> np.ndarray | None:
    disc = None if radius is None else _disc(shape, matrix, radius)
    if given is None:
        return disc
    given = given[window] != 0
    return given if disc is None else given & disc


def _disc(shape: tuple[int, int], matrix: np.ndarray, radius: float) -> np.ndarray:
    """True within ``radius`` arcsec of the centre of the image."""
    if not radius > 0:
        raise ValueError(f"mask_radius must be positive [arcsec]; got {radius}.")
    inside = np.hypot(*pixel_grid(shape, matrix)) <= radius
    if not inside.any():
        raise ValueError(f"mask_radius leaves no pixel; got {radius} arcsec. Give a larger one.")
    return inside


def _check_same_shape(flag: str, array: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if array is not None and array.shape != shape:
        raise ValueError(
            f"{flag} must have the shape of the image, {shape}; it has {array.shape}. Give the "
            "extension that belongs to the image."
        )


def _check_noise_choice(
    noise_ext: Extension | None,
    exposure_ext: Extension | None,
    background_rms: float | None,
    exposure_time: float | None,
) -> None:
    photons = {
        "exposure_ext": exposure_ext,
        "background_rms": background_rms,
        "exposure_time": exposure_time,
    }
    given = [name for name, value in photons.items() if value is not None]
    if noise_ext is not None and given:
        raise ValueError(
            "noise is either a sigma map or background and exposure; got noise_ext and "
            f"{', '.join(given)}. Leave out one or the other."
        )
    if exposure_ext is not None and exposure_time is not None:
        raise ValueError("give exposure_ext or exposure_time, not both.")


def _noise(
    sigma: np.ndarray | None,
    exposure: np.ndarray | None,
    background_rms: float | None,
    exposure_time: float | None,
    window: tuple[slice, slice],
) -> AbstractNoise:
    if sigma is not None:
        return NoiseMap(sigma[window])
    if background_rms is None:
        raise ValueError(
            f"the noise is unknown. Give {_as_flag('noise_ext')}, a map of its standard deviation, "
            f"or {_as_flag('background_rms')} with {_as_flag('exposure_ext')} or "
            f"{_as_flag('exposure_time')}."
        )
    if exposure is None and exposure_time is None:
        raise ValueError(
            f"the exposure time is unknown. Give {_as_flag('exposure_ext')} or "
            f"{_as_flag('exposure_time')} (inf: background noise only)."
        )
    if exposure_time is not None and math.isinf(exposure_time):
        return NoiseMap(background_rms)
    time: Any = exposure_time if exposure is None else exposure[window]
    return PoissonNoise(background_rms, time)
