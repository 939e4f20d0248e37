"""What a call of ``fit`` fits: one image, or several bands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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


def images_of_call(
    image: Path, band: list[Path] | None, bands: str | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """The part of a call that says what to read, with absolute paths, as JSON can hold it."""
    call: dict[str, Any] = {"image": str(image.resolve()), "read_fits": settings}
    if band and bands:
        raise InputError(
            "the bands are files, or parts of one file; got --band and --bands. Give "
            "--band nir_y.fits for each further file, or --bands VIS,NIR_Y for IMAGE.fits."
        )
    if band:
        call["bands"] = _files([image, *band])
    if bands:
        call["bands"] = [name.strip() for name in bands.split(",") if name.strip()]
    return call


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
    if isinstance(bands, dict):
        return read_bands(bands, **call["read_fits"])
    return read_bands(call["image"], bands, **call["read_fits"])


def described(data: "Observation | dict[str, Observation]") -> str:
    """What was read, a paragraph for each band."""
    from numpyro_lens.io import describe

    if not isinstance(data, dict):
        return f"{describe(data)}\n"
    return "".join(f"{name}: {describe(band)}\n\n" for name, band in data.items())
