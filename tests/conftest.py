"""A strict session: ranks are never promoted, and both precisions run."""

import os
import tempfile
from pathlib import Path

import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

#: What several modules need is compiled once; each worker has its own, as JAX does not lock it.
COMPILED = tempfile.TemporaryDirectory()
jax.config.update("jax_compilation_cache_dir", COMPILED.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="module", autouse=True)
def _free_compiled():
    """Each compiled function holds memory maps, of which Linux gives a process 65,530."""
    yield
    jax.clear_caches()


@pytest.fixture
def data_dir():
    """The folder of real data, which is never part of the project."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    path = Path(os.environ.get("NUMPYRO_LENS_DATA", default)).resolve()
    if not path.is_dir():
        pytest.skip(f"no data in {path}; set NUMPYRO_LENS_DATA")
    return path


@pytest.fixture(params=[False, True], ids=["float32", "float64"])
def x64(request):
    """Run a test in single and in double precision."""
    with jax.enable_x64(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def _types_are_not_checked(request, monkeypatch):
    """Where arguments have a wrong type on purpose, our error is to speak, not the check."""
    if request.node.get_closest_marker("wrong_types"):
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def double():
    """Run a test in double precision."""
    with jax.enable_x64(True):
        yield
