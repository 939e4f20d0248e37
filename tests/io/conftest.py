"""Small FITS files as pipelines write them."""

import numpy as np
import pytest
from astropy.io import fits

SHAPE = (20, 24)


@pytest.fixture
def image():
    """A peak of 200 times a noise of 0.5, and noise around it."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    noise = np.random.default_rng(0).normal(0.0, 0.5, SHAPE)
    return 100.0 * np.exp(-0.5 * ((x - 12) ** 2 + (y - 10) ** 2) / 9.0) + noise


@pytest.fixture
def write(tmp_path, image):
    """Writes extensions ``NAME=array`` (or ``(array, header)``) after the image; gives the path.

    ``primary="empty"`` writes no image before them.
    """

    def write(name="lens.fits", primary="image", header=None, **extensions):
        if isinstance(primary, str):
            primary = image if primary == "image" else None
        hdus = [fits.PrimaryHDU(primary, fits.Header(header or {}))]
        for key, value in extensions.items():
            array, cards = value if isinstance(value, tuple) else (value, {})
            hdus.append(fits.ImageHDU(array, fits.Header(cards), name=key))
        fits.HDUList(hdus).writeto(tmp_path / name)
        return tmp_path / name

    return write
