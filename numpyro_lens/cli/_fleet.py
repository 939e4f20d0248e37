"""``numpyro-lens fleet``: many lenses on many workers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numpyro_lens.cli._reading import (
    BackgroundRms,
    Cutout,
    ExposureOption,
    ExposureTime,
    FlagsOption,
    ImageExt,
    MaskOption,
    MaskRadius,
    NoiseOption,
    PixelScale,
    PsfOption,
    PsfSampling,
    Supersampling,
    VarianceOption,
    WeightOption,
    reading_of,
)
from numpyro_lens.cli._shared import (
    DebugOption,
    EssOption,
    InputError,
    JsonOption,
    ModelArgument,
    ProgressOption,
    SeedOption,
    X64Option,
    one_line_errors,
    one_line_warnings,
    print_json,
)

if TYPE_CHECKING:
    from distributed import Client

LensesArgument = Annotated[
    list[Path],
    typer.Argument(
        help="A table with a row for each lens (.csv, .ecsv, .parquet), or FITS files.",
        metavar="TABLE",
    ),
]
BandsOption = Annotated[
    str | None,
    typer.Option(
        help="Bands of each file, VIS,NIR_H, or each band and the column of its files, "
        "VIS=vis_file,NIR_H=nir_file."
    ),
]
OutOption = Annotated[Path, typer.Option(help="Folder of the fleet, which workers see too.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(help="Workers of this machine.  [default: one per accelerator, or core]", min=1),
]
CoresOption = Annotated[int, typer.Option(help="Cores of each worker of this machine.", min=1)]
PerWorkerOption = Annotated[
    int | None,
    typer.Option(
        help="Lenses that a worker fits at once.  [default: 16 on an accelerator, otherwise 1]",
        min=1,
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Address of a Dask scheduler, or its file: its workers are used instead."),
]
AttemptsOption = Annotated[
    int, typer.Option(help="How often a lens is begun whose worker dies.", min=1)
]
TimeoutOption = Annotated[
    float | None, typer.Option(help="Seconds after which a lens is given up.  [default: never]")
]


def fleet(
    model: ModelArgument,
    lenses: LensesArgument,
    bands: BandsOption = None,
    image_ext: ImageExt = None,
    psf: PsfOption = None,
    noise: NoiseOption = None,
    weight: WeightOption = None,
    variance: VarianceOption = None,
    exposure: ExposureOption = None,
    background_rms: BackgroundRms = None,
    exposure_time: ExposureTime = None,
    pixel_scale: PixelScale = None,
    cutout: Cutout = None,
    mask: MaskOption = None,
    flags: FlagsOption = None,
    mask_radius: MaskRadius = None,
    supersampling: Supersampling = 2,
    psf_sampling: PsfSampling = None,
    out: OutOption = Path("numpyro-lens-fleet"),
    workers: WorkersOption = None,
    cores: CoresOption = 1,
    lenses_per_worker: PerWorkerOption = None,
    scheduler: SchedulerOption = None,
    attempts: AttemptsOption = 3,
    timeout: TimeoutOption = None,
    seed: SeedOption = 0,
    target_ess: EssOption = None,
    progress: ProgressOption = True,
    x64: X64Option = False,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit MODEL to every lens of a table, or to every file.

    Example: numpyro-lens fleet epl-shear-sersic lenses.csv --psf PSF --noise RMS --out fits/

    Writes fleet.parquet, gallery.html and a folder for each lens in lenses/. Called again, it fits
    those that are missing or failed. Exit code 0: every lens was fitted, whatever its verdict;
    1: some failed, for the reasons in the table; 4: a file could not be written; 2: bad input;
    130: interrupted.
    """
    given = locals()
    read = {name: value for name, value in reading_of(given).items() if value is not None}
    with one_line_errors(debug):
        table = _run(given, read)
    failed = table[table["verdict"] == "failed"]
    counts = table["verdict"].value_counts().to_dict()
    if json:
        print_json({"out": str(out), "num": len(table), "verdicts": counts})
    else:
        words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        typer.echo(f"{len(table)} lenses: {words}. Wrote fleet.parquet, gallery.html in {out}")
        for _, row in failed.head(10).iterrows():
            typer.echo(f"{row['name']}: {row['reason']}")
    is_lost = not (out / "fleet.parquet").exists() or not (out / "gallery.html").exists()
    raise typer.Exit(4 if is_lost else 1 if len(failed) else 0)


def _run(given: dict[str, Any], read: dict[str, Any]) -> Any:
    from numpyro_lens._interrupt import keep_when_interrupted
    from numpyro_lens.fleet.cluster import check_dask
    from numpyro_lens.fleet.running import fit_many
    from numpyro_lens.fleet.table import is_table_file

    try:
        check_dask()
    except ImportError as error:
        raise InputError(str(error)) from None
    if given["x64"]:
        import jax

        jax.config.update("jax_enable_x64", True)
    paths = [str(path) for path in given["lenses"]]
    tables = [path for path in paths if is_table_file(path)]
    if tables and len(paths) > 1:
        raise InputError(f"the lenses come in one table, or as FITS files; got {', '.join(paths)}.")
    settings = {} if given["target_ess"] is None else {"target_ess": given["target_ess"]}
    kept = (
        "out",
        "workers",
        "cores",
        "lenses_per_worker",
        "seed",
        "attempts",
        "timeout",
        "progress",
    )
    keep_when_interrupted()
    try:
        with one_line_warnings():
            return fit_many(
                given["model"],
                tables[0] if tables else paths,
                client=_client(given["scheduler"]),
                read=read,
                bands=_bands(given["bands"]),
                **{name: given[name] for name in kept},
                **settings,
            )
    except KeyboardInterrupt:
        line = f"interrupted; what is finished is kept in {given['out']}, and the same call goes on"
        typer.echo(f"numpyro-lens: {line}", err=True)
        raise typer.Exit(130) from None


def _client(scheduler: str | None) -> "Client | None":
    if scheduler is None:
        return None
    from distributed import Client

    is_file = Path(scheduler).is_file()
    return Client(scheduler_file=scheduler) if is_file else Client(scheduler)


def _bands(text: str | None) -> list[str] | dict[str, str] | None:
    """Bands of each file, or the column of each band.

    Example:
        >>> _bands("VIS, NIR_H"), _bands("VIS=vis,NIR_H=nir")
        (['VIS', 'NIR_H'], {'VIS': 'vis', 'NIR_H': 'nir'})
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    pairs = [part.split("=", 1) for part in parts]
    if all(len(pair) == 2 for pair in pairs):
        return dict(pairs)
    if any(len(pair) == 2 for pair in pairs):
        raise InputError(
            f"--bands names the bands, VIS,NIR_H, or each with its column, VIS=vis_file; got {text}"
        )
    return parts
