"""Several bands: which extension, which file, which coordinates, and what the errors say."""

import numpy as np
import pytest
from astropy.io import fits

import numpyro_lens as nl

SCALE = 0.1


def layer(name, shape=(20, 20), *, value=1.0, shift=(0.0, 0.0), scale=SCALE):
    """An extension whose WCS puts the centre of the image at a place on the sky."""
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -scale / 3600}
    cards |= {"CD2_2": scale / 3600, "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CRVAL1": 58.8, "CRVAL2": -49.0}
    # The pixel at the reference position: that of the centre, but for the shift [pixel].
    cards |= {f"CRPIX{i + 1}": (shape[1 - i] + 1) / 2 + shift[i] for i in (0, 1)}
    return fits.ImageHDU(np.full(shape, value), fits.Header(cards), name=name)


def write(path, *layers):
    fits.HDUList([fits.PrimaryHDU(), *layers]).writeto(path)
    return path


def band(name, value, **place):
    return (
        layer(f"{name}_FLUX", value=value, **place),
        fits.ImageHDU(np.ones((3, 3)), name=f"{name}_PSF"),
        layer(f"{name}_RMS", value=0.1 * value, **place),
    )


@pytest.fixture
def file(tmp_path):
    bands = [*band("VIS", 1.0), *band("NIR_Y", 2.0), *band("NIR_H", 3.0)]
    return write(tmp_path / "lens.fits", *bands)


COMPANIONS = {"psf": "PSF", "noise": "RMS"}


def test_bands_of_one_file_go_by_the_beginning_of_a_name(file):
    bands = nl.read_bands(file, ["NIR_H", "VIS"], cutout=10, **COMPANIONS)
    assert list(bands) == ["NIR_H", "VIS"]
    for name, value in (("VIS", 1.0), ("NIR_H", 3.0)):
        assert bands[name].shape == (10, 10)
        assert float(bands[name].image[0, 0]) == value
        assert float(bands[name].noise.sigma(bands[name].image)[0, 0]) == pytest.approx(0.1 * value)
        assert bands[name].psf.kernel.shape == (3, 3)


def test_a_band_may_have_settings_of_its_own(file):
    own = {"VIS": {}, "NIR_Y": {"supersampling": 3, "psf": None}}
    bands = nl.read_bands(file, own, supersampling=1, **COMPANIONS)
    assert [band.supersampling for band in bands.values()] == [1, 3]
    assert [band.psf is None for band in bands.values()] == [False, True]


def test_bands_of_several_files(file, tmp_path):
    second = write(tmp_path / "h.fits", layer("SCI", value=4.0), layer("RMS", value=0.4))
    bands = nl.read_bands({"y": file, "h": second}, {"h": {"supersampling": 1}}, noise="RMS")
    assert [float(band.image[0, 0]) for band in bands.values()] == [1.0, 4.0]
    assert [band.supersampling for band in bands.values()] == [2, 1]


def test_every_band_is_divided_by_its_unit(file):
    own = {"VIS": {}, "NIR_Y": {"flux_unit": 4.0}}
    bands = nl.read_bands(file, own, flux_unit=2.0, **COMPANIONS)
    assert [float(band.image[0, 0]) for band in bands.values()] == [0.5, 0.5]
    sigmas = [float(band.noise.sigma(band.image)[0, 0]) for band in bands.values()]
    np.testing.assert_allclose(sigmas, 0.05, rtol=1e-6)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, -1.5)])
def test_every_band_has_the_coordinates_of_the_first(tmp_path, double, shift):
    """A star that both see lies at one place, whatever the cut of the second image."""
    file = write(tmp_path / "lens.fits", *band("A", 1.0), *band("B", 1.0, shift=shift))
    a, b = nl.read_bands(file, ["A", "B"], **COMPANIONS).values()
    # The pixel [y, x] = [9.5, 9.5] of A is the position on the sky that B has at that plus shift.
    grid = (np.arange(20) - 9.5) * SCALE
    np.testing.assert_allclose(b.x[0], -(grid - SCALE * shift[0]), atol=1e-6)
    np.testing.assert_allclose(b.y[:, 0], grid - SCALE * shift[1], atol=1e-6)
    np.testing.assert_array_equal(a.sky_position, b.sky_position)
    nl.write_fits(tmp_path / "moved.fits", b)
    again = nl.read_fits(tmp_path / "moved.fits", noise="RMS")
    original = nl.read_fits(file, image_ext="B_FLUX", noise="RMS")
    np.testing.assert_allclose(again.sky_position, original.sky_position, atol=1e-9)


def test_bands_of_two_places_are_no_lens(tmp_path):
    file = write(tmp_path / "lens.fits", *band("A", 1.0), *band("B", 1.0, shift=(0.0, 30.0)))
    with pytest.raises(ValueError, match=r"centre of 'B' is 3 arcsec from that of 'A'"):
        nl.read_bands(file, ["A", "B"], **COMPANIONS)
    assert len(nl.read_bands(file, ["A", "B"], pixel_scale=SCALE, **COMPANIONS)) == 2


@pytest.mark.parametrize(
    ("bands", "settings", "message"),
    [
        ([], COMPANIONS, "at least one band"),
        (["NIR"], COMPANIONS, r"band 'NIR'.*has NIR_Y_FLUX and NIR_Y_PSF"),
        (["Z"], COMPANIONS, r"has none of its extensions VIS_FLUX.*image_ext='FLUX'"),
        (["VIS"], {"noise": "RMS"}, r"VIS_FLUX and VIS_PSF.*image_ext='FLUX'"),
    ],
)
def test_errors_say_what_to_type(file, bands, settings, message):
    with pytest.raises(ValueError, match=message):
        nl.read_bands(file, bands, **settings)


def test_the_end_of_the_name_of_the_image_may_be_given(file):
    bands = nl.read_bands(file, ["VIS"], noise="RMS", image_ext="FLUX")
    assert float(bands["VIS"].image[0, 0]) == 1.0


def test_settings_of_a_band_without_a_file(file):
    with pytest.raises(ValueError, match=r"got nir\. The files are of vis"):
        nl.read_bands({"vis": file}, {"nir": {}}, noise="RMS")


def test_what_is_wrong_with_a_file_is_said_as_by_read_fits(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        nl.read_bands(tmp_path / "nothing.fits", ["VIS"], **COMPANIONS)
    (tmp_path / "text.fits").write_text("text")
    with pytest.raises(ValueError, match="could not be read as a FITS file"):
        nl.read_bands(tmp_path / "text.fits", ["VIS"], **COMPANIONS)


@pytest.mark.filterwarnings("ignore:left out of the fit", "ignore:no pixel is above the noise")
@pytest.mark.parametrize(
    ("path", "names", "shape"),
    [
        ("euclid_q1_102020532/euclid_q1_102020532.fits", "VIS NIR_Y NIR_J NIR_H", (80, 80)),
        (
            "euclid_q1_102018665/102018665_NEG570040238507752998.fits",
            "VIS DES_G DES_R DES_I DES_Z NIR_Y NIR_J NIR_H",
            (80, 80),
        ),
    ],
    ids=["four", "eight"],
)
def test_bands_of_euclid(data_dir, path, names, shape):
    bands = nl.read_bands(data_dir / path, names.split(), cutout=80, **COMPANIONS)
    assert list(bands) == names.split()
    for name, band in bands.items():
        assert band.shape == shape
        assert band.psf.kernel.shape[0] == {"V": 21, "N": 33, "D": 49}[name[0]]
        np.testing.assert_array_equal(band.x, bands["VIS"].x)
