"""What a fleet shows of itself while it runs: a table in a terminal, or a line for each lens."""

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpyro_lens.fleet.queue import Event

if TYPE_CHECKING:
    from rich.table import Table

_LAST = 6


@dataclass
class Progress:
    """How far a fleet is.

    Attributes:
        total: lenses of the table.
        done: of them that an earlier run fitted.
        address: of the dashboard.
        counts: lenses of this run, by verdict.
        began: of each lens that runs: the time and the worker.
        last: the rows that came last.
        num_lost: workers that died with a lens.
        workers: how many there are, in words.
        start: time at which this run began [s].
    """

    total: int
    done: int = 0
    address: str = ""
    counts: Counter = field(default_factory=Counter)
    began: dict[str, tuple[float, str]] = field(default_factory=dict)
    last: deque = field(default_factory=lambda: deque(maxlen=_LAST))
    num_lost: int = 0
    workers: str = ""
    start: float = field(default_factory=time.monotonic)

    def see(self, event: Event) -> None:
        """Take an event in."""
        if event.kind == "began":
            self.began[event.name] = (time.monotonic(), event.worker)
        elif event.kind == "waits":
            self.workers = event.worker
        else:
            self.began.pop(event.name, None)
            self.num_lost += event.kind == "lost"
        if event.row is not None:
            self.counts[event.row["verdict"]] += 1
            self.last.append(event.row)

    def line(self) -> str:
        """The numbers in one line."""
        ended = self.counts.total()
        words = [f"{self.done + ended} of {self.total} lenses"]
        words += [f"{count} {verdict}" for verdict, count in sorted(self.counts.items())]
        if self.num_lost:
            words.append(f"{self.num_lost} lost with a worker")
        if ended:
            rate = ended / max(time.monotonic() - self.start, 1e-9)
            left = (self.total - self.done - ended) / rate
            words.append(f"{3600 * rate:.3g} an hour, {_span(left)} left")
        return ", ".join(words)

    def table(self) -> "Table":
        """What runs and what came last, for a terminal."""
        from rich.markup import escape
        from rich.table import Table

        title = f"{self.line()}  ({self.workers}, dashboard {self.address})"
        table = Table("lens", "state", "seconds", "", title=title, box=None, title_justify="left")
        for row in self.last:
            words = row["reason"] or f"mean square {row['mean_square']:.2f}"
            table.add_row(
                escape(row["name"]), row["verdict"], f"{row['seconds']:.0f}", escape(words)
            )
        now = time.monotonic()
        for name, (began, worker) in self.began.items():
            table.add_row(escape(name), "runs", f"{now - began:.0f}", worker)
        return table


def _span(seconds: float) -> str:
    """A time in the unit that people would use.

    Example:
        >>> _span(90), _span(7200), _span(400_000)
        ('1.5 minutes', '2 hours', '4.6 days')
    """
    for unit, size in (("days", 86_400.0), ("hours", 3600.0)):
        if seconds > 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds / 60:.2g} minutes"


@contextmanager
def shown(progress: Progress, wanted: bool) -> Iterator[Callable[[Event], None]]:
    """Show progress on standard error: a table that lives, or lines where it is no terminal.

    Args:
        progress: filled by the events.
        wanted: whether to show anything.

    Yields:
        A function of each event.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    is_live = wanted and console.is_terminal
    live: Any = Live(console=console, transient=False) if is_live else nullcontext()

    def see(event: Event) -> None:
        progress.see(event)
        if is_live:
            live.update(progress.table())
        elif wanted:
            _print(event, progress)

    if wanted and not is_live:
        print(f"dashboard: {progress.address}", file=sys.stderr)
    with live:
        yield see


def _print(event: Event, progress: Progress) -> None:
    row = event.row
    if event.kind == "lost":
        print(f"{event.name}: its worker died", file=sys.stderr, flush=True)
    if row is not None:
        words = f": {row['reason']}" if row["reason"] else ""
        print(f"{row['name']}: {row['verdict']}{words} ({progress.line()})", file=sys.stderr)
