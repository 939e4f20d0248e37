"""A fleet without fitting: workers are threads here, or processes that fit nothing."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from stand_ins import StandIn

import numpyro_lens as nl
from numpyro_lens import fitting

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")


class Fit(StandIn):
    """What `fit` returns, as far as a fleet asks."""

    def __init__(self, observation, seed, mean_square=1.0, doubts=()):
        mass = nl.mass.SIS(theta_E=0.5)
        source = nl.light.Gaussian(amp=1.0, sigma=0.1)
        super().__init__({"image": observation}, {"image": nl.Scene.of(mass=mass, source=source)})
        residuals = nl.infer.Residuals("image", 576, mean_square, 0.0)
        self.verdict = nl.infer.Verdict(
            True,
            (1.001, "lens.theta_E"),
            (390.0, "lens.theta_E"),
            0,
            (),
            (residuals,),
            doubts=doubts,
        )
        draws = np.random.default_rng(0).normal(0.5, 0.01, size=(4, 100))
        self.samples = {"lens.theta_E": draws, "pixels": np.zeros((4, 100, 50))}
        self.seed, self.settings = seed, {"map": {"num_starts": 3}}
        self.timings = {"map": {"compile_s": 1.0, "run_s": 2.0}}
        self.num_gradients = {"map": 10}

    def summary(self):
        return pd.DataFrame({"mean": [0.5], "r_hat": [1.001]}, index=["lens.theta_E"])

    def derived(self):
        values = {"median": [0.5], "eti16": [0.49], "eti84": [0.51]}
        return pd.DataFrame(values, index=["image.einstein_radius"])

    def save(self, path):
        path.write_text("netCDF")


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


@pytest.fixture(scope="session")
def client():
    """One worker, in a thread of this process."""
    from distributed import Client

    with Client(
        processes=False,
        n_workers=1,
        threads_per_worker=1,
        dashboard_address=None,
        set_as_default=False,
    ) as client:
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
