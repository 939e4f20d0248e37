"""A lens fit from disk."""

import json
from collections.abc import Callable
from os import PathLike

from numpyro_lens import infer
from numpyro_lens.fitting.files import by_number, read_arguments, read_observation
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.infer import files
from numpyro_lens.models import READY


def load(
    path: str | PathLike, *, model: Callable | None = None, args: tuple | None = None
) -> LensFit:
    """Read a result that ``fit.save`` wrote.

    Everything is there but the model function, which no file can hold. A ready model is found by
    its name; with any other, what runs the model (``predict``, ``scene``, ``plot``) needs it given.

    Args:
        path: the netCDF file.
        model: the NumPyro model function that was fitted.
        args: its arguments; by default the observations and arrays that were fitted.

    Returns:
        The posterior, with ``.map`` and ``.svi``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file was written by something else, was changed since (it carries a
            checksum), or does not hold an argument.

    Example:
        >>> fit.save("posterior.nc")
        >>> nl.load("posterior.nc").names
        ('lens.theta_E', 'sky.amp')
        >>> nl.load("posterior.nc", model=fit.model).scene().mass.theta_E.shape
        ()
    """
    files.check_file(path)
    kept = files.read(path, "arguments")
    if kept is None:
        return _as_judged(LensFit.of(infer.load(path, model=model, args=args or ())), path)
    sites = json.loads(kept.attrs["sites"])
    args = read_arguments(path, kept) if args is None else args
    given = by_number(json.loads(kept.attrs["arguments"]), args)
    result = LensFit.of(infer.load(path, model=model, args=args, ready=READY))
    result.__dict__["observations"] = {
        name: given.get(number) or read_observation(path, number) for name, number in sites.items()
    }
    return _as_judged(result, path)


def _as_judged(result: LensFit, path: str | PathLike) -> LensFit:
    """What it would take the model to compute again, for the verdict."""
    hmc = files.read(path, "hmc")
    kept = [] if hmc is None else json.loads(hmc.attrs["residuals"])
    result.__dict__["residuals"] = tuple(infer.Residuals(**residuals) for residuals in kept)
    result.__dict__["doubts"] = (
        () if hmc is None else tuple(json.loads(hmc.attrs.get("doubts", "[]")))
    )
    return result
