"""Which lens goes to which worker."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from numpyro_lens.fleet import queue
from numpyro_lens.fleet.queue import WINDOW, Dispatch, dispatch, shape_of
from numpyro_lens.fleet.rows import read_row
from numpyro_lens.fleet.table import Lens
from numpyro_lens.fleet.worker import MAX_SHAPES, folder_of, part_of


def lens(name, size):
    return Lens(name, np.broadcast_to(0.0, (size, size)))


def names(state, worker, num):
    return [state.next_for(worker).name for _ in range(num)]


def test_a_worker_keeps_the_shape_that_it_has_compiled():
    mixed = [lens(f"{size}{i}", size) for i in range(3) for size in (4, 5)]
    state = Dispatch(iter(mixed))
    assert names(state, "first", 1) == ["40"]
    assert names(state, "second", 1) == ["50"]
    assert names(state, "first", 2) == ["41", "42"]
    assert names(state, "second", 2) == ["51", "52"]
    assert state.next_for("first") is None


def test_an_idle_worker_helps_with_the_other_shape():
    state = Dispatch(iter([lens("a", 4), lens("b", 5), lens("c", 5)]))
    assert names(state, "first", 1) + names(state, "second", 1) + names(state, "first", 1) == [
        *("a", "b", "c")
    ]
    assert len(state.compiled["first"]) == 2


def test_only_a_window_of_the_lenses_is_held():
    taken = []

    def many():
        for i in range(100_000):
            taken.append(i)
            yield lens(str(i), 4)

    state = Dispatch(many())
    state.next_for("first")
    assert len(taken) == WINDOW


def test_a_worker_forgets_shapes_as_the_process_does():
    state = Dispatch(iter([lens(str(i), 4 + i) for i in range(MAX_SHAPES + 1)]))
    names(state, "first", MAX_SHAPES)
    assert len(state.compiled["first"]) == MAX_SHAPES
    names(state, "first", 1)
    assert len(state.compiled["first"]) == 1


def test_a_lens_that_lost_its_worker_is_the_next():
    state = Dispatch(iter([lens("a", 4), lens("b", 4)]))
    one = state.next_for("first")
    future = SimpleNamespace(key="key", cancel=lambda: None)
    state.running["key"] = SimpleNamespace(lens=one, worker="first", attempt=1, future=future)
    (run,) = state.lose(["first"])
    assert not state.running
    assert "first" not in state.compiled
    state.put_back(run.lens)
    assert names(state, "second", 2) == ["a", "b"]


class Workers:
    """A client whose one worker never ends the lens of a given name."""

    def __init__(self, hangs, restarted="OK"):
        self.hangs, self.restarted, self.calls = hangs, restarted, []

    def nthreads(self):
        return {"worker": 1}

    def submit(self, _function, lens, *_, key, **__):
        hangs = lens.name == self.hangs
        future = SimpleNamespace(
            key=key,
            done=lambda: not hangs,
            cancel=lambda: self.calls.append("cancel"),
            result=lambda: {"name": lens.name, "verdict": "good", "reason": ""},
        )
        future.add_done_callback = lambda tell: None if hangs else tell(future)
        return future

    def restart_workers(self, workers, **_):
        self.calls.append(workers)
        return dict.fromkeys(workers, self.restarted)

    def cancel(self, futures, **_):
        assert futures == []


def test_a_lens_that_takes_too_long_is_a_row_and_its_worker_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "_INTERVAL", 0.01)
    part_of(tmp_path, "a", 1).mkdir(parents=True)
    (part_of(tmp_path, "a", 1) / "posterior.nc").touch()
    client = Workers(hangs="a")
    lenses = [lens("a", 4), lens("b", 4)]
    late, good = dispatch(client, lenses, None, tmp_path, attempts=3, timeout=0.05)
    assert client.calls == ["cancel", ["worker"]]
    assert (late["name"], late["verdict"], good["name"]) == ("a", "failed", "b")
    assert late["reason"].startswith("it took longer than timeout=0.05 seconds")
    assert late["seconds"] > 0.05
    assert read_row(folder_of(tmp_path, "a"))["reason"] == late["reason"]
    assert [path.name for path in folder_of(tmp_path, "a").iterdir()] == ["row.json"]


def test_a_worker_that_nobody_starts_anew_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "_INTERVAL", 0.01)
    client = Workers("a", restarted="removed")
    with pytest.warns(UserWarning, match="without --no-nanny"):
        list(dispatch(client, [lens("a", 4)], None, tmp_path, timeout=0.05))


def test_a_fleet_without_workers_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "_INTERVAL", 0.01)
    client = Workers(hangs="a")
    monkeypatch.setattr(client, "nthreads", dict)
    with pytest.raises(RuntimeError, match=r"for 0\.05 seconds, and lenses wait\. Look"):
        list(dispatch(client, [lens("a", 4)], None, tmp_path, patience=0.05))


def test_the_shape_is_that_of_the_cutout_or_of_the_file(tmp_path):
    for name, size in (("a", 8), ("b", 8), ("c", 9)):
        fits.PrimaryHDU(np.zeros((size, size))).writeto(tmp_path / f"{name}.fits")
    a, b, c, d = (shape_of(Lens(name, str(tmp_path / f"{name}.fits[0]"))) for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    cut = [shape_of(Lens("a", "a", {"cutout": 40, "supersampling": s})) for s in (2, 2, 3)]
    assert cut[0] == cut[1] != cut[2]
