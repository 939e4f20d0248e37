"""What the three stages share: a progress bar, and a timer that counts compiling apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

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


def progress_bar(description: str, total: int, progress: bool) -> tqdm:
    """A bar on standard error and in notebooks; silent without a terminal, off on request."""
    return tqdm(total=total, desc=description, disable=None if progress else True, leave=True)
