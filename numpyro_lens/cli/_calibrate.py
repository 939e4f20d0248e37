"""``numpyro-lens calibrate``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numpyro_lens.cli._call import absolute_model
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
    InputError,
    JsonOption,
    ModelArgument,
    ProgressOption,
    SeedOption,
    X64Option,
    check_model,
    load_model,
    one_line_errors,
    one_line_warnings,
    print_json,
    start_jax,
)

if TYPE_CHECKING:
    from numpyro_lens.calibration import Calibration

_LINES = "calibration.jsonl"


def calibrate(
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
    num: Annotated[int, typer.Option(help="Fits.", min=1)] = 200,
    workers: Annotated[int, typer.Option(help="Processes that fit.", min=1)] = 1,
    simulate_with: Annotated[
        str | None, typer.Option(help="Another model, named like MODEL, that makes the data.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the results; given again, it is gone on with.")
    ] = Path("numpyro-lens-calibration"),
    seed: SeedOption = 0,
    target_ess: EssOption = None,
    progress: ProgressOption = True,
    cache: CacheOption = True,
    x64: X64Option = False,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Simulate data as an image has them, fit MODEL to them, and see how often it is right.

    Example: numpyro-lens calibrate my_lens.py:model lens.fits --noise RMS --psf PSF --workers 4

    Parameters are drawn from the prior. Of the image its pixels, PSF, noise and mask are used, and
    what the prior takes from it. Writes calibration.jsonl, a line for each fit, calibration.csv,
    calibration.png, and calibration_vi.png for the Gaussian of the second step. Run it again to go
    on. Exit code 0: calibrated; 1: not; 2: bad input; 130: interrupted.
    """
    given = locals()
    with one_line_errors(debug):
        start_jax(x64, cache)
        result = _run(given)
        written = _written(result, out)
    _print(result, out, written, json)
    raise typer.Exit(0 if result.calibrated else 1)


def _run(given: dict[str, Any]) -> "Calibration":
    """Read the image and calibrate, as the options of a call say."""
    call = images_of_call(given)
    with one_line_warnings():
        images = read_images(call)
    if not given["json"]:
        typer.echo(described(images))
    other = given["simulate_with"]
    simulator = None if other is None else _Named(absolute_model(other))
    fitted = _Named(absolute_model(given["model"]))
    settings = {name: given[name] for name in ("num", "workers", "seed", "progress")}
    if given["target_ess"] is not None:
        settings["target_ess"] = given["target_ess"]
    data = _arguments(fitted, images)
    return _calibrated(fitted, data, given["out"], settings | {"simulate_with": simulator})


@dataclass(frozen=True)
class _Named:
    """A model by its name, which another process can load by itself."""

    spec: str

    def __post_init__(self) -> None:
        # what the file of results calls it
        object.__setattr__(self, "__qualname__", self.spec)

    def __call__(self, *args: Any) -> Any:
        return _loaded(self.spec)(*args)


@cache
def _loaded(spec: str) -> Callable:
    return load_model(spec)


def _arguments(model: _Named, images: Any) -> tuple:
    import numpyro_lens as nl

    function = _loaded(model.spec)
    if function is nl.models.galaxy:
        raise InputError(
            "galaxy is fitted in steps, each with another model, and calibrate makes one fit of "
            "one model. Give galaxy-sersic, or a model of your own."
        )
    data = nl.models.arguments(function, images)
    check_model(function, *data)
    return data


def _calibrated(model: _Named, data: tuple, out: Path, settings: dict[str, Any]) -> "Calibration":
    import numpyro_lens as nl

    try:
        return nl.calibrate(model, *data, out=out / _LINES, **settings)
    except KeyboardInterrupt:
        line = f"interrupted; the fits so far are in {out / _LINES}, and the same command goes on."
        typer.echo(f"numpyro-lens: {line}", err=True)
        raise typer.Exit(130) from None


def _written(result: "Calibration", out: Path) -> list[str]:
    """Write the table and the pictures, each whole or not at all."""
    from numpyro_lens.infer.files import write_atomically

    writers: dict[str, Callable[[Path], Any]] = {
        "calibration.csv": lambda path: result.table.to_csv(path, index_label="quantity")
    }
    if result.ranked:
        writers["calibration.png"] = lambda path: result.plot().savefig(path, dpi=150)
        writers["calibration_vi.png"] = lambda path: result.vi.plot().savefig(path, dpi=150)
    for name, writer in writers.items():
        write_atomically(out / name, writer)
    return [_LINES, *writers]


def _print(result: "Calibration", out: Path, written: list[str], json: bool) -> None:
    if json:
        print_json(
            {
                "calibrated": result.calibrated,
                "verdict": str(result),
                "verdict_vi": str(result.vi),
                "out": str(out),
                "files": written,
                "table": result.table.to_dict(orient="index"),
            }
        )
        return
    typer.echo(result.table.to_string(float_format="{:.3g}".format))
    typer.echo(f"\n{result}\n\nOf the VI Gaussian:\n{result.vi}")
    typer.echo(f"Wrote {', '.join(written)} in {out}{os.sep}")
