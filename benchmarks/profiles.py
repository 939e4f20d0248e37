"""The cost of every profile of the catalogue at 120x120 points, beside lenstronomy's.

    taskset -c 1 python benchmarks/profiles.py           # one JSON object a profile
    taskset -c 1 python benchmarks/profiles.py --table   # a table

Of a deflector the deflection, of light the brightness. Our value and our value and gradient are in
single precision, compiled; the gradient is that of a weighted sum of squares in every parameter.
lenstronomy's value is in double precision, as it has no other; JAXtronomy's, when it is importable,
in single precision, compiled. Milliseconds of processor time, the median of rounds in which all
take turns. ``difference`` is the largest one from lenstronomy's value over the largest value.
"""

import contextlib
import dataclasses
import importlib
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.LightModel.Profiles.moffat import Moffat
from measure import device, versions

from numpyro_lens import light, mass

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from catalogue import LIGHTS, MASSES, name

#: lenstronomy's name of each profile, and parameters that only it has.
NAMES: dict[type, tuple[str, dict[str, Any]]] = {
    mass.SIS: ("SIS", {}),
    mass.SIE: ("SIE", {}),
    mass.EPL: ("EPL", {}),
    mass.Shear: ("SHEAR", {}),
    mass.ConvergenceSheet: ("CONVERGENCE", {}),
    mass.PointMass: ("POINT_MASS", {}),
    mass.NIE: ("NIE", {}),
    mass.NFW: ("NFW", {}),
    mass.NFWEllipse: ("NFW_ELLIPSE_CSE", {}),
    mass.TNFW: ("TNFW", {}),
    mass.Hernquist: ("HERNQUIST", {}),
    mass.Gaussian: ("GAUSSIAN_ELLIPSE_KAPPA", {}),
    mass.MultiGaussian: ("MULTI_GAUSSIAN_ELLIPSE_KAPPA", {}),
    mass.Sersic: ("SERSIC_ELLIPSE_GAUSS_DEC", {}),
    mass.Multipole: ("MULTIPOLE", {}),
    mass.EPLMultipole: ("EPL_MULTIPOLE_M1M3M4", {}),
    light.Sersic: ("SERSIC_ELLIPSE", {}),
    light.CoreSersic: ("CORE_SERSIC", {}),
    light.Gaussian: ("GAUSSIAN_ELLIPSE", {}),
    light.MultiGaussian: ("MULTI_GAUSSIAN_ELLIPSE", {}),
    light.Shapelets: ("SHAPELETS", {"n_max": 2}),
    light.Hernquist: ("HERNQUIST_ELLIPSE", {}),
    light.Interpolated: ("INTERPOL", {}),
    light.Uniform: ("UNIFORM", {}),
}


def value(profile, x, y):
    """Deflection, a pair, or brightness."""
    method = "deflection" if isinstance(profile, mass.AbstractMass) else "brightness"
    return getattr(profile, method)(x, y)


@jax.value_and_grad
def gradient(profile, x, y, weights):
    """A weighted sum of squares, with its slope in every parameter."""
    return sum(jnp.sum(weights * v * v) for v in jax.tree.leaves(value(profile, x, y)))


def counterparts(profile):
    """The profiles of the other codes that make up one of ours: names and their parameters."""
    # Only ours can be smoothed; none of the catalogue is.
    names = [f.name for f in dataclasses.fields(profile) if f.name != "smoothing"]
    p = {name: getattr(profile, name) for name in names}
    if isinstance(profile, mass.Sum | light.Sum):
        return [one for c in profile.components for one in counterparts(c)]
    if isinstance(profile, mass.Population):
        q = {f.name: getattr(profile.profile, f.name) for f in dataclasses.fields(profile.profile)}
        members = [{k: v[i] if np.ndim(v) else v for k, v in q.items()} for i in range(2)]
        return [("NIE", member) for member in members]
    if isinstance(profile, mass.DPIE):
        theta_E = 2 * p["sigma0"] * p["Ra"] * p["Rs"] / (p["Rs"] - p["Ra"])
        shape = {k: p[k] for k in ("e1", "e2", "center_x", "center_y")}
        radii = {p["Ra"]: theta_E, p["Rs"]: -theta_E}
        return [("NIE", {"theta_E": t, "s_scale": s} | shape) for s, t in radii.items()]
    known, extra = NAMES[type(profile)]
    return [(known, {k: v for k, v in p.items() if (known, k) != ("CORE_SERSIC", "alpha")} | extra)]


def peer(profile, models):
    """Another code's value as a function of positions and parameters, and the parameters."""
    names, parameters = zip(*counterparts(profile), strict=True)
    if isinstance(profile, mass.AbstractMass):
        return models[0](list(names)).alpha, list(parameters)
    return models[1](list(names)).surface_brightness, list(parameters)


def lenstronomys(profile):
    """lenstronomy's value, or None; its list of models lacks Moffat."""
    if isinstance(profile, light.Moffat):
        p = [getattr(profile, f.name) for f in dataclasses.fields(profile)]
        return lambda x, y: Moffat().function(x, y, *p)
    if isinstance(profile, light.HSGP | light.DPIE | light.MultiGaussianDipole):
        return None  # no such profiles, and one that is normalised otherwise
    function, parameters = peer(profile, (LensModel, LightModel))
    return lambda x, y: function(x, y, parameters)


def jaxtronomys(profile):
    """JAXtronomy's value, or None where it or the profile is absent."""
    with contextlib.suppress(ImportError, ValueError, KeyError, NotImplementedError):
        models = (
            importlib.import_module("jaxtronomy.LensModel.lens_model").LensModel,
            importlib.import_module("jaxtronomy.LightModel.light_model").LightModel,
        )
        jax.config.update("jax_enable_x64", False)
        function, parameters = peer(profile, models)
        # Orders are static there.
        static = [{k: p.pop(k) for k in ("m", "n_max") if k in p} for p in parameters]
        single = jax.tree.map(jnp.float32, parameters)

        def run(x, y, single):
            both = zip(single, static, strict=True)
            return function(x, y, [p | s for p, s in both])

        compiled = jax.jit(run)
        return lambda x, y: compiled(x, y, single)
    return None


def milliseconds(function, args, repeats):
    """Processor time of one call, compiled or not."""
    jax.block_until_ready(function(*args))
    start = time.process_time()
    for _ in range(repeats):
        jax.block_until_ready(function(*args))
    return 1e3 * (time.process_time() - start) / repeats


def costs(profile, points, rounds, repeats):
    """Median milliseconds of everyone, and the difference from lenstronomy's value."""
    x, y = (jnp.asarray(p, jnp.float32) for p in points)
    own = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), profile)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=x.size), jnp.float32)
    theirs, jaxs = lenstronomys(profile), jaxtronomys(profile)
    cases = {
        "value": (jax.jit(value), (own, x, y)),
        "gradient": (jax.jit(gradient), (own, x, y, weights)),
    }
    cases |= {} if theirs is None else {"lenstronomy": (theirs, points)}
    cases |= {} if jaxs is None else {"jaxtronomy": (jaxs, (x, y))}
    times = [{k: milliseconds(*case, repeats) for k, case in cases.items()} for _ in range(rounds)]
    medians = {k: round(float(np.median([t[k] for t in times])), 4) for k in cases}
    if theirs is None:
        return medians
    expected = np.asarray(theirs(*points))
    error = np.abs(np.asarray(value(own, x, y)) - expected).max() / np.abs(expected).max()
    return medians | {"difference": float(f"{error:.1e}")}


def record(profile, cost):
    """One JSON object: milliseconds, and the times of the others over ours."""
    over = {
        f"{other}_over_{ours}": round(cost[other] / cost[ours], 1)
        for other in ("lenstronomy", "jaxtronomy")
        for ours in ("value", "gradient")
        if other in cost
    }
    kind = "mass" if isinstance(profile, mass.AbstractMass) else "light"
    return {"name": f"{kind}.{name(profile)}", **cost, **over}


def row(found):
    """A line of the table."""
    peers, kinds = ("lenstronomy", "jaxtronomy"), ("value", "gradient")
    cells = [f"{found[k]:.2g}" if k in found else "" for k in (*kinds, *peers)]
    ratios = [str(found.get(f"{peer}_over_{kind}", "")) for peer in peers for kind in kinds]
    return f"| {' | '.join([found['name'], *cells, *ratios])} |"


def main(
    table: Annotated[bool, typer.Option(help="Lines of a table instead of JSON.")] = False,
    rounds: int = 7,
    repeats: int = 10,
):
    """Print one line for each profile."""
    warnings.simplefilter("ignore")
    side = 3.9 * (np.arange(120) - 59.5) / 120
    points = tuple(p.ravel() for p in np.meshgrid(side, side))
    for profile in (*MASSES, *LIGHTS):
        found = record(profile, costs(profile, points, rounds, repeats))
        about = {"points": 120 * 120, "device": device(), "versions": versions()}
        print(row(found) if table else json.dumps(found | about), flush=True)


if __name__ == "__main__":
    typer.run(main)
