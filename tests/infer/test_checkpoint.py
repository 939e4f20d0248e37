import os
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_lens import infer
from numpyro_lens.infer.checkpoint import Checkpoint
from numpyro_lens.infer.hmc import HMC
from numpyro_lens.infer.map import MAP

DATA = jnp.array([0.3, -0.2, 1.1])
SETTINGS = HMC(num_chains=4, num_burnin_steps=40, num_results=60, max_results=60, block=20)


def model(data):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.LogNormal(0.0, 0.5))
    numpyro.sample("y", dist.Normal(mu, sigma), obs=data)


@pytest.fixture(scope="module")
def sequence():
    return infer.ModellingSequence.from_model(model, DATA)


def fit(sequence, folder=None, hmc=SETTINGS, seed=0):
    small = MAP(num_starts=4, num_screened=20, num_steps=25, num_polished=1)
    return sequence.fit(seed, map=small, hmc=hmc, progress=False, checkpoint=folder)


@pytest.fixture(scope="module")
def unbroken(sequence):
    return fit(sequence)


def break_after(monkeypatch, number, action):
    """Let ``action`` happen once ``number`` blocks of the chains have been written."""
    write, written = Checkpoint.write, []

    def write_and_break(self, progress):
        write(self, progress)
        written.append(progress)
        if len(written) == number:
            action()

    monkeypatch.setattr(Checkpoint, "write", write_and_break)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("blocks", [1, 4], ids=["burn-in", "sampling"])
def test_a_broken_run_goes_on_with_the_same_draws(
    blocks, sequence, unbroken, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        break_after(patch, blocks, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(sequence, tmp_path)
    monkeypatch.setattr(MAP, "run", None)  # MAP and SVI come from the folder
    result = fit(sequence, tmp_path)
    np.testing.assert_array_equal(result.z, unbroken.z)
    assert result.num_gradients == unbroken.num_gradients
    np.testing.assert_array_equal(result.map.params, unbroken.map.params)
    assert result.map.basins == unbroken.map.basins


def test_a_killed_process_goes_on_with_the_same_draws(sequence, unbroken, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "import test_checkpoint as t; t.fit_and_be_killed(sys.argv[1])"
    )
    here = os.path.dirname(__file__)
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), here], capture_output=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    np.testing.assert_array_equal(fit(sequence, tmp_path).z, unbroken.z)


def fit_and_be_killed(folder):
    patch = pytest.MonkeyPatch()
    break_after(patch, 4, lambda: os.kill(os.getpid(), signal.SIGKILL))
    fit(infer.ModellingSequence.from_model(model, DATA), folder)


def test_more_draws_of_a_finished_run(sequence, unbroken, tmp_path):
    fit(sequence, tmp_path)
    more = HMC(num_chains=4, num_burnin_steps=40, num_results=100, max_results=100, block=20)
    result = fit(sequence, tmp_path, more)
    assert len(result) == 100
    np.testing.assert_array_equal(result.z[:, :60], unbroken.z)


def test_another_run_is_refused(sequence, tmp_path):
    fit(sequence, tmp_path)
    other = infer.ModellingSequence.from_model(model, DATA + 1.0)
    with pytest.raises(ValueError, match=r"its data is .* or another folder"):
        fit(other, tmp_path)
    with pytest.raises(ValueError, match="its key is"):
        fit(sequence, tmp_path, seed=1)
    with pytest.raises(ValueError, match="its num_chains is 4, this one's is 8"):
        fit(sequence, tmp_path, HMC(num_chains=8, num_burnin_steps=40))


def test_numpyro_kernels_have_no_checkpoint(sequence, tmp_path):
    with pytest.raises(ValueError, match=r"leave `checkpoint` out"):
        fit(sequence, tmp_path, HMC(kernel=numpyro.infer.NUTS))


def test_time_is_up(sequence):
    settings = HMC(num_chains=4, num_burnin_steps=40, block=20, max_seconds=0.0)
    assert len(fit(sequence, hmc=settings)) == 20


def test_no_half_file_is_left(sequence, tmp_path, monkeypatch):
    def half(path, **_arrays):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="disk full"):
        fit(sequence, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"map.nc", "svi.nc"}
