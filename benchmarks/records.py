"""Results of long benchmarks: a JSON object a line, each with the commit that it was made with."""

import functools
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


@functools.cache
def commit():
    """The commit of the working tree, asked for once: later it may not be that of the code in use.

    ``-dirty`` follows where files have changed since.
    """
    described = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip()


def read(path):
    """All rows of a file, in their order; none where there is no file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def last(path, *names):
    """The last row for each value of a column, or for each tuple of values of several."""
    rows = read(path)
    if len(names) == 1:
        return {row[names[0]]: row for row in rows}
    return {tuple(row[name] for name in names): row for row in rows}


def append(path, row):
    """Write a row, and print it. Several processes may write to one file."""
    line = json.dumps(row)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line, flush=True)
