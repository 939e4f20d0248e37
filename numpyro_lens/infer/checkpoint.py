"""Fits that survive their process: arrays and a small manifest, each file written atomically."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array
from numpyro_lens.infer import saved
from numpyro_lens.infer.density import FlatModel


class Progress(NamedTuple):
    """How far the chains are.

    Attributes:
        state: of the kernel.
        burn_in: transitions of burn-in that are done.
        gradients: evaluations so far, by stage.
        blocks: draws and statistics of each block, by name.
    """

    state: Any
    burn_in: int
    gradients: dict[str, int]
    blocks: tuple[dict[str, np.ndarray], ...] = ()


class Checkpoint:
    """A folder that holds a run.

    Args:
        folder: made if it does not exist.
        manifest: what has to be the same for the run in the folder to go on, as JSON can hold it.
    """

    def __init__(self, folder: str | os.PathLike, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = Path(folder), manifest
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, progress: Progress) -> None:
        """Keep the last block, then the state that goes with it."""
        if progress.blocks:
            self._write_arrays(f"block_{len(progress.blocks) - 1:05d}", progress.blocks[-1])
        leaves = [_as_numpy(leaf) for leaf in jax.tree.leaves(progress.state)]
        counts = {
            "burn_in": progress.burn_in,
            "num_blocks": len(progress.blocks),
            "gradients": progress.gradients,
        }
        text = json.dumps({"manifest": self.manifest, "counts": counts})
        arrays = {f"leaf_{i:03d}": leaf for i, leaf in enumerate(leaves)}
        self._write_arrays("state", arrays | {"json": np.asarray(text)})

    def read(self, start: Progress) -> Progress:
        """The run in the folder, or ``start`` when there is none yet.

        Raises:
            ValueError: the folder holds another run.
        """
        path = self.folder / "state.npz"
        if not path.exists():
            return start
        with np.load(path) as file:
            text = json.loads(str(file["json"]))
            check_same(self.folder, text["manifest"], self.manifest)
            leaves = [file[name] for name in sorted(file.files) if name.startswith("leaf_")]
        old, treedef = jax.tree.flatten(start.state)
        state = jax.tree.unflatten(treedef, map(_like, old, leaves))
        counts = text["counts"]
        blocks = tuple(self._read_block(i) for i in range(counts["num_blocks"]))
        return Progress(state, counts["burn_in"], counts["gradients"], blocks)

    def _read_block(self, index: int) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"block_{index:05d}.npz") as file:
            return dict(file)

    def _write_arrays(self, name: str, arrays: dict[str, Any]) -> None:
        write_atomically(self.folder / f"{name}.npz", lambda path: np.savez(path, **arrays))


def kept(
    folder: str | os.PathLike | None,
    stage: str,
    manifest: dict[str, Any],
    flat: FlatModel,
    args: tuple,
    run: Callable[[], Any],
) -> Any:
    """The result of a stage: from the folder when it is there, and else run and kept.

    Args:
        folder: of the fit; ``None`` keeps nothing.
        stage: ``"map"`` or ``"svi"``.
        manifest: what has to be the same.
        flat, args: the model.
        run: function without arguments that returns the result.

    Raises:
        ValueError: the folder holds another fit.
    """
    if folder is None:
        return run()
    path = Path(folder) / f"{stage}.nc"
    if path.exists():
        old, result = saved.read_stage(path, stage, flat, args)
        check_same(folder, old, manifest)
        return result
    path.parent.mkdir(parents=True, exist_ok=True)
    result = run()
    write_atomically(path, lambda path: saved.write_stage(path, stage, result, manifest))
    return result


def fingerprint(flat: FlatModel, args: tuple, key: Array) -> dict[str, Any]:
    """The parameters, the data and the random key of a run."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(args):
        digest.update(np.ascontiguousarray(_as_numpy(leaf)).tobytes())
    return {
        "names": list(flat.names),
        "data": digest.hexdigest()[:16],
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "dtype": str(jnp.result_type(float)),
    }


def check_same(folder: str | os.PathLike, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise a ValueError that names what differs."""
    differs = [name for name in new if old.get(name) != new[name]]
    if differs:
        name = differs[0]
        raise ValueError(
            f"The checkpoint in {str(folder)!r} belongs to another run: its {name} is "
            f"{old.get(name)!r}, this one's is {new[name]!r}. Give the same model, data, seed and "
            "settings to go on with it, or another folder to start anew."
        )


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a file beside ``path``, then rename it: never half a file.

    The file beside it keeps the ending, which tells writers the format.
    """
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _as_numpy(leaf: Any) -> np.ndarray:
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _like(old: Any, leaf: np.ndarray) -> Any:
    is_key = isinstance(old, jax.Array) and jnp.issubdtype(old.dtype, jax.dtypes.prng_key)
    return jax.random.wrap_key_data(jnp.asarray(leaf)) if is_key else leaf
