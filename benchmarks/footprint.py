"""What `light.Footprint` costs: a gradient with it, beside one with a fixed smoothing.

    taskset -c 1 python benchmarks/footprint.py

The lens is the first of `robustness.py`, at draws from its prior.
"""

from functools import partial

import typer
from demo import problem
from measure import measure_gradient, report
from robustness import draw_lens, lens_model


def main(batch: int = 16, repeats: int = 30):
    """Print one JSON object for each, and the ratio of their processor times."""
    observation, *_ = draw_lens(0)
    models = {"smoothing=0.01": partial(lens_model, smoothing=0.01), "Footprint": lens_model}
    problems = {name: problem(model, observation, batch) for name, model in models.items()}
    fixed, follows = (
        report(name, measure_gradient(p, repeats=repeats), batch=batch, pixels=80 * 80)
        for name, p in problems.items()
    )
    print(round(follows["cpu_ms_per_sample"] / fixed["cpu_ms_per_sample"], 3))


if __name__ == "__main__":
    typer.run(main)
