"""Imports point one way, by the rows of the layout."""

import ast
from pathlib import Path

import numpyro_lens

ROOT = Path(numpyro_lens.__file__).parent
ROWS = [
    {"_types", "_constants", "numerics", "coordinates"},
    {"mass", "light", "psf", "noise", "cosmology"},
    {"lensing", "images"},
    {"observation", "simulate", "linear"},
    {"priors", "models", "plot"},
    {"infer"},
    {"io", "exchange", "fleet", "cli", "report", "citation", "__init__", "__main__"},
]
ROW = {module: row for row, modules in enumerate(ROWS) for module in modules}


def imported(path):
    """Dotted names of everything that a file imports, deferred imports included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_point_one_way():
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).with_suffix("").parts[0]
        assert own in ROW, f"{own}.py has no row: add it to ROWS and to DESIGN.md"
        for name in imported(path):
            package, _, rest = name.partition(".")
            assert not (package == "numpyro" and ROW[own] < 4), f"{path} imports {name}"
            target = rest.split(".")[0]
            if package == "numpyro_lens" and target in ROW and ROW[own] < len(ROWS) - 1:
                assert ROW[target] <= ROW[own], f"{path} imports {name} from a later row"
                assert ROW[target] < len(ROWS) - 1, f"{path} imports {name} from the edge"
