"""Imports point one way: by the rows of the layout, and by an order inside each folder."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import numpyro_lens

ROOT = Path(numpyro_lens.__file__).parent
PHYSICS = [
    [
        "_types",
        "_precision",
        "_constants",
        "_completion",
        "_printing",
        "_hdf5",
        "numerics",
        "coordinates",
    ],
    ["mass", "light", "psf", "noise", "cosmology"],
    ["scene", "lensing", "images"],
    ["_observation_checks", "observation", "pixels", "limits", "simulate", "linear"],
]
GENERIC = ["density", "sampler", "infer"]
ROWS = [
    *PHYSICS,
    GENERIC,
    ["priors", "models"],
    ["plot"],
    ["fitting", "gigalens", "population"],
    ["calibration"],
]
EDGE = {
    "_interrupt",
    "io",
    "bands",
    "exchange",
    "report",
    "folder",
    "fleet",
    "cli",
    "citations",
    "__init__",
    "__main__",
}
ORDER = [name for row in ROWS for name in row]

#: What some may import at most, besides themselves.
ALLOWED = {
    "density": {"_types", "_precision"},
    "sampler": {"_types", "_precision", "density"},
    "infer": {"_types", "_hdf5", "density", "sampler"},
    "plot": {name for row in PHYSICS for name in row} | {"models"},
}

#: A module imports only from those before it.
INSIDE = {
    "density": ["transforms", "arguments", "model", "memory", "dynamic_batching", "batching"],
    "sampler": [
        "maps",
        "trajectory",
        "settings",
        "quadratic",
        "additive",
        "adaptation",
        "crosschain",
        "kernel",
    ],
    "infer": [
        "memory",
        "stage",
        "checksum",
        "tables",
        "predictive",
        "diagnostics",
        "results",
        "verdict",
        "evidence",
        "posterior",
        "files",
        "fingerprint",
        "checkpoint",
        "precision",
        "newton",
        "optimisation",
        "start",
        "map",
        "svi",
        "numpyro_kernels",
        "hmc",
        "pipeline",
    ],
    "io": [
        "headers",
        "extensions",
        "sky",
        "companions",
        "noise",
        "masks",
        "reading",
        "writing",
        "summary",
    ],
    "fitting": [
        "files",
        "derived",
        "plausibility",
        "reconstruction",
        "result",
        "loading",
        "source_map",
        "search",
        "pipeline",
        "galaxy",
        "double_plane",
        "recipes",
    ],
    "fleet": ["rows", "table", "worker", "cluster", "queue", "live", "gallery", "running"],
    "calibration": ["statistics", "simulate", "ranking", "lines", "result", "run"],
    "gigalens": [
        "spellings",
        "profile",
        "profiles",
        "physical",
        "bijectors",
        "tfd",
        "mcmc",
        "tfp",
        "kernel",
        "density",
        "optimizers",
        "results",
        "simulator",
        "model",
        "inference",
        "jax",
        "tf",
        "forks",
    ],
}


class Import(NamedTuple):
    """One name that a file of the package imports, whether at once or when a function is called."""

    path: Path
    name: str
    deferred: bool

    @property
    def own(self) -> str:
        """The first folder, or the module, of the file."""
        return self.path.relative_to(ROOT).with_suffix("").parts[0]

    @property
    def parts(self) -> list[str]:
        """Of a name of the package, without the package."""
        return self.name.split(".")[1:]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)} imports {self.name}"


def imported(path: Path) -> Iterator[Import]:
    """Everything that a file imports."""
    tree = ast.parse(path.read_text())
    at_once = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        deferred = id(node) not in at_once
        if isinstance(node, ast.Import):
            yield from (Import(path, alias.name, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            yield from (
                Import(path, f"{node.module}.{alias.name}", deferred) for alias in node.names
            )


ALL = [found for path in sorted(ROOT.rglob("*.py")) for found in imported(path)]
OURS = [found for found in ALL if found.name.split(".")[0] == "numpyro_lens"]


def known(found: Import) -> bool:
    return bool(found.parts) and found.parts[0] in {*ORDER, *EDGE}


def test_every_module_has_a_row():
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).with_suffix("").parts[0]
        assert own in {*ORDER, *EDGE}, f"{own} has no row: add it here and to DESIGN.md"
    assert len(ORDER) == len(set(ORDER))


def test_a_module_imports_from_rows_above_it():
    """Within a row from those named before it."""
    for found in OURS:
        if found.own in EDGE or found.parts[:1] == [found.own] or not known(found):
            continue
        assert found.parts[0] not in EDGE, f"{found}, from the edge"
        assert ORDER.index(found.parts[0]) < ORDER.index(found.own), f"{found}, from a later row"


@pytest.mark.parametrize("own", ALLOWED)
def test_what_knows_nothing_of_lenses_imports_nothing_of_them(own):
    """And pictures know no more than what they show."""
    for found in OURS:
        if found.own == own:
            assert known(found), f"{found}: import from the module that defines it"
            assert found.parts[0] in {own, *ALLOWED[own]}, str(found)


def test_pictures_load_when_one_is_asked_for():
    for found in OURS:
        if found.own == "fitting" and found.parts[0] == "plot":
            assert found.deferred, str(found)


def test_the_simulator_is_usable_without_numpyro():
    for found in ALL:
        if found.own in {name for row in PHYSICS for name in row}:
            assert found.name.split(".")[0] != "numpyro", str(found)


@pytest.mark.parametrize("folder", INSIDE)
def test_inside_a_folder_imports_point_one_way(folder):
    order = INSIDE[folder]
    modules = {path.stem for path in (ROOT / folder).glob("[!_]*")}
    assert modules == set(order), f"the order of {folder}/ is that of its modules"
    for found in OURS:
        importer = found.path.relative_to(ROOT).with_suffix("").parts[1:2]
        if found.own != folder or importer == ("__init__",) or found.parts[0] != folder:
            continue
        module = [*found.parts, ""][1]
        assert module in order, f"{found}, from its own __init__"
        if module != importer[0]:
            assert order.index(module) < order.index(importer[0]), f"{found}, a later module"


def test_no_private_name_crosses_modules():
    """Files of a folder may have names of their own, which are private to the folder."""
    for found in OURS:
        folder = found.path.relative_to(ROOT).parts[:-1]
        *modules, name = found.parts or [""]
        if name.startswith("_") and not name.startswith("__"):
            is_module = (ROOT / Path(*modules, name)).with_suffix(".py").exists()
            assert is_module, f"{found}, a private name"
        for depth, module in enumerate(found.parts):
            if module.startswith("_") and depth:
                assert tuple(found.parts[:depth]) == folder, f"{found}, private to its folder"


def test_no_private_attribute_of_a_module_is_used():
    for path in ROOT.rglob("*.py"):
        names = {
            f.name.rpartition(".")[2] for f in imported(path) if f.name.startswith("numpyro_l")
        }
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                used = f"{path.relative_to(ROOT)} uses {node.value.id}.{node.attr}"
                assert not (private and node.value.id in names), used


# --- what loads what -----------------------------------------------------------------------------


def loaded(code: str) -> set[str]:
    """Packages that a fresh process has loaded after running ``code``."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("code", "kept_out"),
    [
        ("import numpyro_lens", {"jax", "numpyro", "arviz", "matplotlib", "astropy", "numpy"}),
        ("import numpyro_lens as nl; nl.render", {"numpyro", "arviz", "matplotlib", "astropy"}),
        ("import numpyro_lens as nl; nl.observe; nl.render", {"arviz", "matplotlib", "astropy"}),
        ("import numpyro_lens.density, numpyro_lens.sampler", {"arviz", "matplotlib", "astropy"}),
        ("import numpyro_lens as nl; nl.read_fits", {"numpyro", "arviz", "matplotlib"}),
    ],
)
def test_heavy_packages_load_when_they_are_first_used(code, kept_out):
    found = loaded(code)
    assert "numpyro_lens" in found
    assert not found & kept_out


def test_every_name_of_the_top_level_loads():
    """Each of them alone, whatever was imported before."""
    names = [name for name in dir(numpyro_lens) if not name.startswith("_")]
    assert {"observe", "fit", "render", "Scene", "Plane", "LensFit", "infer"} <= set(names)
    for name in names:
        assert getattr(numpyro_lens, name) is not None
