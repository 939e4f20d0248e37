"""The folder of results: every file whole or absent, a manifest last."""

import contextlib
import dataclasses
import json
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpyro_lens._interrupt import keep_when_interrupted

if TYPE_CHECKING:
    from numpyro_lens.fitting import LensFit
    from numpyro_lens.infer import Verdict

_PACKAGES = ("numpyro", "jax", "jaxlib", "arviz", "equinox", "numpy")
#: pictures by name, and their dots per inch
PICTURES = {"fit.png": 150, "corner.png": 150}


class Keeper:
    """Writes files into a folder, each atomically, and remembers which.

    Args:
        out: the folder.
        say: told of what could not be written; a warning by default.

    Attributes:
        out: the folder.
        written: names of the files in it.
        draws: file of the draws alone, while there is no other.
    """

    def __init__(self, out: Path, say: Callable[[str], Any] = warnings.warn):
        self.out, self.say = out, say
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
                self.say(f"{stage}.npz was not written: {error}")

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


def write_results(
    keeper: Keeper,
    result: "LensFit",
    command: dict[str, Any],
    pictures: dict[str, int] = PICTURES,
) -> Any:
    """Everything but the posterior; the manifest last, so that a folder with one is complete.

    Args:
        keeper: of the folder.
        result: the fit.
        command: what was asked for, for the manifest.
        pictures: which to draw, and their dots per inch.

    Returns:
        The summary, a ``pandas.DataFrame``.

    Raises:
        OSError: a file cannot be written.
    """
    summary = result.summary()
    keeper.write("summary.csv", lambda path: summary.to_csv(path, index_label="parameter"))
    start = time.perf_counter()
    _draw(keeper, result, pictures)
    drawing = time.perf_counter() - start
    _write_derived(keeper, result)
    text = json.dumps(_manifest(result, command, drawing), indent=2, default=str) + "\n"
    keeper.write("manifest.json", lambda path: path.write_text(text, encoding="utf-8"))
    return summary


def _draw(keeper: Keeper, result: "LensFit", pictures: dict[str, int]) -> None:
    from numpyro_lens import plot

    drawings: dict[str, Callable] = {"fit.png": plot.plot_fit, "corner.png": plot.plot_corner}
    for name, dpi in pictures.items():
        try:
            figure, _ = drawings[name](result)
        except ValueError as error:  # say, a model without `observe`: its posterior is no worse
            keeper.say(f"{name} was not drawn: {' '.join(str(error).split())}")
            continue
        keeper.write(name, partial(figure.savefig, dpi=dpi))
        if name == "corner.png":
            keeper.write("corner.pdf", partial(plot.write_corners, result=result))


def judgement(verdict: "Verdict") -> dict[str, Any]:
    """The three answers of a verdict, in numbers and in words, as JSON can hold them."""
    return {
        "good": verdict.good,
        "converged": verdict.converged,
        "explained": verdict.explained,
        "residuals": {r.name: dataclasses.asdict(r) for r in verdict.residuals},
        "other_modes": [dataclasses.asdict(mode) for mode in verdict.other_modes],
        "doubts": list(verdict.doubts),
        "verdict": str(verdict),
    }


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those it computes with."""
    from numpyro_lens import __version__

    ours = {"python": platform.python_version(), "numpyro_lens": __version__}
    return ours | {package: metadata.version(package) for package in _PACKAGES}


def _write_derived(keeper: Keeper, result: "LensFit") -> None:
    """Einstein radii, magnifications, fluxes, axis ratios: none where the model has no scene."""
    if not result.observations:
        return
    derived = result.derived()
    keeper.write("derived.csv", lambda path: derived.to_csv(path, index_label="quantity"))


def _manifest(result: "LensFit", command: dict[str, Any], drawing: float) -> dict[str, Any]:
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
        "seconds": _seconds(result.timings) | {"drawing": round(drawing, 3)},
        "num_gradients": result.num_gradients,
        "peak_memory_bytes": peak_memory(),
        **judgement(result.verdict),
    }


def _seconds(timings: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of all stages together, by what they were spent on."""
    parts = {"tracing": "trace_s", "compiling": "compile_s", "running": "run_s"}
    return {
        name: round(sum(stage.get(part, 0.0) for stage in timings.values()), 3)
        for name, part in parts.items()
    }


def peak_memory() -> int | None:
    """Largest resident memory of this process [bytes]; None where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB
