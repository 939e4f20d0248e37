"""A lens fit on disk: the draws, and the observations they were fitted to."""

import json
from collections.abc import Callable
from dataclasses import fields
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from numpyro_lens import infer, noise
from numpyro_lens.infer import AbstractPosterior, files
from numpyro_lens.models import READY
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF


def save(result: AbstractPosterior, placed: dict[str, Observation], path: str | PathLike) -> None:
    """Write a fit as netCDF: for `load`, and for ``arviz.from_netcdf``.

    Args:
        result: the fit.
        placed: its observations, by the name of their site.
        path: the file, replaced if it exists.
    """
    arguments = [each for arg in result.args for each in _bands(arg).values()]
    distinct = list({id(o): o for o in (*placed.values(), *arguments)}.values())
    number = {id(observation): index for index, observation in enumerate(distinct)}
    attrs = {
        # of the observation of each site, and of each argument; -1: an array, or not kept;
        # of a dict of observations those of each by name
        "sites": json.dumps({name: number[id(o)] for name, o in placed.items()}),
        "arguments": json.dumps([_numbers(arg, number) for arg in result.args]),
    }
    arrays = {str(i): _array(i, a) for i, a in enumerate(result.args) if _is_array(a)}
    extra = {f"observation_{i}": _observation_dataset(o) for i, o in enumerate(distinct)}
    extra["arguments"] = xr.Dataset(arrays, attrs=attrs)
    infer.save(result, path, model_name=model_name(result.model), extra=extra)


def _bands(argument: Any) -> dict[str, Observation]:
    """The observations in an argument of a model: a dict of them, one under no name, or none."""
    bands = argument if isinstance(argument, dict) else {"": argument}
    return bands if all(isinstance(each, Observation) for each in bands.values()) else {}


def _numbers(argument: Any, number: dict[int, int]) -> int | dict[str, int]:
    if isinstance(argument, dict) and _bands(argument):
        return {name: number[id(each)] for name, each in argument.items()}
    return number.get(id(argument), -1)


def by_number(arguments: list[int | dict[str, int]], args: tuple) -> dict[int, Observation]:
    """The observations among the arguments of a model, by their number in the file."""
    found: dict[int, Observation] = {}
    for kept, arg in zip(arguments, args, strict=False):
        numbers = kept if isinstance(kept, dict) else {"": kept}
        found |= {numbers[name]: each for name, each in _bands(arg).items() if name in numbers}
    return found


def model_name(model: Callable) -> str:
    """The name of a ready model; of any other function its module and name."""
    ready = {id(function): name for name, function in READY.items()}
    return ready.get(id(model)) or files.own_name(model)


def read_arguments(path: str | PathLike, kept: xr.Dataset) -> tuple:
    """The arguments of the model, of the dataset that `save` wrote of them.

    Raises:
        ValueError: one of them is not in the file.
    """
    args: list[Any] = []
    for position, number in enumerate(json.loads(kept.attrs["arguments"])):
        if isinstance(number, dict):
            args.append({name: read_observation(path, each) for name, each in number.items()})
            continue
        if number < 0 and str(position) not in kept:
            raise ValueError(
                f"Argument {position} of the model is no observation and no array, so "
                f"{str(path)!r} does not hold it. Give all of them: nl.load(path, args=(...))."
            )
        if number < 0:
            array = kept[str(position)].values
            args.append(array.item() if array.ndim == 0 else array)
        else:
            args.append(read_observation(path, number))
    return tuple(args)


def _is_array(argument: Any) -> bool:
    if not isinstance(argument, int | float | np.ndarray | jax.Array):
        return False
    is_key = isinstance(argument, jax.Array) and jnp.issubdtype(argument.dtype, jax.dtypes.prng_key)
    return not is_key and np.asarray(argument).dtype.kind in "biuf"


def _array(position: int, argument: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """An argument as a variable of a dataset, its axes with names of their own."""
    values = np.asarray(argument)
    return tuple(f"argument_{position}_{axis}" for axis in range(values.ndim)), values


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
        "center": [float(np.mean(axis)) for axis in (observation.x, observation.y)],
    }
    variables = {name: (dims, np.asarray(value)) for name, (dims, value) in variables.items()}
    return xr.Dataset(variables, attrs=attrs)


def read_observation(path: str | PathLike, number: int) -> Observation:
    """One of the observations of a file.

    Raises:
        ValueError: it is not in the file, or has a noise of the user's own class.
    """
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
    observation = Observation(
        data["image"].values,
        transform_pix2angle=data["transform_pix2angle"].values,
        noise=kind(*(data[f"noise_{field.name}"].values for field in fields(kind))),
        psf=None if kernel is None else PSF(kernel, sampling=int(data.attrs["psf_sampling"])),
        mask=data["mask"].values.astype(bool),
        supersampling=int(data.attrs["supersampling"]),
        sky_position=data["sky_position"].values if "sky_position" in data else None,
    )
    center = np.asarray(data.attrs["center"])
    is_moved = np.any(np.abs(center) > 1e-5 * np.sqrt(observation.pixel_area))
    return observation.moved(*center) if is_moved else observation
