"""Fits that can be interrupted: arrays and a small manifest, each file written atomically."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens.density import Target
from numpyro_lens.infer import files
from numpyro_lens.infer.checksum import checked_bytes
from numpyro_lens.infer.fingerprint import as_numpy, check_same


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
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, progress: Progress, manifest: dict[str, Any]) -> None:
        """Keep the last block, then the state after it.

        Args:
            progress: how far the chains are.
            manifest: what has to be the same for the run to continue, as JSON can hold it.
        """
        if progress.blocks:
            self._write_arrays(_block(len(progress.blocks) - 1), progress.blocks[-1])
        leaves = [as_numpy(leaf) for leaf in jax.tree.leaves(progress.state)]
        counts = {
            "burn_in": progress.burn_in,
            "num_blocks": len(progress.blocks),
            "gradients": progress.gradients,
        }
        text = json.dumps({"manifest": manifest, "counts": counts})
        arrays = {f"leaf_{i:05d}": leaf for i, leaf in enumerate(leaves)}
        self._write_arrays("state", arrays | {"json": np.asarray(text)})

    def read(self, start: Progress, manifest: dict[str, Any]) -> Progress:
        """The run in the folder, or ``start`` when there is none yet.

        Raises:
            ValueError: the folder holds another run, or a file of it is damaged.
        """
        if not (self.folder / "state.npz").exists():
            return start
        arrays = self._read_arrays("state")
        text = json.loads(str(arrays["json"]))
        check_same(self.folder, text["manifest"], manifest)
        leaves = [arrays[name] for name in sorted(arrays) if name.startswith("leaf_")]
        old, treedef = jax.tree.flatten(start.state)
        state = jax.tree.unflatten(treedef, map(_like, old, leaves))
        counts = text["counts"]
        blocks = tuple(self._read_arrays(_block(i)) for i in range(counts["num_blocks"]))
        return Progress(state, counts["burn_in"], counts["gradients"], blocks)

    def _read_arrays(self, name: str) -> dict[str, np.ndarray]:
        path = self.folder / f"{name}.npz"
        if not path.exists():
            raise ValueError(
                f"A checkpoint is whole: {str(path)!r} is missing. Bring it back, or give another "
                "folder and begin again."
            )
        with np.load(io.BytesIO(checked_bytes(path))) as file:
            return dict(file)

    def _write_arrays(self, name: str, arrays: dict[str, Any]) -> None:
        path = self.folder / f"{name}.npz"
        files.write_checked(path, lambda path: np.savez(path, **arrays))


def _block(index: int) -> str:
    return f"block_{index:05d}"


def kept(
    folder: str | os.PathLike | None,
    stage: str,
    manifest: Callable[[], dict[str, Any]],
    target: Target,
    run: Callable[[], Any],
) -> Any:
    """The result of a stage: from the folder when it is there, and else run and kept.

    Args:
        folder: of the fit; ``None`` keeps nothing.
        stage: ``"map"`` or ``"svi"``.
        manifest: gives what has to be the same.
        target: the density.
        run: function without arguments that returns the result.

    Raises:
        ValueError: the folder holds another fit, or its file is damaged.
    """
    if folder is None:
        return run()
    path = Path(folder) / f"{stage}.nc"
    if path.exists():
        old, result = files.read_stage(path, stage, target)
        check_same(folder, old, manifest())
        return result
    path.parent.mkdir(parents=True, exist_ok=True)
    result = run()
    files.write_stage(path, stage, result, manifest())
    return result


def _like(old: Any, leaf: np.ndarray) -> Any:
    is_key = isinstance(old, jax.Array) and jnp.issubdtype(old.dtype, jax.dtypes.prng_key)
    return jax.random.wrap_key_data(jnp.asarray(leaf)) if is_key else leaf
