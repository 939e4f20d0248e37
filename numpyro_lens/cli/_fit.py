"""``numpyro-lens fit`` and ``numpyro-lens demo``."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numpyro_lens.cli._call import absolute_model, holds_call, keep_call
from numpyro_lens.cli._images import (
    BandOption,
    BandSettingOption,
    BandsOption,
    described,
    images_of_call,
    read_images,
)
from numpyro_lens.cli._reading import (
    BackgroundRms,
    Center,
    Cutout,
    ExposureOption,
    ExposureTime,
    FlagsOption,
    FluxUnit,
    ImageArgument,
    ImageExt,
    MaskOption,
    MaskRadius,
    NoiseOption,
    PixelScale,
    PsfOption,
    PsfSampling,
    RegionsOption,
    Supersampling,
    VarianceOption,
    WeightOption,
)
from numpyro_lens.cli._shared import (
    CacheOption,
    DebugOption,
    EssOption,
    JsonOption,
    ModelArgument,
    OutOption,
    OverwriteOption,
    ProgressOption,
    SeedOption,
    X64Option,
    check_model,
    check_out,
    load_model,
    one_line,
    one_line_errors,
    one_line_warnings,
    print_json,
    say,
    start_jax,
)
from numpyro_lens.folder import Keeper, judgement, write_results

if TYPE_CHECKING:
    from numpyro_lens.fitting import LensFit
    from numpyro_lens.infer import Verdict
    from numpyro_lens.observation import Observation


#: columns of a summary that a narrow terminal does without
_LEAST_FIRST = ("mcse_sd", "mcse_mean", "ess_tail", "eti16", "eti84")

CheckpointOption = Annotated[
    Path | None,
    typer.Option(help="Folder that holds the run; `numpyro-lens resume` goes on with it."),
]


def demo(
    out: OutOption = Path("numpyro-lens-demo"),
    overwrite: OverwriteOption = False,
    seed: SeedOption = 0,
    target_ess: EssOption = None,
    progress: ProgressOption = True,
    cache: CacheOption = True,
    x64: X64Option = False,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Simulate an HST-like lens and fit it. No data file is needed.

    Example: numpyro-lens demo --out demo/ --seed 1
    """
    with one_line_errors(debug):
        check_out(out, overwrite)
        start_jax(x64, cache)
        model = load_model("epl-shear-sersic")
        settings = {"seed": seed, "target_ess": target_ess, "progress": progress}
        _run(model, (_demo_observation(seed),), out, settings, {"command": "demo"}, json)


def fit(
    model: ModelArgument,
    image: ImageArgument,
    band: BandOption = None,
    bands: BandsOption = None,
    band_option: BandSettingOption = None,
    image_ext: ImageExt = None,
    psf: PsfOption = None,
    noise: NoiseOption = None,
    weight: WeightOption = None,
    variance: VarianceOption = None,
    exposure: ExposureOption = None,
    background_rms: BackgroundRms = None,
    exposure_time: ExposureTime = None,
    pixel_scale: PixelScale = None,
    center: Center = None,
    cutout: Cutout = None,
    mask: MaskOption = None,
    flags: FlagsOption = None,
    regions: RegionsOption = None,
    mask_radius: MaskRadius = None,
    supersampling: Supersampling = 2,
    psf_sampling: PsfSampling = None,
    flux_unit: FluxUnit = None,
    out: OutOption = Path("numpyro-lens-fit"),
    overwrite: OverwriteOption = False,
    seed: SeedOption = 0,
    target_ess: EssOption = None,
    checkpoint: CheckpointOption = None,
    progress: ProgressOption = True,
    cache: CacheOption = True,
    x64: X64Option = False,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit MODEL to an image, or to several bands.

    Example: numpyro-lens fit epl-shear-sersic lens.fits --psf PSF --noise RMS --out fit/

    Writes posterior.nc, summary.csv, derived.csv, fit.png, corner.png, corner.pdf and
    manifest.json, and after each stage map.npz and svi.npz. Exit code 0: good; 1: not converged;
    3: converged, and the data not explained, another mode within reach, or a doubt; 4: a file
    could not be written; 2: bad input; 130: interrupted.
    """
    given = locals()
    with one_line_errors(debug):
        check_out(out, overwrite or holds_call(checkpoint))
        run_call(_call(given), checkpoint, progress, cache, json)


def _call(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fit`, as JSON can hold them, with absolute paths."""
    return {
        "command": "fit",
        "model": absolute_model(given["model"]),
        **images_of_call(given),
        "out": str(given["out"].resolve()),
        **{name: given[name] for name in ("seed", "target_ess", "x64")},
    }


def run_call(
    call: dict[str, Any], checkpoint: Path | None, progress: bool, cache: bool, json: bool
) -> None:
    """Fit as a call of `fit` asks, or go on with it where the checkpoint is."""
    start_jax(call["x64"], cache)
    model = load_model(call["model"])
    with one_line_warnings():
        images = read_images(call)
    if not json:
        typer.echo(described(images))
    from numpyro_lens.models import arguments

    data = arguments(model, images)
    check_model(model, *data)
    if checkpoint is not None:
        keep_call(checkpoint, call)
    settings = {
        "seed": call["seed"],
        "target_ess": call["target_ess"],
        "progress": progress,
        "checkpoint": checkpoint,
    }
    _run(model, data, Path(call["out"]), settings, call, json)


def _run(
    model: Callable,
    data: tuple,
    out: Path,
    settings: dict[str, Any],
    command: dict[str, Any],
    json: bool,
) -> None:
    """Fit, keep every finished stage, write the results, and leave with the code of the verdict."""
    out.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(out, say)
    with _kept_when_broken(keeper, settings.get("checkpoint")):
        result = _fitted(model, data, callback=keeper.keep, **settings)
        summary = _written(keeper, result, command)
    if json:
        print_json(_as_json(summary, result.verdict, out, keeper.written))
    else:
        _print_summary(summary, result.verdict, out, keeper.written)
    raise typer.Exit(result.verdict.exit_code)


@contextlib.contextmanager
def _kept_when_broken(keeper: Keeper, checkpoint: Path | None) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        if not keeper.written:
            raise
        # the input was good enough for a whole stage: this is a bug, and shows its traceback
        kept = ", ".join(keeper.written)
        raise RuntimeError(f"failed after {kept} in {keeper.out}") from error
    except OSError as error:
        if checkpoint is None:
            raise
        line = (
            f"the fit stopped, and what it had is kept: {one_line(error)}. Make room, and go on: "
        )
        typer.echo(f"numpyro-lens: {line}numpyro-lens resume {checkpoint}", err=True)
        raise typer.Exit(4) from None
    except KeyboardInterrupt:
        kept = ", ".join(keeper.written) or "nothing: no stage had finished"
        advice = "" if checkpoint is None else f"; to go on: numpyro-lens resume {checkpoint}"
        typer.echo(f"numpyro-lens: interrupted; kept in {keeper.out}: {kept}{advice}", err=True)
        raise typer.Exit(130) from None


def _written(keeper: Keeper, result: "LensFit", command: dict[str, Any]) -> Any:
    """Write the results, of which a full disk may leave a part: one line says which."""
    try:
        keeper.save(result)
        return write_results(keeper, result, command)
    except OSError as error:
        has_posterior = "posterior.nc" in keeper.written
        advice = f"numpyro-lens report {keeper.out / 'posterior.nc'} draws the rest."
        line = f"the fit is finished and not all of it could be written: {one_line(error)}. "
        line += f"Kept: {keeper.kept}. Make room{'; ' + advice if has_posterior else '.'}"
        typer.echo(f"numpyro-lens: {line}", err=True)
        raise typer.Exit(4) from None


def _fitted(model: Callable, data: tuple, **settings: Any) -> "LensFit":
    import numpyro_lens as nl

    recipe = nl.fitting.recipe_of(model)
    return nl.fit(model, *data, **settings) if recipe is None else recipe(*data, **settings)


def _as_json(summary: Any, verdict: "Verdict", out: Path, written: list[str]) -> dict[str, Any]:
    return {
        **judgement(verdict),
        "out": str(out),
        "files": written,
        "summary": summary.to_dict(orient="index"),
    }


def _print_summary(summary: Any, verdict: "Verdict", out: Path, written: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 120  # a pipe or a file has no width of its own
    shown = summary[_fitting(summary, console.width)]
    table = Table("parameter", *shown.columns, box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in shown.iterrows():
        table.add_row(str(name), *(_cell(value) for value in row))
    console.print(table)
    console.print()
    console.print(str(verdict), style="green" if verdict.good else "red", markup=False)
    console.print(f"Wrote {', '.join(written)} in {out}{os.sep}", markup=False, highlight=False)


def _fitting(summary: Any, width: int) -> list[str]:
    """Columns that leave room for the names of the parameters: the others are in the file."""
    columns, name = list(summary.columns), max(map(len, [*map(str, summary.index), "parameter"]))
    widths = {c: max(map(len, [c, *map(_cell, summary[c])])) + 2 for c in columns}
    for column in _LEAST_FIRST:
        if name + sum(widths[each] for each in columns) > width and column in columns:
            columns.remove(column)
    return columns


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _demo_observation(seed: int) -> "Observation":
    """A bright source just off the centre of an elliptical lens: an arc and its counter-image."""
    import jax
    import numpy as np

    import numpyro_lens as nl

    scale = 0.05
    steps = scale * np.arange(-6, 7)
    kernel = np.exp(-4 * np.log(2) * (steps[:, None] ** 2 + steps**2) / 0.1**2)
    empty = nl.Observation.blank(
        (70, 70),
        pixel_scale=scale,
        noise=nl.PoissonNoise(0.01, 1500.0),
        psf=nl.PSF(kernel / kernel.sum()),
    )
    scene = nl.Scene.of(
        mass=nl.mass.EPL(theta_E=1.15, gamma=2.05, e1=0.16, e2=-0.1, center_x=0.01, center_y=-0.02)
        + nl.mass.Shear(gamma1=0.03, gamma2=-0.04),
        source=nl.light.Sersic(
            amp=50.0, R_sersic=0.1, n_sersic=1.2, e1=0.15, e2=0.1, center_x=0.07, center_y=0.04
        ),
        lens_light=nl.light.Sersic(
            amp=12.0, R_sersic=0.6, n_sersic=3.5, e1=0.1, e2=-0.06, center_x=0.01, center_y=-0.02
        ),
    )
    # one function to compile, instead of a hundred operations
    drawn = jax.jit(lambda key: nl.mock(empty, key, planes=scene.planes).image)
    return empty.with_image(drawn(jax.random.key(seed)))
