"""The row that each lens leaves, and the table of them: the same columns, fitted or failed."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpyro_lens.infer.files import write_atomically

if TYPE_CHECKING:
    from numpyro_lens.fitting import LensFit

Row = dict[str, Any]

#: Columns of every row, and what stands in them where nothing is known.
COLUMNS: dict[str, Any] = {
    "name": "",
    "verdict": "failed",
    "reason": "",
    "warnings": "",
    "seed": 0,
    "attempts": 1,
    "worker": "",
    "seconds": math.nan,
    "compile_seconds": math.nan,
    "run_seconds": math.nan,
    "max_r_hat": math.nan,
    "min_ess": math.nan,
    "num_divergent": math.nan,
    "mean_square": math.nan,
    "num_gradients": math.nan,
    "memory_bytes": math.nan,
}
#: Sites with more numbers than this, such as pixels of a source, stay in the posterior's file.
MAX_NUMBERS = 30
FILE = "row.json"


def row_of(fit: "LensFit", derived: Any) -> Row:
    """What a fit says of itself, its parameters and derived numbers with their 68 % intervals.

    Args:
        fit: the result.
        derived: its derived numbers, as ``fit.derived()`` returns them.

    Returns:
        Columns of `COLUMNS`; and for each number its median under its own name, the ends of the
        interval under ``name.eti16`` and ``name.eti84``.
    """
    verdict, timings = fit.verdict, fit.timings.values()
    return {
        "verdict": verdict_word(verdict),
        "reason": "; ".join(verdict.doubts),
        "compile_seconds": float(sum(t.get("trace_s", 0.0) + t["compile_s"] for t in timings)),
        "run_seconds": float(sum(t["run_s"] for t in timings)),
        "max_r_hat": float(verdict.max_r_hat[0]),
        "min_ess": float(verdict.min_ess[0]),
        "num_divergent": float(verdict.num_divergent),
        "mean_square": max((r.mean_square for r in verdict.residuals), default=math.nan),
        "num_gradients": float(sum(fit.num_gradients.values())),
        **_numbers(fit.samples, derived),
    }


def verdict_word(verdict: Any) -> str:
    """A verdict in one or two words, the gravest first."""
    if not verdict.converged:
        return "not converged"
    if not verdict.explained:
        return "not explained"
    if verdict.other_modes:
        return "other mode"
    return "doubtful" if verdict.doubts else "good"


def _numbers(samples: dict[str, np.ndarray], derived: Any) -> Row:
    found: Row = {}
    for name, draws in _scalars(samples):
        found |= _interval(name, *np.quantile(draws, [0.5, 0.16, 0.84]))
    for name, row in derived.iterrows():
        found |= _interval(str(name), row["median"], row["eti16"], row["eti84"])
    return found


def _scalars(samples: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Draws of every number of every site that is not an image of its own."""
    for name, values in samples.items():
        shape = values.shape[2:]
        if math.prod(shape) <= MAX_NUMBERS:
            for index in np.ndindex(shape):
                place = f"[{', '.join(map(str, index))}]" if index else ""
                yield name + place, np.asarray(values[(..., *index)], dtype=float)


def _interval(name: str, median: float, low: float, high: float) -> Row:
    column = f"{name}_" if name in COLUMNS else name
    return {column: float(median), f"{column}.eti16": float(low), f"{column}.eti84": float(high)}


def write_row(folder: Path, row: Row) -> None:
    """Keep a row in the folder of its lens."""
    text = json.dumps(row, indent=1) + "\n"
    write_atomically(folder / FILE, lambda path: path.write_text(text, encoding="utf-8"))


def read_row(folder: Path) -> Row | None:
    """The row that a lens has left; None where it has left none, or half of one."""
    try:
        row = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) and {*COLUMNS} <= row.keys() else None


def is_fitted(row: Row | None) -> bool:
    """Whether a lens need not be fitted again: a failure is tried again."""
    return row is not None and row["verdict"] != "failed"


def table_of(rows: Iterable[Row]) -> Any:
    """The rows as a ``pandas.DataFrame``: `COLUMNS` first, and the numbers of all lenses after.

    Args:
        rows: of the lenses.

    Example:
        >>> table = table_of([COLUMNS | {"name": "a", "verdict": "good", "lens.theta_E": 1.0},
        ...     COLUMNS | {"name": "b", "reason": "no such file"}])
        >>> table[["name", "verdict", "lens.theta_E"]].to_csv(index=False).split()
        ['name,verdict,lens.theta_E', 'a,good,1.0', 'b,failed,']
    """
    import pandas as pd

    rows = list(rows)
    names = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    values = {n: [row.get(n, COLUMNS.get(n, math.nan)) for row in rows] for n in names}
    return pd.DataFrame(values).astype({n: type(COLUMNS.get(n, math.nan)) for n in names})


def write_table(table: Any, path: Path) -> None:
    """Write the table as Parquet, whole or not at all."""
    write_atomically(path, lambda path: table.to_parquet(path, index=False))
