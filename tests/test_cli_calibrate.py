"""`numpyro-lens calibrate`: what it passes on, writes and says."""

import json
import pickle

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner

import numpyro_lens as nl
from numpyro_lens import cli

MODEL = """
import numpyro.distributions as dist
import numpyro_lens as nl


def model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(0.5, 0.1))
    nl.observe("image", observation, mass=lens, source=nl.light.Gaussian(amp=1.0, sigma=0.1))


wider = model
"""


def line(number, rank, converged=True):
    own = {"parameters": {"lens.theta_E": {"rank": rank, "mean": 0.5, "sd": 0.01}}}
    own |= {"log density": rank, "joint": rank}
    how = {"converged": converged, "explained": True, "other_modes": 0, "min_ess": 500.0}
    return {"fit": number, "truth": {"lens.theta_E": 0.49}, "hmc": own, "vi": own, **how}


@pytest.fixture
def calls(monkeypatch):
    """`nl.calibrate`, with ranks that are given."""
    calls = []

    def calibrate(model, *args, out, **settings):
        calls.append({"model": model, "args": args, "out": out, **settings})
        if settings["seed"] == 9:
            raise KeyboardInterrupt
        ranks = [50] * 40 if settings["seed"] else np.arange(0, 100, 5)
        out.parent.mkdir(exist_ok=True)
        out.write_text("lines")
        lines = tuple(line(n, int(r)) for n, r in enumerate(ranks))
        return nl.Calibration(lines, 99, {"lens.theta_E": 0.1})

    monkeypatch.setattr(nl, "calibrate", calibrate)
    return calls


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model.py").write_text(MODEL)
    sigma = fits.ImageHDU(np.ones((12, 12)), name="RMS")
    fits.HDUList([fits.PrimaryHDU(np.zeros((12, 12))), sigma]).writeto("lens.fits")

    def run(*options, model="my_model.py:model"):
        given = ("calibrate", model, "lens.fits", "--noise", "RMS", "--pixel-scale", "0.1")
        return CliRunner().invoke(cli.app, [*given, "--out", "out", *map(str, options)])

    return run


FILES = ["calibration.jsonl", "calibration.csv", "calibration.png", "calibration_vi.png"]


def test_everything_is_written_and_said(run, calls, tmp_path):
    answer = run("--num", 20, "--workers", 2, "--target-ess", 300)
    assert answer.exit_code == 0, answer.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    assert "Calibrated, as far as 20 fits can tell" in answer.stdout
    assert "Of the VI Gaussian:" in answer.stdout
    assert (calls[0]["num"], calls[0]["workers"], calls[0]["target_ess"]) == (20, 2, 300)
    assert calls[0]["args"][0].shape == (12, 12)
    assert calls[0]["simulate_with"] is None
    table = (tmp_path / "out" / "calibration.csv").read_text().splitlines()
    assert table[0] == "quantity,p_value,within_68,z_mean,z_sd,contraction"
    assert [row.split(",")[0] for row in table[1:]] == ["lens.theta_E", "log density", "joint"]


def test_what_is_not_calibrated_leaves_with_one(run, calls):
    answer = run("--seed", 1, "--json")
    assert answer.exit_code == 1
    said = json.loads(answer.stdout)
    assert said["calibrated"] is False
    assert said["files"] == FILES
    assert said["table"]["joint"]["p_value"] < 1e-6


def test_a_model_goes_to_workers_by_its_name(run, calls, tmp_path):
    run("--simulate-with", "my_model.py:wider")
    model, other = (pickle.loads(pickle.dumps(calls[0][k])) for k in ("model", "simulate_with"))
    assert model == calls[0]["model"] != other
    assert model.__qualname__ == f"{tmp_path}/my_model.py:model"
    data = calls[0]["args"][0]
    assert nl.infer.Target.of(model, data).names == ("lens.theta_E",)


def test_an_interrupt_says_how_to_go_on(run, calls):
    answer = run("--seed", 9)
    assert answer.exit_code == 130
    assert "the same command goes on" in answer.stderr


def test_galaxy_is_fitted_in_steps(run, calls):
    answer = run(model="galaxy")
    assert answer.exit_code == 2
    assert "galaxy is fitted in steps" in answer.stderr
    assert calls == []
