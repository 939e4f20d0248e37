"""A result on disk: ArviZ's groups, and beside them what it takes to rebuild the result itself."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from os import PathLike
from typing import Any, NoReturn

import numpy as np
import xarray as xr

from numpyro_lens import noise
from numpyro_lens.infer.density import FlatModel, Site
from numpyro_lens.infer.posterior import HMCResult
from numpyro_lens.infer.results import Basin, MAPResult, SVIResult
from numpyro_lens.models import READY
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF

_ENGINE = "h5netcdf"
_GROUP = "numpyro_lens_{}"


def save(result: HMCResult, path: str | PathLike) -> None:
    """Write a result as netCDF: for ``load``, and for ``arviz.from_netcdf``.

    Args:
        result: the posterior.
        path: the file, replaced if it exists.
    """
    result.to_arviz().to_netcdf(str(path))
    stages: dict[str, Any] = {"map": result.map, "svi": result.svi}
    parts = {"hmc": _hmc_dataset(result)}
    parts |= {"map": _map_dataset(result.map)} if isinstance(result.map, MAPResult) else {}
    parts |= {"svi": _svi_dataset(result.svi)} if isinstance(result.svi, SVIResult) else {}
    observation = next((arg for arg in result.args if isinstance(arg, Observation)), None)
    if observation is not None:
        parts["observation"] = _observation_dataset(observation)
    for name, stage in stages.items():
        if name in parts:
            parts[name].attrs |= _counts(stage)
    for name, dataset in parts.items():
        dataset.to_netcdf(str(path), mode="a", group=_GROUP.format(name), engine=_ENGINE)


def load(
    path: str | PathLike, *, model: Callable | None = None, args: tuple | None = None
) -> HMCResult:
    """Read a result that ``save`` wrote.

    Everything is there but the model function, which no file can hold. A ready model is found by
    its name; with any other, what runs the model (``predict``, ``scene``, ``plot``) needs it given.

    Args:
        path: the netCDF file.
        model: the NumPyro model function that was fitted.
        args: its arguments; by default the one observation that was fitted.

    Returns:
        The posterior, with ``.map`` and ``.svi``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file was written by something else.

    Example:
        >>> save(fit, "posterior.nc")  # or fit.save("posterior.nc")
        >>> nl.load("posterior.nc").names
        ('lens.theta_E', 'sky.amp')
        >>> nl.load("posterior.nc", model=fit.model).scene().mass.theta_E.shape
        ()
    """
    parts = {name: _read(path, name) for name in ("hmc", "map", "svi", "observation")}
    hmc = parts["hmc"]
    if hmc is None:
        raise ValueError(
            f"{str(path)!r} holds no numpyro_lens result. Files of other packages open with "
            "arviz.from_netcdf(path)."
        )
    if args is None:
        args = () if parts["observation"] is None else (_observation(parts["observation"]),)
    flat = FlatModel(model or READY.get(hmc.attrs["model"]) or _unknown(hmc), _sites(hmc))
    result = HMCResult(
        flat=flat,
        args=args,
        z=hmc["z"].values,
        statistics=_group(path, "sample_stats"),
        map=None if parts["map"] is None else _map_result(parts["map"], flat, args),
        svi=None if parts["svi"] is None else _svi_result(parts["svi"], flat, args),  # type: ignore[arg-type]
        stage_gradients=json.loads(hmc.attrs["num_gradients"]),
        timing=json.loads(hmc.attrs["timing"]),
        hmc_settings=None,
        seed=None if hmc.attrs["seed"] < 0 else int(hmc.attrs["seed"]),
        settings=json.loads(hmc.attrs["settings"]),
    )
    # what would otherwise be computed, by the model or by the packages of today
    result.__dict__["samples"] = _group(path, "posterior")
    result.__dict__["versions"] = json.loads(hmc.attrs["versions"])
    result.__dict__["observed"] = _group(path, "observed_data")
    return result


def write_stage(path: str | PathLike, name: str, result: Any, manifest: dict[str, Any]) -> None:
    """Write the result of MAP or SVI alone, with what it was run on."""
    dataset = _map_dataset(result) if name == "map" else _svi_dataset(result)
    dataset.attrs |= _counts(result) | {"manifest": json.dumps(manifest)}
    dataset.to_netcdf(str(path), engine=_ENGINE)


def read_stage(
    path: str | PathLike, name: str, flat: FlatModel, args: tuple
) -> tuple[dict[str, Any], Any]:
    """What ``write_stage`` wrote: the manifest and the result."""
    with xr.open_dataset(str(path), engine=_ENGINE) as dataset:
        dataset = dataset.load()
    result = {"map": _map_result, "svi": _svi_result}[name](dataset, flat, args)
    return json.loads(dataset.attrs["manifest"]), result


def _read(path: str | PathLike, name: str) -> xr.Dataset | None:
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
    with xr.open_dataset(str(path), group=name, engine=_ENGINE) as dataset:
        return {str(key): variable.values for key, variable in dataset.load().data_vars.items()}


def _hmc_dataset(result: HMCResult) -> xr.Dataset:
    attrs = _counts(result) | {
        "model": model_name(result.model),
        "sites": json.dumps([asdict(site) for site in result.flat.sites]),
        "settings": json.dumps(result.settings, default=str),
        "seed": -1 if result.seed is None else result.seed,
        "versions": json.dumps(result.versions),
    }
    return xr.Dataset({"z": (("chain", "draw", "coordinate"), result.z)}, attrs=attrs)


def _counts(stage: Any) -> dict[str, str]:
    gradients = stage.stage_gradients if isinstance(stage, HMCResult) else stage.num_gradients
    return {"num_gradients": json.dumps(gradients), "timing": json.dumps(stage.timing)}


def model_name(model: Callable) -> str:
    """The name of a ready model; of any other function its module and name."""
    ready = {id(function): name for name, function in READY.items()}
    own = f"{getattr(model, '__module__', '?')}.{getattr(model, '__qualname__', type(model))}"
    return ready.get(id(model), own)


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
    return xr.Dataset(variables, attrs={"basins": basins, "num_nonfinite": nonfinite})


def _map_result(data: xr.Dataset, flat: FlatModel, args: tuple) -> MAPResult:
    return MAPResult(
        flat=flat,
        args=args,
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
    return xr.Dataset(variables, attrs={"pareto_k": float(result.pareto_k)})


def _svi_result(data: xr.Dataset, flat: FlatModel, args: tuple) -> SVIResult:
    return SVIResult(
        flat=flat,
        args=args,
        **{name: data[name].values for name in ("mean", "scale_tril", "losses")},
        pareto_k=float(data.attrs["pareto_k"]),
        num_gradients=json.loads(data.attrs["num_gradients"]),
        timing=json.loads(data.attrs["timing"]),
    )


def _observation_dataset(observation: Observation) -> xr.Dataset:
    own = {
        field.name: getattr(observation.noise, field.name) for field in fields(observation.noise)
    }
    variables: dict[str, Any] = {
        "image": (("y", "x"), observation.image),
        "mask": (("y", "x"), observation.mask),
        "transform_pix2angle": (("axis", "step"), observation.transform_pix2angle),
    }
    for name, value in own.items():
        variables[f"noise_{name}"] = (("y", "x") if np.ndim(value) else (), value)
    if observation.psf is not None:
        variables["psf"] = (("psf_y", "psf_x"), observation.psf.kernel)
    if observation.sky_position is not None:
        variables["sky_position"] = (("axis",), observation.sky_position)
    attrs = {
        "noise": type(observation.noise).__name__,
        "supersampling": observation.supersampling,
        "psf_sampling": 1 if observation.psf is None else observation.psf.sampling,
    }
    variables = {name: (dims, np.asarray(value)) for name, (dims, value) in variables.items()}
    return xr.Dataset(variables, attrs=attrs)


def _observation(data: xr.Dataset) -> Observation:
    kind = getattr(noise, data.attrs["noise"])
    position = data["sky_position"].values if "sky_position" in data else None
    kernel = data["psf"].values if "psf" in data else None
    return Observation(
        data["image"].values,
        transform_pix2angle=data["transform_pix2angle"].values,
        noise=kind(*(data[f"noise_{field.name}"].values for field in fields(kind))),
        psf=None if kernel is None else PSF(kernel, sampling=int(data.attrs["psf_sampling"])),
        mask=data["mask"].values.astype(bool),
        supersampling=int(data.attrs["supersampling"]),
        sky_position=position,
    )
