"""Reads one band as an observation: image, pixel matrix, PSF, noise, cutout and mask."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any, NamedTuple

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from numpyro_lens.io.companions import (
    Companion,
    Map,
    check_same_shape,
    companion,
    kinds_of,
    plain_number,
    unit_of,
)
from numpyro_lens.io.extensions import (
    Extension,
    array,
    as_float,
    as_option,
    check_is_image,
    find,
    listing,
    opened,
    shape_of,
    split_file,
)
from numpyro_lens.io.masks import (
    Flags,
    combined,
    disc,
    map_mask,
    outside_regions,
    warn_if_most_are_masked,
)
from numpyro_lens.io.noise import check_noise_choice, noise_of, warn_of_wrong_noise
from numpyro_lens.io.sky import (
    Window,
    center_pixel,
    cut_window,
    given_matrix,
    local_matrix,
    read_wcs,
    sky_position,
)
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF, GaussianPSF, cropped_aloud

_RETIRED = {f"{name}_ext": name for name in ("psf", "noise", "exposure", "mask")}


def read_fits(
    path: str | PathLike | fits.HDUList,
    *,
    image_ext: Extension | None = None,
    psf: Companion | PSF | GaussianPSF | None = None,
    noise: Companion | None = None,
    weight: Companion | None = None,
    variance: Companion | None = None,
    exposure: Companion | None = None,
    background_rms: float | None = None,
    exposure_time: float | None = None,
    pixel_scale: float | None = None,
    center: "SkyCoord | tuple[float, float] | str | None" = None,
    cutout: int | None = None,
    mask: Companion | None = None,
    flags: Flags | None = None,
    regions: str | PathLike | None = None,
    mask_radius: float | None = None,
    supersampling: int = 2,
    psf_sampling: int | None = None,
    flux_unit: float | None = None,
    **retired: Any,
) -> Observation:
    r"""Read one band as an `Observation`, from one FITS file or from several.

    Every companion of the image (``psf, noise, weight, variance, exposure, mask``) is an extension
    of its file (a name, the unique end of a name, a number, or a name and a version: ``"RMS"``,
    ``3``, ``("ERR", 2)``), another file (``"psf.fits"``, ``"psf.fits[1]"``) or an array. Beside the
    image ``VIS_FLUX``, ``RMS`` means ``VIS_RMS``. A name that says another kind is an error.

    The noise is one of ``noise``, ``weight`` and ``variance``, or the background and the photons
    (``background_rms`` with ``exposure`` or ``exposure_time``). Pixels without a finite value or
    without a positive noise are left out, and a warning counts them.

    Args:
        path: the FITS file, also as ``"lens.fits[SCI,2]"``, or an open `HDUList`.
        image_ext: extension of the image; by default the first that holds a 2-D array.
        psf: PSF kernel, odd in both directions, or a `PSF` or `GaussianPSF`; by default none.
        noise: standard deviation, in the unit of the image.
        weight: inverse variance; zero where there are no data.
        variance: variance, in the squared unit of the image.
        exposure: exposure time of every pixel [s if the image is per second].
        background_rms: standard deviation of the background, in the unit of the image; by default
            the card ``BKGRMS`` of the image's header, where there is one.
        exposure_time: one exposure time for all pixels, instead of ``exposure``; infinity leaves
            the background alone.
        pixel_scale: side of a pixel [arcsec]. It replaces the WCS of the image's header: x to the
            right, y up. By default the WCS gives the pixel matrix.
        center: centre of the cutout: column and row counted from zero, or a place on the sky; by
            default the centre of the image.
        cutout: keep this many pixels a side.
        mask: zero where a pixel is not to be fitted.
        flags: ``mask`` holds data-quality flags, of which these bits (their sum, a list, or
            ``"any"``) leave a pixel out.
        regions: file of ds9 or astropy regions whose pixels are not fitted (extra ``regions``).
        mask_radius: fit only the pixels within this distance [arcsec] of the centre of the cutout.
        supersampling: sub-pixels a side at which the model is computed.
        psf_sampling: samples of the PSF kernel per pixel side; by default the card ``SAMPLING`` of
            its header, or 1.
        flux_unit: the flux that counts as one [unit of the image], by which image and noise are
            divided: amplitudes are in it per arcsec².
        **retired: arguments of version 0.1; each is an error that says what to write.

    Returns:
        The observation, its coordinates (0, 0) at the centre of the cutout. With a WCS, x grows
        with right ascension and y with declination; where right ascension increases to the left,
        the determinant of ``transform_pix2angle`` is negative.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no FITS file, an extension is missing, ambiguous or of another
            kind, the shapes differ, the WCS cannot be read, the pixel scale or the noise is
            unknown.
        TypeError: an argument of version 0.1.

    Example:
        >>> import tempfile, numpy as np, numpyro_lens as nl
        >>> from astropy.io import fits
        >>> image = fits.PrimaryHDU(np.zeros((20, 20)))
        >>> weight = fits.ImageHDU(np.full((20, 20), 4.0), name="WHT")
        >>> with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        ...     fits.HDUList([image, weight]).writeto(file.name, overwrite=True)
        ...     observation = nl.read_fits(file.name, weight="WHT", pixel_scale=0.05, cutout=10)
        >>> observation.shape, float(observation.noise.sigma(observation.image)[0, 0])
        ((10, 10), 0.5)
    """
    _refuse(retired)
    beside = {"noise": noise, "weight": weight, "variance": variance, "exposure": exposure}
    check_noise_choice(beside | {"background_rms": background_rms, "exposure_time": exposure_time})
    with _image(path, image_ext) as (hdus, hdu):
        maps = _companions(beside | {"mask": mask}, hdus, hdu)
        place = _place(hdus, hdu, pixel_scale, center, cutout)
        kernel = psf if isinstance(psf, PSF | GaussianPSF) else companion("psf", psf, hdus, hdu)
        image = as_float(array(hdu))[place.window]
    rms = _header_rms(hdu) if background_rms is None else background_rms
    model, known = noise_of(maps, unit_of(hdu.header), rms, exposure_time, place.window)
    given = _given_mask(maps["mask"], flags, place.window)
    wanted = [given, _disc(mask_radius, place, image), _outside(regions, place)]
    used = _used(image, wanted, known)
    sampled = _psf(kernel, psf_sampling, image.shape)
    settings = {"noise": model, "psf": sampled, "mask": used, "supersampling": supersampling}
    flux = plain_number("flux_unit", flux_unit, unit_of(hdu.header))
    observation = _placed(image, place, settings | ({} if flux is None else {"flux_unit": flux}))
    warn_of_wrong_noise(observation)
    return observation


def _placed(image: np.ndarray, place: "_Place", settings: dict[str, Any]) -> Observation:
    return Observation(
        image, transform_pix2angle=place.matrix, sky_position=place.position, **settings
    )


def _outside(regions: str | PathLike | None, place: "_Place") -> np.ndarray | None:
    return None if regions is None else outside_regions(regions, place.wcs, place.window)


def _used(image: np.ndarray, wanted: list[np.ndarray | None], known: np.ndarray) -> np.ndarray:
    """The pixels that are wanted and hold data."""
    data = {"have no finite value": np.isfinite(image), "have no positive noise": known}
    return combined(wanted, data)


def _refuse(retired: Mapping[str, Any]) -> None:
    for name, value in retired.items():
        new = f". Since version 0.2 write {_RETIRED[name]}={value!r}" if name in _RETIRED else ""
        raise TypeError(f"read_fits() got an unexpected keyword argument {name!r}{new}.")


@contextmanager
def _image(
    path: str | PathLike | fits.HDUList, image_ext: Extension | None
) -> Iterator[tuple[fits.HDUList, Any]]:
    """The extensions of the file, and the image among them."""
    named = None if isinstance(path, fits.HDUList) else split_file(fspath(path))
    if named is not None and named[1] is not None and not isinstance(path, fits.HDUList):
        if image_ext is not None:
            raise ValueError(f"give image_ext or the extension in {fspath(path)!r}, not both.")
        path, image_ext = named
    with opened(path) as hdus:
        named_so = image_ext is not None
        hdu = find(hdus, image_ext, "image_ext", beside="") if named_so else _first_image(hdus)
        check_is_image(hdu)
        yield hdus, hdu


def _first_image(hdus: fits.HDUList) -> Any:
    """The first 2-D array, before those whose names say that they are something else."""
    arrays = [hdu for hdu in hdus if len(shape_of(hdu)) == 2]
    images = [hdu for hdu in arrays if kinds_of(hdu.name)[-1:] in ([], ["image"])]
    if not arrays:
        raise ValueError(
            f"the file must hold a 2-D image; it has {listing(hdus)}. Give a file with an image."
        )
    return (images or arrays)[0]


def _companions(
    given: Mapping[str, Companion | None], hdus: fits.HDUList, image: Any
) -> dict[str, Map | None]:
    maps = {option: companion(option, value, hdus, image) for option, value in given.items()}
    for option, found in maps.items():
        check_same_shape(option, found, shape_of(image))
    return maps


class _Place(NamedTuple):
    """Where the cutout is: in the image, and on the sky."""

    window: Window
    matrix: np.ndarray
    position: np.ndarray | None
    wcs: WCS | None


def _place(hdus: fits.HDUList, hdu: Any, scale: Any, center: Any, cutout: Any) -> _Place:
    shape = shape_of(hdu)
    scale = plain_number("pixel_scale", scale, units.arcsec)
    wcs = _wcs(hdus, hdu, optional=scale is not None)
    window = cut_window(shape, cutout, center_pixel(center, wcs))
    if scale is not None:
        return _Place(window, given_matrix(scale), None, wcs)
    assert wcs is not None
    return _Place(window, local_matrix(hdu, wcs, window), sky_position(wcs, window, shape), wcs)


def _wcs(hdus: fits.HDUList, hdu: Any, *, optional: bool) -> WCS | None:
    """The WCS; where a pixel scale replaces it, an unreadable one is none."""
    try:
        with warnings.catch_warnings():
            if optional:
                warnings.simplefilter("ignore")
            return read_wcs(hdu.header, hdus)
    except ValueError:
        if optional:
            return None
        raise


def _header_rms(hdu: Any) -> float | None:
    value = hdu.header.get("BKGRMS")
    try:
        return None if value is None else float(value)
    except ValueError:
        raise ValueError(
            f"the card BKGRMS of the image must be a number; it is {value!r}. Repair the header or "
            f"give {as_option('background_rms')}."
        ) from None


def _given_mask(given: Map | None, flags: Flags | None, window: Window) -> np.ndarray | None:
    used = map_mask(given, flags)
    if used is None:
        return None
    warn_if_most_are_masked(used[window])
    return used[window]


def _disc(radius: Any, place: _Place, image: np.ndarray) -> np.ndarray | None:
    if radius is None:
        return None
    return disc(image.shape, place.matrix, plain_number("mask_radius", radius, units.arcsec))


def _psf(
    given: Map | PSF | GaussianPSF | None, sampling: int | None, shape: tuple[int, ...]
) -> PSF | GaussianPSF | None:
    if not isinstance(given, Map):
        return given
    if sampling is None:
        sampling = 1 if given.header is None else _header_sampling(given.header)
    return PSF(cropped_aloud(as_float(given.values), sampling, shape), sampling=sampling)


def _header_sampling(header: fits.Header) -> int:
    value = header.get("SAMPLING", 1)
    if not isinstance(value, int | float) or value != int(value) or value < 1:
        raise ValueError(
            f"the card SAMPLING of the PSF must be a positive whole number; it is {value!r}. Give "
            f"{as_option('psf_sampling')}."
        )
    return int(value)
