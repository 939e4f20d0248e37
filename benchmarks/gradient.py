"""Value and gradient of the log density of the demo: milliseconds per sample.

python benchmarks/gradient.py --num-devices 2
python benchmarks/gradient.py --batch 64 --batch 1024 --batch 8192     # an accelerator
"""

from typing import Annotated

import typer
from demo import demo_problem
from measure import measure_gradient, report, use_devices


def main(
    num_devices: Annotated[int, typer.Option(help="Host devices that share the processor.")] = 1,
    batch: Annotated[list[int], typer.Option(help="Samples; may be repeated.")] = [64],  # noqa: B006
    batch_size: Annotated[int | None, typer.Option(help="Samples at once on a device.")] = None,
    repeats: int = 15,
):
    """Print one JSON object for each batch."""
    use_devices(num_devices)
    for size in batch:
        timing = measure_gradient(demo_problem(size), batch_size, repeats)
        report("gradient", timing, batch=size, pixels=60 * 60, batch_size=batch_size)


if __name__ == "__main__":
    typer.run(main)
