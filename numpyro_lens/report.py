"""One self-contained HTML page about a fit: verdict, tables, pictures, settings, versions."""

import base64
import html
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from numpyro_lens import plot
from numpyro_lens.fitting import LensFit, model_name
from numpyro_lens.infer import MAPResult, SVIResult, Verdict
from numpyro_lens.infer.diagnostics import (
    DIVERGENT_LIMIT,
    ESS_LIMIT,
    PARETO_K_LIMIT,
    RHAT_LIMIT,
)
from numpyro_lens.infer.verdict import OUTLYING


def write_report(result: LensFit, path: str | PathLike) -> list[str]:
    """Write the page.

    Args:
        result: the result of `fit`, or of `load`.
        path: the HTML file.

    Returns:
        A line for each picture or table that could not be made, and why.

    Example:
        >>> nl.write_report(fit, "report.html")
        []
    """
    pictures, missing = _pictures(result)
    numbers = _derived(result, missing)
    verdict = result.verdict
    page = _PAGE.substitute(
        title=f"numpyro_lens: {html.escape(model_name(result.model))}",
        verdict_class="good" if verdict.good else "bad",
        verdict=html.escape(str(verdict)).replace("\n", "<br>"),
        checks=_rows(_checks(result)),
        pictures="".join(pictures),
        missing="".join(f"<p class='note'>{html.escape(line)}</p>" for line in missing),
        summary=_table(result.summary(), "parameter"),
        derived=numbers,
        stages=_stages(result),
        facts=_rows(_facts(result)),
        settings=html.escape(json.dumps(result.settings, indent=2, default=str)),
    )
    Path(path).write_text(page, encoding="utf-8")
    return missing


def _checks(result: LensFit) -> Iterator[tuple[str, str, str]]:
    """What was looked at, what came, and what to do about it."""
    yield from _checks_of_chains(result)
    if isinstance(result.svi, SVIResult):
        yield _check(
            f"The Gaussian stands in for the posterior: Pareto k below {PARETO_K_LIMIT}",
            result.svi.pareto_k < PARETO_K_LIMIT,
            f"{result.svi.pareto_k:.2f}",
            "Nothing: HMC estimates its metric again. Do not use the draws of the Gaussian.",
        )
    if isinstance(result.map, MAPResult):
        best = result.map.basins[0]
        yield _check(
            "Several starts found the same mode",
            best.num_starts > 1,
            f"{best.num_starts} of {len(result.map)}",
            "Search with more starts: map=MAP(num_starts=200).",
        )
        modes = result.verdict.other_modes
        yield _check(
            "No other mode within reach",
            not modes,
            ", ".join(f"basin {m.number}, {m.deficit:.1f} nats below" for m in modes) or "none",
            "Compare it in result.map.samples, or search with more starts.",
        )


def _checks_of_chains(result: LensFit) -> Iterator[tuple[str, str, str]]:
    verdict = result.verdict
    rhat, worst = verdict.max_r_hat
    yield _check(
        f"Chains agree: R-hat below {RHAT_LIMIT}",
        rhat < RHAT_LIMIT,
        f"largest {rhat:.4f} ({worst})",
        "Draw more: target_ess=2000. If it stays, look for several modes among the basins.",
    )
    ess, least = verdict.min_ess
    yield _check(
        f"Enough independent draws: effective sample size above {ESS_LIMIT}",
        ess > ESS_LIMIT,
        f"smallest {ess:.0f} ({least})",
        "Draw more with a larger target_ess.",
    )
    yield _check(
        "No sharp corners: divergent transitions",
        verdict.num_divergent <= DIVERGENT_LIMIT * result.z.shape[0] * result.z.shape[1],
        f"{verdict.num_divergent}",
        "Reparametrise the model, or compute in 64 bit.",
    )
    yield from _checks_of_model(verdict)


def _checks_of_model(verdict: Verdict) -> Iterator[tuple[str, str, str]]:
    for residuals in verdict.residuals:
        yield _check(
            f"The model explains the data: {residuals.name}",
            residuals.explained,
            f"mean square {residuals.mean_square:.2f} of {residuals.num} residuals, "
            f"neighbours correlated by {residuals.correlation:.2f}, "
            f"{residuals.num_outlying} beyond {OUTLYING:g} standard deviations",
            "Look at the residuals: a component is missing, or the noise understated.",
        )
    yield _check(
        "No parameter at a bound of its prior",
        not verdict.at_bounds,
        ", ".join(verdict.at_bounds) or "none",
        "Widen the prior, unless the bound is physical.",
    )
    yield _check(
        "Nothing that is rare among galaxies",
        not verdict.doubts,
        "; ".join(verdict.doubts) or "none",
        "Look at the residuals and at the source.",
    )


def _check(what: str, passed: bool, came: str, remedy: str) -> tuple[str, str, str]:
    return what, f"{'✓' if passed else '✗'} {came}", "" if passed else remedy


def _pictures(result: LensFit) -> tuple[list[str], list[str]]:
    drawn: list[str] = []
    missing: list[str] = []
    for title, draw in _drawings(result).items():
        try:
            figure = draw()
        except ValueError as error:  # say, a model function that is not at hand
            missing.append(f"{title} was not drawn: {error}")
            continue
        drawn.append(f"<h3>{html.escape(title)}</h3>{_embedded(figure, title)}")
    return drawn, missing


def _drawings(result: LensFit) -> dict[str, Callable]:
    drawings: dict[str, Callable] = {"Fit": lambda: plot.plot_fit(result)[0]}
    shapes = [observation.shape for observation in result.observations.values()]
    if len(shapes) >= 3 and len(set(shapes)) == 1:
        drawings["Colours"] = lambda: plot.plot_rgb(result)[0]
    for name in result.observations:
        of = f" of {name}" if len(result.observations) > 1 else ""
        for title, function in _OF_AN_IMAGE.items():
            drawings[title + of] = lambda f=function, n=name: f(result, name=n)[0]
    drawings["Posterior"] = lambda: plot.plot_corner(result)[0]
    if isinstance(result.map, MAPResult):
        drawings["Starts of the search"] = lambda: plot.plot_starts(result.map)[0]
    if isinstance(result.svi, SVIResult) and len(result.svi.losses):
        drawings["Evidence lower bound"] = lambda: plot.plot_elbo(result.svi)[0]
    return drawings


_OF_AN_IMAGE: dict[str, Callable] = {
    "Posterior of the image": plot.plot_prediction,
    "Convergence": plot.plot_convergence,
    "Magnification": plot.plot_magnification,
}


def _embedded(figure: Figure, title: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'


def _derived(result: LensFit, missing: list[str]) -> str:
    try:
        return _table(result.derived(), "quantity")
    except ValueError as error:  # the model is not at hand
        missing.append(f"Derived numbers were not computed: {error}")
        return ""


def _table(summary: Any, first: str) -> str:
    columns = "".join(f"<th>{html.escape(str(name))}</th>" for name in summary.columns)
    rows = "".join(
        f"<tr><th>{html.escape(str(name))}</th>"
        + "".join(f"<td>{_number(value)}</td>" for value in row)
        + "</tr>"
        for name, row in summary.iterrows()
    )
    return f"<table class='numbers'><tr><th>{first}</th>{columns}</tr>{rows}</table>"


def _number(value: Any) -> str:
    is_number = isinstance(value, float | np.floating)
    return f"{value:.4g}" if is_number else html.escape(str(value))


def _stages(result: LensFit) -> str:
    timings: Mapping[str, Mapping[str, float]] = result.timings
    rows = [
        (name, *(f"{seconds.get(part, 0.0):.1f}" for part in ("trace_s", "compile_s", "run_s")))
        for name, seconds in timings.items()
    ]
    return _rows([("stage", "tracing [s]", "compiling [s]", "running [s]"), *rows])


def _facts(result: LensFit) -> Iterator[tuple[Any, ...]]:
    yield "model", model_name(result.model)
    yield "draws", f"{result.z.shape[0]} chains of {result.z.shape[1]}"
    yield "seed", result.seed
    yield "gradients", ", ".join(f"{k}: {v}" for k, v in result.num_gradients.items())
    for name, observation in result.observations.items():
        yield f"data, {name}", repr(observation)
    yield from result.versions.items()


def _rows(rows: Iterable[Sequence[Any]]) -> str:
    # escaped here and nowhere else: names of sites and what a file holds are anyone's text
    cells = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd }
img { max-width: 100%; height: auto }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .9rem }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
.numbers td { text-align: right; font-variant-numeric: tabular-nums }
.verdict { padding: .8rem 1rem; border-left: .4rem solid }
.good { border-color: #0072B2; background: #eaf3fa }
.bad { border-color: #D55E00; background: #fdf0e7 }
.note { color: #666 }
pre { overflow-x: auto; background: #f6f6f6; padding: 1rem; font-size: .85rem }
</style>
</head>
<body>
<h1>$title</h1>
<p class="verdict $verdict_class">$verdict</p>
<h2>Checks</h2>
$checks
<h2>Pictures</h2>
$pictures
$missing
<h2>Parameters</h2>
$summary
<h2>Derived numbers</h2>
$derived
<h2>How it was made</h2>
$facts
$stages
<details><summary>Settings</summary><pre>$settings</pre></details>
</body>
</html>
""")
