"""Several fits in one process, whose calls of compiled functions are evaluated together.

A gradient of one lens leaves most of a large accelerator idle: there, that of a hundred takes as
long. Each fit runs in a thread as if it were alone. Where it calls a function of `compiled`, it
waits until all others have come to such a call; then calls of the same function with arguments of
the same shapes are stacked and evaluated as one, by ``vmap``. Inference servers call this dynamic
batching. Only one thread runs at a time, so that nothing in a fit has to be safe for threads.
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from numpyro_lens._precision import full_precision

T = TypeVar("T")
R = TypeVar("R")

_own = threading.local()
#: Seconds that a thread waits for others that are about to enter.
_PATIENCE = 0.02


class DynamicBatch:
    """Threads whose calls of compiled functions are evaluated together.

    Args:
        size: calls evaluated at once at most. A batch is filled up to it with copies, so that each
            function is compiled once; an accelerator does not notice.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"A batch holds at least one call; got size={size}. Write size=16.")
        self.size = size
        self._turn = threading.Condition()  # who holds its lock runs
        self._counting = threading.Lock()
        self._arriving = self._members = 0
        self._waiting: list[_Call] = []
        self._stopped = False

    def expect(self, number: int) -> None:
        """Let calls wait for threads that will become members.

        Args:
            number: of these threads.
        """
        with self._counting:
            self._arriving += number

    @contextlib.contextmanager
    def member(self, expected: bool = False) -> Iterator[None]:
        """Make this thread one of the batch, within the block.

        Args:
            expected: whether it was announced by `expect`.
        """
        if not expected:
            self.expect(1)
        with self._turn:
            self.expect(-1)
            self._members += 1
            _own.batch = self
            try:
                yield
            finally:
                _own.batch = None
                self._members -= 1
                self._turn.notify_all()

    def stop(self) -> None:
        """Let every further call raise, so that the threads end soon."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    def evaluate(self, call: "_Call") -> Any:
        """The result of a call of this thread, evaluated with those of the others.

        Args:
            call: the function and its arguments.

        Raises:
            InterruptedError: the batch was stopped.
        """
        self._waiting.append(call)
        while not call.done:
            if self._stopped:
                raise InterruptedError("the batch was stopped")
            if len(self._waiting) < self._members:
                self._turn.wait()
            elif self._arriving:
                self._turn.wait(_PATIENCE)
            else:
                self._evaluate_most()
                self._turn.notify_all()
        if call.error is not None:
            raise call.error
        return call.result

    def _evaluate_most(self) -> None:
        """Evaluate the calls of one kind, of which most are waiting."""
        kinds = [call.kind for call in self._waiting]
        most = max(kinds, key=kinds.count)  # of several, the first
        chosen = [call for call in self._waiting if call.kind == most][: self.size]
        self._waiting = [call for call in self._waiting if call not in chosen]
        try:
            filled = chosen + chosen[-1:] * (self.size - len(chosen))
            results = chosen[0].together(tuple(call.stacked for call in filled))
            for call, result in zip(chosen, results, strict=False):
                call.finish(result)
        except Exception as error:
            for call in chosen:
                call.finish(None, error)


@dataclass(eq=False)
class _Call:
    """A call that waits to be evaluated.

    Attributes:
        kind: what is the same in all calls that can be evaluated together.
        stacked: arguments that differ.
        together: the results of many, of their arguments.
    """

    kind: Hashable
    stacked: dict[str, Any]
    together: Callable[[tuple[dict[str, Any], ...]], tuple[Any, ...]]
    done: bool = False
    result: Any = None
    error: Exception | None = None

    def finish(self, result: Any, error: Exception | None = None) -> None:
        """Keep what came out."""
        self.done, self.result, self.error = True, result, error


def compiled(
    *, static_argnames: Sequence[str] = ()
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Compile a function; in a `DynamicBatch`, evaluate it for several threads at once.

    Its products of matrices have full precision.

    Args:
        static_argnames: as of ``jax.jit``.

    Example:
        >>> import jax.numpy as jnp
        >>> @compiled(static_argnames=["power"])
        ... def raised(x, power):
        ...     return x**power
        >>> raised(jnp.array(3.0), power=2)
        Array(9., dtype=float32, weak_type=True)
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        precise = full_precision(function)
        alone = jax.jit(precise, static_argnames=static_argnames)
        together = _together(precise, static_argnames)
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            batch = getattr(_own, "batch", None)
            if batch is None or _is_traced((args, kwargs)):
                return alone(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return batch.evaluate(_call_of(together, bound.arguments, static_argnames))

        call.alone, call.together = alone, together  # type: ignore[attr-defined]
        return call

    return decorate


def _together(function: Callable, static_argnames: Sequence[str]) -> Callable:
    """The results of many calls, of their arguments."""

    @functools.partial(jax.jit, static_argnames=static_argnames)
    def together(batch: tuple[dict[str, Any], ...], **static: Any) -> tuple[Any, ...]:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batch)
        results = jax.vmap(lambda own: function(**own, **static))(stacked)
        return tuple(_entry(results, index) for index in range(len(batch)))

    return together


def _call_of(
    together: Callable, arguments: dict[str, Any], static_argnames: Sequence[str]
) -> _Call:
    static = {name: arguments[name] for name in static_argnames}
    own = {name: value for name, value in arguments.items() if name not in static}
    leaves, tree = jax.tree.flatten(own)
    shapes = tuple((jnp.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves)
    kind = (together, *static.values(), tree, shapes)
    return _Call(kind, own, functools.partial(together, **static))


def run_batched(function: Callable[[T], R], items: Sequence[T], size: int) -> list[R]:
    """The results of a function for many items, several of them at a time in one batch.

    Args:
        function: of one item; it may fit a lens.
        items: its arguments.
        size: of them at once; the next takes the place of one that has ended.

    Returns:
        The results, in the order of the items.

    Raises:
        Exception: the first one of an item, when all have ended.

    Example:
        >>> import jax.numpy as jnp
        >>> double = compiled()(lambda x: 2 * x)
        >>> [int(x) for x in run_batched(double, [jnp.array(1), jnp.array(2)], size=2)]
        [2, 4]
    """
    batch, waiting = DynamicBatch(size), iter(enumerate(items))
    results = [Future[R]() for _ in items]

    def fill_a_place() -> None:
        for index, item in waiting:  # one thread at a time
            try:
                results[index].set_result(function(item))
            except Exception as error:
                results[index].set_exception(error)

    if size == 1:  # without ``vmap``, which takes both branches of a condition
        fill_a_place()
    else:
        _in_threads(fill_a_place, batch, min(size, len(items)))
    return [result.result() for result in results]


def _in_threads(function: Callable[[], None], batch: DynamicBatch, number: int) -> None:
    """Call a function in so many threads, each a member of a batch."""
    x64 = jax.dtypes.canonicalize_dtype(float).itemsize == 8

    def call() -> None:
        with jax.enable_x64(x64), batch.member(expected=True):
            function()

    batch.expect(number)
    with ThreadPoolExecutor(max(number, 1)) as pool:
        called = [pool.submit(call) for _ in range(number)]
        try:
            wait(called)
        except BaseException:  # Ctrl-C
            batch.stop()
            raise


def batch_size() -> int:
    """Calls that are evaluated at once with those of this thread; 1 outside of a batch.

    Example:
        >>> batch_size()
        1
    """
    batch = getattr(_own, "batch", None)
    return 1 if batch is None else batch.size


def _is_traced(tree: Any) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _entry(tree: Any, index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)
