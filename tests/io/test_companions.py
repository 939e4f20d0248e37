"""Companions of an image: where they may be, of which kind, and in which unit."""

import warnings

import numpy as np
import pytest
from astropy import units
from astropy.io import fits

import numpyro_lens as nl

SHAPE = (20, 24)
SIGMA = np.full(SHAPE, 0.5)
KERNEL = np.ones((3, 5))


def read(path, **arguments):
    return nl.read_fits(path, **{"pixel_scale": 0.1, "noise": SIGMA} | arguments)


def sigma(observation):
    return np.asarray(observation.noise.sigma(np.zeros(observation.shape)))


@pytest.mark.parametrize("spelling", ["RMS", "rms.fits", "rms.fits[RMS]", "rms.fits[1]", "array"])
def test_companions_lie_anywhere(write, tmp_path, monkeypatch, spelling):
    path = write(RMS=SIGMA)
    write("rms.fits", primary="empty", RMS=SIGMA)
    monkeypatch.chdir(tmp_path)
    noise = SIGMA if spelling == "array" else spelling
    np.testing.assert_allclose(sigma(read(path, noise=noise)), 0.5)


def test_names_with_versions_numbers_of_numpy_and_open_files(tmp_path):
    path = tmp_path / "versions.fits"
    hdus = [
        fits.ImageHDU(np.full(SHAPE, float(version)), name=name, ver=version)
        for version in (1, 2)
        for name in ("SCI", "ERR")
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    with fits.open(path) as opened:
        for source, image, noise in (
            (path, ("SCI", 2), ("ERR", 2)),
            (path, "SCI,2", "ERR, 2"),
            (path, np.int64(3), np.int64(4)),
            (opened, 3, opened[4]),
        ):
            found = read(source, image_ext=image, noise=noise)
            np.testing.assert_allclose(found.image, 2.0)
            np.testing.assert_allclose(sigma(found), 2.0)
        np.testing.assert_allclose(read(f"{path}[SCI,1]", noise=("ERR", 1)).image, 1.0)
        with pytest.raises(ValueError, match=r"\('SCI', 1\), \('SCI', 2\)"):
            read(path, image_ext="SCI")


def test_weight_and_variance_become_standard_deviations(write):
    path = write(WHT=SIGMA**-2, VAR=SIGMA**2)
    for arguments in ({"weight": "WHT"}, {"variance": "VAR"}):
        np.testing.assert_allclose(sigma(read(path, noise=None, **arguments)), 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"noise": "WHT"}, ['weight="WHT"', "inverse variances"]),
        ({"noise": "SCI_IVAR"}, ['weight="SCI_IVAR"']),
        ({"noise": "VAR_POISSON"}, ['variance="VAR_POISSON"']),
        ({"noise": None, "weight": "ERR"}, ['noise="ERR"']),
        ({"noise": "DQ"}, ['mask="DQ", flags="any"']),
        ({"psf": "ERR"}, ['noise="ERR"']),
        ({"noise": "sci_wht.fits"}, ["weight="]),
        ({"noise": "PRIMARY"}, ["the image itself"]),
    ],
)
def test_a_name_of_another_kind_is_an_error(write, tmp_path, monkeypatch, arguments, words):
    names = ("WHT", "SCI_IVAR", "VAR_POISSON", "ERR", "DQ")
    path = write(**dict.fromkeys(names, SIGMA))
    write("sci_wht.fits", primary=SIGMA)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the words are checked below
        read(path, **arguments)
    for word in words:
        assert word in str(caught.value)


def test_the_image_is_not_taken_from_a_map_of_another_kind(write, image):
    path = write(primary=image[None], RMS=SIGMA)
    np.testing.assert_allclose(read(path, noise="RMS").image, image, rtol=1e-6)
    path = write("empty.fits", primary="empty", WHT=SIGMA, SCI=image)
    np.testing.assert_allclose(read(path).image, image, rtol=1e-6)


@pytest.mark.parametrize("wrong", [1e-4, 1e4])
def test_values_of_another_kind_are_a_warning(write, wrong):
    """Weights of 1e4 or 1e-4 as standard deviations."""
    with pytest.warns(UserWarning, match="Inverse variances are weight="):
        read(write(), noise=wrong * SIGMA)


def test_quantities_are_converted_or_refused(write):
    path = write(header={"BUNIT": "uJy"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for option, value in (
            ("noise", 500 * SIGMA / 0.5 * units.nJy),
            ("variance", 0.25e6 * SIGMA / 0.5 * units.nJy**2),
            ("weight", 4e-6 * SIGMA / 0.5 * units.nJy**-2),
        ):
            found = read(path, **{"noise": None, option: value})
            np.testing.assert_allclose(sigma(found), 0.5, rtol=1e-6)
        found = read(
            path,
            noise=None,
            background_rms=500 * units.nJy,
            exposure_time=2 * units.min,
            pixel_scale=100 * units.mas,
        )
    assert float(found.noise.background_rms) == 0.5
    assert float(found.noise.exposure_time) == 120.0
    with pytest.raises(ValueError, match="noise must be in 'uJy'; it is in 'mag'"):
        read(path, noise=SIGMA * units.mag)
    with pytest.raises(ValueError, match="no unit, as the image has none"):
        read(write("bare.fits"), noise=SIGMA * units.nJy)


def test_units_of_headers_convert_where_they_can(write):
    path = write(
        header={"BUNIT": "uJy"},
        ERR=(500 * SIGMA / 0.5, {"BUNIT": "nJy"}),
        VAR=(SIGMA**2, {"BUNIT": "uJy"}),  # copied from the image
    )
    np.testing.assert_allclose(sigma(read(path, noise="ERR")), 0.5, rtol=1e-6)
    np.testing.assert_allclose(sigma(read(path, noise=None, variance="VAR")), 0.5, rtol=1e-6)


def test_masked_arrays_leave_pixels_out(write):
    masked = np.ma.array(SIGMA, mask=np.zeros(SHAPE, bool))
    masked[2, 3:7] = np.ma.masked
    with pytest.warns(UserWarning, match="of 480 pixels: 4 have no positive noise"):
        used = np.asarray(read(write(), noise=masked).mask)
    assert not used[2, 3:7].any()
    assert used.sum() == used.size - 4


def test_arguments_of_version_0_1_say_what_to_write(write):
    with pytest.raises(TypeError, match="write noise='RMS'"):
        nl.read_fits(write(RMS=SIGMA), noise_ext="RMS", pixel_scale=0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sigma'"):
        nl.read_fits(write("two.fits"), sigma="RMS")


@pytest.mark.wrong_types
def test_no_companion_at_all(write):
    with pytest.raises(ValueError, match="background_rms"):
        read(write(), noise=0.5)


def test_sampling_of_the_psf_survives(tmp_path):
    """An oversampled kernel read back as one of the pixels spreads a star over four times more."""
    before = nl.Observation.blank(
        (21, 21), pixel_scale=0.05, noise=nl.NoiseMap(0.1), psf=nl.GaussianPSF(0.1)
    )
    nl.write_fits(tmp_path / "a.fits", before)
    after = nl.read_fits(tmp_path / "a.fits", noise="RMS", psf="PSF", mask="MASK")
    assert after.psf.sampling == before.psf.sampling == 2
    star = nl.light.Gaussian(amp=1.0, sigma=0.05)
    peak = float(nl.render(after, lens_light=star).max())
    np.testing.assert_allclose(peak, float(nl.render(before, lens_light=star).max()), rtol=1e-6)
    np.testing.assert_allclose(peak, 0.0892, atol=1e-4)


def test_a_psf_larger_than_the_image_is_cut_with_a_word(write):
    y, x = np.mgrid[-20:21, -20:21]
    with pytest.warns(UserWarning, match="cut to 19 by 23"):
        psf = read(write(), psf=np.exp(-0.5 * (x**2 + y**2))).psf
    assert psf.kernel.shape == (19, 23)
    assert float(psf.kernel[9, 11]) == float(psf.kernel.max())
