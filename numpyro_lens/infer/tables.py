"""Medians and intervals of parameters as a table for a paper."""

import math
import re
from collections.abc import Iterator, Mapping

import numpy as np

_SPECIAL = {**{c: f"\\{c}" for c in "&%$#_{}"}, "\\": r"\textbackslash{}"}
_SPECIAL |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def latex_table(samples: Mapping[str, np.ndarray]) -> str:
    r"""A ``tabular`` with the median and the central 68 % of each parameter.

    Args:
        samples: draws (chain, draw, ...) by the name of their site.

    Returns:
        The text, two digits of each error.

    Example:
        >>> draws = np.random.default_rng(0).normal(1.2, 0.02, (4, 50_000))
        >>> print(latex_table({"lens.theta_E": draws}))
        \begin{tabular}{ll}
        \hline
        parameter & median and 68\,\% interval \\
        \hline
        \texttt{lens.theta\_E} & $1.200^{+0.020}_{-0.020}$ \\
        \hline
        \end{tabular}
    """
    rows = [f"\\texttt{{{_escaped(name)}}} & {_interval(v)} \\\\" for name, v in _each(samples)]
    head = ["\\hline", "parameter & median and 68\\,\\% interval \\\\", "\\hline"]
    lines = ["\\begin{tabular}{ll}", *head, *rows, "\\hline", "\\end{tabular}"]
    return "\n".join(lines)


def _each(samples: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Every number of every site, as ArviZ names it."""
    for name, values in samples.items():
        for index in np.ndindex(values.shape[2:]):
            place = f"[{', '.join(map(str, index))}]" if index else ""
            yield name + place, values[(..., *index)]


def _escaped(name: str) -> str:
    return re.sub(r"[&%$#_{}\\~^]", lambda match: _SPECIAL[match[0]], name)


def _interval(values: np.ndarray) -> str:
    low, median, high = np.quantile(np.asarray(values, dtype=float), [0.16, 0.5, 0.84])
    errors = high - median, median - low
    least = min((e for e in errors if e > 0), default=0.0)
    if least == 0.0 or not math.isfinite(least):
        return f"${median:.5g}$"
    digits = max(0, 1 - math.floor(math.log10(least)))
    plus, minus = (f"{error:.{digits}f}" for error in errors)
    return f"${median:.{digits}f}^{{+{plus}}}_{{-{minus}}}$"
