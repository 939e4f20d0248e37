"""Memory maps of a process: compiled functions take them, and Linux gives only so many."""

from pathlib import Path

import jax

#: share of them from which on what is compiled is let go before a fit
_MOST = 0.6


def forget_compiled(most: float = _MOST) -> bool:
    """Let go of what JAX has compiled, where another fit might find no memory map left.

    A fit of an image of a new shape takes thousands of the 65,530 that a process has, and XLA ends
    a process that finds none. What is called again is compiled again, or read from the folder of
    ``JAX_COMPILATION_CACHE_DIR``.

    Args:
        most: share of the maps that may be in use.

    Returns:
        Whether it was let go.

    Example:
        >>> forget_compiled(most=1.0)
        False
    """
    used, limit = _maps()
    if used <= most * limit:
        return False
    jax.clear_caches()
    return True


def _maps() -> tuple[int, int]:
    """Memory maps of this process, and how many it may have; none where the system is not Linux."""
    try:
        used = Path("/proc/self/maps").read_bytes().count(b"\n")
        return used, int(Path("/proc/sys/vm/max_map_count").read_text())
    except (OSError, ValueError):
        return 0, 1
