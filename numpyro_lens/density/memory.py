"""How much memory a function needs, from its jaxpr: before anything is compiled."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import Jaxpr, Var

#: Of the memory of an accelerator. XLA needed a third of the estimate for the demo on an H200, and
#: five times of it for the search of `models.galaxy`: Fourier transforms have room of their own.
_SHARE = 0.125
#: Of an accelerator that does not tell [bytes].
_UNKNOWN = 8 << 30


def samples_at_once(function: Callable, *args: Any, others: int = 1) -> int:
    """How many calls an accelerator evaluates at once without running out of memory.

    Args:
        function: that ``vmap`` is to map.
        *args: of one call.
        others: how many such batches there are.
    """
    statistics = jax.local_devices()[0].memory_stats() or {}
    room = _SHARE * statistics.get("bytes_limit", _UNKNOWN) / others
    return max(int(room / max(needed_bytes(function, *args), 1)), 1)


def needed_bytes(function: Callable, *args: Any) -> int:
    """Memory of what a function computes that is needed at the same time, arguments left out.

    XLA fuses operations, and then needs less; on a CPU it needs two thirds to all of it.

    Args:
        function: of arrays.
        *args: of it.

    Example:
        >>> import jax.numpy as jnp
        >>> needed_bytes(lambda x: jnp.sum(jnp.outer(x, x)), jnp.ones(100)) // 1000
        40
    """
    return _peak(jax.make_jaxpr(function)(*args).jaxpr)


def _peak(jaxpr: Jaxpr) -> int:
    last = {v: i for i, e in enumerate(jaxpr.eqns) for v in e.invars if isinstance(v, Var)}
    last |= {v: len(jaxpr.eqns) for v in jaxpr.outvars if isinstance(v, Var)}
    own: set[Var] = set()
    held = peak = 0
    for index, equation in enumerate(jaxpr.eqns):
        results = sum(map(_size, equation.outvars))
        inside = max(map(_peak, _inner(equation)), default=0)
        own.update(equation.outvars)
        held += results
        peak = max(peak, held + max(inside - results, 0))
        used = {v for v in (*equation.invars, *equation.outvars) if isinstance(v, Var)}
        held -= sum(_size(v) for v in used & own if last.get(v, index) == index)
    return peak


def _size(variable: Var) -> int:
    aval: Any = variable.aval
    return 0 if not hasattr(aval, "shape") else aval.size * aval.dtype.itemsize


def _inner(equation: Any) -> Iterator[Jaxpr]:
    """Jaxprs within an equation: branches, bodies of loops, functions."""
    leaf: Any
    for leaf in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
        if _is_jaxpr(leaf):
            yield getattr(leaf, "jaxpr", leaf)


def _is_jaxpr(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")
