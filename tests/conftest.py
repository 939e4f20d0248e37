"""A strict session: ranks are never promoted, and both precisions run."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


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


def pytest_collection_modifyitems(config, items):
    """Leave out what gives arguments of a wrong type on purpose, when types are checked."""
    if config.getoption("jaxtyping_packages", None):
        skip = pytest.mark.skip(reason="the check of the types speaks before our error")
        for item in items:
            if item.get_closest_marker("wrong_types"):
                item.add_marker(skip)


@pytest.fixture
def double():
    """Run a test in double precision."""
    with jax.enable_x64(True):
        yield
