"""World coordinate systems: the pixel matrix and the place on the sky are those of astropy."""

import warnings

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

import numpyro_lens as nl

SHAPE = (20, 20)
TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRPIX1": 10.5,
    "CRPIX2": 10.5,
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
}
STEPS = {"CDELT1": -1e-5, "CDELT2": 1e-5}
UPRIGHT = [[-0.036, 0.0], [0.0, 0.036]]


def galactic(kind="TAN", latitude=40.0):
    axes = {"CTYPE1": f"GLON-{kind}", "CTYPE2": f"GLAT-{kind}"}
    return TAN | axes | {"CRVAL1": 120.0, "CRVAL2": latitude} | STEPS


SIP = {
    **TAN,
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "CD1_1": -1e-5,
    "CD2_2": 1e-5,
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 3e-4,
    "B_1_1": -2e-4,
}
TPV = {
    **TAN,
    "CTYPE1": "RA---TPV",
    "CTYPE2": "DEC--TPV",
    "CD1_1": -1e-5,
    "CD2_2": 1e-5,
    "PV1_1": 1.01,
    "PV2_1": 0.99,
    "PV1_2": 0.02,
}
CAR = TAN | STEPS | {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL2": 0.0, "CRPIX2": -5e6}
HEADERS = {
    "steps": TAN | STEPS,
    "a quarter turn, zeros left out": TAN | {"CD1_2": 1e-5, "CD2_1": 1e-5},
    "axes swapped": TAN
    | {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.0, "CRVAL2": 150.0}
    | {"CD1_1": 1e-5, "CD2_2": -1e-5},
    "CROTA2": TAN | STEPS | {"CROTA2": 30.0},
    "galactic": galactic(),
    "galactic, Cartesian, far from the equator": galactic("CAR", 0.0) | {"CRPIX2": -5e6},
    "FK4 of 1950": TAN | STEPS | {"RADESYS": "FK4", "EQUINOX": 1950.0},
    "Cartesian, far from the equator": CAR,
    "ecliptic": TAN | STEPS | {"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"},
    "SIP": SIP,
    "TPV": TPV,
    "near the pole": TAN | STEPS | {"CRVAL2": 89.99},
}


def read(tmp_path, cards, extra=(), **arguments):
    path = tmp_path / "wcs.fits"
    primary = fits.PrimaryHDU(np.zeros(SHAPE), fits.Header(cards))
    fits.HDUList([primary, *extra]).writeto(path, overwrite=True)
    return nl.read_fits(path, noise=np.ones(SHAPE), **arguments)


@pytest.mark.parametrize("name", HEADERS)
def test_pixels_lie_where_astropy_puts_them(tmp_path, name):
    """Offsets from the centre of the image, in right ascension and declination."""
    observation = read(tmp_path, HEADERS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(fits.Header(HEADERS[name]))
    centre = wcs.pixel_to_world(9.5, 9.5).icrs
    np.testing.assert_allclose(
        observation.sky_position, [centre.ra.deg, centre.dec.deg], rtol=1e-12
    )
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    dx, dy = centre.spherical_offsets_to(wcs.pixel_to_world(column, row).icrs)
    # distortions bend what the matrix takes for straight
    tolerance = 1.1e-3 if name == "SIP" else 2e-6
    np.testing.assert_allclose(observation.x, dx.to_value(units.arcsec), atol=tolerance)
    np.testing.assert_allclose(observation.y, dy.to_value(units.arcsec), atol=tolerance)


@pytest.mark.parametrize("unit", ["deg", "degree", "DEGREE", "DEG", "degrees", "Deg "])
def test_spellings_of_degree(tmp_path, unit):
    observation = read(tmp_path, TAN | STEPS | {"CUNIT1": unit, "CUNIT2": unit})
    np.testing.assert_allclose(observation.transform_pix2angle, UPRIGHT, atol=1e-8)


def test_numbers_written_as_text(tmp_path):
    observation = read(tmp_path, TAN | {"CD1_1": "-1e-5", "CD2_2": "1e-5"})
    np.testing.assert_allclose(observation.transform_pix2angle, UPRIGHT, atol=1e-8)


def test_tables_of_distortions(tmp_path):
    """As in the images of HST before they are drizzled; the first shifts and stretches x."""
    header = fits.Header(TAN | {"CD1_1": -1e-5, "CD2_2": 1e-5})
    for i in (1, 2):
        header[f"CPDIS{i}"] = "Lookup"
        for record in (f"EXTVER: {i}", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2"):
            header.append((f"DP{i}", record))
    own = {f"{key}{axis}": 1.0 for key in ("CRPIX", "CRVAL") for axis in (1, 2)}
    own |= {"CDELT1": 7.0, "CDELT2": 7.0}
    tables = [0.7 * np.mgrid[:4, :4][1].astype("f4"), np.zeros((4, 4), "f4")]
    extra = [
        fits.ImageHDU(table, fits.Header(own), name="WCSDVARR", ver=version)
        for version, table in enumerate(tables, start=1)
    ]
    observation = read(tmp_path, header, extra)
    # 0.7 pixels more every 7 pixels
    expected = [[-0.036 * 1.1, 0], [0, 0.036]]
    np.testing.assert_allclose(observation.transform_pix2angle, expected, atol=1e-6)


def test_half_a_distortion_is_left_out_with_a_word(tmp_path):
    with pytest.warns(UserWarning, match="A_ORDER"):
        observation = read(tmp_path, TAN | STEPS | {"A_ORDER": 2, "A_2_0": 1e-6})
    np.testing.assert_allclose(observation.transform_pix2angle, UPRIGHT, atol=1e-8)


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        (TAN, ["pixel scale is unknown", "--pixel-scale"]),
        (TAN | STEPS | {"CUNIT1": "parsec", "CUNIT2": "parsec"}, ["--pixel-scale"]),
        (TAN | {"CD1_1": "north", "CD2_2": 1e-5}, ["CD1_1", "'north'"]),
        (TAN | {"CD1_1": 1e-5, "CD1_2": 1e-5, "CD2_1": 1e-5, "CD2_2": 1e-5}, ["--pixel-scale"]),
        (TAN | STEPS | {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, ["--pixel-scale"]),
        ({"CTYPE1": "WAVE", "CDELT1": 1.0, "CUNIT1": "nm"}, ["angles", "--pixel-scale"]),
    ],
)
def test_what_cannot_be_read_is_explained(tmp_path, cards, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are checked below
        read(tmp_path, cards)
    for word in words:
        assert word in str(caught.value)
    assert read(tmp_path, cards, pixel_scale=0.1).sky_position is None


@pytest.mark.parametrize(
    "center",
    [(6, 12), "6, 12", "place", "150.0000400d 2.0000250d"],
    ids=["pixels", "text", "SkyCoord", "text-sky"],
)
def test_cutout_around_a_place(tmp_path, center):
    if center == "place":
        center = WCS(fits.Header(TAN | STEPS)).pixel_to_world(6.2, 11.9)
    whole = read(tmp_path, TAN | STEPS)
    observation = read(tmp_path, TAN | STEPS, cutout=5.0, center=center)
    assert observation.shape == (5, 5)
    middle = SkyCoord(*whole.sky_position, unit="deg")
    moved = SkyCoord(*observation.sky_position, unit="deg")
    offset = [angle.to_value(units.arcsec) for angle in middle.spherical_offsets_to(moved)]
    np.testing.assert_allclose(offset, [-(6 - 9.5) * 0.036, (12 - 9.5) * 0.036], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"center": (6, 12)}, ["cutout"]),
        ({"center": (1, 12), "cutout": 5}, ["must lie in the image", "column 1.0, row 12.0"]),
        ({"center": "somewhere", "cutout": 5}, ["column and a row", "SkyCoord"]),
        ({"cutout": 5.5}, ["whole number"]),
    ],
)
def test_cutouts_that_cannot_be_are_explained(tmp_path, arguments, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are checked below
        read(tmp_path, TAN | STEPS, **arguments)
    for word in words:
        assert word in str(caught.value)
