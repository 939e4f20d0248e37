"""The command line: ``numpyro-lens demo``, ``numpyro-lens fit MODEL IMAGE.fits``, ``info``.

Exit codes: 0 the fit converged; 1 it finished and did not; 2 bad input; 130 interrupted. A bug
shows its traceback and leaves with 1, Python's code for it.
"""

import contextlib
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

# jax, numpyro and the rest of the package are imported inside the commands: `--help` stays fast,
# and jax is told how many devices the CPU has before it looks for them.

app = typer.Typer(
    help="Fit strong gravitational lenses: MAP, SVI, HMC, diagnostics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_PACKAGES = ("numpyro", "jax", "jaxlib", "arviz", "equinox", "numpy")

OutOption = Annotated[Path, typer.Option(help="Folder for the results, made if need be.")]
SeedOption = Annotated[int, typer.Option(help="Seed of all random numbers.")]
EssOption = Annotated[
    float | None,
    typer.Option(help="Draw until bulk and tail ESS reach this.  [default: what the verdict asks]"),
]
ProgressOption = Annotated[bool, typer.Option("--progress/--no-progress", help="Progress bars.")]
X64Option = Annotated[bool, typer.Option("--x64", help="Compute in 64 bit.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.command()
def demo(
    out: OutOption = Path("numpyro-lens-demo"),
    seed: SeedOption = 0,
    target_ess: EssOption = None,
    progress: ProgressOption = True,
    x64: X64Option = False,
    debug: DebugOption = False,
) -> None:
    """Simulate an HST-like lens and fit it. No data file is needed."""
    with _one_line_errors(debug):
        _start_jax(x64)
        model = _load_model("epl-shear-sersic")
        _run(model, _demo_observation(seed), out, seed, target_ess, progress, {"command": "demo"})


@app.command()
def fit(
    model: Annotated[str, typer.Argument(help="A ready model's name or path/to/file.py:function.")],
    image: Annotated[Path, typer.Argument(help="The FITS file.", metavar="IMAGE.fits")],
    image_ext: Annotated[
        str | None, typer.Option(help="Extension of the image.  [default: the first 2-D one]")
    ] = None,
    psf_ext: Annotated[str | None, typer.Option(help="Extension of the PSF.")] = None,
    noise_ext: Annotated[str | None, typer.Option(help="Extension of the sigma map.")] = None,
    exposure_ext: Annotated[
        str | None, typer.Option(help="Extension of the exposure time of every pixel.")
    ] = None,
    background_rms: Annotated[
        float | None, typer.Option(help="Background rms per pixel.  [default: header's BKGRMS]")
    ] = None,
    exposure_time: Annotated[
        float | None, typer.Option(help="Exposure time of all pixels; inf: background only.")
    ] = None,
    pixel_scale: Annotated[
        float | None, typer.Option(help="Pixel side in arcsec.  [default: from the WCS]")
    ] = None,
    cutout: Annotated[
        int | None, typer.Option(help="Keep this many pixels a side around the centre.")
    ] = None,
    mask_radius: Annotated[
        float | None, typer.Option(help="Fit within this radius in arcsec around the centre.")
    ] = None,
    supersampling: Annotated[int, typer.Option(help="Sub-pixels a side of the model.")] = 2,
    psf_sampling: Annotated[int, typer.Option(help="PSF samples per pixel side.")] = 1,
    out: OutOption = Path("numpyro-lens-fit"),
    seed: SeedOption = 0,
    target_ess: EssOption = None,
    progress: ProgressOption = True,
    x64: X64Option = False,
    debug: DebugOption = False,
) -> None:
    """Fit MODEL to an image.

    Writes posterior.nc, summary.csv, fit.png, corner.png and manifest.json, and after each stage
    map.npz and svi.npz. Exit code 0: converged; 1: not converged; 2: bad input; 130: interrupted.
    """
    reading: dict[str, Any] = {
        "image_ext": image_ext,
        "psf_ext": psf_ext,
        "noise_ext": noise_ext,
        "exposure_ext": exposure_ext,
        "background_rms": background_rms,
        "exposure_time": exposure_time,
        "pixel_scale": pixel_scale,
        "cutout": cutout,
        "mask_radius": mask_radius,
        "supersampling": supersampling,
        "psf_sampling": psf_sampling,
    }
    command = {"command": "fit", "model": model, "image": str(image), "read_fits": reading}
    with _one_line_errors(debug):
        _start_jax(x64)
        from numpyro_lens.io import read_fits

        function = _load_model(model)
        observation = read_fits(image, **reading)
        _run(function, observation, out, seed, target_ess, progress, command)


@app.command()
def info() -> None:
    """Print versions, devices and the ready models: what a report of a problem should contain."""
    _start_jax(x64=False)
    import jax

    from numpyro_lens.models import READY

    for name, version in _versions().items():
        typer.echo(f"{name:14} {version}")
    typer.echo(f"{'devices':14} {', '.join(str(device) for device in jax.devices())}")
    typer.echo(f"{'ready models':14} {', '.join(sorted(READY))}")


class _InputError(Exception):
    """Something the user can mend: printed in one line, without a traceback."""


@contextlib.contextmanager
def _one_line_errors(debug: bool) -> Iterator[None]:
    try:
        yield
    except (_InputError, ValueError, TypeError, OSError) as error:
        if debug:
            raise
        typer.echo(f"numpyro-lens: {_one_line(error)}", err=True)
        raise typer.Exit(2) from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _start_jax(x64: bool) -> None:
    """One CPU device per core, so that batches run on all of them; to be called before jax works.

    Only the command line decides this: a library that did would decide it for its users' scripts.
    """
    import jax

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


def _load_model(spec: str) -> Callable:
    """A ready model by its name, or the function in ``path/to/file.py:function``."""
    from numpyro_lens.models import READY

    if spec in READY:
        return READY[spec]
    path, colon, name = spec.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise _InputError(
            f"MODEL must be a ready model or path/to/file.py:function; got {spec!r}. "
            f"Ready models: {', '.join(sorted(READY))}."
        )
    return _function_in(Path(path), name)


def _function_in(path: Path, name: str) -> Callable:
    if not path.is_file():
        raise _InputError(f"MODEL must name a Python file; there is no file {str(path)!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # noqa: PT018  it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # as `python file.py` does
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _InputError(f"importing {str(path)!r} failed: {_described(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        functions = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        ]
        raise _InputError(
            f"{str(path)!r} must define the model {name!r}; it defines "
            f"{', '.join(functions) or 'no function'}."
        )
    return function


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _check_model(model: Callable, observation) -> None:
    """Run the model once: a mistake in it shows now and in one line, not amid compilation."""
    import jax
    from numpyro import handlers

    try:
        with handlers.block():
            sites = handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(observation)
    except Exception as error:
        raise _InputError(f"the model failed on this observation: {_described(error)}") from error
    if not any(site["type"] == "sample" and site["is_observed"] for site in sites.values()):
        raise _InputError(
            "the model must place an observed site; it has "
            f"{', '.join(sites) or 'no site'}. "
            'End it with nl.observe("image", image, observation).'
        )


def _run(
    model: Callable,
    observation,
    out: Path,
    seed: int,
    target_ess: float | None,
    progress: bool,
    command: dict[str, Any],
) -> None:
    """Fit, keep every finished stage, write the results, and leave with the code of the verdict."""
    import numpyro_lens as nl

    _check_model(model, observation)
    out.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(out)
    try:
        result = nl.fit(
            model,
            observation,
            seed=seed,
            target_ess=target_ess,
            progress=progress,
            callback=keeper.keep,
        )
        keeper.write("posterior.nc", result.save)
        summary = _write_results(keeper, result, command)
    except (ValueError, TypeError) as error:
        if not keeper.written:
            raise
        # the input was good enough for a whole stage: this is a bug, and shows its traceback
        raise RuntimeError(f"failed after {', '.join(keeper.written)} in {out}") from error
    except KeyboardInterrupt:
        kept = ", ".join(keeper.written) or "nothing: no stage had finished"
        typer.echo(f"numpyro-lens: interrupted; kept in {out}: {kept}", err=True)
        raise typer.Exit(130) from None
    _print_summary(summary, result.verdict, out, keeper.written)
    raise typer.Exit(0 if result.verdict.converged else 1)


class _Keeper:
    """Writes files into a folder, each atomically, and remembers which."""

    def __init__(self, out: Path):
        self.out = out
        self.written: list[str] = []

    def write(self, name: str, writer: Callable[[Path], Any]) -> None:
        """Let ``writer`` fill a temporary file, then give it its name: never half a file."""
        if not self.written:
            # an older run's manifest must not vouch for the files of this one
            (self.out / "manifest.json").unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=self.out, prefix=".writing-") as folder:
            # the name itself, for its ending tells the writer the format
            path = Path(folder) / name
            writer(path)
            path.replace(self.out / name)
        self.written.append(name)

    def keep(self, stage: str, result) -> None:
        """The callback of `fit`: called with each stage that has finished."""
        import numpy as np

        fields = {
            "map": ("names", "params", "log_density"),
            "svi": ("names", "mean", "covariance_matrix", "losses"),
        }.get(stage)
        if fields is not None:
            arrays: dict[str, Any] = {field: np.asarray(getattr(result, field)) for field in fields}
            self.write(f"{stage}.npz", lambda path: np.savez(path, **arrays))


def _write_results(keeper: _Keeper, result, command: dict[str, Any]):
    """Everything but the posterior; the manifest last, so that a folder with one is complete."""
    from numpyro_lens import plot

    summary = result.summary()
    keeper.write("summary.csv", lambda path: summary.to_csv(path, index_label="parameter"))
    for name, draw in (("fit.png", plot.plot_fit), ("corner.png", plot.plot_corner)):
        try:
            figure, _ = draw(result)
        except ValueError as error:  # say, a model without `render`: its posterior is no worse
            typer.echo(f"numpyro-lens: {name} was not drawn: {_one_line(error)}", err=True)
            continue
        keeper.write(name, partial(figure.savefig, dpi=150))
    text = json.dumps(_manifest(result, command), indent=2, default=str) + "\n"
    keeper.write("manifest.json", lambda path: path.write_text(text, encoding="utf-8"))
    return summary


def _manifest(result, command: dict[str, Any]) -> dict[str, Any]:
    import jax

    return {
        **command,
        "versions": _versions(),
        "platform": platform.platform(),
        "devices": [str(device) for device in jax.devices()],
        "x64": bool(jax.config.read("jax_enable_x64")),
        "seed": result.seed,
        "settings": result.settings,
        "timings": result.timings,
        "num_gradients": result.num_gradients,
        "peak_memory_bytes": _peak_memory(),
        "converged": bool(result.verdict.converged),
        "verdict": str(result.verdict),
    }


def _versions() -> dict[str, str]:
    from numpyro_lens import __version__

    ours = {"python": platform.python_version(), "numpyro_lens": __version__}
    return ours | {package: metadata.version(package) for package in _PACKAGES}


def _peak_memory() -> int | None:
    """Largest resident memory of this process [bytes]; None where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB


def _print_summary(summary, verdict, out: Path, written: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 120  # a pipe or a file has no width of its own
    table = Table("parameter", *map(str, summary.columns), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for name, row in summary.iterrows():
        table.add_row(str(name), *(_cell(value) for value in row))
    console.print(table)
    console.print()
    console.print(str(verdict), style="green" if verdict.converged else "red", markup=False)
    console.print(f"Wrote {', '.join(written)} in {out}{os.sep}", markup=False, highlight=False)


def _cell(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _demo_observation(seed: int):
    """A bright source just off the centre of an elliptical lens: an arc and its counter-image."""
    import jax
    import numpy as np

    import numpyro_lens as nl

    scale = 0.05
    steps = scale * np.arange(-6, 7)
    kernel = np.exp(-4 * np.log(2) * (steps[:, None] ** 2 + steps**2) / 0.1**2)
    empty = nl.Observation(
        np.zeros((70, 70)),
        pixel_scale=scale,
        noise=nl.PoissonNoise(0.01, 1500.0),
        psf=nl.PSF(kernel / kernel.sum()),
    )
    return nl.mock(
        empty,
        jax.random.key(seed),
        mass=nl.mass.EPL(theta_E=1.15, gamma=2.05, e1=0.16, e2=-0.1, center_x=0.01, center_y=-0.02)
        + nl.mass.Shear(gamma1=0.03, gamma2=-0.04),
        source=nl.light.Sersic(
            amp=50.0, R_sersic=0.1, n_sersic=1.2, e1=0.15, e2=0.1, center_x=0.07, center_y=0.04
        ),
        lens_light=nl.light.Sersic(
            amp=12.0, R_sersic=0.6, n_sersic=3.5, e1=0.1, e2=-0.06, center_x=0.01, center_y=-0.02
        ),
    )
