"""What the commands share: options, errors in one line, devices, model functions, output."""

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpyro_lens.fitting import LensFit

# jax, numpyro and the rest of the package are imported inside the commands: `--help` stays fast,
# and jax is told how many devices the CPU has before it looks for them.

ModelArgument = Annotated[
    str, typer.Argument(help="A ready model's name or path/to/file.py:function.", metavar="MODEL")
]
OutOption = Annotated[Path, typer.Option(help="Folder for the results, made if need be.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results that the folder holds.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of all random numbers.")]
EssOption = Annotated[
    float | None,
    typer.Option(help="Draw until bulk and tail ESS reach this.  [default: what the verdict asks]"),
]
ProgressOption = Annotated[
    bool, typer.Option("--progress/--no-progress", help="Say how far it is.")
]
CacheOption = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="Keep compiled functions for the next call."),
]
X64Option = Annotated[bool, typer.Option("--x64", help="Compute in 64 bit.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of a table, for machines.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="path/to/file.py:function that was fitted.  [default: the ready model]"),
]


class InputError(Exception):
    """Something the user can mend: printed in one line, without a traceback."""


@contextlib.contextmanager
def one_line_errors(debug: bool) -> Iterator[None]:
    try:
        yield
    except (InputError, ValueError, TypeError, OSError) as error:
        if debug:
            raise
        typer.echo(f"numpyro-lens: {one_line(error)}", err=True)
        raise typer.Exit(2) from None


def check_out(out: Path, overwrite: bool) -> None:
    """Check that no result of another run would be lost."""
    if not overwrite and (out / "posterior.nc").exists():
        raise InputError(
            f"{out} holds the results of a fit. Give another --out, or --overwrite to replace them."
        )


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print warnings in one line each, without the place in the program."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show_warning
        yield


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"numpyro-lens: warning: {' '.join(str(message).split())}", err=True)


def say(text: str) -> None:
    """One line on standard error."""
    typer.echo(f"numpyro-lens: {text}", err=True)


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def start_jax(x64: bool, cache: bool = True) -> None:
    """One CPU device per core, so that batches run on all of them; to be called before jax works.

    Only the command line decides this: a library that did would decide it for its users' scripts.
    Without ``cache`` the compiled functions that `use_cache` has JAX keep are neither read nor
    written.
    """
    import jax

    if not cache:
        jax.config.update("jax_enable_compilation_cache", False)
    if x64:
        jax.config.update("jax_enable_x64", True)
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return  # the user has decided
    with contextlib.suppress(RuntimeError):  # jax has started: called from Python, not a shell
        jax.config.update("jax_num_cpu_devices", _cores())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # those a batch system grants, not those built in
    return os.cpu_count() or 1


def load_model(spec: str) -> Callable:
    """A ready model by its name, or the function in ``path/to/file.py:function``."""
    from numpyro_lens.models import load_model

    return load_model(spec)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def check_model(model: Callable, *data: Any) -> None:
    """Run the model once: a mistake in it shows now and in one line, not amid compilation."""
    import jax
    from numpyro import handlers

    try:
        with handlers.block():
            sites = handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(*data)
    except Exception as error:
        raise InputError(f"the model failed on these data: {_described(error)}") from error
    if not any(site["type"] == "sample" and site["is_observed"] for site in sites.values()):
        raise InputError(
            "the model must place an observed site; it has "
            f"{', '.join(sites) or 'no site'}. "
            'End it with nl.observe("image", observation, mass=..., source=...).'
        )


def load_result(path: Path, model: str | None) -> "LensFit":
    """A saved posterior, with the model function where one is named or ready."""
    from numpyro_lens.fitting import load

    return load(path, model=None if model is None else load_model(model))


def print_json(values: dict[str, Any]) -> None:
    """One JSON object on standard output; what JSON cannot hold becomes text."""
    typer.echo(json.dumps(values, indent=2, default=str))
