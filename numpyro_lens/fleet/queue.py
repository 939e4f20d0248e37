"""Which lens goes to which worker: to one that has a place free, and has compiled its shape."""

import queue
import shutil
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from astropy.io import fits

from numpyro_lens.fleet.rows import COLUMNS, Row, is_fitted, read_row
from numpyro_lens.fleet.table import Lens
from numpyro_lens.fleet.worker import MAX_SHAPES, Stored, fit_lens, folder_of, leave, part_of
from numpyro_lens.io.extensions import split_file
from numpyro_lens.observation import Observation

if TYPE_CHECKING:
    from distributed import Client, Future

#: Lenses that are looked at for one of a compiled shape; the others wait in the table.
WINDOW = 256
#: Seconds after which the workers are counted again.
_INTERVAL = 0.5
#: Seconds within which a worker that was ended should be back.
_RESTART = 60.0
_DIED = (
    "its worker died {} times while it was fitted. Out of memory? Give fewer workers, or look at "
    "the log of the system."
)
_LATE = (
    "it took longer than timeout={:g} seconds, and its worker was started anew. Give a longer "
    "timeout and call again."
)
_NOBODY = (
    "no worker has been there for {:g} seconds, and lenses wait. Look at the log of the workers, "
    "and call again: what is finished is kept."
)
_NO_RETURN = (
    "{} did not come back after a lens that took longer than timeout allows: a worker is started "
    "anew by Dask's nanny. Start `dask worker` without --no-nanny."
)


class Event(NamedTuple):
    """What has happened to a lens.

    Attributes:
        kind: ``"began"``, ``"ended"``, or ``"lost"`` with its worker.
        name: of the lens.
        worker: address of the worker.
        row: of a lens that ended.
    """

    kind: str
    name: str
    worker: str
    row: Row | None = None


@dataclass(frozen=True)
class _Running:
    lens: Lens
    worker: str
    attempt: int
    future: "Future"
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it runs."""
        return time.monotonic() - self.began


@dataclass
class Dispatch:
    """The lenses that wait and those that run.

    A worker has as many lenses as it fits at once, and no other waits there: a fit takes so long
    that asking for the next does not count, and a worker that is lost takes no other with it.

    Attributes:
        waiting: lenses not begun.
        window: those of them that are looked at.
        compiled: shapes by the worker that has compiled them.
        lost: how often each lens lost its worker.
        running: by the key of the future.
        at_once: lenses of each worker at the same time.
    """

    waiting: Iterator[Lens]
    window: deque[tuple[Lens, Hashable]] = field(default_factory=deque)
    compiled: dict[str, set[Hashable]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    running: dict[str, _Running] = field(default_factory=dict)
    at_once: int = 1

    def places(self, workers: Iterable[str]) -> list[str]:
        """Workers that have room for a lens, as often as they do; those with most room first."""
        busy = Counter(run.worker for run in self.running.values())
        free = [
            (busy[name] + n, name) for name in workers for n in range(self.at_once - busy[name])
        ]
        return [name for _, name in sorted(free)]

    def next_for(self, worker: str) -> Lens | None:
        """The lens that a worker should take; None where no lens waits."""
        if not self.any_wait():
            return None
        index = self._best(self.compiled.setdefault(worker, set()))
        lens, shape = self.window[index]
        del self.window[index]
        self._compile(worker, shape)
        return lens

    def any_wait(self) -> bool:
        """Whether there is a lens to begin."""
        more = islice(self.waiting, max(0, WINDOW - len(self.window)))
        self.window.extend((lens, shape_of(lens)) for lens in more)
        return bool(self.window)

    def _best(self, own: set[Hashable]) -> int:
        """The first of a shape compiled there; or else nowhere; or else the first."""
        anywhere = set().union(*self.compiled.values())
        for wanted in (lambda s: s in own, lambda s: s not in anywhere):
            for index, (_, shape) in enumerate(self.window):
                if wanted(shape):
                    return index
        return 0

    def _compile(self, worker: str, shape: Hashable) -> None:
        own = self.compiled[worker]
        if shape not in own and len(own) >= MAX_SHAPES:
            own.clear()  # as the worker does
        own.add(shape)

    def put_back(self, lens: Lens) -> None:
        """Let a lens be the next one."""
        self.window.appendleft((lens, shape_of(lens)))

    def late(self, timeout: float) -> set[str]:
        """Workers whose lens has taken longer than a number of seconds, and does not end."""
        runs = self.running.values()
        return {run.worker for run in runs if run.seconds > timeout and not run.future.done()}

    def lose(self, workers: Iterable[str]) -> list[_Running]:
        """Forget workers that are gone; returns what ran there, which is cancelled."""
        gone = set(workers)
        found = [run for run in self.running.values() if run.worker in gone]
        for run in found:
            del self.running[run.future.key]
            run.future.cancel()
        for worker in gone:
            self.compiled.pop(worker, None)
        return found


def shape_of(lens: Lens) -> Hashable:
    """What decides whether a compiled function serves a lens, as far as can be seen at once."""
    data = next(iter(lens.data.values())) if isinstance(lens.data, dict) else lens.data
    reading = lens.reading
    cut = reading.get("cutout")
    shape = (cut, cut) if cut is not None else _size(data)
    others = [str(reading.get(name)) for name in ("supersampling", "psf", "psf_sampling")]
    return shape, lens.bands, *others


def _size(data: Any) -> tuple[int, ...]:
    if isinstance(data, Observation) or hasattr(data, "shape"):
        return tuple(data.shape)
    file, _ = split_file(str(data)) or (str(data), None)
    try:
        with warnings.catch_warnings(), fits.open(file, memmap=True) as hdus:
            warnings.simplefilter("ignore")
            return tuple(size for hdu in islice(hdus, 2) for size in getattr(hdu, "shape", ()))
    except Exception:  # no file, or none that can be read: the worker will say so
        return ()


def dispatch(
    client: "Client",
    lenses: Iterable[Lens],
    stored: Stored,
    out: Path,
    *,
    at_once: int = 1,
    attempts: int = 3,
    timeout: float | None = None,
    patience: float = float("inf"),
    watch: Callable[[Event], Any] = lambda _event: None,
) -> Iterator[Row]:
    """Fit lenses on the workers of a client.

    Args:
        client: of Dask; workers may come and go.
        lenses: to fit.
        stored: the recipe.
        out: folder of the fleet.
        at_once: lenses of each worker at the same time, on threads of it.
        attempts: how often a lens is begun whose worker dies.
        timeout: seconds after which a lens is given up; None is never.
        patience: seconds without any worker after which to give up; by default they may take as
            long to come as they like.
        watch: told of every event, and called with the event ``"waits"`` now and then.

    Yields:
        The row of each lens, as they end.

    Raises:
        RuntimeError: there was no worker for longer than that.
    """
    state = Dispatch(iter(lenses), at_once=at_once)
    ended: queue.Queue[Future] = queue.Queue()
    seen = time.monotonic()
    try:
        while state.any_wait() or state.running:
            if timeout is not None:
                yield from _after_timeout(state, client, out, timeout, watch)
            present = set(client.nthreads())
            seen = time.monotonic() if present else seen
            if time.monotonic() - seen > patience:
                raise RuntimeError(_NOBODY.format(patience))
            yield from _after_losses(state, present, out, attempts, watch)
            _begin_where_idle(state, client, present, stored, out, ended, watch)
            yield from _next_rows(state, ended, out, watch, len(present))
    finally:
        client.cancel([run.future for run in state.running.values()], force=True)


def _begin_where_idle(
    state: Dispatch,
    client: "Client",
    present: set[str],
    stored: Stored,
    out: Path,
    ended: "queue.Queue[Future]",
    watch: Callable[[Event], Any],
) -> None:
    for worker in state.places(present):
        lens = state.next_for(worker)
        if lens is None:
            return
        attempt = state.lost.get(lens.name, 0) + 1
        future = client.submit(
            *(fit_lens, lens, stored, str(out.resolve()), attempt, state.at_once),
            workers=[worker],
            pure=False,
            key=f"fit-{lens.name}-{attempt}-{id(state)}",
        )
        state.running[future.key] = _Running(lens, worker, attempt, future)
        watch(Event("began", lens.name, worker))
        future.add_done_callback(ended.put)


def _next_rows(
    state: Dispatch,
    ended: "queue.Queue[Future]",
    out: Path,
    watch: Callable[[Event], Any],
    present: int,
) -> Iterator[Row]:
    """The rows of what has ended, after at most a moment."""
    futures = []
    try:
        futures.append(ended.get(timeout=_INTERVAL))
        while True:
            futures.append(ended.get_nowait())
    except queue.Empty:
        watch(Event("waits", "", f"{present} workers"))
    for future in futures:
        run = state.running.pop(future.key, None)
        if run is not None:  # and not given up
            row = _row_of(run, future, out)
            watch(Event("ended", run.lens.name, run.worker, row))
            yield row


def _row_of(run: _Running, future: "Future", out: Path) -> Row:
    """What the worker returned; it raises nothing, but Dask may, say, without this package."""
    try:
        row: Row = future.result()
    except Exception as error:
        row = _failed(run, f"{type(error).__name__}: {error}", out)
    return row


def _failed(run: _Running, reason: str, out: Path) -> Row:
    """The row of a lens whose worker cannot leave one."""
    told = {"name": run.lens.name, "worker": run.worker, "attempts": run.attempt}
    told |= {"seconds": run.seconds, "reason": " ".join(reason.split())}
    row = COLUMNS | told
    return leave(out, part_of(out, run.lens.name, run.attempt), row)


def _after_losses(
    state: Dispatch,
    present: set[str],
    out: Path,
    attempts: int,
    watch: Callable[[Event], Any],
) -> Iterator[Row]:
    """Put the lenses of workers that are gone back; the rows of those that lost too many."""
    known = {run.worker for run in state.running.values()} | set(state.compiled)
    for run in state.lose(known - present):
        state.lost[run.lens.name] = run.attempt
        watch(Event("lost", run.lens.name, run.worker))
        row = _left(run, out)
        if row is None and run.attempt < attempts:
            state.put_back(run.lens)
            continue
        row = row or _failed(run, _DIED.format(run.attempt), out)
        watch(Event("ended", run.lens.name, run.worker, row))
        yield row


def _after_timeout(
    state: Dispatch,
    client: "Client",
    out: Path,
    timeout: float,
    watch: Callable[[Event], Any],
) -> Iterator[Row]:
    """Give up lenses that take too long, with their workers: no thread can be told to stop."""
    late = state.late(timeout)
    if not late:
        return
    runs = state.lose(late)
    answer = client.restart_workers(sorted(late), timeout=_RESTART, raise_for_error=False)
    if lost := [worker for worker, word in answer.items() if word != "OK"]:
        warnings.warn(_NO_RETURN.format(", ".join(lost)), stacklevel=2)
    for run in runs:
        row = _left(run, out)
        if row is None and run.seconds < timeout:  # it shared the worker with one that was late
            state.lost[run.lens.name] = run.attempt
            state.put_back(run.lens)
            continue
        row = row or _failed(run, _LATE.format(timeout), out)
        watch(Event("ended", run.lens.name, run.worker, row))
        yield row


def _left(run: _Running, out: Path) -> Row | None:
    """The row that a worker left of a lens before it was gone, if it had fitted it."""
    shutil.rmtree(part_of(out, run.lens.name, run.attempt), ignore_errors=True)
    row = read_row(folder_of(out, run.lens.name))
    return row if is_fitted(row) else None
