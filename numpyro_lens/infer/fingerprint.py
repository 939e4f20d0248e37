"""What makes two fits the same: the arguments, the priors, the density, the settings, the seed."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.distributions import Distribution

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target, evaluate

#: Values that are computed, not given, agree to this, relative to the largest: devices round.
_TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def fingerprint(target: Target, key: AnyArray) -> dict[str, Any]:
    """A description of a density and a random key, as JSON can hold it.

    Args:
        target: the density.
        key: JAX random key.

    Returns:
        Nested dicts: every argument of the model, the distribution of every latent site, the log
        density at fixed points, the key and the precision.
    """
    points = np.random.default_rng(0).normal(size=(4, target.dim)).astype(jnp.result_type(float))
    points[0] = 0.0
    density = np.asarray(evaluate(target.log_density, points)[0], dtype=float)
    arguments = jax.tree_util.tree_leaves_with_path(target.arguments)
    return {
        "arguments": {jax.tree_util.keystr(path): digest(leaf) for path, leaf in arguments},
        "priors": _priors(target, points[0]),
        "log density at fixed points": density.tolist(),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "dtype": str(jnp.result_type(float)),
    }


def digest(tree: Any) -> str:
    """Types, shapes and a hash of the values of a pytree's leaves."""
    leaves, value = [as_numpy(leaf) for leaf in jax.tree.leaves(tree)], hashlib.sha256()
    for leaf in leaves:
        value.update(np.ascontiguousarray(leaf).tobytes())
    shapes = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)
    return f"{shapes} {value.hexdigest()[:16]}"


def as_numpy(leaf: Any) -> np.ndarray:
    """A leaf as a NumPy array; of a random key its data."""
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _priors(target: Target, z: np.ndarray) -> dict[str, Any]:
    """Distribution of each latent site; of one that depends on others, at a fixed point."""
    names = [site.name for site in target.sites]

    def look(target: Target, z: AnyArray) -> dict[str, Any]:
        trace = target.trace(z)
        return {name: trace[name]["fn"] for name in names}

    return {name: _distribution(fn) for name, fn in jax.jit(look)(target, z).items()}


def _distribution(fn: Any) -> Any:
    """A distribution by the names of its fields: NumPyro's order differs between processes."""
    if isinstance(fn, Distribution):
        names = [n for n in sorted(type(fn).gather_pytree_data_fields()) if n in vars(fn)]
        fields = {name: _distribution(getattr(fn, name)) for name in names}
        return {"type": type(fn).__name__, **{n: f for n, f in fields.items() if f is not None}}
    if isinstance(fn, list | tuple):
        return [_distribution(entry) for entry in fn]
    values = [np.asarray(leaf, dtype=float) for leaf in jax.tree.leaves(fn)]
    small = [v.ravel().tolist() if v.size <= 100 else digest(v) for v in values]
    return small[0] if len(small) == 1 else small or None


def plain(value: Any) -> Any:
    """Settings as nested dicts of what JSON can hold.

    Args:
        value: a dataclass of settings, or anything in one.

    Example:
        >>> from numpyro_lens.infer import SVI
        >>> plain(SVI())["num_particles"]
        24
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__name__", type(value).__name__)


def stage_fingerprint(settings: Any) -> dict[str, Any]:
    """Settings of a stage, with the updates of its optimiser: its name does not say its rate."""
    optimizer = getattr(settings, "optimizer", None)
    described = plain(settings)
    return described if optimizer is None else described | {"optimizer": _updates(optimizer)}


def _updates(optimizer: optax.GradientTransformation, num_steps: int = 8) -> list[list[float]]:
    """Points (num_steps, 2) that an optimiser reaches with a few given gradients."""
    point = jnp.zeros(2)
    state, updates = optimizer.init(point), []
    for step in range(num_steps):
        change, state = optimizer.update(jnp.array([1.0, -0.3 * (step + 1)]), state, point)
        point = optax.apply_updates(point, change)
        updates.append(point.tolist())
    return updates


def check_same(folder: str | os.PathLike, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Compare what a folder was written for with what it is wanted for.

    Raises:
        ValueError: they differ; it names in what.
    """
    tolerance = _TOLERANCE.get(str(new.get("dtype")), 0.0)
    asked = {name: old.get(name) for name in new}
    differences = list(_differences(asked, new, tolerance))
    if not differences:
        return
    name, before, now = differences[0]
    others = "" if len(differences) == 1 else f" (and {len(differences) - 1} more)"
    raise ValueError(
        f"The checkpoint in {str(folder)!r} belongs to another run: its {name} is {before!r}, "
        f"this one's is {now!r}{others}. Give the same model, data, seed and settings to continue "
        "it, or another folder to start anew."
    )


def _differences(
    old: Any, new: Any, tolerance: float, name: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**new, **old}:
            path = f"{name}: {key}" if name else key
            yield from _differences(old.get(key), new.get(key), tolerance, path)
    elif _same_nesting(old, new):  # each list of numbers has a scale of its own
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, now, tolerance, f"{name}[{index}]")
    elif not _agree(old, new, tolerance):
        yield name, old, new


def _same_nesting(old: Any, new: Any) -> bool:
    """Whether both are lists, not of numbers, of one length."""
    if not (isinstance(old, list) and isinstance(new, list)) or len(old) != len(new):
        return False
    return any(isinstance(entry, list | str) for entry in (*old, *new))


def _agree(old: Any, new: Any, tolerance: float) -> bool:
    if old == new:
        return True
    try:
        old, new = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    except (TypeError, ValueError):
        return False
    scale = np.max(np.abs(new[np.isfinite(new)]), initial=0.0)
    return old.shape == new.shape and bool(
        np.allclose(old, new, rtol=0.0, atol=tolerance * scale, equal_nan=True)
    )
