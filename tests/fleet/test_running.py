"""A fleet from end to end: folders, rows, faults and what a second call does."""

import errno
import functools
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from test_cli import run

import numpyro_lens as nl
from numpyro_lens import fitting
from numpyro_lens.fitting import recipes
from numpyro_lens.fleet import rows, running, worker
from numpyro_lens.fleet.gallery import write_gallery

READ = {"noise": "RMS", "pixel_scale": 0.1}
FILES = {"posterior.nc", "summary.csv", "derived.csv", "fit.png", "manifest.json", "row.json"}


def model(observation, redshift):
    raise AssertionError("a stand-in fits")


def table(files, names=("lens0", "lens1", "bad", "lens2")):
    path = files / "lenses.csv"
    lines = [f"{name},{name}.fits,{0.5 + i}" for i, name in enumerate(names)]
    path.write_text("\n".join(["name,file,redshift", *lines]) + "\n")
    return path


@pytest.fixture
def fleet(files, client, fake_fit):
    """A fleet with a bad file, fitted once."""

    def call(**changed):
        settings = {"out": files / "out", "client": client, "read": READ, "progress": False}
        return nl.fit_many(model, table(files), **(settings | changed))

    return call


def test_every_lens_leaves_a_folder_and_a_row(files, fleet, fake_fit):
    found = fleet(target_ess=300)
    assert list(found["name"]) == ["lens0", "lens1", "bad", "lens2"]
    assert list(found["verdict"]) == ["good", "good", "failed", "good"]
    assert "bad.fits" in found["reason"][2]
    assert found["lens.theta_E"].isna().tolist() == [False, False, True, False]
    for name in ("lens0", "lens1", "lens2"):
        assert {path.name for path in (files / "out/lenses" / name).iterdir()} == FILES
    assert {path.name for path in (files / "out/lenses/bad").iterdir()} == {"row.json", "error.txt"}
    assert not (files / "out/unfinished").exists()
    pd.testing.assert_frame_equal(pd.read_parquet(files / "out/fleet.parquet"), found)
    # each shape one after the other, with the columns that the model wants
    assert [(shape, values) for _, shape, values, *_ in fake_fit.calls] == [
        *(((24, 24), (0.5,)), ((24, 24), (3.5,)), ((26, 26), (1.5,)))
    ]
    assert len({id(model) for model, *_ in fake_fit.calls}) == 1  # what is compiled belongs to it
    assert fake_fit.calls[0][-1] == {"target_ess": 300}
    assert sorted(call[3] for call in fake_fit.calls) == sorted(found["seed"][[0, 1, 3]])


def test_a_second_call_fits_what_is_missing_or_failed(files, fleet, fake_fit):
    fleet()
    fake_fit.calls.clear()
    shutil.rmtree(files / "out/lenses/lens1")
    shutil.copy(files / "lens0.fits", files / "bad.fits")
    found = fleet()
    assert list(found["verdict"]) == ["good"] * 4
    assert sorted(values for _, _, values, *_ in fake_fit.calls) == [(1.5,), (2.5,)]
    assert {path.name for path in (files / "out/lenses/bad").iterdir()} == FILES
    fake_fit.calls.clear()
    found = nl.fit_many(model, table(files), files / "out", read=READ)  # no worker is started
    assert len(found) == 4
    assert fake_fit.calls == []


def test_half_a_row_is_none(files, fleet, fake_fit):
    fleet()
    fake_fit.calls.clear()
    path = files / "out/lenses/lens0/row.json"
    path.write_text(path.read_text()[:40])
    assert list(fleet()["verdict"]) == ["good", "good", "failed", "good"]
    assert len(fake_fit.calls) == 1


def test_a_worker_that_was_given_up_replaces_nothing(tmp_path):
    row = rows.COLUMNS | {"name": "a", "verdict": "good"}
    worker.leave(tmp_path, tmp_path / "first", row)
    worker.leave(tmp_path, tmp_path / "late", row | {"verdict": "failed"}, "Traceback")
    assert rows.read_row(tmp_path / "lenses/a")["verdict"] == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["lenses"]


def test_a_folder_is_of_one_fleet(files, fleet):
    fleet()
    with pytest.raises(ValueError, match=r"its seed is 0, this one's is 1\. Give another folder"):
        fleet(seed=1)
    with pytest.raises(ValueError, match=r"its settings is \{\}"):
        fleet(hmc=nl.infer.HMC(num_chains=2))
    with pytest.raises(ValueError, match="Give timeout=3600"):
        fleet(timeout=0)


def test_a_start_for_a_model_that_is_led_in_steps_is_told_at_once(files):
    with pytest.raises(TypeError, match="fit_galaxy searches for its own start; got `start`"):
        nl.fit_many("galaxy", table(files), files / "out", read=READ, start={"lens.theta_E": 1.0})
    assert not (files / "out").exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("a bug"), SystemExit(3)])
def test_whatever_a_fit_raises_is_its_reason(files, fleet, fake_fit, error):
    fake_fit.raising = error
    found = fleet()
    assert list(found["verdict"]) == ["failed"] * 4
    assert found["reason"][0].startswith(type(error).__name__)
    assert "Traceback" in (files / "out/lenses/lens0/error.txt").read_text()
    # the columns are those of lenses that were fitted, without their numbers
    assert list(found.columns) == list(rows.COLUMNS)


def test_a_full_disk_is_a_reason(files, fleet, fake_fit, monkeypatch):
    """It is no other lens's; a fit does not begin where it could not be kept."""
    replace = os.replace

    def full(old, new):
        if "lens1" in str(new) and str(new).endswith("summary.csv"):
            raise OSError(errno.ENOSPC, "No space left on device", str(new))
        return replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    found = fleet()
    assert list(found["verdict"]) == ["good", "failed", "failed", "good"]
    assert "No space left" in found["reason"][1]
    assert not (files / "out/unfinished").exists()
    monkeypatch.undo()
    monkeypatch.setattr(worker, "MIN_FREE", 1 << 60)
    assert "No space left" in fleet()["reason"][1]


def test_a_table_that_cannot_be_written_is_a_warning(files, fleet, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running, "write_table", full)
    with pytest.warns(UserWarning, match="the rows are in the folders"):
        found = fleet()
    assert len(found) == 4


def test_an_interrupted_run_keeps_what_is_finished(files, fleet, fake_fit, monkeypatch):
    dispatch = running.dispatch

    def interrupted(*args, **settings):
        found = dispatch(*args, **settings)
        yield next(found)
        found.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "dispatch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fleet()
    assert len(pd.read_parquet(files / "out/fleet.parquet")) == 1
    monkeypatch.undo()


@pytest.mark.parametrize("model", ["galaxy", "double-source-plane", nl.models.galaxy])
def test_some_models_are_led_in_steps(model, files, client, fake_fit, led):
    settings = {"client": client, "read": READ, "progress": False}
    found = nl.fit_many(model, [files / "lens0.fits"], files / "out", **settings)
    assert found["verdict"][0] == "good"
    assert led == [{}]


def test_a_model_in_steps_takes_columns_that_its_steps_know(files, client, fake_fit, led):
    """`order` is an argument of the model alone."""
    images = pd.DataFrame({"file": [files / "lens0.fits"], "scaling": [0.7], "order": [3]})
    settings = {"client": client, "read": READ, "progress": False}
    nl.fit_many("double-source-plane", images, files / "out", **settings)
    nl.fit_many("galaxy", images, files / "other", **settings)
    assert led == [{"scaling": 0.7}, {}]


@pytest.fixture
def led(monkeypatch):
    """What the models that have steps were given beside the data; `fit` is not called."""
    plain, given = fitting.fit, []
    for model, recipe in list(recipes._RECIPES.items()):

        @functools.wraps(recipe)
        def fit(data, *, seed, progress, **settings):
            given.append(settings)
            return plain("led", data, seed=seed, progress=progress)

        monkeypatch.setitem(recipes._RECIPES, model, fit)
    monkeypatch.setattr(fitting, "fit", lambda *_, **__: pytest.fail("not led"))
    return given


def test_functions_of_a_script_and_images_need_no_file(files, client, fake_fit):
    redshift = 0.5  # of a closure
    settings = {"client": client, "progress": False}
    read = {"pixel_scale": 0.1, "noise": nl.NoiseMap(1.0)}
    found = nl.fit_many(
        lambda data: redshift, np.ones((2, 9, 9)), files / "out", read=read, **settings
    )
    assert list(found["verdict"]) == ["good", "good"]
    assert fake_fit.calls[0][1] == (9, 9)


def test_progress_is_lines_where_there_is_no_terminal(fleet, capsys):
    fleet(progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("dashboard: ")
    assert any("bad: failed: " in line for line in lines)
    assert "4 of 4 lenses, 1 failed, 3 good" in lines[-1]


def test_what_is_not_explained_says_so(fleet, fake_fit):
    fake_fit.mean_square = 7.0
    found = fleet()
    assert found["verdict"][0] == "not explained"
    assert found["mean_square"][0] == 7.0


def test_a_doubt_is_the_reason(fleet, fake_fit):
    fake_fit.doubts = ("The external shear is 0.30, above 0.2",)
    found = fleet()
    assert found["verdict"][0] == "doubtful"
    assert found["reason"][0] == fake_fit.doubts[0]


# --- the gallery ---------------------------------------------------------------------------------


def test_the_gallery_holds_any_name_as_text(tmp_path):
    name = "</script><script>alert(1)</script>&\"'$data"
    row = rows.COLUMNS | {"name": name, "reason": "<b>", "lens.theta_E": 1.25}
    write_gallery([row], tmp_path / "gallery.html")
    page = (tmp_path / "gallery.html").read_text()
    assert page.count("</script>") == 2
    assert "alert(1)<" not in page
    text = page.split('id="data">')[1].split("</script>")[0]
    data = json.loads(text)
    assert data["rows"][0][0] == name
    assert data["rows"][0][data["columns"].index("lens.theta_E")] == 1.25
    assert data["rows"][0][data["columns"].index("seconds")] is None
    assert "/" not in data["pictures"][0].removeprefix("lenses/").replace("%2F", "").replace(
        "/script", ""
    )


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def command(files, client, fake_fit, monkeypatch):
    """`numpyro-lens fleet` on the worker of the tests."""
    monkeypatch.setattr("numpyro_lens.cli._fleet._client", lambda _: client)
    (files / "my.py").write_text("def model(observation, redshift):\n    pass\n")

    def call(*options):
        read = ("--noise", "RMS", "--pixel-scale", 0.1, "--out", files / "out", "--no-progress")
        return run("fleet", f"{files}/my.py:model", table(files), *read, *options)

    return call


def test_the_command_leaves_with_one_where_a_lens_failed(files, command):
    answer = command("--seed", 3, "--json")
    assert answer.exit_code == 1, answer.output
    assert json.loads(answer.stdout)["verdicts"] == {"good": 3, "failed": 1}
    shutil.copy(files / "lens0.fits", files / "bad.fits")
    answer = command("--seed", 3, "--timeout", 600)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.startswith("4 lenses: 4 good. Wrote fleet.parquet")
    answer = command("--seed", 4)
    assert answer.exit_code == 2
    assert "another fleet" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_the_command_needs_the_extra(command, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = command()
    assert answer.exit_code == 2
    assert 'pip install "numpyro_lens[fleet]"' in answer.stderr


def test_bands_of_the_command_are_one_kind(command):
    answer = command("--bands", "VIS,NIR=nir")
    assert answer.exit_code == 2
    assert "VIS=vis_file" in answer.stderr
