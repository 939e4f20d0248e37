"""The folder of results: every file whole or absent, a manifest last."""

import contextlib
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from numpyro_lens._interrupt import keep_when_interrupted
from numpyro_lens.cli._shared import judgement, one_line, versions

if TYPE_CHECKING:
    from numpyro_lens.fitting import LensFit


class Keeper:
    """Writes files into a folder, each atomically, and remembers which.

    Attributes:
        out: the folder.
        written: names of the files in it.
        draws: file of the draws alone, while there is no other.
    """

    def __init__(self, out: Path):
        self.out = out
        self.written: list[str] = []
        self.draws: Path | None = None

    def write(self, name: str, writer: Callable[[Path], Any]) -> None:
        """Let ``writer`` fill a temporary file, then give it its name: never half a file."""
        from numpyro_lens.infer.files import write_atomically

        if not self.written:
            keep_when_interrupted()
            # an older run's manifest must not vouch for the files of this one
            (self.out / "manifest.json").unlink(missing_ok=True)
        write_atomically(self.out / name, writer)
        self.written.append(name)

    def keep(self, stage: str, result: Any) -> None:
        """The callback of `fit`: called with each stage that has finished."""
        import numpy as np

        fields = {
            "map": ("names", "params", "log_density"),
            "svi": ("names", "mean", "covariance_matrix", "losses"),
        }.get(stage)
        if fields is not None:
            arrays: dict[str, Any] = {field: np.asarray(getattr(result, field)) for field in fields}
            try:
                self.write(f"{stage}.npz", lambda path: np.savez(path, **arrays))
            except OSError as error:  # the fit is worth more than this file: it goes on
                typer.echo(f"numpyro-lens: {stage}.npz was not written: {error}", err=True)

    def save(self, result: "LensFit") -> None:
        """Write the posterior; before it its draws alone, which need less room and no HDF5."""
        self.draws = _draws_in(self.out, result) or _draws_in(None, result)
        self.write("posterior.nc", result.save)
        if self.draws is not None:
            self.draws.unlink()
            self.draws = None

    @property
    def kept(self) -> str:
        """What there is, for a message."""
        draws = [] if self.draws is None else [str(self.draws)]
        return ", ".join([*(str(self.out / name) for name in self.written), *draws]) or "nothing"


def _draws_in(folder: Path | None, result: "LensFit") -> Path | None:
    """Write the draws in a folder, or one for temporary files; None where that fails."""
    import numpy as np

    from numpyro_lens.infer.files import write_atomically

    draws: dict[str, Any] = result.samples
    with contextlib.suppress(OSError):
        path = (folder or Path(tempfile.mkdtemp(prefix="numpyro-lens-"))) / "draws.npz"
        write_atomically(path, lambda path: np.savez(path, **draws))
        return path
    return None


def write_results(keeper: Keeper, result: "LensFit", command: dict[str, Any]) -> Any:
    """Everything but the posterior; the manifest last, so that a folder with one is complete."""
    from numpyro_lens import plot

    summary = result.summary()
    keeper.write("summary.csv", lambda path: summary.to_csv(path, index_label="parameter"))
    for name, draw in (("fit.png", plot.plot_fit), ("corner.png", plot.plot_corner)):
        try:
            figure, _ = draw(result)
        except ValueError as error:  # say, a model without `observe`: its posterior is no worse
            typer.echo(f"numpyro-lens: {name} was not drawn: {one_line(error)}", err=True)
            continue
        keeper.write(name, partial(figure.savefig, dpi=150))
    keeper.write("corner.pdf", partial(plot.write_corners, result=result))
    text = json.dumps(_manifest(result, command), indent=2, default=str) + "\n"
    keeper.write("manifest.json", lambda path: path.write_text(text, encoding="utf-8"))
    return summary


def _manifest(result: "LensFit", command: dict[str, Any]) -> dict[str, Any]:
    import jax

    return {
        **command,
        "versions": versions(),
        "platform": platform.platform(),
        "devices": [str(device) for device in jax.devices()],
        "x64": bool(jax.config.read("jax_enable_x64")),
        "seed": result.seed,
        "settings": result.settings,
        "timings": result.timings,
        "num_gradients": result.num_gradients,
        "peak_memory_bytes": _peak_memory(),
        **judgement(result.verdict),
    }


def _peak_memory() -> int | None:
    """Largest resident memory of this process [bytes]; None where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB
