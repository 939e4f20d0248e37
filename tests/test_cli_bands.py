"""Several bands on the command line: what the model is called with."""

import numpy as np
import pytest
from astropy.io import fits
from matplotlib.image import imread
from typer.testing import CliRunner

import numpyro_lens as nl
from numpyro_lens import cli

BANDS = """
import numpyro.distributions as dist
import numpyro_lens as nl


def by_name(bands):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(0.5, 0.1))
    for name, band in bands.items():
        nl.observe(name, band, mass=lens, source=nl.light.Gaussian(amp=1.0, sigma=0.1))


def one_by_one(red, blue):
    by_name({"red": red, "blue": blue})
"""


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def stopped_fit(monkeypatch):
    """`nl.fit` that keeps its data and is interrupted."""
    calls = []

    def fit(model, *data, **settings):
        calls.append(data)
        raise KeyboardInterrupt

    monkeypatch.setattr(nl, "fit", fit)
    return calls


@pytest.fixture
def bands(tmp_path):
    """The same two bands, in one file and in two."""
    (tmp_path / "two.py").write_text(BANDS)
    layers = {
        f"{band}_{kind}": fits.ImageHDU(np.full((24, 24), value), name=f"{band}_{kind}")
        for band, value in (("RED", 1.0), ("BLUE", 2.0))
        for kind in ("SCI", "RMS")
    }
    fits.HDUList([fits.PrimaryHDU(), *layers.values()]).writeto(tmp_path / "both.fits")
    for band in ("RED", "BLUE"):
        own = [layers[f"{band}_{kind}"] for kind in ("SCI", "RMS")]
        fits.HDUList([fits.PrimaryHDU(), *own]).writeto(tmp_path / f"{band}.fits")
    return tmp_path


@pytest.mark.parametrize("model", ["by_name", "one_by_one"])
@pytest.mark.parametrize("where", ["one file", "two files"])
def test_fit_of_several_bands(bands, stopped_fit, model, where):
    images = {
        "one file": (bands / "both.fits", "--bands", "RED,BLUE"),
        "two files": (bands / "RED.fits", "--band", bands / "BLUE.fits"),
    }
    out = ("--out", bands / "out", "--checkpoint", bands / "kept", "--pixel-scale", 0.1)
    answer = run("fit", f"{bands}/two.py:{model}", *images[where], "--noise", "RMS", *out)
    assert answer.exit_code == 130, answer.output
    assert run("resume", bands / "kept").exit_code == 130
    assert len(stopped_fit) == 2
    for data in stopped_fit:
        assert (list(data[0]) == ["RED", "BLUE"]) if model == "by_name" else (len(data) == 2)
        values = data[0].values() if model == "by_name" else data
        assert [float(band.image[0, 0]) for band in values] == [1.0, 2.0]


def test_a_band_has_options_of_its_own(bands, stopped_fit):
    fits.PrimaryHDU(np.ones((3, 3))).writeto(bands / "psf_blue.fits")
    answer = run(
        *("fit", f"{bands}/two.py:by_name", bands / "RED.fits", "--band", bands / "BLUE.fits"),
        *("--noise", "RMS", "--pixel-scale", 0.1, "--out", bands / "out", "--supersampling", 1),
        *("--band-option", f"BLUE.psf={bands / 'psf_blue.fits'}"),
        *("--band-option", "BLUE.supersampling=3", "--band-option", "RED.mask-radius=0.5"),
        *("--checkpoint", bands / "kept"),
    )
    assert answer.exit_code == 130, answer.output
    assert run("resume", bands / "kept").exit_code == 130
    for (data,) in stopped_fit:
        assert [data[name].supersampling for name in ("RED", "BLUE")] == [1, 3]
        assert data["RED"].psf is None
        assert data["BLUE"].psf.kernel.shape == (3, 3)
        assert int(data["RED"].mask.sum()) < int(data["BLUE"].mask.sum()) == 24 * 24


@pytest.mark.parametrize("where", ["one file", "two files"])
def test_look_at_several_bands(bands, where):
    images = {
        "one file": (bands / "both.fits", "--bands", "RED,BLUE"),
        "two files": (bands / "RED.fits", "--band", bands / "BLUE.fits"),
    }
    out = ("--out", bands / "look.png", "--pixel-scale", 0.1)
    answer = run("look", *images[where], "--noise", "RMS", *out)
    assert answer.exit_code == 0, answer.output
    for band in ("RED: ", "BLUE: "):
        assert band in answer.stdout
    height, width, _ = imread(bands / "look.png").shape
    assert width > 1.5 * height


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--band", "BLUE.fits", "--bands", "RED,BLUE"), "got --band and --bands"),
        (("--band", "both.fits"), "each band has the name of its file"),
        (("--bands", "GREEN"), "The image of the band 'GREEN'"),
        (("--bands", "RED", "--band-option", "BLUE.psf=PSF"), "one of the bands RED; got 'BLUE"),
        (("--bands", "RED", "--band-option", "RED.psf"), "BAND.OPTION=VALUE"),
        (("--bands", "RED", "--band-option", "RED.seed=3"), "psf_sampling; got 'seed'"),
        (("--bands", "RED", "--band-option", "RED.cutout=x"), "cutout of a band is a number"),
        (("--band-option", "RED.psf=PSF"), "(none: give --band or --bands)"),
    ],
)
def test_wrong_bands_are_named(bands, stopped_fit, options, message):
    answer = run("fit", f"{bands}/two.py:by_name", bands / "both.fits", *options)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert not stopped_fit
