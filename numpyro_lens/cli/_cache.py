"""Compiled functions on disk: the next call of the program compiles nothing again."""

import contextlib
import hashlib
import os
import platform
import re
import warnings
from pathlib import Path
from typing import Any

#: [bytes] of all entries together
_MAX_SIZE = 1 << 30
_UNREADABLE = "Error reading persistent compilation cache entry"


def use_cache() -> None:
    """Tell JAX, which is to be imported later, where it keeps what it compiles.

    For the program alone: a library would decide it for its users' scripts. A folder that the user
    has named in ``JAX_COMPILATION_CACHE_DIR`` stays; where none can be written, nothing is kept.
    """
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # a disk that fills up costs the next call its head start, and this one nothing
    warnings.filterwarnings("ignore", "Error writing persistent compilation cache entry")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, or one that is read-only
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_room(folder)
        if os.access(folder, os.W_OK):
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
            _replace_unreadable(folder)


def _replace_unreadable(folder: Path) -> None:
    """Remove entries that cannot be read, say, of a call that was killed as it wrote them.

    JAX warns of such an entry, compiles, and leaves the file: at every call the same again. It
    writes a new one where there is none.
    """
    show = warnings.showwarning

    def remove(message: Warning | str, *args: Any, **more: Any) -> None:
        unreadable = re.match(f"{_UNREADABLE} for '(.+?)'", str(message))
        if unreadable is None:
            show(message, *args, **more)
            return
        for path in folder.glob("*-cache"):
            if path.name.startswith(f"{unreadable[1]}-"):
                path.unlink(missing_ok=True)

    warnings.filterwarnings("always", _UNREADABLE)
    warnings.showwarning = remove


def cache_folder() -> Path:
    """Of the user, and of this kind of processor: homes are shared by machines that differ."""
    from platformdirs import user_cache_path

    return user_cache_path("numpyro-lens", appauthor=False) / f"jax-{_processor()}"


def _processor() -> str:
    described = [platform.machine()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("model name", "flags", "Features")
        described += sorted({line for line in lines if line.startswith(wanted)})
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:12]


def make_room(folder: Path, max_size: int = _MAX_SIZE) -> None:
    """Remove the oldest files of a folder until the others take at most half of what they may.

    Another process may do the same at the same time.
    """
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    size = sum(each[1] for each in found)
    if size <= max_size:
        return
    for _, own, path in sorted(found):
        if size <= max_size // 2:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        size -= own
