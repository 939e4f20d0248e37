"""``numpyro-lens resume``."""

from pathlib import Path
from typing import Annotated

import typer

from numpyro_lens.cli._call import check_trusted, read_call
from numpyro_lens.cli._fit import run_call
from numpyro_lens.cli._shared import (
    CacheOption,
    DebugOption,
    EssOption,
    JsonOption,
    ProgressOption,
    one_line_errors,
)


def resume(
    folder: Annotated[
        Path, typer.Argument(help="The folder that fit --checkpoint named.", metavar="FOLDER")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results.  [default: the fit's]")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run the model file of a folder that was moved.")
    ] = False,
    target_ess: EssOption = None,
    progress: ProgressOption = True,
    cache: CacheOption = True,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Go on with an interrupted fit, with the same draws as if nothing had happened.

    Example: numpyro-lens resume run/

    The folder knows model, image, options and where the results go. Of a fit that is finished,
    --target-ess asks for more draws. A model file is code, so of a folder that was moved here it
    is run only with --trust, or after a question. Files and exit codes are those of fit.
    """
    with one_line_errors(debug):
        if not trust:
            check_trusted(folder)
        call = read_call(folder)
        new = {
            "out": None if out is None else str(out.resolve()),
            "target_ess": target_ess,
        }
        call |= {name: value for name, value in new.items() if value is not None}
        run_call(call, folder, progress, cache, json)
