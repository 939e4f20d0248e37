"""``numpyro-lens look``."""

from pathlib import Path
from typing import Annotated

import typer

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
    FluxUnit,
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
from numpyro_lens.cli._shared import DebugOption, one_line_errors, one_line_warnings


def look(
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
    flux_unit: FluxUnit = None,
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("look.png"),
    debug: DebugOption = False,
) -> None:
    """Read an image or several bands as fit does, say what was read, draw S/N, mask and PSF.

    Example: numpyro-lens look image.fits --noise rms.fits --psf psf.fits --out look.png

    Takes the options of fit that say how to read the image. Nothing is compiled.
    """
    given = locals()
    with one_line_errors(debug), one_line_warnings():
        from numpyro_lens.plot import plot_data

        data = read_images(images_of_call(given))
        typer.echo(described(data).rstrip())
        out.parent.mkdir(parents=True, exist_ok=True)
        plot_data(data)[0].savefig(out, dpi=120)
    typer.echo(f"Wrote {out}")
