"""A fleet without fitting: workers are threads here, or processes that fit nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from instant_fit import Fit

import numpyro_lens as nl
from numpyro_lens import fitting

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")


@pytest.fixture
def fake_fit(monkeypatch):
    """`nl.fit` that returns at once, and pictures that cost nothing."""
    behaviour = SimpleNamespace(calls=[], raising=None, mean_square=1.0, doubts=())

    def fit(model, observation, *values, seed, progress, **settings):
        behaviour.calls.append((model, np.shape(observation.image), values, seed, settings))
        if behaviour.raising is not None:
            raise behaviour.raising
        return Fit(observation, seed, behaviour.mean_square, behaviour.doubts)

    def plot_fit(result):
        return SimpleNamespace(savefig=lambda path, dpi: path.write_text("picture")), None

    monkeypatch.setattr(fitting, "fit", fit)
    monkeypatch.setattr(nl.plot, "plot_fit", plot_fit)
    return behaviour


def in_threads(number):
    """A client of one worker, in so many threads of this process."""
    from distributed import Client

    return Client(
        processes=False,
        n_workers=1,
        threads_per_worker=number,
        dashboard_address="127.0.0.1:0",  # 8787 may be taken by another process
        set_as_default=False,
    )


@pytest.fixture(scope="session")
def client():
    """One worker, in a thread of this process."""
    with in_threads(1) as client:
        yield client


@pytest.fixture
def three_threads():
    """One worker, in three threads of this process."""
    with in_threads(3) as client:
        yield client


@pytest.fixture
def files(tmp_path):
    """Three images, and one that is none."""
    for index, size in enumerate((24, 26, 24)):
        image = fits.PrimaryHDU(np.full((size, size), float(index)))
        sigma = fits.ImageHDU(np.ones((size, size)), name="RMS")
        fits.HDUList([image, sigma]).writeto(tmp_path / f"lens{index}.fits")
    (tmp_path / "bad.fits").write_text("SIMPLE")
    return tmp_path
