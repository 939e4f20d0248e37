"""``numpyro-lens info`` and ``numpyro-lens new-model``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from numpyro_lens.cli._shared import (
    DebugOption,
    InputError,
    JsonOption,
    one_line_errors,
    print_json,
    start_jax,
)
from numpyro_lens.folder import versions


def info(json: JsonOption = False) -> None:
    """Print versions, devices, precision and the ready models: what a report of a problem needs.

    Example: numpyro-lens info --json
    """
    start_jax(x64=False)
    import jax

    from numpyro_lens.models import READY

    known: dict[str, Any] = {
        **versions(),
        "devices": [str(device) for device in jax.devices()],
        "precision": "64 bit" if jax.config.read("jax_enable_x64") else "32 bit",
        "ready models": sorted(READY),
    }
    if json:
        print_json(known)
        return
    for name, value in known.items():
        typer.echo(f"{name:14} {', '.join(value) if isinstance(value, list) else value}")


def new_model(
    path: Annotated[Path, typer.Argument(help="The Python file to write.")] = Path("my_lens.py"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    debug: DebugOption = False,
) -> None:
    """Write a commented model file to edit, and say how to fit it.

    Example: numpyro-lens new-model my_lens.py
    """
    with one_line_errors(debug):
        if path.exists() and not force:
            raise InputError(f"{path} exists. Give another name, or --force to replace it.")
        path.write_text(_TEMPLATE, encoding="utf-8")
    typer.echo(f"Wrote {path}. Edit it, then: numpyro-lens fit {path}:model IMAGE.fits")


_TEMPLATE = '''"""A lens model for numpyro_lens. Edit it; then fit it:

    numpyro-lens fit my_lens.py:model image.fits --psf PSF --noise RMS

Lengths are in arcsec, x to the right (or along right ascension), y up; brightness is flux per
arcsec². A distribution is sampled, a number is fixed, what is left out keeps its default.
"""

import numpyro.distributions as dist
import numpyro_lens as nl


def model(observation):
    # Mass: an elliptical power law. Others: nl.mass.SIS, SIE, ...
    lens = nl.sample(
        "lens",
        nl.mass.EPL,
        theta_E=dist.LogNormal(0.1, 0.3),  # median 1.1": read it off your image
        gamma=dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0),  # 2.0 fixes it: isothermal
        e1=dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8),
        center_x=dist.Normal(0.0, 0.1),
        center_y=dist.Normal(0.0, 0.1),
    )
    # The pull of neighbours. Delete it, and "+ shear" below, to do without.
    shear = nl.sample(
        "shear", nl.mass.Shear, gamma1=dist.Normal(0.0, 0.06), gamma2=dist.Normal(0.0, 0.06)
    )
    # The lens galaxy's own light, around the same centre as its mass.
    lens_light = nl.sample(
        "lens_light",
        nl.light.Sersic,
        amp=nl.priors.amplitude(observation),  # in the unit of your image
        R_sersic=dist.LogNormal(-0.2, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8),
        center_x=lens.center_x,  # tied: the very same parameter
        center_y=lens.center_y,
    )
    # The lensed galaxy, in the source plane. Several components: source=[bulge, disc].
    source = nl.sample(
        "source",
        nl.light.Sersic,
        amp=nl.priors.amplitude(observation),
        R_sersic=dist.LogNormal(-1.5, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=dist.TruncatedNormal(0.0, 0.3, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0.0, 0.3, low=-0.8, high=0.8),
        center_x=dist.Normal(0.0, 0.3),
        center_y=dist.Normal(0.0, 0.3),
    )
    nl.observe("image", observation, mass=lens + shear, source=source, lens_light=lens_light)
'''
