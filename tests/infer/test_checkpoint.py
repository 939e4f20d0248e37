import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from checkpoints import break_after, interrupt

from numpyro_lens import infer
from numpyro_lens.infer import HMC, MAP, SVI, fingerprint
from numpyro_lens.infer.checkpoint import Checkpoint

DATA = jnp.array([0.3, -0.2, 1.1])
SETTINGS = HMC(num_chains=4, num_burnin_steps=40, num_results=60, max_results=60, block=20)
SMALL = MAP(num_starts=4, num_screened=20, num_steps=25, num_polished=1)


def model(data, loc=0.0):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.LogNormal(0.0, 0.5))
    numpyro.sample("y", dist.Normal(mu + loc, sigma), obs=data)


def fit(folder=None, hmc=SETTINGS, seed=0, model=model, args=(DATA, 0.0), **settings):
    settings = {"map": SMALL, "hmc": hmc, "progress": False, "checkpoint": folder} | settings
    return infer.fit(model, *args, seed=seed, **settings)


@pytest.fixture(scope="module")
def unbroken():
    return fit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a finished run; whoever is refused leaves it as it is."""
    folder = tmp_path_factory.mktemp("finished")
    fit(folder)
    return folder


@pytest.mark.parametrize("blocks", [1, 4], ids=["burn-in", "sampling"])
def test_a_broken_run_goes_on_with_the_same_draws(blocks, unbroken, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        break_after(patch, blocks, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    monkeypatch.setattr(MAP, "run", None)  # MAP and SVI come from the folder
    result = fit(tmp_path)
    np.testing.assert_array_equal(result.z, unbroken.z)
    assert result.num_gradients == unbroken.num_gradients
    np.testing.assert_array_equal(result.map.params, unbroken.map.params)
    assert result.map.basins == unbroken.map.basins


def test_a_killed_process_goes_on_with_the_same_draws(unbroken, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "import test_checkpoint as t; t.fit_and_be_killed(sys.argv[1])"
    )
    here = os.path.dirname(__file__)
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), here], capture_output=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    np.testing.assert_array_equal(fit(tmp_path).z, unbroken.z)


def fit_and_be_killed(folder):
    patch = pytest.MonkeyPatch()
    break_after(patch, 4, lambda: os.kill(os.getpid(), signal.SIGKILL))
    fit(folder)


def test_a_finished_run_is_read_and_not_run_again(folder, unbroken, monkeypatch):
    for stage in (MAP, SVI):
        monkeypatch.setattr(stage, "run", None)
    monkeypatch.setattr(Checkpoint, "write", None)
    np.testing.assert_array_equal(fit(folder).z, unbroken.z)


def test_more_draws_of_a_finished_run(unbroken, tmp_path):
    fit(tmp_path)
    more = HMC(num_chains=4, num_burnin_steps=40, num_results=100, max_results=100, block=20)
    result = fit(tmp_path, more)
    assert len(result) == 100
    np.testing.assert_array_equal(result.z[:, :60], unbroken.z)


# --- what is another run -------------------------------------------------------------------------


def other_prior(data, loc=0.0):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0 + 1e-3))
    sigma = numpyro.sample("sigma", dist.LogNormal(0.0, 0.5))
    numpyro.sample("y", dist.Normal(mu + loc, sigma), obs=data)


def other_family(data, loc=0.0):
    mu = numpyro.sample("mu", dist.Logistic(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.LogNormal(0.0, 0.5))
    numpyro.sample("y", dist.Normal(mu + loc, sigma), obs=data)


def other_noise(data, loc=0.0):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.LogNormal(0.0, 0.5))
    numpyro.sample("y", dist.Normal(mu + loc, 1.001 * sigma), obs=data)


def other_name(data, loc=0.0):
    nu = numpyro.sample("nu", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.LogNormal(0.0, 0.5))
    numpyro.sample("y", dist.Normal(nu + loc, sigma), obs=data)


CHANGES = {
    "data": ({"args": (DATA + 1.0, 0.0)}, r"its arguments: \[0\] is .* or another folder"),
    "one datum": ({"args": (DATA.at[1].add(1e-6), 0.0)}, r"its arguments: \[0\] is"),
    "shape": ({"args": (DATA[:, None], 0.0)}, r"\[0\] is 'float32\[3\].* is 'float32\[3, 1\]"),
    "argument": ({"args": (DATA, 0.1)}, r"its arguments: \[1\] is"),
    "no argument": ({"args": (DATA,)}, r"its arguments: \[1\] is .*, this one's is None"),
    "prior": ({"model": other_prior}, r"its priors: mu: scale is \[1\.0\]"),
    "prior family": ({"model": other_family}, "its priors: mu: type is 'Normal'"),
    "site": ({"model": other_name}, "its priors: nu"),
    "likelihood": ({"model": other_noise}, "its log density at fixed points is"),
    "seed": ({"seed": 1}, "its key is"),
    "starts": (
        {"map": dataclasses.replace(SMALL, num_starts=5)},
        "its settings: num_starts is 4, this one's is 5",
    ),
    "rate of MAP": (
        {"map": dataclasses.replace(SMALL, optimizer=optax.adam(1e-2))},
        "its settings: optimizer is None",
    ),
    "particles": ({"svi": SVI(num_particles=8)}, "its settings: num_particles is 24"),
    "chains": (
        {"hmc": HMC(num_chains=8, num_burnin_steps=40)},
        "its num_chains is 4, this one's is 8",
    ),
    "kernel": (
        {"hmc": dataclasses.replace(SETTINGS, kernel=infer.CrossChain(jitter=0.3))},
        "its kernel: jitter is 0.5",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_is_refused_and_what_differs_is_named(change, folder):
    settings, message = CHANGES[change]
    with pytest.raises(ValueError, match=message):
        fit(folder, **settings)


@pytest.mark.parametrize("stage", ["map", "svi"])
def test_another_rate_of_an_optimiser_is_refused(stage, tmp_path):
    """Two optimisers have one and the same name: what they do is compared."""
    stages = {"map": SMALL, "svi": SVI(num_steps=25)}

    def run(rate):
        changed = dataclasses.replace(stages[stage], optimizer=optax.adam(rate))
        fit(tmp_path, **stages | {stage: changed})

    run(1e-2)
    with pytest.raises(ValueError, match="its settings: optimizer"):
        run(1.01e-2)


def test_another_gaussian_to_start_from_is_refused(tmp_path, unbroken):
    target, key = unbroken.target, jax.random.key(4)
    run = {"progress": False, "checkpoint": tmp_path}
    SETTINGS.run(target, key, svi=unbroken.svi, **run)
    wider = dataclasses.replace(unbroken.svi, scale_tril=1.001 * unbroken.svi.scale_tril)
    with pytest.raises(ValueError, match="its svi is"):
        SETTINGS.run(target, key, svi=wider, **run)
    moved = dataclasses.replace(unbroken.svi, mean=unbroken.svi.mean + np.float32(1e-3))
    with pytest.raises(ValueError, match="its svi is"):
        SETTINGS.run(target, key, svi=moved, **run)


@pytest.mark.parametrize(("relative", "accepted"), [(3e-7, True), (1e-3, False)])
def test_densities_may_differ_by_rounding(relative, accepted, folder, unbroken, monkeypatch):
    """Another device, another version of a compiler: the same run."""
    evaluate = fingerprint.evaluate

    def rounded(log_density, z):
        value, gradient = evaluate(log_density, z)
        return value * (1.0 + relative), gradient

    monkeypatch.setattr(fingerprint, "evaluate", rounded)
    if accepted:
        np.testing.assert_array_equal(fit(folder).z, unbroken.z)
    else:
        with pytest.raises(ValueError, match="its log density at fixed points is"):
            fit(folder)


def test_a_narrow_prior_far_from_zero_is_compared_on_its_own_scale(tmp_path):
    """The mean does not lend its size to the spread."""
    priors = [{"mu": {"type": "Normal", "values": [[1000.0], [s]]}} for s in (0.01, 0.011)]
    old, new = ({"dtype": "float32", "priors": prior} for prior in priors)
    fingerprint.check_same(tmp_path, old, old)
    with pytest.raises(ValueError, match=r"its priors: mu: values\[1\] is \[0\.01\]"):
        fingerprint.check_same(tmp_path, old, new)


def test_the_case_of_version_0_1(tmp_path):
    """The folder of one prior gave its mode, 0.8, to a prior at 100."""

    def around(loc, scale):
        def model(y):
            mu = numpyro.sample("mu", dist.Normal(loc, scale))
            numpyro.sample("y", dist.Normal(mu, 0.5), obs=y)

        return model

    def stop(_stage, _result):
        raise KeyboardInterrupt

    settings = {"args": (DATA,), "callback": stop}
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, model=around(0.0, 1.0), **settings)
    with pytest.raises(ValueError, match="its priors: mu"):
        fit(tmp_path, model=around(100.0, 0.01), **settings)


# --- the folder ----------------------------------------------------------------------------------


def test_numpyro_kernels_have_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"leave `checkpoint` out"):
        fit(tmp_path, HMC(kernel=numpyro.infer.NUTS))


def test_time_is_up():
    settings = HMC(num_chains=4, num_burnin_steps=40, block=20, max_seconds=0.0)
    assert len(fit(hmc=settings)) == 20


def test_no_half_file_is_left(tmp_path, monkeypatch):
    def half(path, **_arrays):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="disk full"):
        fit(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"map.nc", "svi.nc"}


@pytest.mark.parametrize("name", ["map.nc", "svi.nc", "state.npz", "block_00001.npz"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_byte_is_an_error_that_names_the_file(folder, tmp_path, name, part):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    content = bytearray((tmp_path / name).read_bytes())
    content[int(part * (len(content) - 1))] ^= 0x20
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}' is damaged"):
        fit(tmp_path)


def test_a_missing_block_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "block_00001.npz").unlink()
    with pytest.raises(ValueError, match=r"block_00001\.npz' is missing"):
        fit(tmp_path)
