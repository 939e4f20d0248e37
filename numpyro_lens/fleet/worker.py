"""What runs inside a worker: fit one lens in its own folder, and return its row, come what may."""

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import shutil
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpyro_lens.fleet.rows import COLUMNS, Row, is_fitted, read_row, row_of, write_row
from numpyro_lens.fleet.table import Lens

if TYPE_CHECKING:
    from numpyro_lens.density.dynamic_batching import DynamicBatch
    from numpyro_lens.fitting import LensFit

#: A picture for the gallery, and no more: ``numpyro-lens report`` draws the rest.
PICTURES = {"fit.png": 60}
#: No fit begins where it could not leave its files [bytes].
MIN_FREE = 20 << 20
#: Shapes that a worker keeps compiled: each takes some 2,900 memory maps of the 65,530 there are.
MAX_SHAPES = 8
UNFINISHED = "unfinished"
#: In the environment: the cores of a worker, ``0,1``, or ``granted``, those of its process.
CORES = "NUMPYRO_LENS_CORES"


@dataclass(frozen=True)
class Recipe:
    """What is the same for all lenses of a fleet.

    Attributes:
        model: the model function, or the name of one.
        columns: columns of the table that the model takes by name.
        settings: of `fit`.
        seed: from which that of each lens is made.
        x64: whether to compute in 64 bit.
    """

    model: Callable | str
    columns: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    x64: bool = False

    def seed_of(self, name: str) -> int:
        """Seed of a lens: of its name, so that it does not depend on the others."""
        return (self.seed + zlib.crc32(name.encode())) % 2**31


@dataclass(frozen=True)
class Stored:
    """A recipe in a file that all workers see.

    Attributes:
        path: the file.
        sha256: of its content.
    """

    path: str
    sha256: str


def store(recipe: Recipe, path: Path) -> Stored:
    """Write a recipe for the workers; functions of a script or a notebook go with it."""
    import cloudpickle

    from numpyro_lens.infer.files import write_atomically

    content = cloudpickle.dumps(recipe)
    write_atomically(path, lambda path: path.write_bytes(content))
    return Stored(str(path.resolve()), hashlib.sha256(content).hexdigest())


def _recipe(stored: Stored) -> Recipe:
    import cloudpickle

    content = Path(stored.path).read_bytes()
    if hashlib.sha256(content).hexdigest() != stored.sha256:
        raise ValueError(
            f"{stored.path!r} is not the recipe of this run. Give each fleet a folder of its own."
        )
    recipe: Recipe = cloudpickle.loads(content)
    return replace(recipe, model=_bound(recipe))


def _bound(recipe: Recipe) -> Callable:
    """The model with the columns of the table after its data, in their order."""
    from numpyro_lens.fitting import recipe_of
    from numpyro_lens.models import load_model

    model = load_model(recipe.model) if isinstance(recipe.model, str) else recipe.model
    if not recipe.columns or recipe_of(model):
        return model

    @functools.wraps(model)
    def bound(*values: Any) -> Any:
        data, own = values[: -len(recipe.columns)], values[-len(recipe.columns) :]
        return model(*data, **dict(zip(recipe.columns, own, strict=True)))

    return bound


def fit_lens(lens: Lens, stored: Stored, out: str, attempt: int = 1, at_once: int = 1) -> Row:
    """Fit one lens, and leave its folder whole.

    Args:
        lens: what to fit.
        stored: what to fit it with.
        out: folder of the fleet.
        attempt: how often it was begun, this time included.
        at_once: lenses of this worker that are evaluated together, each in a thread.

    Returns:
        Its row; of a lens that failed with the reason.
    """
    with contextlib.nullcontext() if at_once == 1 else _batch(at_once).member():
        return _fit_lens(lens, stored, out, attempt)


@functools.cache
def _batch(size: int) -> "DynamicBatch":
    from numpyro_lens.density.dynamic_batching import DynamicBatch

    return DynamicBatch(size)


def _fit_lens(lens: Lens, stored: Stored, out: str, attempt: int) -> Row:
    began, notes = time.perf_counter(), []  # type: ignore[var-annotated]
    row = {**COLUMNS, "name": lens.name, "attempts": attempt, "worker": _own_name()}
    part = part_of(Path(out), lens.name, attempt)
    trace = ""
    try:
        recipe = _ready(stored)
        row["seed"] = recipe.seed_of(lens.name)
        with _noted(notes):
            row |= _fit_in(part, lens, recipe, notes.append)
    except (Exception, SystemExit) as error:
        row |= {"verdict": "failed", "reason": _reason(error)}
        trace = traceback.format_exc()
        shutil.rmtree(part, ignore_errors=True)
    give_back_memory()
    row |= {"warnings": "; ".join(dict.fromkeys(notes)), "memory_bytes": float(_memory())}
    row["seconds"] = time.perf_counter() - began
    return leave(Path(out), part, row, trace)


def leave(out: Path, part: Path, row: Row, trace: str = "") -> Row:
    """Let the folder of a lens appear under its name, whole.

    Args:
        out: folder of the fleet.
        part: what there is of the folder; made where there is nothing.
        row: of the lens.
        trace: where an error came from.

    Returns:
        The row, which says what could not be written.
    """
    try:
        part.mkdir(parents=True, exist_ok=True)
        if trace:
            (part / "error.txt").write_text(trace, encoding="utf-8")
        write_row(part, row)
        place = folder_of(out, row["name"])
        place.parent.mkdir(parents=True, exist_ok=True)
        if row["verdict"] == "failed" and is_fitted(read_row(place)):
            shutil.rmtree(part)  # of a worker that was given up: the lens is fitted meanwhile
        else:
            shutil.rmtree(place, ignore_errors=True)
            part.rename(place)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        if row["verdict"] != "failed":
            row = row | {"verdict": "failed", "reason": _reason(error)}
    return row


def part_of(out: Path, name: str, attempt: int) -> Path:
    """Where the folder of a lens grows, out of sight."""
    return out / UNFINISHED / f"{name}-{attempt}"


def folder_of(out: Path, name: str) -> Path:
    """Folder of a lens in that of the fleet."""
    return out / "lenses" / name


def _fit_in(part: Path, lens: Lens, recipe: Recipe, say: Callable[[str], None]) -> Row:
    """Fit, write everything but the row into the folder, and return what there is to say."""
    from numpyro_lens.folder import Keeper, write_results

    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _check_room(part)
    result = _fitted(lens, recipe)
    keeper = Keeper(part, say)
    keeper.write("posterior.nc", result.save)
    command = {"command": "fleet", "name": lens.name, "data": _described(lens)}
    write_results(keeper, result, command, PICTURES)
    return row_of(result, _derived(part / "derived.csv"))


def _derived(path: Path) -> Any:
    """The derived numbers as they were written: computing them takes as long as sampling may."""
    import pandas as pd

    return pd.read_csv(path, index_col="quantity") if path.exists() else pd.DataFrame()


def _fitted(lens: Lens, recipe: Recipe) -> "LensFit":
    from numpyro_lens import fitting
    from numpyro_lens.models import arguments

    data = lens.read()
    _forget_shapes(_shapes(data))
    settings = {"progress": False, **recipe.settings, "seed": recipe.seed_of(lens.name)}
    own = {name: lens.columns[name] for name in recipe.columns}
    assert callable(recipe.model)
    in_steps = fitting.recipe_of(recipe.model)
    if in_steps is not None:
        return in_steps(data, **own, **settings)
    first = arguments(recipe.model, data, recipe.columns)
    return fitting.fit(recipe.model, *first, *own.values(), **settings)


def _described(lens: Lens) -> Any:
    """Where the data came from, as JSON can hold it."""
    files = lens.data if isinstance(lens.data, str | dict) else type(lens.data).__name__
    return {"file": files, "read_fits": dict(lens.reading), "columns": dict(lens.columns)}


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < MIN_FREE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


#: Where the warnings of each thread go; what was there before, until the last of them has ended.
_notes: dict[int, list[str]] = {}
_before = contextlib.ExitStack()


@contextlib.contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """Collect the warnings of this thread: nobody reads the log of a worker."""
    if not _notes:
        _before.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        warnings.showwarning = _note
    _notes[threading.get_ident()] = notes
    try:
        yield
    finally:
        del _notes[threading.get_ident()]
        if not _notes:
            _before.close()


def _note(message: Warning | str, category: type[Warning], *_where: Any, **_more: Any) -> None:
    if not issubclass(category, DeprecationWarning):
        _notes.get(threading.get_ident(), []).append(" ".join(str(message).split()))


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# --- the process ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def _ready(stored: Stored) -> Recipe:
    """The recipe, in a process that is set up for it.

    One object for all lenses: what is compiled belongs to the model function.
    """
    cores = _own_cores(os.environ.get(CORES, ""))
    if cores:
        _stay_on(cores)
    import jax

    if cores:
        with contextlib.suppress(RuntimeError):  # JAX has started
            jax.config.update("jax_num_cpu_devices", len(cores))
    recipe = _recipe(stored)
    if bool(jax.config.read("jax_enable_x64")) != recipe.x64:
        jax.config.update("jax_enable_x64", recipe.x64)
    return recipe


def _own_cores(text: str) -> list[int]:
    """The cores that the environment names; none where it leaves that to JAX.

    Example:
        >>> _own_cores("2,3"), _own_cores("")
        ([2, 3], [])
    """
    if text == "granted":
        return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return [int(core) for core in text.split(",") if core]


def _stay_on(cores: list[int]) -> None:
    """Keep the process on its cores: JAX takes as many threads as it sees cores."""
    if hasattr(os, "sched_setaffinity"):
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended
                os.sched_setaffinity(int(thread.name), cores)


_compiled: set[Any] = set()


def _shapes(data: Any) -> Any:
    import jax

    leaves, tree = jax.tree.flatten(data)
    return str(tree), tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


def _forget_shapes(shapes: Any) -> None:
    """Let go of what is compiled before it takes all memory maps that a process may have."""
    if shapes not in _compiled and len(_compiled) >= MAX_SHAPES:
        import jax

        jax.clear_caches()
        _compiled.clear()
    _compiled.add(shapes)


def _own_name() -> str:
    """Of the Dask worker, or the process."""
    from distributed import get_worker

    try:
        return str(get_worker().name)
    except ValueError:  # no worker
        return str(os.getpid())


def give_back_memory() -> None:
    """Return to the system what was freed and glibc keeps: two fifths of a worker."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _memory() -> float:
    """Resident memory now [bytes]."""
    import psutil

    return psutil.Process().memory_info().rss
