"""The command line: ``demo``, ``look``, ``fit``, ``resume``, ``fleet``, ``report`` and the rest.

Results go to standard output, progress and errors to standard error. Exit codes: 0 a good fit, or
the command did what it was asked; 1 the fit finished and its chains disagree, or a model is not
calibrated; 3 its chains agree, and the data are not explained, another mode is within reach or the
verdict has a doubt; 4 a file of the fit could not be written; 2 bad input; 130 interrupted. A bug
shows its traceback and leaves with 1, Python's code for it.
"""

import os
import signal
import sys
from typing import Annotated

import typer

from numpyro_lens import __version__
from numpyro_lens.cli._cache import use_cache
from numpyro_lens.cli._calibrate import calibrate
from numpyro_lens.cli._fit import demo, fit
from numpyro_lens.cli._fleet import fleet
from numpyro_lens.cli._info import info, new_model
from numpyro_lens.cli._look import look
from numpyro_lens.cli._results import predict, report
from numpyro_lens.cli._resume import resume

app = typer.Typer(
    help="Fit strong gravitational lenses: MAP, SVI, HMC, diagnostics.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"numpyro-lens {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Fit strong gravitational lenses: MAP, SVI, HMC, diagnostics."""


for _command in (demo, look, fit, resume, fleet, predict, report, calibrate, info, new_model):
    app.command()(_command)


def main() -> None:
    """Run the command line as a program."""
    use_cache()
    try:
        app()
    except SystemExit as leave:
        if leave.code != 130:
            # all is written and said: Ctrl-C while Python goes away changes nothing
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise
        # XLA may still be computing in threads of its own, and crashes when Python goes away
        # under it: after an interrupt leave without the farewells.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)
