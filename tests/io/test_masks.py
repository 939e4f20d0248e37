"""Pixels that are not fitted: flags, regions, missing data, and masks the wrong way round."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import numpyro_lens as nl

SHAPE = (20, 24)
SIGMA = np.full(SHAPE, 0.5)
CARDS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 12.5,
    "CRPIX2": 10.5,
    "CDELT1": -0.1 / 3600,
    "CDELT2": 0.1 / 3600,
}


def read(path, **arguments):
    return nl.read_fits(path, **{"noise": SIGMA, "pixel_scale": 0.1} | arguments)


@pytest.mark.parametrize(("option", "power"), [("noise", 1), ("variance", 2), ("weight", -2)])
def test_an_enormous_noise_is_no_data(write, option, power):
    sigma = SIGMA.copy()
    sigma[3, 4] = 1e9
    with pytest.warns(UserWarning, match="1 have no positive noise"):
        used = np.asarray(read(write(), **{"noise": None, option: sigma**power}).mask)
    assert used.sum() == used.size - 1
    assert not used[3, 4]


@pytest.fixture
def quality():
    """Bit 1 in the first row, bit 4096 in the second, both in a corner."""
    quality = np.zeros(SHAPE, dtype=np.int32)
    quality[0], quality[1] = 1, 4096
    quality[0, 0] = 4097
    return quality


@pytest.mark.parametrize(
    ("flags", "rows"),
    [("any", (0, 1)), (1, (0,)), ([4096], (1,)), ("1,4096", (0, 1)), (4097, (0, 1)), (2, ())],
)
def test_bits_of_a_quality_map(write, quality, flags, rows):
    used = np.asarray(read(write(DQ=quality), mask="DQ", flags=flags).mask)
    expected = np.ones(SHAPE, bool)
    expected[list(rows)] = False
    if flags == [4096]:
        expected[0, 0] = False
    np.testing.assert_array_equal(used, expected)


def test_a_quality_map_needs_its_flags(write, quality):
    path = write(DQ=quality, OTHER=quality)
    for name in ("DQ", "OTHER"):
        with pytest.raises(ValueError, match=r'flags="any"'):
            read(path, mask=name)
    with pytest.raises(ValueError, match=r'mask="DQ"'):
        read(path, flags=1)
    with pytest.raises(ValueError, match="positive whole numbers"):
        read(path, mask="DQ", flags="bad")
    with pytest.raises(ValueError, match="fractions"):
        read(path, mask=0.3 + quality, flags=1)


def test_a_mask_the_wrong_way_round(write):
    bad = np.zeros(SHAPE, dtype=np.uint8)
    bad[3] = 1
    with pytest.warns(UserWarning, match="leaves out 95 % of the pixels"):
        read(write(MASK=bad), mask="MASK")


def test_pixels_without_data_are_counted(write, image):
    image[:2, :3] = np.nan
    weight = SIGMA**-2
    weight[5] = 0.0
    weight[6, 0] = np.nan
    path = write(primary=image, WHT=weight)
    words = r"of 480 pixels: 6 have no finite value, 25 have no positive noise"
    with pytest.warns(UserWarning, match=words):
        used = np.asarray(read(path, noise=None, weight="WHT").mask)
    assert used.sum() == used.size - 31
    with pytest.raises(ValueError, match="no pixel is left to fit"), pytest.warns():
        read(path, mask=~np.isfinite(image))


def test_what_is_masked_anyway_is_no_news(write, image):
    image[0] = np.nan
    mask = np.ones(SHAPE)
    mask[0] = 0
    assert read(write(primary=image), mask=mask).mask.sum() == image.size - 24


def test_a_weight_serves_as_a_mask(write):
    weight = np.full(SHAPE, 700.0)
    weight[2] = 0
    assert not np.asarray(read(write(WHT=weight), mask="WHT").mask)[2].any()


REGIONS = {
    "image": "image\ncircle(5,7,2.2)\n-circle(12,12,3)\n",
    "sky": 'icrs\ncircle({ra}d,{dec}d,0.22")\n',
}


@pytest.mark.parametrize("kind", REGIONS)
def test_regions_are_not_fitted(write, tmp_path, kind):
    pytest.importorskip("regions")
    ra, dec = WCS(fits.Header(CARDS)).pixel_to_world_values(4, 6)  # ds9 counts from one
    (tmp_path / "neighbours.reg").write_text(REGIONS[kind].format(ra=ra, dec=dec))
    observation = read(write(header=CARDS), regions=tmp_path / "neighbours.reg", pixel_scale=None)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    np.testing.assert_array_equal(observation.mask, np.hypot(x - 4, y - 6) > 2.2)


def test_regions_that_cannot_be_used(write, tmp_path):
    pytest.importorskip("regions")
    (tmp_path / "sky.reg").write_text(REGIONS["sky"].format(ra=150, dec=2))
    with pytest.raises(ValueError, match="image coordinates"):
        read(write(), regions=tmp_path / "sky.reg")
    with pytest.raises(FileNotFoundError, match=r"none\.reg"):
        read(write("two.fits"), regions=tmp_path / "none.reg")
