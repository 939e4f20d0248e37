"""The command line: what it writes, what it says, and with which exit code it leaves."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from stand_ins import StandIn
from synthetic import fitted
from typer.testing import CliRunner

import numpyro_lens as nl
from numpyro_lens import cli
from numpyro_lens.fitting import recipes
from numpyro_lens.folder import Keeper

MODEL = """
import numpyro.distributions as dist
import numpyro_lens as nl


def model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(0.5, 0.1))
    source = nl.light.Gaussian(amp=1.0, sigma=0.1)
    nl.observe("image", observation, mass=lens, source=source)


def unobserved(observation):
    nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(0.5, 0.1))


def wrong_name(observation):
    nl.sample("lens", nl.mass.SIS, einstein_radius=dist.Normal(0.5, 0.1))


not_a_function = 3
"""
RESULTS = {
    *("posterior.nc", "summary.csv", "derived.csv"),
    *("fit.png", "corner.png", "corner.pdf", "manifest.json"),
}
STAGES = {"map.npz", "svi.npz"}


def verdict(converged, mean_square=1.0):
    residuals = nl.infer.Residuals("image", 576, mean_square, 0.0)
    return nl.infer.Verdict(
        converged, (1.001, "lens.theta_E"), (390.0, "lens.theta_E"), 0, (), (residuals,)
    )


class Result(StandIn):
    """What `fit` returns, without the fitting."""

    def __init__(self, observation, converged, seed, mean_square=1.0):
        source = nl.light.Gaussian(amp=1.0, sigma=0.1)
        scene = nl.Scene.of(mass=nl.mass.SIS(theta_E=0.5), source=source)
        super().__init__({"image": observation}, {"image": scene})
        self.seed = seed
        self.verdict = verdict(converged, mean_square)
        draws = np.random.default_rng(0).normal(0.5, 0.01, size=(4, 100))
        self.samples = {"lens.theta_E": draws}
        self.settings = {"map": {"num_starts": 3}}
        self.timings = {"map": {"trace_s": 0.5, "compile_s": 1.0, "run_s": 2.0}}
        self.num_gradients = {"map": 10}

    def summary(self):
        return pd.DataFrame(
            {"mean": [0.5], "ess_bulk": [390.0], "r_hat": [1.001]}, index=["lens.theta_E"]
        )

    def derived(self):
        row = {"median": [0.5], "eti16": [0.49], "eti84": [0.51]}
        return pd.DataFrame(row, index=["image.einstein_radius"])

    def save(self, path):
        path.write_text("netCDF")


MAP = SimpleNamespace(names=("a",), params=np.zeros((3, 1)), log_density=np.arange(3.0))
SVI = SimpleNamespace(
    names=("a",), mean=np.zeros(1), covariance_matrix=np.eye(1), losses=np.arange(4.0)
)


@pytest.fixture
def fake_fit(monkeypatch):
    """`nl.fit` that converges, or does not, or is interrupted after a stage."""
    behaviour = SimpleNamespace(converged=True, mean_square=1.0, stop_after=None, calls=[])

    def fit(model, observation, *, seed, callback, **settings):
        behaviour.calls.append({"observation": observation, "seed": seed, **settings})
        for stage, result in (("map", MAP), ("svi", SVI)):
            if behaviour.stop_after == "nothing":
                raise KeyboardInterrupt
            callback(stage, result)
            if behaviour.stop_after == stage:
                raise KeyboardInterrupt
        return Result(observation, behaviour.converged, seed, behaviour.mean_square)

    monkeypatch.setattr(nl, "fit", fit)
    return behaviour


@pytest.fixture
def files(tmp_path):
    (tmp_path / "my_model.py").write_text(MODEL)
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there")
    image = fits.PrimaryHDU(np.zeros((24, 24), dtype=">f4"))
    sigma = fits.ImageHDU(np.ones((24, 24)), name="RMS")
    psf = fits.ImageHDU(np.ones((4, 4)), name="EVEN")
    fits.HDUList([image, sigma, psf]).writeto(tmp_path / "lens.fits")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def fit_arguments(files, model="my_model.py:model", *options):
    return (
        *("fit", f"{files}/{model}", files / "lens.fits", "--noise", "RMS"),
        *("--pixel-scale", 0.1, "--out", files / "out", *options),
    )


def test_fit_writes_everything_and_leaves_with_zero(files, fake_fit):
    answer = run(*fit_arguments(files, "my_model.py:model", "--seed", 7, "--target-ess", 200))
    assert answer.exit_code == 0, answer.output
    assert {path.name for path in (files / "out").iterdir()} == RESULTS | STAGES
    assert "lens.theta_E" in answer.stdout
    assert "Converged: largest R-hat" in answer.stdout
    assert "Data explained: image" in answer.stdout
    assert fake_fit.calls[0]["seed"] == 7
    assert fake_fit.calls[0]["target_ess"] == 200
    assert fake_fit.calls[0]["checkpoint"] is None


@pytest.mark.parametrize("model", ["galaxy", "double-source-plane"])
def test_some_models_are_led_in_steps(model, files, fake_fit, monkeypatch):
    """`fit galaxy` calls `fit_galaxy`, with the settings that `fit` has."""
    one_call = nl.fit
    monkeypatch.setitem(
        recipes._RECIPES,
        nl.models.load_model(model),
        lambda observation, **settings: one_call("led", observation, **settings),
    )
    monkeypatch.setattr(nl, "fit", lambda *_, **__: pytest.fail("not led"))
    given = ("--noise", "RMS", "--pixel-scale", 0.1, "--out", files / "out")
    answer = run("fit", model, files / "lens.fits", *given)
    assert answer.exit_code == 0, answer.output
    assert fake_fit.calls[0]["observation"].shape == (24, 24)
    assert fake_fit.calls[0]["seed"] == 0


def test_fit_goes_on_from_a_checkpoint(files, fake_fit):
    answer = run(*fit_arguments(files, "my_model.py:model", "--checkpoint", files / "kept"))
    assert answer.exit_code == 0, answer.output
    assert fake_fit.calls[0]["checkpoint"] == files / "kept"


def interrupted(files, fake_fit, monkeypatch):
    """A fit with relative paths and options, stopped after MAP; then another working directory."""
    monkeypatch.chdir(files)
    fake_fit.stop_after = "map"
    arguments = ("fit", "my_model.py:model", "lens.fits", "--noise", "RMS", "--out", "out")
    options = ("--pixel-scale", 0.1, "--cutout", 20, "--seed", 7, "--checkpoint", "kept")
    answer = run(*arguments, *options)
    assert answer.exit_code == 130
    assert "to go on: numpyro-lens resume kept" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    fake_fit.stop_after = None
    (files / "elsewhere").mkdir()
    monkeypatch.chdir(files / "elsewhere")


def test_resume_calls_the_same_fit(files, fake_fit, monkeypatch):
    interrupted(files, fake_fit, monkeypatch)
    answer = run("resume", "../kept")
    assert answer.exit_code == 0, answer.output
    first, again = fake_fit.calls
    np.testing.assert_array_equal(first.pop("observation").image, again.pop("observation").image)
    assert again.pop("checkpoint").resolve() == files / "kept"
    first.pop("checkpoint")
    assert again == first
    assert again["seed"] == 7
    assert {path.name for path in (files / "out").iterdir()} == RESULTS | STAGES
    manifest = json.loads((files / "out" / "manifest.json").read_text())
    assert manifest["image"] == str(files / "lens.fits")


def test_resume_may_ask_for_more_draws_in_another_folder(files, fake_fit, monkeypatch):
    interrupted(files, fake_fit, monkeypatch)
    answer = run("resume", files / "kept", "--target-ess", 900, "--out", "more", "--json")
    assert json.loads(answer.stdout)["out"] == str(files / "elsewhere" / "more")
    assert fake_fit.calls[-1]["target_ess"] == 900
    fake_fit.converged = False
    assert run("resume", files / "kept").exit_code == 1
    assert fake_fit.calls[-1]["target_ess"] == 900


def test_resume_needs_the_folder_of_a_checkpoint(files):
    answer = run("resume", files)
    assert answer.exit_code == 2
    assert "fit --checkpoint" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_checkpoint_is_of_one_call(files, fake_fit):
    arguments = fit_arguments(files, "my_model.py:model", "--checkpoint", files / "kept")
    assert run(*arguments).exit_code == 0
    answer = run(*arguments, "--cutout", 10)
    assert answer.exit_code == 2
    assert "its read_fits: cutout is None, this one's is 10" in answer.stderr
    assert run("resume", files / "kept").exit_code == 0
    assert [call["observation"].shape for call in fake_fit.calls] == [(24, 24), (24, 24)]


def test_results_are_not_overwritten_unless_asked(files, fake_fit):
    assert run(*fit_arguments(files)).exit_code == 0
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 2
    assert "--overwrite" in answer.stderr
    assert len(fake_fit.calls) == 1
    assert run(*fit_arguments(files, "my_model.py:model", "--overwrite")).exit_code == 0


def test_summary_begins_with_the_parameter(files, fake_fit):
    run(*fit_arguments(files))
    lines = (files / "out" / "summary.csv").read_text().splitlines()
    assert lines[0] == "parameter,mean,ess_bulk,r_hat"
    assert lines[1].startswith("lens.theta_E,0.5")
    lines = (files / "out" / "derived.csv").read_text().splitlines()
    assert lines[0] == "quantity,median,eti16,eti84"


def test_manifest_says_how_the_result_came_about(files, fake_fit):
    run(*fit_arguments(files, "my_model.py:model", "--cutout", 20))
    manifest = json.loads((files / "out" / "manifest.json").read_text())
    assert set(manifest["versions"]) >= {"python", "numpyro_lens", "numpyro", "jax", "arviz"}
    assert manifest["seed"] == 0
    assert manifest["settings"] == {"map": {"num_starts": 3}}
    assert manifest["timings"]["map"] == {"trace_s": 0.5, "compile_s": 1.0, "run_s": 2.0}
    assert manifest["seconds"].pop("drawing") > 0
    assert manifest["seconds"] == {"tracing": 0.5, "compiling": 1.0, "running": 2.0}
    assert manifest["num_gradients"] == {"map": 10}
    assert manifest["read_fits"]["cutout"] == 20
    assert manifest["converged"] is True
    assert manifest["peak_memory_bytes"] > 1e7


def test_no_cache_keeps_nothing(files, fake_fit, monkeypatch):
    settings = {}
    monkeypatch.setattr("jax.config.update", settings.__setitem__)
    assert run(*fit_arguments(files)).exit_code == 0
    assert "jax_enable_compilation_cache" not in settings
    assert (
        run(*fit_arguments(files, "my_model.py:model", "--overwrite", "--no-cache")).exit_code == 0
    )
    assert settings["jax_enable_compilation_cache"] is False


def test_stages_are_kept_as_arrays(files, fake_fit):
    run(*fit_arguments(files))
    with np.load(files / "out" / "svi.npz") as svi:
        assert set(svi) == {"names", "mean", "covariance_matrix", "losses"}
    with np.load(files / "out" / "map.npz") as found:
        assert found["params"].shape == (3, 1)


def test_fit_that_does_not_converge_leaves_with_one(files, fake_fit):
    fake_fit.converged = False
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 1
    assert "NOT converged: largest R-hat" in answer.stdout
    assert (files / "out" / "posterior.nc").exists()


def test_converged_chains_of_a_wrong_model_leave_with_three(files, fake_fit):
    fake_fit.mean_square = 235.0
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 3
    assert "Data NOT explained: image: mean square 235.00" in answer.stdout
    manifest = json.loads((files / "out" / "manifest.json").read_text())
    assert (manifest["good"], manifest["converged"], manifest["explained"]) == (False, True, False)
    assert manifest["residuals"]["image"]["mean_square"] == 235.0


@pytest.mark.parametrize(
    ("stop_after", "kept"),
    [("nothing", set()), ("map", {"map.npz"}), ("svi", {"map.npz", "svi.npz"})],
)
def test_interrupting_keeps_finished_stages(files, fake_fit, stop_after, kept):
    fake_fit.stop_after = stop_after
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 130
    assert {path.name for path in (files / "out").iterdir()} == kept
    assert len(answer.stderr.splitlines()) == 1
    for name in kept:
        assert name in answer.stderr


def test_bug_after_a_stage_is_not_taken_for_bad_input(files, fake_fit, monkeypatch):
    def broken(result):
        raise TypeError("a bug")

    monkeypatch.setattr(Result, "summary", broken)
    answer = run(*fit_arguments(files))
    assert isinstance(answer.exception, RuntimeError)
    assert "map.npz, svi.npz" in str(answer.exception)
    assert isinstance(answer.exception.__cause__, TypeError)


def test_old_manifest_does_not_vouch_for_new_files(files, fake_fit):
    run(*fit_arguments(files))
    fake_fit.stop_after = "map"
    run(*fit_arguments(files, "my_model.py:model", "--overwrite"))
    assert not (files / "out" / "manifest.json").exists()


def test_model_without_an_image_still_gets_its_posterior(files, fake_fit, monkeypatch):
    monkeypatch.setattr(Result, "observations", {}, raising=False)
    monkeypatch.setattr(StandIn, "__init__", lambda *_: None)
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 0
    assert "fit.png was not drawn: This model observes no `Observation`" in answer.stderr
    assert {path.name for path in (files / "out").iterdir()} == (RESULTS | STAGES) - {
        "fit.png",
        "derived.csv",
    }


def test_a_posterior_without_a_number_of_its_own_has_no_corner(files, fake_fit, monkeypatch):
    """A finished fit is not lost over its pictures."""

    def broken(*_, **__):
        raise ValueError("no scalar site")

    for name in ("plot_corner", "write_corners"):
        monkeypatch.setattr(nl.plot, name, broken)
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 0, answer.output
    assert "corner.png was not drawn: no scalar site" in answer.stderr
    written = {path.name for path in (files / "out").iterdir()}
    assert written == (RESULTS | STAGES) - {"corner.png", "corner.pdf"}


BAD_INPUT = {
    "unknown ready model": (["fit", "sie", "{lens}"], ["'sie'", "epl-shear-sersic"]),
    "missing model file": (["fit", "{dir}/no.py:model", "{lens}"], ["no.py"]),
    "missing function": (
        ["fit", "{dir}/my_model.py:mdel", "{lens}", "--noise", "RMS"],
        ["'mdel'", "model, unobserved, wrong_name"],
    ),
    "not callable": (["fit", "{dir}/my_model.py:not_a_function", "{lens}"], ["not_a_function"]),
    "broken module": (["fit", "{dir}/broken.py:model", "{lens}"], ["a_module_that_is_not_there"]),
    "missing image": (["fit", "epl-shear-sersic", "{dir}/no.fits"], ["no.fits", "no such file"]),
    "no noise": (["fit", "epl-shear-sersic", "{lens}", "--pixel-scale", "0.1"], ["--noise"]),
    "no pixel scale": (
        ["fit", "epl-shear-sersic", "{lens}", "--noise", "RMS"],
        ["--pixel-scale"],
    ),
    "missing extension": (
        ["fit", "epl-shear-sersic", "{lens}", "--noise", "SIGMA", "--pixel-scale", "0.1"],
        ["'SIGMA'", "RMS", "EVEN"],
    ),
    "even PSF": (
        [
            *("fit", "epl-shear-sersic", "{lens}", "--noise", "RMS"),
            *("--pixel-scale", "0.1", "--psf", "EVEN"),
        ],
        ["odd"],
    ),
    "no observed site": (
        [
            *("fit", "{dir}/my_model.py:unobserved", "{lens}"),
            *("--noise", "RMS", "--pixel-scale", "0.1"),
        ],
        ["observed site", "lens.theta_E"],
    ),
    "wrong parameter": (
        [
            *("fit", "{dir}/my_model.py:wrong_name", "{lens}"),
            *("--noise", "RMS", "--pixel-scale", "0.1"),
        ],
        ["einstein_radius", "theta_E"],
    ),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_two(files, arguments, words):
    names = {"dir": files, "lens": files / "lens.fits"}
    arguments = [argument.format(**names) for argument in arguments]
    answer = run(*arguments, "--out", files / "out")
    assert answer.exit_code == 2, answer.output
    assert len(answer.stderr.splitlines()) == 1
    assert "Traceback" not in answer.output
    for word in words:
        assert word in answer.stderr
    assert not (files / "out").exists()


def test_debug_shows_the_traceback(files):
    answer = run("fit", "epl-shear-sersic", files / "no.fits", "--debug")
    assert isinstance(answer.exception, FileNotFoundError)


def test_demo_needs_no_file(tmp_path, fake_fit):
    answer = run("demo", "--out", tmp_path / "demo", "--seed", 3)
    assert answer.exit_code == 0, answer.output
    assert {path.name for path in (tmp_path / "demo").iterdir()} == RESULTS | STAGES
    observation = fake_fit.calls[0]["observation"]
    image = np.asarray(observation.image)
    signal = image / np.asarray(observation.noise.sigma(image))
    assert np.sum(signal > 10) > 100  # a bright arc


def test_info_names_versions_and_models():
    answer = run("info")
    assert answer.exit_code == 0
    for word in ("jax", "arviz", "devices", "epl-shear-sersic"):
        assert word in answer.stdout


def separate_files(folder):
    """Image, weights and PSF in three files, as archives give them."""
    y, x = np.mgrid[:24, :24]
    image = 50.0 * np.exp(-0.05 * ((x - 11) ** 2 + (y - 12) ** 2))
    steps = np.arange(-2, 3)
    layers = {
        "sci": image + np.random.default_rng(0).normal(0.0, 0.5, image.shape),
        "wht": np.full(image.shape, 4.0),
        "psf": np.exp(-0.5 * (steps[:, None] ** 2 + steps**2)),
    }
    layers["wht"][0, :3] = 0.0
    for name, layer in layers.items():
        fits.PrimaryHDU(layer).writeto(folder / f"lens_{name}.fits")
    return ("--weight", "lens_wht.fits", "--psf", "lens_psf.fits[0]", "--pixel-scale", 0.1)


def test_look_says_what_was_read_and_draws_it(tmp_path, monkeypatch):
    options = separate_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    answer = run("look", "lens_sci.fits", *options, "--cutout", 23, "--center", "9,12")
    assert answer.exit_code == 2
    assert "must lie in the image" in answer.stderr
    answer = run("look", "lens_sci.fits", *options, "--out", "pictures/look.png")
    assert answer.exit_code == 0, answer.output
    assert answer.stderr == (
        "numpyro-lens: warning: left out of the fit, of 576 pixels: 3 have no positive noise.\n"
    )
    for words in ('24 x 24 of 0.1", x right, y up; 573 fitted', "NoiseMap, sigma 0.5", "5 x 5"):
        assert words in answer.stdout
    assert (tmp_path / "pictures" / "look.png").stat().st_size > 10_000


def test_fit_of_separate_files_goes_on_from_anywhere(files, fake_fit, monkeypatch):
    options = separate_files(files)
    monkeypatch.chdir(files)
    answer = run("fit", "my_model.py:model", "lens_sci.fits", *options, "--checkpoint", "kept")
    assert answer.exit_code == 0, answer.output
    assert "573 fitted" in answer.stdout
    monkeypatch.chdir(files / "kept")
    assert run("resume", files / "kept").exit_code == 0
    first, again = (call["observation"] for call in fake_fit.calls)
    np.testing.assert_array_equal(first.noise.sigma_map, again.noise.sigma_map)
    np.testing.assert_array_equal(first.psf.kernel, again.psf.kernel)


def test_half_written_file_leaves_nothing(tmp_path):
    keeper = Keeper(tmp_path)

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        keeper.write("posterior.nc", fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_fit_from_a_shell(files):
    """The real thing, small: a separate process, two devices, a fit of one parameter."""
    command = [sys.executable, "-c", "from numpyro_lens.cli import main; main()"]
    options = ("my_model.py:model", "--checkpoint", files / "kept")
    arguments = [str(argument) for argument in fit_arguments(files, *options)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert {path.name for path in (files / "out").iterdir()} == RESULTS | STAGES
    summary = pd.read_csv(files / "out" / "summary.csv")
    assert summary.columns[0] == "parameter"
    assert {"r_hat", "ess_bulk"} <= set(summary.columns)
    resume = [*command, "resume", str(files / "kept"), "--out", str(files / "again")]
    assert subprocess.run(resume, capture_output=True, check=False).returncode in (0, 1)
    pd.testing.assert_frame_equal(pd.read_csv(files / "again" / "summary.csv"), summary)


def test_json_is_for_machines(files, fake_fit):
    answer = run(*fit_arguments(files, "my_model.py:model", "--json"))
    assert answer.exit_code == 0
    said = json.loads(answer.stdout)
    assert said["converged"] is True
    assert said["summary"]["lens.theta_E"]["r_hat"] == 1.001
    assert set(said["files"]) == RESULTS | STAGES


def test_info_as_json():
    said = json.loads(run("info", "--json").stdout)
    assert said["precision"] in {"32 bit", "64 bit"}
    assert "epl-shear-sersic" in said["ready models"]


@pytest.mark.parametrize(
    "command", ["demo", "look", "fit", "resume", "predict", "report", "info", "new-model"]
)
def test_help_shows_an_example(command):
    answer = run(command, "--help")
    assert answer.exit_code == 0
    assert f"Example: numpyro-lens {command}" in answer.stdout


def test_new_model_can_be_fitted(files, fake_fit):
    path = files / "new.py"
    answer = run("new-model", path)
    assert answer.exit_code == 0
    assert f"numpyro-lens fit {path}:model" in answer.stdout
    assert run(*fit_arguments(files, "new.py:model")).exit_code == 0
    before = path.read_text()
    again = run("new-model", path)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    path.write_text("mine")
    assert run("new-model", path, "--force").exit_code == 0
    assert path.read_text() == before


@pytest.fixture(scope="module")
def posterior(tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "posterior.nc"
    fitted().save(path)
    return path


SYNTHETIC = f"{Path(__file__).parent / 'synthetic.py'}:model"


def test_predict_writes_images_with_wcs(posterior, tmp_path):
    out = tmp_path / "prediction.fits"
    arguments = ("--model", SYNTHETIC, "--num", 5, "--out", out)
    answer = run("predict", posterior, *arguments)
    assert answer.exit_code == 0, answer.output
    with fits.open(out) as hdus:
        assert {"DATA", "MASK", "MEAN", "STD", "RESIDUAL"} <= {hdu.name for hdu in hdus}
        assert hdus["MEAN"].header["CRVAL1"] == pytest.approx(150.1)
        assert np.isnan(hdus["RESIDUAL"].data[0]).all()
        chi2 = np.nanmean(hdus["RESIDUAL"].data.astype(float) ** 2)
    said = json.loads(run("predict", posterior, *arguments, "--json").stdout)
    assert said["images"]["image"]["reduced_chi2"] == pytest.approx(chi2, rel=1e-4)


def test_predict_asks_for_the_model(posterior, tmp_path):
    answer = run("predict", posterior, "--out", tmp_path / "prediction.fits")
    assert answer.exit_code == 2
    assert "synthetic.model" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_report_tells_what_it_left_out(posterior, tmp_path):
    answer = run("report", posterior, "--out", tmp_path / "report.html", "--json")
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.stdout)
    assert said["good"] is False
    assert len(said["left_out"]) == 5
    assert "not drawn" in answer.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert run("report", tmp_path / "no.nc").exit_code == 2


def test_an_interrupted_program_leaves_at_once(monkeypatch):
    left = []

    def interrupted():
        raise SystemExit(130)

    monkeypatch.setattr(cli, "app", interrupted)
    monkeypatch.setattr("os._exit", left.append)
    cli.main()
    assert left == [130]
