"""``numpyro-lens predict`` and ``numpyro-lens report``: what to do with a saved posterior."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numpyro_lens.cli._shared import (
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
    from numpyro_lens.infer import HMCResult

PosteriorArgument = Annotated[
    Path, typer.Argument(help="A posterior.nc that fit or demo wrote.", metavar="POSTERIOR.nc")
]


def predict(
    posterior: PosteriorArgument,
    out: Annotated[Path, typer.Option(help="The FITS file to write.")] = Path("prediction.fits"),
    model: ModelOption = None,
    num: Annotated[int, typer.Option(help="Posterior draws.", min=2)] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the choice of draws.")] = 0,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write mean and standard deviation of the model image over the posterior.

    Example: numpyro-lens predict demo/posterior.nc --num 200 --out prediction.fits

    The FITS file has the observation, and the extensions MEAN, STD and RESIDUAL (in units of the
    noise), all with the WCS of the image.
    """
    with one_line_errors(debug):
        start_jax(x64=False)
        from numpyro_lens.io import write_fits

        result = load_result(posterior, model)
        images, chi2 = _prediction(result, num, seed)
        write_fits(out, result.observation, images)
    if json:
        print_json({"out": str(out), "extensions": list(images), "reduced_chi2": chi2})
    else:
        typer.echo(f"Wrote {', '.join(images)} in {out}; reduced chi-square {chi2:.3f}")


def _prediction(result: "HMCResult", num: int, seed: int) -> tuple[dict[str, Any], float]:
    """Images by the name of their extension, and the reduced chi-square of the mean."""
    import jax.numpy as jnp
    import numpy as np

    observation = result.observation
    sites = result.predict(num, seed)
    draws = next((v for v in sites.values() if v.shape[1:] == observation.shape), None)
    if draws is None:
        raise InputError(f"no observed site is an image; the model observes {', '.join(sites)}.")
    mean = draws.mean(axis=0)
    sigma = np.asarray(observation.noise.sigma(jnp.asarray(mean)))
    used = np.asarray(observation.mask)
    residual = np.where(used, (np.asarray(observation.image) - mean) / sigma, np.nan)
    chi2 = float(np.mean(residual[used] ** 2))
    return {"MEAN": mean, "STD": draws.std(axis=0), "RESIDUAL": residual}, chi2


def report(
    posterior: PosteriorArgument,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    model: ModelOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write one self-contained HTML page: verdict, tables, pictures, settings, versions.

    Example: numpyro-lens report demo/posterior.nc --out report.html
    """
    with one_line_errors(debug):
        start_jax(x64=False)
        from numpyro_lens.report import write_report

        result = load_result(posterior, model)
        missing = write_report(result, out)
    for line in missing:
        typer.echo(f"numpyro-lens: {line}", err=True)
    if json:
        print_json(
            {"out": str(out), "converged": bool(result.verdict.converged), "left_out": missing}
        )
    else:
        typer.echo(f"Wrote {out}")
