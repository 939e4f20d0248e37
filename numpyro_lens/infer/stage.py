"""What the three stages share: how far they are, and a timer that counts compiling apart."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import jax
from tqdm.auto import tqdm

_EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace_s",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "trace_s",
    "/jax/core/compile/backend_compile_duration": "compile_s",
}


@dataclass
class Timing:
    """Wall-clock seconds of a stage: tracing, compiling, and the rest."""

    trace_s: float = 0.0
    compile_s: float = 0.0
    run_s: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """All three, by name."""
        return {name: round(seconds, 3) for name, seconds in asdict(self).items()}


@contextmanager
def timed() -> Iterator[Timing]:
    """Time a block; what JAX reports of tracing and compiling inside it is counted apart."""
    timing, start = Timing(), time.perf_counter()
    inside: list[tuple[float, float]] = []  # start and duration of what nothing else contains

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event not in _EVENTS:
            return
        began, own = time.perf_counter() - duration_secs, duration_secs
        while inside and inside[-1][0] >= began:  # a function that this one calls, reported before
            own -= inside.pop()[1]
        inside.append((began, duration_secs))
        setattr(timing, _EVENTS[event], getattr(timing, _EVENTS[event]) + own)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield timing
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        spent = timing.trace_s + timing.compile_s
        timing.run_s = max(time.perf_counter() - start - spent, 0.0)


#: seconds between two lines about one stage
_LINE_EVERY = 60.0


@dataclass
class Lines:
    """A progress bar for a file: a line as a stage begins, one a minute, and one as it ends.

    Args:
        description: name of the stage.
        total: steps that are planned.
    """

    description: str
    total: int
    n: int = 0
    postfix: str = ""
    began: float = field(default_factory=time.monotonic)
    printed: float = field(default_factory=time.monotonic)

    def __enter__(self) -> "Lines":
        self._print("compiling")
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._print(f"done, {self._said()}")

    def reset(self, total: int) -> None:
        """Count from the start again."""
        self.n, self.total = 0, total

    def update(self, steps: int) -> None:
        """Count steps that are done."""
        self.n += steps
        if time.monotonic() - self.printed > _LINE_EVERY:
            self._print(self._said())

    def set_postfix_str(self, postfix: str) -> None:
        """Keep what the next line says besides the count."""
        self.postfix = postfix

    def _said(self) -> str:
        elapsed = f"{time.monotonic() - self.began:.0f} s"
        return ", ".join(filter(None, (f"{self.n} of {self.total} steps", elapsed, self.postfix)))

    def _print(self, text: str) -> None:
        self.printed = time.monotonic()
        print(f"{self.description}: {text}", file=sys.stderr, flush=True)


Bar: TypeAlias = tqdm | Lines

#: whether tqdm draws with widgets, on what is no terminal
_WIDGETS = any(base.__name__ == "tqdm_notebook" for base in tqdm.__mro__)


def progress_bar(description: str, total: int, progress: bool) -> Bar:
    """A bar on a terminal and in notebooks, lines where standard error is a file.

    Args:
        description: name of the stage.
        total: steps that are planned.
        progress: whether to say anything.
    """
    if progress and not _WIDGETS and not sys.stderr.isatty():
        return Lines(description, total)
    # the first block of steps waits for the compiler, and nothing moves meanwhile
    return tqdm(total=total, desc=description, disable=not progress, postfix="compiling")
