"""Workers that are processes: spawned, set up before JAX starts, and killed."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import dask
import numpy as np
import pytest
import sleeper

import numpyro_lens as nl
from numpyro_lens.fleet import cluster, queue

#: a model file that fits nothing, but does to its process what the name of the lens says
STAND_IN = """
import os, signal, sys, time
sys.path.insert(0, TESTS)
sys.path.insert(0, TESTS + "/fleet")
import jax
from instant_fit import Fit
from numpyro_lens import fitting
from pathlib import Path


def fit(model, observation, what, *, seed, progress):
    here = Path(__file__).parent
    if what == "dies" or (what == "dies once" and not (here / "died").exists()):
        (here / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "waits":
        (here / "waits").touch()
        time.sleep(600)
    observation.image.block_until_ready()
    assert len(jax.devices()) == len(os.sched_getaffinity(0)), "cores"
    return Fit(observation, seed)


fitting.fit = fit


def model(observation, what):
    pass
"""
READ = {"noise": "RMS", "pixel_scale": 0.1}


@pytest.fixture
def fleet(files):
    """A table whose lenses do what they are called, and the model file."""
    tests = os.path.dirname(os.path.dirname(__file__))
    (files / "stand_in.py").write_text(STAND_IN.replace("TESTS", repr(tests)))

    def call(*what):
        lines = [f"lens {i},lens{i % 3}.fits,{word}" for i, word in enumerate(what)]
        (files / "lenses.csv").write_text("\n".join(["name,file,what", *lines]) + "\n")
        return f"{files}/stand_in.py:model", files / "lenses.csv", files / "out"

    return call


def test_each_worker_has_cores_of_its_own(monkeypatch):
    monkeypatch.setattr(cluster, "available_cores", lambda: [2, 3, 5, 7])
    monkeypatch.setattr(cluster, "accelerators", list)
    assert cluster.environments() == {
        f"cores-{i}": {"NUMPYRO_LENS_CORES": str(core)} for i, core in enumerate((2, 3, 5, 7))
    }
    assert cluster.environments(cores=2)["cores-1"] == {"NUMPYRO_LENS_CORES": "5,7"}
    with pytest.raises(ValueError, match=r"3 of 2 are more than the 4 there are\. Give workers=2"):
        cluster.environments(3, 2)


def test_each_worker_has_an_accelerator_of_its_own(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "jax_cuda12_plugin")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert list(cluster.environments().values()) == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "3"},
    ]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert cluster.accelerators() == []


def test_a_script_without_a_main_part_is_told(monkeypatch):
    import multiprocessing

    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_inheriting", True, raising=False)
    with pytest.raises(RuntimeError, match='if __name__ == "__main__"'):
        nl.fit_many("galaxy", ["lens.fits"], "out")


@pytest.mark.slow
def test_a_killed_worker_takes_no_other_lens_with_it(fleet, files):
    what = ("fits", "dies", "dies once", "fits")
    settings = {"workers": 1, "read": READ, "attempts": 2, "progress": False}
    # As on a machine so busy that no worker is back before Dask would give it up.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "0s"}):
        found = nl.fit_many(*fleet(*what), **settings)
    assert list(found["verdict"]) == ["good", "failed", "good", "good"]
    assert found["reason"][1].startswith("its worker died 2 times")
    assert list(found["attempts"]) == [1, 2, 2, 1]
    assert {path.name for path in (files / "out/lenses/lens 1").iterdir()} == {"row.json"}


@pytest.mark.slow
def test_a_lens_that_takes_too_long_stops_no_other(tmp_path, monkeypatch):
    """Its process is ended, and another begins; what is run there imports next to nothing."""
    monkeypatch.setattr(queue, "fit_lens", sleeper.row_of)
    lenses = [
        SimpleNamespace(name=name, data=np.zeros((4, 4)), bands=None, reading={})
        for name in ("sleeps", "fits")
    ]
    with cluster.local_client(workers=1) as client:
        # Dask's profiler would keep a tree of calls for every second of every lens.
        assert not any(
            client.run(lambda dask_worker: "profile" in dask_worker.periodic_callbacks).values()
        )
        late, good = queue.dispatch(client, lenses, None, tmp_path, timeout=10.0)
    assert late["reason"].startswith("it took longer than timeout=10 seconds")
    assert (late["verdict"], good["verdict"]) == ("failed", "good")
    assert not os.path.exists(f"/proc/{(tmp_path / 'sleeps').read_text()}")
    assert good["worker"] != (tmp_path / "sleeps").read_text()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(fleet, files):
    model, table, out = fleet("fits", "waits")
    options = ["--noise", "RMS", "--pixel-scale", "0.1", "--workers", "1", "--out", out]
    command = [sys.executable, "-m", "numpyro_lens", "fleet", model, table, *options]
    process = subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (files / "waits").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("numpyro-lens: interrupted; what is finished is kept")
    assert "Traceback" not in said
    assert sorted(path.name for path in (out / "lenses").iterdir()) == ["lens 0"]
    assert (out / "fleet.parquet").exists()
