"""``numpyro-lens predict`` and ``numpyro-lens report``: what to do with a saved posterior."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numpyro_lens.cli._shared import (
    CacheOption,
    DebugOption,
    InputError,
    JsonOption,
    ModelOption,
    load_result,
    one_line_errors,
    print_json,
    start_jax,
)

if TYPE_CHECKING:
    from numpyro_lens.fitting import LensFit
    from numpyro_lens.observation import Observation

PosteriorArgument = Annotated[
    Path, typer.Argument(help="A posterior.nc that fit or demo wrote.", metavar="POSTERIOR.nc")
]


def predict(
    posterior: PosteriorArgument,
    out: Annotated[Path, typer.Option(help="The FITS file to write.")] = Path("prediction.fits"),
    model: ModelOption = None,
    num: Annotated[int, typer.Option(help="Posterior draws.", min=2)] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the choice of draws.")] = 0,
    cache: CacheOption = True,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write mean and standard deviation of the model image over the posterior.

    Example: numpyro-lens predict demo/posterior.nc --num 200 --out prediction.fits

    The FITS file has the observation, and the extensions MEAN, STD and RESIDUAL (in units of the
    noise), all with the WCS of the image. Of a model with several images each has a file of its
    own, prediction_NAME.fits.
    """
    with one_line_errors(debug):
        start_jax(x64=False, cache=cache)
        result = load_result(posterior, model)
        written = _write_predictions(result, out, num, seed)
    if json:
        print_json({"images": written})
        return
    for name, of in written.items():
        extensions = ", ".join(of["extensions"])
        chi2 = f"reduced chi-square {of['reduced_chi2']:.3f}"
        typer.echo(f"{name}: wrote {extensions} in {of['out']}; {chi2}")


def _write_predictions(result: "LensFit", out: Path, num: int, seed: int) -> dict[str, Any]:
    """A FITS file for each image, and what is in it by the name of the image."""
    from numpyro_lens.io import write_fits

    if not result.observations:
        raise InputError(
            f"no observed site is an image; the model observes {', '.join(result.observed)}."
        )
    written, draws = {}, result.predict(num, seed)
    for name, observation in result.observations.items():
        images, chi2 = _prediction(observation, draws[name])
        several = len(result.observations) > 1
        path = out.with_stem(f"{out.stem}_{name}") if several else out
        write_fits(path, observation, images)
        written[name] = {"out": str(path), "extensions": list(images), "reduced_chi2": chi2}
    return written


def _prediction(observation: "Observation", draws: Any) -> tuple[dict[str, Any], float]:
    """Images by the name of their extension, and the reduced chi-square of the mean."""
    import jax.numpy as jnp
    import numpy as np

    mean = draws.mean(axis=0)
    residuals = np.where(observation.mask, observation.residuals(jnp.asarray(mean)), np.nan)
    chi2 = float(observation.mean_square(jnp.asarray(mean)))
    return {"MEAN": mean, "STD": draws.std(axis=0), "RESIDUAL": residuals}, chi2


def report(
    posterior: PosteriorArgument,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    model: ModelOption = None,
    cache: CacheOption = True,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write one self-contained HTML page: verdict, tables, pictures, settings, versions.

    Example: numpyro-lens report demo/posterior.nc --out report.html
    """
    with one_line_errors(debug):
        start_jax(x64=False, cache=cache)
        from numpyro_lens.report import write_report

        result = load_result(posterior, model)
        missing = write_report(result, out)
    for line in missing:
        typer.echo(f"numpyro-lens: {line}", err=True)
    if json:
        print_json({"out": str(out), "good": result.verdict.good, "left_out": missing})
    else:
        typer.echo(f"Wrote {out}")
