"""A lens fit on disk: the draws, and the observations they were fitted to."""

import json
from collections.abc import Callable
from dataclasses import fields
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr

from numpyro_lens import infer, noise
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.infer import files
from numpyro_lens.models import READY
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF


def save(result: LensFit, path: str | PathLike) -> None:
    """Write a fit as netCDF: for `load`, and for ``arviz.from_netcdf``.

    Args:
        result: the fit.
        path: the file, replaced if it exists.
    """
    arguments = [arg for arg in result.args if isinstance(arg, Observation)]
    distinct = list({id(o): o for o in (*result.observations.values(), *arguments)}.values())
    number = {id(observation): index for index, observation in enumerate(distinct)}
    attrs = {
        # of the observation of each site, and of each argument; -1: a number, or not kept
        "sites": json.dumps({name: number[id(o)] for name, o in result.observations.items()}),
        "arguments": json.dumps([number.get(id(arg), -1) for arg in result.args]),
    }
    numbers = {str(i): a for i, a in enumerate(result.args) if isinstance(a, int | float)}
    extra = {f"observation_{i}": _observation_dataset(o) for i, o in enumerate(distinct)}
    extra["arguments"] = xr.Dataset(numbers, attrs=attrs)
    infer.save(result, path, model_name=model_name(result.model), extra=extra)


def load(
    path: str | PathLike, *, model: Callable | None = None, args: tuple | None = None
) -> LensFit:
    """Read a result that ``fit.save`` wrote.

    Everything is there but the model function, which no file can hold. A ready model is found by
    its name; with any other, what runs the model (``predict``, ``scene``, ``plot``) needs it given.

    Args:
        path: the netCDF file.
        model: the NumPyro model function that was fitted.
        args: its arguments; by default the observations and numbers that were fitted.

    Returns:
        The posterior, with ``.map`` and ``.svi``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file was written by something else, or does not hold an argument.

    Example:
        >>> fit.save("posterior.nc")
        >>> nl.load("posterior.nc").names
        ('lens.theta_E', 'sky.amp')
        >>> nl.load("posterior.nc", model=fit.model).scene().mass.theta_E.shape
        ()
    """
    kept = files.read(path, "arguments")
    if kept is None:
        return LensFit.of(infer.load(path, model=model, args=args or (), ready=READY))
    sites = json.loads(kept.attrs["sites"])
    args = _arguments(path, kept) if args is None else args
    by_number = dict(zip(json.loads(kept.attrs["arguments"]), args, strict=False))
    result = LensFit.of(infer.load(path, model=model, args=args, ready=READY))
    result.__dict__["observations"] = {
        name: by_number.get(number) or _observation(path, number) for name, number in sites.items()
    }
    return result


def model_name(model: Callable) -> str:
    """The name of a ready model; of any other function its module and name."""
    ready = {id(function): name for name, function in READY.items()}
    return ready.get(id(model)) or files.own_name(model)


def _arguments(path: str | PathLike, kept: xr.Dataset) -> tuple:
    args = []
    for position, number in enumerate(json.loads(kept.attrs["arguments"])):
        if number < 0 and str(position) not in kept:
            raise ValueError(
                f"Argument {position} of the model is no observation and no number, so "
                f"{str(path)!r} does not hold it. Give all of them: nl.load(path, args=(...))."
            )
        args.append(kept[str(position)].item() if number < 0 else _observation(path, number))
    return tuple(args)


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
        "psf_sampling": observation.sampling,
    }
    variables = {name: (dims, np.asarray(value)) for name, (dims, value) in variables.items()}
    return xr.Dataset(variables, attrs=attrs)


def _observation(path: str | PathLike, number: int) -> Observation:
    data = files.read(path, f"observation_{number}")
    if data is None:
        raise ValueError(f"{str(path)!r} lacks observation {number}: it is not whole.")
    kind = getattr(noise, data.attrs["noise"], None)
    if kind is None:
        raise ValueError(
            f"The noise of {str(path)!r} is of your own class {data.attrs['noise']}. Give the "
            "arguments of the model: nl.load(path, args=(observation,))."
        )
    kernel = data["psf"].values if "psf" in data else None
    return Observation(
        data["image"].values,
        transform_pix2angle=data["transform_pix2angle"].values,
        noise=kind(*(data[f"noise_{field.name}"].values for field in fields(kind))),
        psf=None if kernel is None else PSF(kernel, sampling=int(data.attrs["psf_sampling"])),
        mask=data["mask"].values.astype(bool),
        supersampling=int(data.attrs["supersampling"]),
        sky_position=data["sky_position"].values if "sky_position" in data else None,
    )
