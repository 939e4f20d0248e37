"""The one place that decides how a batch is spread over devices and memory.

On the CPU a loop over single samples keeps the arrays of one image in the cache, and is two to
three times faster than ``vmap``; on an accelerator ``vmap`` fills the device, in chunks that its
memory holds. Over several local devices the batch is sharded.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from numpyro_lens._types import AnyArray, ArrayLike
from numpyro_lens.density import dynamic_batching
from numpyro_lens.density.dynamic_batching import compiled
from numpyro_lens.density.memory import samples_at_once


def map_batch(function: Callable, batch: Any, shared: Any, *, batch_size: int | None = None) -> Any:
    """Apply ``function(sample, shared)`` to every sample along the leading axis of ``batch``.

    Args:
        function: of one sample and of what all of them share.
        batch: pytree of arrays with the same leading axis n.
        shared: pytree, the same for every sample.
        batch_size: samples evaluated at once on a device; by default 1 on a CPU, elsewhere as many
            as the memory of the device holds.

    Returns:
        The results, stacked along a leading axis of length n.

    Example:
        >>> import jax.numpy as jnp
        >>> map_batch(lambda x, c: c * x, jnp.arange(3.0), 2.0)
        Array([0., 2., 4.], dtype=float32)
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    # All devices or one: arrays spread over all of them cannot enter a computation over some.
    num_devices = jax.local_device_count() if size > 1 else 1
    if batch_size is None:
        batch_size = 1 if jax.default_backend() == "cpu" else _at_once(function, batch, shared)
    run = partial(_map_on_device, function, batch_size=batch_size)
    if num_devices == 1:
        return run(batch, shared)
    padded = jax.tree.map(lambda leaf: _pad(leaf, -size % num_devices), batch)
    mesh = jax.make_mesh((num_devices,), ("batch",), (AxisType.Auto,), devices=jax.local_devices())
    over_batch, replicated = PartitionSpec("batch"), PartitionSpec()
    sharded = jax.shard_map(
        run, mesh=mesh, in_specs=(over_batch, replicated), out_specs=over_batch, check_vma=False
    )
    return jax.tree.map(lambda leaf: leaf[:size], sharded(padded, shared))


def _at_once(function: Callable, batch: Any, shared: Any) -> int:
    sample = jax.tree.map(lambda leaf: leaf[0], batch)
    return samples_at_once(function, sample, shared, others=dynamic_batching.batch_size())


def _map_on_device(function: Callable, batch: Any, shared: Any, *, batch_size: int) -> Any:
    size = jax.tree.leaves(batch)[0].shape[0]
    if batch_size >= size > 1:
        return jax.vmap(function, in_axes=(0, None))(batch, shared)
    chunk = None if batch_size == 1 else batch_size
    return jax.lax.map(lambda sample: function(sample, shared), batch, batch_size=chunk)


def _pad(leaf: AnyArray, amount: int) -> AnyArray:
    last = jnp.broadcast_to(leaf[-1:], (amount, *leaf.shape[1:]))
    return jnp.concatenate([leaf, last]) if amount else leaf


@compiled(static_argnames=("batch_size",))
def values_and_gradients(
    log_density: Callable,
    z: AnyArray,
    batch_size: int | None = None,
    active: AnyArray | None = None,
) -> tuple[AnyArray, AnyArray]:
    """Log density (n,) and its gradient (n, d) at each row of ``z`` (n, d).

    Args:
        log_density: of one vector (d,), a pytree such as ``target.log_density``, or
            ``jax.tree_util.Partial(function)``.
        z: vectors (n, d).
        batch_size: see `map_batch`.
        active: (n,); rows that are not give zeros, and cost nothing where one is evaluated at a
            time.
    """

    def evaluate(z: AnyArray, log_density: Callable) -> tuple[AnyArray, AnyArray]:
        return jax.value_and_grad(log_density)(z)

    if active is None:
        return map_batch(evaluate, z, log_density, batch_size=batch_size)

    def zeros(z: AnyArray, log_density: Callable) -> Any:
        return jax.tree.map(jnp.zeros_like, jax.eval_shape(evaluate, z, log_density))

    def evaluate_active(row: tuple[AnyArray, AnyArray], log_density: Callable) -> Any:
        return jax.lax.cond(row[1], evaluate, zeros, row[0], log_density)

    return map_batch(evaluate_active, (z, active), log_density, batch_size=batch_size)


def unplaced(tree: Any) -> Any:
    """A copy of a pytree that no device owns.

    What a sharded function returns is spread over the devices; passed on as it is, it would make
    the next function compile a second time, for arguments placed elsewhere.
    """

    def copy(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jnp.asarray(np.asarray(jax.random.key_data(leaf))))
        return np.asarray(leaf)

    return jax.tree.map(copy, tree)


def evaluate(
    log_density: Callable, z: ArrayLike, batch_size: int | None = None
) -> tuple[AnyArray, AnyArray]:
    """Like `values_and_gradients`, for any n in blocks of one shape: it compiles once a model.

    Compiling the gradient of a lens takes as long as evaluating it ten thousand times, so the
    stages share this one wherever they need values outside of their own loops.
    """
    at_once = 16 if jax.default_backend() == "cpu" else 512
    block = max(at_once // dynamic_batching.batch_size(), 1)
    z = np.asarray(z)
    padded = np.concatenate([z, np.broadcast_to(z[-1:], (-len(z) % block, z.shape[1]))])
    pieces = [
        values_and_gradients(log_density, padded[i : i + block], batch_size)
        for i in range(0, len(padded), block)
    ]
    # Put together on the host: spread over devices, they would make what follows compile for these.
    value, gradient = (np.concatenate(parts)[: len(z)] for parts in zip(*pieces, strict=True))
    return jnp.asarray(value), jnp.asarray(gradient)
