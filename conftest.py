"""Examples in docstrings run in a folder of their own, where ``fit`` is a small result."""

import re
import sys
from pathlib import Path

import pytest

import numpyro_lens as nl

sys.path.append(str(Path(__file__).parent / "tests"))


@pytest.fixture(scope="session")
def small_fit():
    """A result with the shape of a real one."""
    from synthetic import fitted

    return fitted()


@pytest.fixture(autouse=True)
def _example(request, doctest_namespace):
    """The folder and the names that an example takes for granted."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
    doctest_namespace["nl"] = nl
    if any("calibration" in example.source for example in request.node.dtest.examples):
        from synthetic import calibrated

        doctest_namespace["calibration"] = calibrated()
    if any(re.search(r"\bfit[.),]", example.source) for example in request.node.dtest.examples):
        doctest_namespace["fit"] = request.getfixturevalue("small_fit")
