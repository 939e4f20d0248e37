"""The workers of this machine: one for each accelerator or each set of cores."""

import importlib.util
import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpyro_lens.fleet.worker import CORES

if TYPE_CHECKING:
    from distributed import Client

_GUARD = (
    "Workers are spawned, and each imports your script first. Put what the script does under "
    '`if __name__ == "__main__":`, the call of fit_many included.'
)
#: A gradient of eight chains of so many takes as long as that of one lens on an H200
#: (benchmarks/device.py --only gradient --batch 8 128).
_LENSES_OF_ACCELERATOR = 16
_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")


def check_dask() -> None:
    """Check that the extra is installed.

    Raises:
        ImportError: it is not; the error says what to type.
    """
    missing = [
        name for name in ("distributed", "pyarrow") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ImportError(
            f"Fleets need {' and '.join(missing)}, which {'are' if missing[1:] else 'is'} not "
            'installed. Type: python -m pip install "numpyro_lens[fleet]"'
        )


@contextmanager
def local_client(
    workers: int | None = None, cores: int = 1, threads: int = 1
) -> Iterator["Client"]:
    """Workers of this machine, spawned and never forked; gone at the end.

    Args:
        workers: how many; by default one for each accelerator, or else as many as have ``cores``
            of their own.
        cores: of each worker, when there is no accelerator.
        threads: of each worker, for as many lenses at once.

    Raises:
        ValueError: there are fewer cores than asked for.
        RuntimeError: they could not be started, say, from a script without
            ``if __name__ == "__main__"``.
    """
    import dask
    from distributed import Client

    check_main()
    with (
        dask.config.set(_DEPLOYMENT),
        _cluster(workers, cores, threads) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


_DEPLOYMENT = {
    "distributed.worker.multiprocessing-method": "spawn",
    # Dask closes the nanny of a worker that is not back after 15 seconds, and a worker that is
    # started anew on a busy machine takes longer.
    "distributed.deploy.lost-worker-timeout": "1 day",
}
#: Dask's profiler keeps the calls of every second: some megabytes for each lens.
_WORKERS = {"distributed": {"worker": {"profile": {"enabled": False}}}}


def _cluster(workers: int | None, cores: int, threads: int) -> Any:
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    options: dict[str, Any] = {"nthreads": threads, "memory_limit": 0, "host": "127.0.0.1"}
    options |= {"silence_logs": logging.CRITICAL}  # what happens is told as events
    options |= {"config": dask.config.merge(dask.config.config, _WORKERS)}
    specs = {
        name: {"cls": Nanny, "options": options | {"env": environment}}
        for name, environment in environments(workers, cores).items()
    }
    scheduler = {"host": "127.0.0.1", "dashboard": True, "dashboard_address": "127.0.0.1:0"}
    try:
        return SpecCluster(
            workers=specs,
            scheduler={"cls": Scheduler, "options": scheduler},
            name="fleet",
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise RuntimeError(
            f"The workers could not be started: {error} {_GUARD} If that is so already, their own "
            "error stands above."
        ) from error


def default_at_once(client: "Client | None") -> int:
    """Lenses of a worker at once: several on the accelerators of this machine, otherwise one.

    Args:
        client: of Dask, whose workers may be anywhere; or None for those of this machine.
    """
    return _LENSES_OF_ACCELERATOR if client is None and accelerators() else 1


def check_threads(client: "Client", at_once: int) -> None:
    """Check that workers have a thread for each of the lenses that they get at once.

    Args:
        client: of Dask.
        at_once: lenses of a worker.

    Raises:
        ValueError: a worker has fewer.
    """
    fewest = min(client.nthreads().values(), default=at_once)
    if fewest < at_once:
        raise ValueError(
            f"A worker needs a thread for each of the {at_once} lenses that it fits at once, and "
            f"one of the client's has {fewest}. Start `dask worker --nthreads {at_once}`, or give "
            f"lenses_per_worker={fewest}."
        )


def check_main() -> None:
    """Check that this is no script that a worker imports on its way up.

    Raises:
        RuntimeError: it is.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(_GUARD)


def environments(workers: int | None = None, cores: int = 1) -> dict[str, dict[str, str]]:
    """What each worker finds in its environment before JAX starts, by the name of the worker.

    Args:
        workers: how many; see `local_client`.
        cores: of each.

    Raises:
        ValueError: there are fewer cores or accelerators than asked for.

    Example:
        >>> environments(workers=1)["cores-0"].keys()
        dict_keys(['NUMPYRO_LENS_CORES'])
    """
    if found := accelerators():
        return {f"device-{d}": {"CUDA_VISIBLE_DEVICES": d} for d in found[:workers]}
    granted = available_cores()
    number = max(1, len(granted) // cores) if workers is None else workers
    if cores < 1 or number < 1 or number * cores > len(granted):
        raise ValueError(
            f"Each worker has cores of its own; {number} of {cores} are more than the "
            f"{len(granted)} there are. Give workers={max(1, len(granted) // max(1, cores))}."
        )
    sets = [granted[i * cores : (i + 1) * cores] for i in range(number)]
    return {f"cores-{i}": {CORES: ",".join(map(str, own))} for i, own in enumerate(sets)}


def available_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))  # those a batch system grants, not those built in
    return list(range(os.cpu_count() or 1))


def accelerators() -> list[str]:
    """The accelerators that JAX would use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return []
    if not any(importlib.util.find_spec(plugin) for plugin in _PLUGINS):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    return [str(i) for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
