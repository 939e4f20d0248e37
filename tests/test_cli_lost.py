"""Nothing that was computed is lost, and nothing runs that was not asked for."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import matplotlib.figure
import numpy as np
import pandas as pd
import psutil
import pytest
from test_cli import Result, fake_fit, files, fit_arguments, run  # noqa: F401 fixtures

import numpyro_lens as nl

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "posterior.nc")


def raising(*_args, **_settings):
    raise NO_SPACE


@pytest.fixture(params=["posterior.nc", "summary.csv", "fit.png", "manifest.json"])
def full_at(request, monkeypatch):
    """The file whose writing fills the disk."""
    if request.param == "posterior.nc":
        monkeypatch.setattr(Result, "save", raising)
    elif request.param == "fit.png":
        monkeypatch.setattr(matplotlib.figure.Figure, "savefig", raising)
    else:
        monkeypatch.setattr(os, "replace", _until(request.param))
    return request.param


def _until(name, replace=os.replace):
    return lambda old, new: raising() if str(new).endswith(name) else replace(old, new)


def test_a_full_disk_leaves_the_draws_and_says_so(files, fake_fit, full_at):  # noqa: F811
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 4
    assert len(answer.stderr.splitlines()) == 1
    assert "the fit is finished" in answer.stderr
    assert "No space left" in answer.stderr
    assert not (files / "out" / "manifest.json").exists()
    kept = "draws.npz" if full_at == "posterior.nc" else "posterior.nc"
    assert f"out/{kept}" in answer.stderr
    assert (files / "out" / kept).exists()
    if kept == "draws.npz":
        with np.load(files / "out" / kept) as draws:
            assert draws["lens.theta_E"].shape == (4, 100)


def test_a_folder_without_room_for_the_draws(files, fake_fit, monkeypatch):  # noqa: F811
    """Then they are in one for temporary files."""
    monkeypatch.setenv("TMPDIR", str(files))
    monkeypatch.setattr("tempfile.tempdir", None)
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda old, new: raising() if "/out/" in str(new) else replace(old, new)
    )
    answer = run(*fit_arguments(files))
    assert answer.exit_code == 4
    (path,) = files.glob("numpyro-lens-*/draws.npz")
    assert str(path) in answer.stderr
    lines = answer.stderr.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["map.npz", "svi.npz"]
    assert len(lines) == 3


def test_a_checkpoint_without_room_says_how_to_go_on(files, fake_fit, monkeypatch):  # noqa: F811
    monkeypatch.setattr(nl, "fit", raising)
    answer = run(*fit_arguments(files, "my_model.py:model", "--checkpoint", files / "kept"))
    assert answer.exit_code == 4
    (line,) = answer.stderr.splitlines()
    assert "No space left" in line
    assert line.endswith(f"numpyro-lens resume {files / 'kept'}")
    assert run(*fit_arguments(files)).exit_code == 2


# --- a folder from elsewhere ---------------------------------------------------------------------


def test_a_model_file_of_a_folder_from_elsewhere_is_not_run(files, fake_fit):  # noqa: F811
    arguments = fit_arguments(files, "my_model.py:model", "--checkpoint", files / "kept")
    assert run(*arguments).exit_code == 0
    shutil.move(files / "kept", files / "moved")
    (files / "my_model.py").write_text("raise SystemExit('the code ran')")
    answer = run("resume", files / "moved")
    assert answer.exit_code == 2
    assert "my_model.py:model. Read that file, and give --trust" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert run("resume", files / "moved", "--trust").exception.code == "the code ran"


def test_a_ready_model_may_come_from_anywhere(files, fake_fit):  # noqa: F811
    arguments = list(fit_arguments(files, "", "--checkpoint", files / "kept"))
    arguments[1] = "epl-shear-sersic"
    assert run(*arguments).exit_code == 0
    shutil.move(files / "kept", files / "moved")
    assert run("resume", files / "moved").exit_code == 0


@pytest.mark.parametrize("part", np.linspace(0.0, 0.99, 7))
def test_a_flipped_byte_of_the_call_is_named(files, fake_fit, part):  # noqa: F811
    assert run(*fit_arguments(files, "my_model.py:model", "--checkpoint", files)).exit_code == 0
    content = bytearray((files / "command.json").read_bytes())
    content[int(part * len(content))] ^= 0x02
    (files / "command.json").write_bytes(content)
    answer = run("resume", files)
    assert answer.exit_code == 2
    assert "command.json' is damaged" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


# --- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.15, 0.6, 1.5, 3.0])
def test_an_interrupt_during_start_up_ends_at_once(files, seconds):  # noqa: F811
    """Seconds of the processor: on a busy machine Python itself may take a second to start."""
    command = [sys.executable, "-m", "numpyro_lens", *map(str, fit_arguments(files))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watched = psutil.Process(process.pid)
    while sum(watched.cpu_times()[:2]) < seconds:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    try:
        error = process.communicate(timeout=30)[1].decode()
    finally:
        process.kill()
    assert time.monotonic() - begin < 2.0
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "interrupted" in error


AT_THE_END = """
import atexit, os, signal
from numpyro_lens import _interrupt, cli
_interrupt.leave_when_interrupted()
atexit.register(os.kill, os.getpid(), signal.SIGINT)
def app(): raise SystemExit(3)
cli.app = app
cli.main()
"""


def test_an_interrupt_after_the_end_changes_nothing():
    done = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (3, b"")


def test_python_runs_the_package():
    command = [sys.executable, "-m", "numpyro_lens", "--version"]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert said.startswith("numpyro-lens 0.")


def test_a_manifest_is_json(files, fake_fit):  # noqa: F811
    assert run(*fit_arguments(files)).exit_code == 0
    assert json.loads((files / "out" / "manifest.json").read_text())["good"]
    assert not (files / "out" / "draws.npz").exists()


def test_a_narrow_terminal_shows_the_names_of_the_parameters():
    from numpyro_lens.cli._fit import _fitting

    columns = nl.infer.diagnostics.SUMMARY
    names = ["lens_light.center_x", "source.n_sersic"]
    summary = pd.DataFrame(np.full((2, 9), 12.345678), columns=columns, index=names)
    assert _fitting(summary, 200) == columns
    assert _fitting(summary, 80) == columns[:7]
    assert _fitting(summary, 70) == [*columns[:5], "r_hat"]
    assert _fitting(summary, 20) == ["mean", "sd", "ess_bulk", "r_hat"]
