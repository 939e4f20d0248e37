"""Processor seconds of an import, of a simulation's and of a fit's: medians of 7, taken in turn.

python benchmarks/import_time.py

The package imports its parts when they are first used; numpyro and arviz are part of every fit.
"""

import os
import statistics
import subprocess
import sys

STATEMENTS = (
    "import numpyro, arviz",
    "import numpyro_lens",
    "import numpyro_lens; numpyro_lens.render",
    "import numpyro_lens; numpyro_lens.fit",
)


def seconds(statement):
    before = os.times()
    subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def main(repeats=7):
    for statement in STATEMENTS:
        seconds(statement)  # files come from the disk the first time
    rounds = [[seconds(statement) for statement in STATEMENTS] for _ in range(repeats)]
    medians = [statistics.median(taken) for taken in zip(*rounds, strict=True)]
    for statement, taken in zip(STATEMENTS, medians, strict=True):
        print(f"{statement}: {taken:.2f} s, ratio {taken / medians[0]:.2f}")


if __name__ == "__main__":
    main()
