"""Results of the stages on disk: ArviZ's groups, and what is needed to rebuild the results."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import xarray as xr

from numpyro_lens._hdf5 import check_self_contained
from numpyro_lens.density import Site, Target
from numpyro_lens.infer.checksum import add_checksum, check_checksum, has_checksum
from numpyro_lens.infer.diagnostics import num_bytes
from numpyro_lens.infer.posterior import AbstractPosterior, HMCResult
from numpyro_lens.infer.results import Basin, MAPResult, SVIResult

_ENGINE = "h5netcdf"
_GROUP = "numpyro_lens_{}"
_OTHER = (
    "{!r} holds no numpyro_lens result. Files of other packages open with arviz.from_netcdf(path)."
)
#: what HDF5 needs besides the arrays of one group, at most
_OVERHEAD = 1 << 16


def save(
    result: AbstractPosterior,
    path: str | PathLike,
    *,
    model_name: str | None = None,
    extra: dict[str, xr.Dataset] | None = None,
) -> None:
    """Write a result as netCDF: for `load`, and for ``arviz.from_netcdf``.

    Args:
        result: the posterior.
        path: the file, replaced if it exists.
        model_name: to find the model again; by default its module and name.
        extra: further datasets, by name.

    Raises:
        OSError: the file cannot be written, say, the disk is full; an older one stays as it was.
    """
    parts = {"hmc": _hmc_dataset(result, model_name or own_name(result.model)), **(extra or {})}
    if isinstance(result.map, MAPResult):
        parts["map"] = _map_dataset(result.map)
    if isinstance(result.svi, SVIResult):
        parts["svi"] = _svi_dataset(result.svi)
    container = result.to_arviz()
    size = num_bytes(container) + sum(part.nbytes for part in parts.values())

    def write(path: Path) -> None:
        with _room(path, size + len(parts) * _OVERHEAD):
            container.to_netcdf(str(path))
            for name, dataset in parts.items():
                dataset.to_netcdf(str(path), mode="a", group=_GROUP.format(name), engine=_ENGINE)

    write_checked(Path(path), write)


def load(
    path: str | PathLike,
    *,
    model: Callable | None = None,
    args: tuple = (),
    ready: dict[str, Callable] | None = None,
) -> HMCResult:
    """Read a result that `save` wrote.

    Everything is there but the model function, which no file can hold.

    Args:
        path: the netCDF file.
        model: the NumPyro model function that was fitted; what runs the model needs it.
        args: its arguments.
        ready: models that are found by the name they were saved under.

    Returns:
        The posterior, with ``.map`` and ``.svi``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file was written by something else, or was changed since.
    """
    check_file(path)
    hmc = read(path, "hmc")
    if hmc is None:
        raise ValueError(_OTHER.format(str(path)))
    found = model or (ready or {}).get(hmc.attrs["model"]) or _unknown(hmc)
    target = Target(found, _sites(hmc), args)
    best, gaussian = read(path, "map"), read(path, "svi")
    result = HMCResult(
        target=target,
        z=hmc["z"].values,
        statistics=_group(path, "sample_stats"),
        map=None if best is None else _map_result(best, target),
        svi=None if gaussian is None else _svi_result(gaussian, target),  # type: ignore[arg-type]
        own_gradients=json.loads(hmc.attrs["num_gradients"]),
        timing=json.loads(hmc.attrs["timing"]),
        seed=None if hmc.attrs["seed"] < 0 else int(hmc.attrs["seed"]),
        settings=json.loads(hmc.attrs["settings"]),
    )
    return _with_known(result, path, hmc)


def _with_known(result: HMCResult, path: str | PathLike, hmc: xr.Dataset) -> HMCResult:
    """The result with what is in the file, which would be computed otherwise."""
    known = {
        "samples": _group(path, "posterior"),
        "observed": _group(path, "observed_data"),
        "versions": json.loads(hmc.attrs["versions"]),
    }
    result.__dict__.update(known)
    return result


def write_stage(path: str | PathLike, name: str, result: Any, manifest: dict[str, Any]) -> None:
    """Write the result of MAP or SVI alone, with what it was run on."""
    dataset = _map_dataset(result) if name == "map" else _svi_dataset(result)
    dataset.attrs |= {"manifest": json.dumps(manifest)}

    def write(path: Path) -> None:
        with _room(path, dataset.nbytes + _OVERHEAD):
            dataset.to_netcdf(str(path), engine=_ENGINE)

    write_checked(Path(path), write)


def read_stage(path: str | PathLike, name: str, target: Target) -> tuple[dict[str, Any], Any]:
    """What `write_stage` wrote: the manifest and the result.

    Raises:
        ValueError: the file was changed since, or points into another.
    """
    check_checksum(Path(path))
    _check_links(path)
    with xr.open_dataset(str(path), engine=_ENGINE) as dataset:
        dataset = dataset.load()
    result = {"map": _map_result, "svi": _svi_result}[name](dataset, target)
    return json.loads(dataset.attrs["manifest"]), result


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


def write_checked(path: Path, write: Callable[[Path], Any]) -> None:
    """As `write_atomically`, with a checksum at the end of the file."""

    def write_all(path: Path) -> None:
        write(path)
        add_checksum(path)

    write_atomically(path, write_all)


@contextlib.contextmanager
def _room(path: Path, nbytes: int) -> Iterator[None]:
    """Say that a disk is full before HDF5 finds out, which ends the process.

    Raises:
        OSError: there is no room for so many bytes.
    """
    if shutil.disk_usage(path.parent).free < nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if hasattr(os, "posix_fallocate"):  # a quota and a limit of the process count too
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, nbytes)
        path.unlink()
    try:
        yield
    except RuntimeError as error:  # of HDF5, for a disk that filled up meanwhile
        raise OSError(errno.EIO, f"HDF5 could not write: {error}", str(path)) from error


def check_file(path: str | PathLike) -> None:
    """Check that a file is a result that `save` wrote, and nothing but that.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it was written by something else, or was changed since.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r}. Give a saved posterior.")
    if has_checksum(path):
        check_checksum(path)
    elif not h5py.is_hdf5(path):
        raise ValueError(f"{str(path)!r} is no netCDF file. Give a posterior that fit.save wrote.")
    elif _is_of_others(path):
        raise ValueError(_OTHER.format(str(path)))
    else:
        check_checksum(path)
    _check_links(path)


def _is_of_others(path: Path) -> bool:
    try:
        with h5py.File(path) as file:
            return _GROUP.format("hmc") not in file
    except Exception:  # a file that is not whole fails in many ways
        return False


def _check_links(path: str | PathLike) -> None:
    with h5py.File(path) as file:
        check_self_contained(file, path)


def read(path: str | PathLike, name: str) -> xr.Dataset | None:
    """One of the datasets of a file, None where the file has none of that name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no netCDF file.
    """
    try:
        with xr.open_dataset(str(path), group=_GROUP.format(name), engine=_ENGINE) as dataset:
            return dataset.load()
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {str(path)!r}. Give a saved posterior.") from None
    except (OSError, KeyError) as error:
        if "group" in str(error).lower():
            return None
        raise ValueError(f"{str(path)!r} is no netCDF file: {error}.") from error


def _group(path: str | PathLike, name: str) -> dict[str, np.ndarray]:
    try:
        with xr.open_dataset(str(path), group=name, engine=_ENGINE) as dataset:
            return {str(key): value.values for key, value in dataset.load().data_vars.items()}
    except OSError:  # a likelihood of factors alone observes nothing
        return {}


def _hmc_dataset(result: AbstractPosterior, model_name: str) -> xr.Dataset:
    attrs = {
        "num_gradients": json.dumps(result.own_gradients),
        "timing": json.dumps(result.timing),
        "model": model_name,
        "sites": json.dumps([asdict(site) for site in result.target.sites]),
        "settings": json.dumps(result.settings, default=str),
        "seed": -1 if result.seed is None else result.seed,
        "versions": json.dumps(result.versions),
        "residuals": json.dumps([asdict(residuals) for residuals in result.residuals]),
        "doubts": json.dumps(result.doubts),
    }
    return xr.Dataset({"z": (("chain", "draw", "coordinate"), result.z)}, attrs=attrs)


def _counts(stage: MAPResult | SVIResult) -> dict[str, str]:
    return {
        "num_gradients": json.dumps(stage.num_gradients),
        "timing": json.dumps(stage.timing),
    }


def own_name(model: Callable) -> str:
    """The module and the name of a model function."""
    return f"{getattr(model, '__module__', '?')}.{getattr(model, '__qualname__', type(model))}"


def _sites(hmc: xr.Dataset) -> tuple[Site, ...]:
    return tuple(
        Site(s["name"], tuple(s["shape"]), tuple(s["unconstrained_shape"]), s["bounded"])
        for s in json.loads(hmc.attrs["sites"])
    )


def _unknown(hmc: xr.Dataset) -> Callable:
    def model(*_args: Any) -> NoReturn:
        raise ValueError(
            f"The file holds the draws, not the model function {hmc.attrs['model']}. Give it: "
            "nl.load(path, model=your_function)."
        )

    return model


def _map_dataset(result: MAPResult) -> xr.Dataset:
    variables = {
        "params": (("start", "coordinate"), result.params),
        "log_density": (("start",), result.log_density),
        "losses": (("step",), result.losses),
        "hessian": (("coordinate", "coordinate_"), result.hessian),
    }
    basins = json.dumps([list(basin) for basin in result.basins])
    nonfinite = json.dumps(result.num_nonfinite)
    attrs = {"basins": basins, "num_nonfinite": nonfinite, **_counts(result)}
    return xr.Dataset(variables, attrs=attrs)


def _map_result(data: xr.Dataset, target: Target) -> MAPResult:
    return MAPResult(
        target=target,
        **{name: data[name].values for name in ("params", "log_density", "losses", "hessian")},
        basins=tuple(Basin(*basin) for basin in json.loads(data.attrs["basins"])),
        **{key: json.loads(data.attrs[key]) for key in ("num_nonfinite", "num_gradients")},
        timing=json.loads(data.attrs["timing"]),
    )


def _svi_dataset(result: SVIResult) -> xr.Dataset:
    variables = {
        "mean": (("coordinate",), result.mean),
        "scale_tril": (("coordinate", "coordinate_"), result.scale_tril),
        "losses": (("step",), result.losses),
    }
    return xr.Dataset(variables, attrs={"pareto_k": float(result.pareto_k), **_counts(result)})


def _svi_result(data: xr.Dataset, target: Target) -> SVIResult:
    return SVIResult(
        target=target,
        **{name: data[name].values for name in ("mean", "scale_tril", "losses")},
        pareto_k=float(data.attrs["pareto_k"]),
        num_gradients=json.loads(data.attrs["num_gradients"]),
        timing=json.loads(data.attrs["timing"]),
    )
