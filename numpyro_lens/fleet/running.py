"""Fit many lenses: a folder and a row for each, whatever happens to the others."""

import contextlib
import inspect
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpyro_lens.fleet.cluster import (
    check_dask,
    check_main,
    check_threads,
    default_at_once,
    local_client,
)
from numpyro_lens.fleet.gallery import write_gallery
from numpyro_lens.fleet.live import Progress, shown
from numpyro_lens.fleet.queue import dispatch
from numpyro_lens.fleet.rows import Row, is_fitted, read_row, table_of, write_table
from numpyro_lens.fleet.table import Bands, Lens, columns_of, lenses
from numpyro_lens.fleet.worker import UNFINISHED, Recipe, folder_of, store

if TYPE_CHECKING:
    from distributed import Client


#: Seconds that workers of this machine may take to be started anew: Dask's nanny can fail to.
_PATIENCE = 180.0


def fit_many(
    model: Callable | str,
    observations: Any,
    out: str | PathLike,
    client: "Client | None" = None,
    *,
    workers: int | None = None,
    cores: int = 1,
    lenses_per_worker: int | None = None,
    read: Mapping[str, Any] | None = None,
    bands: Bands = None,
    seed: int = 0,
    attempts: int = 3,
    timeout: float | None = None,
    progress: bool = True,
    **settings: Any,
) -> Any:
    """Fit a model to many lenses, each in a worker of its own; see the page on fleets.

    Every lens leaves the folder ``out/lenses/NAME``, whole or not at all: ``posterior.nc``,
    ``summary.csv``, ``derived.csv``, ``fit.png``, ``manifest.json`` and ``row.json``; one that
    failed leaves its reason and ``error.txt``. Called again, it fits what is missing or failed.

    Args:
        model: model function of an observation, and of columns of the table by their name; the name
            of a ready model; or ``"file.py:function"``. A model that has a recipe is
            fitted by it: ``"galaxy"`` by `fit_galaxy`.
        observations: a table (CSV, ECSV, Parquet, or one of astropy or pandas) with a row for each
            lens: ``file``, perhaps ``name``, ``ra`` and ``dec`` [degree] of the centre of a cutout,
            arguments of `read_fits`, and what the model wants; or a list of files, of
            `Observation`, of dicts of the bands of each lens, or of images (ny, nx).
        out: folder, which workers see too.
        client: of Dask; by default workers of this machine.
        workers: how many on this machine; by default one for each accelerator, or core.
        cores: of each worker on this machine.
        lenses_per_worker: how many a worker fits at once, evaluated together where they have one
            shape; by default 16 on an accelerator of this machine, otherwise 1: on cores more of
            them take longer. Workers of a ``client`` need as many threads.
        read: arguments of `read_fits` for all lenses, or of `Observation` for images.
        bands: names of the bands in each file, or the column of each band's files.
        seed: the same seed gives the same results, in whatever order.
        attempts: how often a lens is begun whose worker dies.
        timeout: seconds after which a lens is given up, whatever it is doing, and its worker is
            started anew; compiling counts. By default never.
        progress: show a table of what runs.
        **settings: of `fit`.

    Returns:
        The table that ``out/fleet.parquet`` holds, a ``pandas.DataFrame`` in the order of the
        lenses: verdict, diagnostics, seconds, reason of a failure; of each parameter and derived
        number the median, and the ends of the 68 % interval as ``name.eti16`` and ``name.eti84``.

    Raises:
        ImportError: the extra ``fleet`` is not installed.
        RuntimeError: no worker of this machine could be started, or started anew.
        ValueError: the table lacks a column, the folder holds another fleet, ``timeout`` or
            ``lenses_per_worker`` is not positive, or workers have fewer threads than that.

    Example:
        >>> if __name__ == "__main__":  # doctest: +SKIP
        ...     table = nl.fit_many("epl-shear-sersic", "lenses.csv", "fits", read={"psf": "PSF"})
    """
    check_dask()
    check_main()
    _check_timeout(timeout)
    _check_at_once(lenses_per_worker)
    found = lenses(observations, read, bands)
    recipe = _recipe(model, found, settings, seed)
    out = Path(out)
    _keep_call(out, recipe, read, bands)
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)  # of a run that was killed
    stored = store(recipe, out / "recipe.pkl")
    rows = {lens.name: read_row(folder_of(out, lens.name)) for lens in found}
    missing = [lens for lens in found if not is_fitted(rows[lens.name])]
    with _tables(out, found, rows), ExitStack() as stack:
        if missing:
            patience = _PATIENCE if client is None else float("inf")
            at_once = lenses_per_worker or default_at_once(client)
            client = client or stack.enter_context(local_client(workers, cores, threads=at_once))
            check_threads(client, at_once)
            state = Progress(len(found), len(found) - len(missing), client.dashboard_link)
            watch = stack.enter_context(shown(state, progress))
            limits: dict[str, Any] = {"attempts": attempts, "timeout": timeout, "at_once": at_once}
            limits["patience"] = patience
            for row in dispatch(client, missing, stored, out, watch=watch, **limits):
                rows[row["name"]] = row
    return table_of(_in_order(found, rows))


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise ValueError(
            f"timeout is a number of seconds for each lens; got {timeout}. Give timeout=3600, or "
            "None to wait."
        )


def _check_at_once(lenses_per_worker: int | None) -> None:
    if lenses_per_worker is not None and lenses_per_worker < 1:
        raise ValueError(
            f"lenses_per_worker is at least 1; got {lenses_per_worker}. Leave it out for 16 on an "
            "accelerator and 1 on a core."
        )


def _recipe(
    model: Callable | str, found: Sequence[Lens], settings: dict[str, Any], seed: int
) -> Recipe:
    """What all lenses share; the model is looked for here first, where a mistake shows at once."""
    import jax

    from numpyro_lens.fitting import recipe_of
    from numpyro_lens.fitting.search import check_no_start
    from numpyro_lens.infer.pipeline import check_settings
    from numpyro_lens.models import load_model

    function = load_model(model) if isinstance(model, str) else model
    check_settings(function, settings)
    columns = columns_of(function, found)
    in_steps = recipe_of(function)
    if in_steps is not None:
        check_no_start(settings, in_steps.__name__, function.__name__)
        known = inspect.signature(in_steps).parameters
        columns = tuple(name for name in columns if name in known)
    x64 = bool(jax.config.read("jax_enable_x64"))
    return Recipe(_absolute(model), columns, settings, seed, x64)


def _absolute(model: Callable | str) -> Callable | str:
    """A model file that workers find from any working directory."""
    if not isinstance(model, str):
        return model
    path, colon, name = model.rpartition(":")
    return f"{Path(path).resolve()}{colon}{name}" if path.endswith(".py") else model


def _keep_call(out: Path, recipe: Recipe, read: Any, bands: Any) -> None:
    """Write down what is fitted, and check that the folder is for the same.

    Raises:
        ValueError: the folder holds another fleet.
    """
    from numpyro_lens.infer.files import own_name, write_atomically
    from numpyro_lens.infer.fingerprint import plain

    model = recipe.model if isinstance(recipe.model, str) else own_name(recipe.model)
    call = {"model": model, "seed": recipe.seed, "x64": recipe.x64, "columns": recipe.columns}
    call |= {"read": {k: plain(v) for k, v in dict(read or {}).items()}, "bands": bands}
    call |= {"settings": {name: plain(value) for name, value in recipe.settings.items()}}
    text = json.dumps(call, indent=2, default=str) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    path = out / "fleet.json"
    if path.exists():
        _check_same(path, json.loads(path.read_text(encoding="utf-8")), json.loads(text))
    write_atomically(path, lambda path: path.write_text(text, encoding="utf-8"))


def _check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        if old.get(name) != value:
            raise ValueError(
                f"{str(path.parent)!r} holds another fleet: its {name} is {old.get(name)!r}, this "
                f"one's is {value!r}. Give another folder, or remove that one."
            )


@contextlib.contextmanager
def _tables(out: Path, found: Sequence[Lens], rows: dict[str, Row | None]) -> Iterator[None]:
    """Write the table and the gallery at the end, also when the run is interrupted."""
    try:
        yield
    finally:
        known = _in_order(found, rows)
        try:
            write_table(table_of(known), out / "fleet.parquet")
            write_gallery(known, out / "gallery.html")
        except OSError as error:
            warnings.warn(
                f"the table of the fleet could not be written: {error}. Make room and call "
                "fit_many again: the rows are in the folders of the lenses.",
                stacklevel=2,
            )
        with contextlib.suppress(OSError):  # of a lens that was being fitted
            (out / UNFINISHED).rmdir()


def _in_order(found: Sequence[Lens], rows: dict[str, Row | None]) -> list[Row]:
    return [row for lens in found if (row := rows.get(lens.name)) is not None]
