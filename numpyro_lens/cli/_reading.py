"""Options that say how to read an image, the same for every command that reads one."""

from pathlib import Path
from typing import Annotated, Any

import typer

from numpyro_lens.cli._shared import InputError

ImageArgument = Annotated[
    Path, typer.Argument(help="The FITS file, or file.fits[EXTENSION].", metavar="IMAGE.fits")
]
ImageExt = Annotated[
    str | None, typer.Option(help="Extension of the image.  [default: the first 2-D one]")
]
_WHERE = "an extension (RMS, 3, ERR,2), another file (file.fits) or its extension (file.fits[1])"
PsfOption = Annotated[str | None, typer.Option("--psf", help=f"PSF: {_WHERE}.")]
NoiseOption = Annotated[
    str | None, typer.Option("--noise", help="Map of standard deviations; named like --psf.")
]
WeightOption = Annotated[
    str | None, typer.Option("--weight", help="Map of inverse variances; named like --psf.")
]
VarianceOption = Annotated[
    str | None, typer.Option("--variance", help="Map of variances; named like --psf.")
]
ExposureOption = Annotated[
    str | None, typer.Option("--exposure", help="Map of exposure times; named like --psf.")
]
BackgroundRms = Annotated[
    float | None, typer.Option(help="Background rms per pixel.  [default: header's BKGRMS]")
]
ExposureTime = Annotated[
    float | None, typer.Option(help="Exposure time of all pixels; inf: background only.")
]
PixelScale = Annotated[
    float | None, typer.Option(help="Pixel side in arcsec.  [default: from the WCS]")
]
Center = Annotated[
    str | None,
    typer.Option(
        help='Centre of the cutout: column,row from zero, or "10h02m03s +1d2m3s".  '
        "[default: the image's]"
    ),
]
Cutout = Annotated[int | None, typer.Option(help="Keep this many pixels a side.")]
MaskOption = Annotated[
    str | None,
    typer.Option("--mask", help="Zero where a pixel is not to be fitted; named like --psf."),
]
FlagsOption = Annotated[
    str | None,
    typer.Option("--flags", help="--mask holds quality flags; these bits are bad: any, or 1,4096."),
]
RegionsOption = Annotated[
    Path | None, typer.Option("--regions", help="ds9 regions whose pixels are not fitted.")
]
MaskRadius = Annotated[
    float | None, typer.Option(help="Fit within this radius in arcsec around the centre.")
]
Supersampling = Annotated[int, typer.Option(help="Sub-pixels a side of the model.")]
PsfSampling = Annotated[
    int | None, typer.Option(help="PSF samples per pixel side.  [default: its SAMPLING card, or 1]")
]
FluxUnit = Annotated[
    float | None,
    typer.Option(help="Flux that counts as one: image and noise are divided by it.  [default: 1]"),
]

_COMPANIONS = ("psf", "noise", "weight", "variance", "exposure", "mask")
_PLAIN: dict[str, type] = {
    **dict.fromkeys(("image_ext", "center", "flags"), str),
    **dict.fromkeys(("background_rms", "exposure_time", "pixel_scale"), float),
    **dict.fromkeys(("mask_radius", "flux_unit"), float),
    **dict.fromkeys(("cutout", "supersampling", "psf_sampling"), int),
}


def reading_of(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `read_fits` among the options of a command, with absolute paths, as JSON.

    Example:
        >>> reading_of({"noise": "RMS", "cutout": 80, "seed": 0})
        {'noise': 'RMS', 'cutout': 80}
    """
    found = {name: _absolute(given[name]) for name in _COMPANIONS if name in given}
    found |= {name: given[name] for name in _PLAIN if name in given}
    if given.get("regions") is not None:
        found["regions"] = str(given["regions"].resolve())
    return found


def reading_of_band(option: str, text: str) -> dict[str, Any]:
    """One argument of `read_fits` as a command line names it, like those of `reading_of`.

    Args:
        option: its name, with or without dashes.
        text: its value.

    Raises:
        InputError: there is no such option, or the value is no number.

    Example:
        >>> reading_of_band("psf-sampling", "2")
        {'psf_sampling': 2}
    """
    name = option.strip().lstrip("-").replace("-", "_")
    known = [*_COMPANIONS, "regions", *_PLAIN]
    if name not in known:
        raise InputError(
            f"a band has options of its own for how it is read: {', '.join(known)}; got {option!r}."
        )
    try:
        value = _PLAIN.get(name, str)(text)
    except ValueError:
        raise InputError(f"{name} of a band is a number; got {text!r}.") from None
    if name == "regions":
        value = Path(text)
    return reading_of({name: value})


def _absolute(spec: str | None) -> str | None:
    """A file that is found from any working directory; an extension's name stays."""
    from numpyro_lens.io.extensions import split_file

    named = None if spec is None else split_file(spec)
    if named is None:
        return spec
    file, extension = named
    return f"{Path(file).resolve()}" + ("" if extension is None else f"[{extension}]")
