"""What the three stages share: a progress bar, and a timer that counts compilation apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
from tqdm.auto import tqdm

_COMPILE_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


@dataclass
class Timing:
    """Wall-clock seconds of a stage: tracing and compilation, and the rest."""

    compile_s: float = 0.0
    run_s: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Both, by name."""
        return {"compile_s": round(self.compile_s, 3), "run_s": round(self.run_s, 3)}


@contextmanager
def timed() -> Iterator[Timing]:
    """Time a block; what JAX reports of tracing and compilation inside it is counted apart."""
    timing, start = Timing(), time.perf_counter()

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event in _COMPILE_EVENTS:
            timing.compile_s += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield timing
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        # Nested jits report their tracing twice; compilation never takes more than the wall clock.
        elapsed = time.perf_counter() - start
        timing.compile_s = min(timing.compile_s, elapsed)
        timing.run_s = elapsed - timing.compile_s


def progress_bar(description: str, total: int, progress: bool) -> tqdm:
    """A bar on standard error and in notebooks; silent without a terminal, off on request."""
    return tqdm(total=total, desc=description, disable=None if progress else True, leave=True)
