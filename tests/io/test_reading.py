"""Reading FITS files: which extension, which pixels, which matrix, and what the errors say."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.io import fits

from numpyro_lens import PSF, NoiseMap, Observation, PoissonNoise, read_fits, write_fits

DATA = Path(os.environ.get("NUMPYRO_LENS_DATA", Path(__file__).parents[3] / "shared" / "data"))
HST = DATA / "hst_f390w_ring" / "hst_f390w_ring.fits"
EUCLID = DATA / "euclid_q1_102020532" / "euclid_q1_102020532.fits"
SHAPE = (24, 30)


def cd(a, b, c, d, unit="deg"):
    """WCS cards of the pixel matrix [[a, b], [c, d]], given in arcsec."""
    scale = 3600.0 if unit == "deg" else 1.0
    names = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
    return dict(zip(names, (value / scale for value in (a, b, c, d)), strict=True))


def image_header(**cards):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header.update(cards or cd(-0.05, 0.0, 0.0, 0.05))
    return header


def write(path, *, header=None, image=None, extra=()):
    image = np.arange(np.prod(SHAPE), dtype=">f4").reshape(SHAPE) if image is None else image
    y, x = np.mgrid[-3:4, -3:4]
    kernel = np.exp(-(x**2 + y**2) / 2)
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(image, image_header() if header is None else header, name="VIS_FLUX"),
        fits.ImageHDU(kernel / kernel.sum(), name="VIS_PSF"),
        fits.ImageHDU(np.full(SHAPE, 0.5), name="VIS_RMS"),
        fits.ImageHDU(np.full(SHAPE, 0.7), name="NIR_RMS"),
        fits.ImageHDU(np.full(SHAPE, 100.0), name="EXPTIME"),
        *extra,
    ]
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "lens.fits")


def test_image_is_the_first_two_dimensional_one_in_native_byte_order(file):
    observation = read_fits(file, noise="VIS_RMS")
    image = np.asarray(observation.image)
    assert observation.shape == SHAPE
    assert image.dtype.isnative
    np.testing.assert_array_equal(image, np.arange(np.prod(SHAPE)).reshape(SHAPE))


def test_extensions_by_name_number_and_unique_end_agree(file):
    for noise in ("VIS_RMS", "vis_rms", 3, "3", "RMS"):
        observation = read_fits(file, image_ext="VIS_FLUX", psf="PSF", noise=noise)
        assert isinstance(observation.noise, NoiseMap)
        np.testing.assert_allclose(observation.noise.sigma(np.zeros(SHAPE)), 0.5)


def test_background_and_exposure_make_poisson_noise(file):
    for exposure in ({"exposure": "EXPTIME"}, {"exposure_time": 100.0}):
        noise = read_fits(file, background_rms=0.3, **exposure).noise
        assert isinstance(noise, PoissonNoise)
        np.testing.assert_allclose(noise.sigma(np.full(SHAPE, 16.0)), 0.5, rtol=1e-6)


def test_background_rms_comes_from_the_header_unless_given(tmp_path):
    header = image_header()
    header["BKGRMS"] = 0.4
    path = write(tmp_path / "lens.fits", header=header)
    sigma = read_fits(path, exposure_time=1e12).noise.sigma(np.zeros(SHAPE))
    np.testing.assert_allclose(sigma, 0.4, rtol=1e-6)
    sigma = read_fits(path, exposure_time=1e12, background_rms=0.2).noise.sigma(np.zeros(SHAPE))
    np.testing.assert_allclose(sigma, 0.2, rtol=1e-6)


STEPS = {"CDELT1": -0.05 / 3600, "CDELT2": 0.05 / 3600}
TURN = {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8}
SWAPPED = {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}
ARCSEC = {"CUNIT1": "arcsec", "CUNIT2": "arcsec"}


@pytest.mark.parametrize(
    ("cards", "matrix"),
    [
        (cd(-0.05, 0.01, 0.01, 0.05), [[-0.05, 0.01], [0.01, 0.05]]),
        (STEPS, [[-0.05, 0], [0, 0.05]]),
        (STEPS | TURN, [[-0.04, 0.03], [0.03, 0.04]]),
        (SWAPPED | cd(0.0, 0.05, -0.05, 0.0), [[-0.05, 0], [0, 0.05]]),
        (ARCSEC | cd(0.05, 0.0, 0.0, 0.05, "arcsec"), [[0.05, 0], [0, 0.05]]),
    ],
    ids=["CD", "CDELT", "PC", "declination-first", "arcsec"],
)
def test_pixel_matrix_comes_from_the_wcs(tmp_path, cards, matrix):
    path = write(tmp_path / "lens.fits", header=image_header(**cards))
    observation = read_fits(path, noise="VIS_RMS")
    np.testing.assert_allclose(observation.transform_pix2angle, matrix, atol=1e-8)


def test_pixel_scale_replaces_the_wcs(file):
    observation = read_fits(file, noise="VIS_RMS", pixel_scale=0.1)
    np.testing.assert_allclose(observation.transform_pix2angle, [[0.1, 0], [0, 0.1]], rtol=1e-6)


def test_coordinates_follow_the_matrix_and_are_centred(file):
    observation = read_fits(file, noise="VIS_RMS")
    x, y = np.asarray(observation.x), np.asarray(observation.y)
    np.testing.assert_allclose([x.mean(), y.mean()], 0, atol=1e-6)
    np.testing.assert_allclose(x[0, 1] - x[0, 0], -0.05, rtol=1e-5)  # right ascension to the left
    np.testing.assert_allclose(y[1, 0] - y[0, 0], 0.05, rtol=1e-5)


def test_cutout_keeps_the_centre_of_image_and_noise(tmp_path):
    sigma = 1 + np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE) / 1024
    path = write(tmp_path / "lens.fits", extra=[fits.ImageHDU(sigma, name="SIGMA")])
    observation = read_fits(path, noise="SIGMA", cutout=10)
    window = np.s_[7:17, 10:20]
    np.testing.assert_array_equal(
        observation.image, np.arange(np.prod(SHAPE)).reshape(SHAPE)[window]
    )
    np.testing.assert_allclose(observation.noise.sigma(np.zeros((10, 10))), sigma[window])


def test_mask_is_a_disc_in_arcsec(file):
    observation = read_fits(file, noise="VIS_RMS", mask_radius=0.31)
    radius = np.hypot(observation.x, observation.y)
    np.testing.assert_array_equal(observation.mask, radius <= 0.31)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"noise": "SIGMA"}, ["noise", "'SIGMA'", "VIS_RMS", "--noise"]),
        ({"noise": "17"}, ["no number 17", "VIS_RMS"]),
        (
            {"image_ext": "EXPTIME", "noise": "RMS", "pixel_scale": 0.1},
            ["VIS_RMS", "NIR_RMS", "matches"],
        ),
        ({"image_ext": 0, "noise": "VIS_RMS"}, ["2-D"]),
        ({"noise": "VIS_PSF"}, ["noise", 'psf="VIS_PSF"']),
        ({"noise": np.ones((7, 7))}, ["noise", "(24, 30)", "(7, 7)"]),
        ({}, ["noise is unknown", "--background-rms"]),
        ({"background_rms": 0.1}, ["exposure time is unknown", "--exposure-time"]),
        ({"noise": "VIS_RMS", "background_rms": 0.1}, ["noise and background_rms"]),
        (
            {"background_rms": 0.1, "exposure_time": 1.0, "exposure": "EXPTIME"},
            ["not both"],
        ),
        ({"noise": "VIS_RMS", "cutout": 25}, ["cutout", "24", "25"]),
        ({"noise": "VIS_RMS", "cutout": 0}, ["cutout"]),
        ({"noise": "VIS_RMS", "mask_radius": 0.001}, ["mask_radius"]),
        ({"noise": "VIS_RMS", "mask_radius": -1.0}, ["mask_radius", "positive"]),
        ({"noise": "VIS_RMS", "pixel_scale": 0.0}, ["pixel_scale", "positive"]),
    ],
)
def test_bad_arguments_are_explained(file, arguments, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are checked below
        read_fits(file, **arguments)
    for word in words:
        assert word in str(caught.value)


def test_header_without_wcs_asks_for_the_pixel_scale(tmp_path):
    path = write(tmp_path / "lens.fits", header=fits.Header())
    with pytest.raises(ValueError, match="--pixel-scale"):
        read_fits(path, noise="VIS_RMS")


def test_file_that_is_missing_or_no_fits_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.fits"):
        read_fits(tmp_path / "nothing.fits", noise="RMS")
    (tmp_path / "text.fits").write_text("no FITS file")
    with pytest.raises(ValueError, match="FITS"):
        read_fits(tmp_path / "text.fits", noise="RMS")


@pytest.mark.skipif(not HST.exists(), reason="the real images are not here")
def test_real_hst_ring():
    observation = read_fits(
        HST, psf="PSF", exposure="EXPTIME", background_rms=0.00173, mask_radius=2.0
    )
    assert observation.shape == (120, 120)
    matrix = np.asarray(observation.transform_pix2angle)
    np.testing.assert_allclose(np.diag(matrix), [-0.04, 0.04], rtol=1e-3)
    assert np.linalg.det(matrix) < 0
    np.testing.assert_allclose(np.sum(observation.mask), np.pi * (2 / 0.04) ** 2, rtol=0.01)


@pytest.mark.skipif(not EUCLID.exists(), reason="the real images are not here")
@pytest.mark.parametrize("band", ["VIS", "NIR_Y", "NIR_H"])
def test_real_euclid_band(band):
    observation = read_fits(EUCLID, image_ext=f"{band}_FLUX", psf="PSF", noise="RMS", cutout=80)
    with fits.open(EUCLID) as hdus:
        window = np.s_[110:190, 110:190]
        np.testing.assert_array_equal(observation.image, hdus[f"{band}_FLUX"].data[window])
        np.testing.assert_array_equal(
            observation.noise.sigma(np.zeros((80, 80))), hdus[f"{band}_RMS"].data[window]
        )
    np.testing.assert_allclose(np.diag(observation.transform_pix2angle), [-0.1, 0.1], rtol=1e-5)


def test_position_on_the_sky_is_that_of_the_cutout(file, tmp_path):
    header = image_header(CRVAL1=150.0, CRVAL2=2.0, CRPIX1=15.5, CRPIX2=12.5)
    header.update(cd(-0.05, 0.0, 0.0, 0.05))
    path = write(tmp_path / "sky.fits", header=header)
    whole = read_fits(path, noise="VIS_RMS")
    np.testing.assert_allclose(whole.sky_position, [150.0, 2.0], atol=1e-12)
    # 24 rows, of which 11 are cut below for 3: the centre moves down by half a pixel
    cut = read_fits(path, noise="VIS_RMS", cutout=3)
    np.testing.assert_allclose(cut.sky_position[1], 2.0 - 0.5 * 0.05 / 3600, atol=1e-10)
    assert read_fits(path, noise="VIS_RMS", pixel_scale=0.05).sky_position is None


@pytest.mark.parametrize("position", [None, (150.0, -30.0)])
@pytest.mark.parametrize(
    ("noise", "ext"), [(NoiseMap(0.3), "noise"), (PoissonNoise(0.2, 50.0), "exposure")]
)
def test_what_is_written_reads_back(tmp_path, noise, ext, position):
    mask = np.ones(SHAPE, dtype=bool)
    mask[3, 4] = False
    before = Observation(
        np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE),
        transform_pix2angle=[[-0.04, 0.03], [0.03, 0.04]],
        noise=noise,
        psf=PSF(np.ones((3, 5))),
        mask=mask,
        sky_position=position,
    )
    path = tmp_path / "out.fits"
    write_fits(path, before, {"MODEL": np.ones(SHAPE)})
    name = {"noise": "RMS", "exposure": "EXPTIME"}[ext]
    after = read_fits(path, **{ext: name}, psf="PSF", mask="MASK")
    assert repr(after) == repr(before)
    for field in ("image", "mask", "transform_pix2angle", "sub_x"):
        np.testing.assert_allclose(getattr(after, field), getattr(before, field), atol=1e-6)
    if position is None:
        assert after.sky_position is None
    else:
        np.testing.assert_allclose(after.sky_position, position, atol=1e-10)
    with fits.open(path) as hdus:
        assert hdus["MODEL"].data.shape == SHAPE


def test_maskension_and_radius_combine(tmp_path):
    mask = np.ones(SHAPE)
    mask[:, :15] = 0
    path = write(tmp_path / "mask.fits", extra=[fits.ImageHDU(mask, name="MASK")])
    used = read_fits(path, noise="VIS_RMS", mask="MASK", mask_radius=0.3).mask
    assert not used[:, :15].any()
    assert 0 < used.sum() < np.pi * 6**2


def test_other_shapes_are_not_written(tmp_path):
    observation = Observation(np.zeros((4, 4)), pixel_scale=0.1, noise=NoiseMap(1.0))
    with pytest.raises(ValueError, match="MODEL has"):
        write_fits(tmp_path / "out.fits", observation, {"MODEL": np.zeros((3, 3))})


@pytest.mark.parametrize("flux", [1e-30, 1e-19, 1e30])
def test_fluxes_of_any_scale(write, image, flux):
    shape = image.shape
    maps = {"RMS": np.full(shape, 0.5 * flux), "WHT": np.full(shape, 4.0 / flux**2)}
    path = write(primary=None, SCI=image * flux, **maps)
    for given in (
        {"noise": "RMS"},
        {"weight": "WHT"},
        {"background_rms": 0.5 * flux, "exposure_time": np.inf},
    ):
        with pytest.raises(ValueError, match="Write flux_unit="):
            read_fits(path, pixel_scale=0.1, **given)
        found = read_fits(path, pixel_scale=0.1, flux_unit=flux, **given)
        np.testing.assert_allclose(found.image, image, rtol=1e-5)
        np.testing.assert_allclose(found.noise.sigma(found.image), 0.5, rtol=1e-5)


def test_a_flux_unit_with_a_unit(write, image):
    path = write(primary=None, SCI=(image, {"BUNIT": "nJy"}), RMS=np.full(image.shape, 0.5))
    found = read_fits(path, pixel_scale=0.1, noise="RMS", flux_unit=1.0 * units.uJy)
    np.testing.assert_allclose(found.image, 1e-3 * image, rtol=1e-5)
