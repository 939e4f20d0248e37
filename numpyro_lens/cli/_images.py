"""What a call of ``fit`` fits: one image, or several bands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numpyro_lens.cli._reading import reading_of, reading_of_band
from numpyro_lens.cli._shared import InputError

if TYPE_CHECKING:
    from numpyro_lens.observation import Observation

BandOption = Annotated[
    list[Path] | None,
    typer.Option("--band", help="File of a further band; may be given several times."),
]
BandsOption = Annotated[
    str | None,
    typer.Option(help="Bands of IMAGE.fits, the reference first: VIS,NIR_Y,NIR_H."),
]
BandSettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--band-option",
        metavar="BAND.OPTION=VALUE",
        help="Option of one band alone, NIR_H.psf=psf_h.fits; may be given several times.",
    ),
]


def images_of_call(given: dict[str, Any]) -> dict[str, Any]:
    """What to read, of the options of a command: with absolute paths, as JSON can hold it."""
    image, band, bands = given["image"], given["band"], given["bands"]
    call: dict[str, Any] = {"image": str(image.resolve()), "read_fits": reading_of(given)}
    if band and bands:
        raise InputError(
            "the bands are files, or parts of one file; got --band and --bands. Give "
            "--band nir_y.fits for each further file, or --bands VIS,NIR_Y for IMAGE.fits."
        )
    if band:
        call["bands"] = _files([image, *band])
    if bands:
        call["bands"] = [name.strip() for name in bands.split(",") if name.strip()]
    if given["band_option"]:
        call["band_options"] = _own(given["band_option"], list(call.get("bands", ())))
    return call


def _own(texts: list[str], names: list[str]) -> dict[str, dict[str, Any]]:
    """Arguments of `read_fits` of single bands, ``NIR_H.psf=psf_h.fits`` each."""
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    for text in texts:
        where, _, value = text.partition("=")
        name, _, option = where.rpartition(".")
        if not value or name not in found:
            raise InputError(
                "--band-option is BAND.OPTION=VALUE, of one of the bands "
                f"{', '.join(names) or '(none: give --band or --bands)'}; got {text!r}. Write "
                f"--band-option {names[0] if names else 'NIR_H'}.psf=psf.fits"
            )
        found[name] |= reading_of_band(option, value)
    return found


def _files(paths: list[Path]) -> dict[str, str]:
    """Each file by the name of its band, which is that of the file."""
    files = {path.name.removesuffix(".gz").removesuffix(".fits"): path for path in paths}
    if len(files) < len(paths):
        raise InputError(
            "each band has the name of its file, and these repeat: "
            f"{', '.join(map(str, paths))}. Rename one of them."
        )
    return {name: str(path.resolve()) for name, path in files.items()}


def read_images(call: dict[str, Any]) -> "Observation | dict[str, Observation]":
    """One observation, or those of several bands by name."""
    from numpyro_lens.bands import read_bands
    from numpyro_lens.io import read_fits

    bands = call.get("bands")
    if bands is None:
        return read_fits(Path(call["image"]), **call["read_fits"])
    own = call.get("band_options")
    if isinstance(bands, dict):
        return read_bands(bands, own, **call["read_fits"])
    return read_bands(call["image"], own or bands, **call["read_fits"])


def described(data: "Observation | dict[str, Observation]") -> str:
    """What was read, a paragraph for each band."""
    from numpyro_lens.io import describe

    if not isinstance(data, dict):
        return f"{describe(data)}\n"
    return "".join(f"{name}: {describe(band)}\n\n" for name, band in data.items())
