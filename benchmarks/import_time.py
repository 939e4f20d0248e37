"""Processor seconds to import the package, and numpyro with arviz: medians of 7, taken in turn.

python benchmarks/import_time.py
"""

import os
import statistics
import subprocess
import sys

STATEMENTS = ("import numpyro, arviz", "import numpyro_lens")


def seconds(statement):
    before = os.times()
    subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def main(repeats=7):
    for statement in STATEMENTS:
        seconds(statement)  # files come from the disk the first time
    rounds = [[seconds(statement) for statement in STATEMENTS] for _ in range(repeats)]
    base, ours = map(statistics.median, zip(*rounds, strict=True))
    print(f"{STATEMENTS[0]}: {base:.2f} s, {STATEMENTS[1]}: {ours:.2f} s, ratio {ours / base:.2f}")


if __name__ == "__main__":
    main()
