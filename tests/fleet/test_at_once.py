"""Several lenses of a worker at once."""

import time
import warnings
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from instant_fit import Fit
from test_queue import Workers, lens

import numpyro_lens as nl
from numpyro_lens import fitting
from numpyro_lens.density.dynamic_batching import DynamicBatch, batch_size, compiled
from numpyro_lens.fleet import cluster, queue
from numpyro_lens.fleet.queue import Dispatch, dispatch


def model(observation):
    raise AssertionError("a stand-in fits")


@compiled()
def _brightest(image):
    return jnp.max(image)


@pytest.fixture
def slow_fits(fake_fit, monkeypatch):
    """A fit that evaluates, warns and fails as the image tells it; how many fits ran at once."""
    sizes, begun = [], []
    evaluate = DynamicBatch._evaluate_most

    def counting(self):
        before = len(self._waiting)
        evaluate(self)
        sizes.append(before - len(self._waiting))

    def fit(model, observation, *, seed, progress):
        begun.append(batch_size())
        deadline = time.monotonic() + 60.0
        while len(begun) < 3 and time.monotonic() < deadline:  # a call lets others arrive
            _brightest(observation.image)
        value = 0.0
        for _ in range(4):
            value = float(_brightest(observation.image))
        warnings.warn(f"of {value:.0f}", stacklevel=1)
        if value == 2.0:
            raise RuntimeError("two")
        return Fit(observation, seed)

    monkeypatch.setattr(DynamicBatch, "_evaluate_most", counting)
    monkeypatch.setattr(fitting, "fit", fit)
    return SimpleNamespace(sizes=sizes, begun=begun)


def test_lenses_of_a_worker_are_evaluated_together(tmp_path, three_threads, slow_fits):
    images = [np.full((8, 8), float(number)) for number in range(1, 6)]
    found = nl.fit_many(
        *(model, images, tmp_path, three_threads),
        lenses_per_worker=3,
        read={"pixel_scale": 0.1, "noise": nl.NoiseMap(1.0)},
        progress=False,
    )
    assert list(found["verdict"]) == ["good", "failed", "good", "good", "good"]
    assert found["reason"][1] == "RuntimeError: two"
    assert slow_fits.begun == [3] * 5
    assert max(slow_fits.sizes) == 3
    for number, warned in enumerate(found["warnings"], 1):  # each its own
        assert [part for part in warned.split("; ") if part.startswith("of ")] == [f"of {number}"]


def test_room_is_filled_evenly():
    state = Dispatch(iter(()), at_once=2)
    assert state.places(["one", "two"]) == ["one", "two", "one", "two"]
    state.running = {"key": SimpleNamespace(worker="one")}
    assert state.places(["one", "two"]) == ["two", "one", "two"]


def test_a_lens_that_shared_the_worker_of_a_late_one_is_fitted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "_INTERVAL", 0.01)
    client = Workers(hangs="a")
    submit, begun = client.submit, []

    def hang_once(function, lens, *others, key, **more):
        begun.append(lens.name)
        client.hangs = "b" if lens.name == "b" and begun.count("b") == 1 else "a"
        if lens.name == "b" and begun.count("b") == 1:  # it begins later than "a"
            for run in state[0].running.values():
                object.__setattr__(run, "began", run.began - 10.0)
        return submit(function, lens, *others, key=key, **more)

    state, original = [], Dispatch.places

    def places(self, workers):
        state[:] = [self]
        return original(self, workers)

    monkeypatch.setattr(Dispatch, "places", places)
    client.submit = hang_once
    rows = list(
        dispatch(client, [lens("a", 4), lens("b", 4)], None, tmp_path, at_once=2, timeout=5.0)
    )
    assert {row["name"]: row["verdict"] for row in rows} == {"a": "failed", "b": "good"}
    assert begun == ["a", "b", "b"]


def test_workers_need_threads(tmp_path, client):
    with pytest.raises(ValueError, match="--nthreads 4"):
        nl.fit_many(
            *(model, [np.ones((8, 8))], tmp_path, client),
            lenses_per_worker=4,
            read={"pixel_scale": 0.1, "noise": nl.NoiseMap(1.0)},
            progress=False,
        )


def test_a_worker_has_at_least_one_lens(tmp_path):
    with pytest.raises(ValueError, match="at least 1; got 0"):
        nl.fit_many(model, [np.ones((8, 8))], tmp_path, lenses_per_worker=0)


def test_an_accelerator_has_several_lenses_by_default(client, monkeypatch):
    monkeypatch.setattr(cluster, "accelerators", lambda: ["0"])
    assert cluster.default_at_once(None) == 16
    assert cluster.default_at_once(client) == 1
    monkeypatch.setattr(cluster, "accelerators", list)
    assert cluster.default_at_once(None) == 1
