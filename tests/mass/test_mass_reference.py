"""Every mass profile against lenstronomy, or a quadrature, on 200 random draws."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from numpyro_lens import mass

pytest.importorskip("lenstronomy")
from lenstronomy.LensModel.lens_model import LensModel

DRAWS = 200
RANGES = {
    "theta_E": (0.5, 2.0),
    "gamma": (1.5, 2.5),
    "e1": (-0.3, 0.3),
    "e2": (-0.3, 0.3),
    "s_scale": (0.01, 0.5),
    "kappa": (-0.2, 0.2),
    "gamma1": (-0.1, 0.1),
    "gamma2": (-0.1, 0.1),
    "Rs": (0.3, 3.0),
    "alpha_Rs": (0.2, 2.0),
    "r_trunc": (0.5, 20.0),
    "sigma0": (0.1, 2.0),
    "Ra": (0.01, 0.25),
    "amp": (0.5, 5.0),
    "sigma": (0.1, 3.0),
    "k_eff": (0.1, 1.0),
    "R_sersic": (0.3, 3.0),
    "n_sersic": (0.6, 6.0),
    "a_m": (-0.1, 0.1),
    "phi_m": (-3.0, 3.0),
    "r_E": (0.5, 2.0),
    "a1_a": (-0.1, 0.1),
    "a3_a": (-0.1, 0.1),
    "a4_a": (-0.1, 0.1),
    "delta_phi_m1": (-3.0, 3.0),
    "delta_phi_m3": (-0.5, 0.5),
    "delta_phi_m4": (-0.4, 0.4),
    "center_x": (-0.1, 0.1),
    "center_y": (-0.1, 0.1),
}
# The profile, lenstronomy's name, and what lenstronomy has of ours in closed form.
ALL = ("deflection", "convergence", "potential")
PROFILES = [
    (mass.SIS, "SIS", {}, ALL),
    (mass.SIE, "EPL", {"gamma": 2.0}, ALL),
    (mass.NIE, "NIE", {}, ("deflection", "potential")),
    (mass.EPL, "EPL", {}, ALL),
    (mass.Shear, "SHEAR", {}, ("deflection", "potential")),
    (mass.ConvergenceSheet, "CONVERGENCE", {}, ALL),
    (mass.PointMass, "POINT_MASS", {}, ("deflection", "potential")),
    (mass.NFW, "NFW", {}, ALL),
    (mass.NFWEllipse, "NFW_ELLIPSE_CSE", {}, ALL),
    (mass.TNFW, "TNFW", {}, ALL),
    (mass.DPIE, "PJAFFE", {"e1": 0.0, "e2": 0.0}, ALL),
    (mass.Hernquist, "HERNQUIST", {}, ("deflection", "potential")),
    (mass.Gaussian, "GAUSSIAN_ELLIPSE_KAPPA", {}, ALL),
    (mass.Sersic, "SERSIC", {"e1": 0.0, "e2": 0.0}, ("deflection", "potential")),
    (mass.Multipole, "MULTIPOLE", {"m": 1}, ALL),
    (mass.Multipole, "MULTIPOLE", {"m": 3}, ALL),
    (mass.Multipole, "MULTIPOLE", {"m": 4}, ALL),
    (mass.EPLMultipole, "EPL_MULTIPOLE_M1M3M4", {}, ALL),
]


def draws(profile, fixed):
    """Parameters as float32 can hold them, so that only the functions are compared."""
    rng = np.random.default_rng(1)
    fields = [f for f in profile.__dataclass_fields__ if f != "m"]
    out = {f: rng.uniform(*RANGES[f], DRAWS).astype(np.float32).astype(float) for f in fields}
    return out | {f: np.full(DRAWS, v) for f, v in fixed.items() if f in fields}


def positions():
    rng = np.random.default_rng(2)
    radius, angle = 10 ** rng.uniform(-1.3, 0.7, (DRAWS, 5)), rng.uniform(0, 2 * np.pi, (DRAWS, 5))
    return tuple((radius * f(angle)).astype(np.float32).astype(float) for f in (np.cos, np.sin))


def ours(profile, what, static, parameters, x, y):
    @jax.jit
    @jax.vmap
    def f(parameters, x, y):
        lens = profile(**static, **parameters)
        return {w: getattr(lens, w)(x, y) for w in what}

    arrays = jax.tree.map(jnp.asarray, (parameters, x, y))
    out = {w: np.array(v, float) for w, v in f(*arrays).items()}
    if "deflection" in out:
        out["deflection"] = out["deflection"].transpose(1, 0, 2)
    return out


METHODS = {"deflection": "alpha", "convergence": "kappa", "potential": "potential"}


def lenstronomy(names, what, kwargs, x, y):
    """One call a draw: lenstronomy takes scalars for parameters."""
    model = LensModel(names)
    out = {w: [] for w in what}
    for i, (xi, yi) in enumerate(zip(x, y, strict=True)):
        for w in what:
            # Copies: some of its profiles clip radii in place.
            out[w].append(getattr(model, METHODS[w])(xi.copy(), yi.copy(), kwargs(i)))
    return {w: np.array(v) for w, v in out.items()}


def errors(got, expected, x, y):
    """Relative errors; potentials up to a constant, convergences with their mean inside."""
    alpha = np.hypot(*expected["deflection"].transpose(1, 0, 2))
    for what, exact in expected.items():
        difference, scale = got[what] - exact, np.abs(exact)
        if what == "deflection":
            difference, scale = np.hypot(*difference.transpose(1, 0, 2)), alpha
        if what == "convergence":
            scale = scale + alpha / np.hypot(x, y)
        if what == "potential":
            difference = difference - difference.mean(axis=1, keepdims=True)
            scale = np.ptp(exact, axis=1, keepdims=True)
        yield what, np.abs(difference / scale).max()


def check(got, expected, x, y, x64):
    tolerance = 1e-8 if x64 else 1e-5
    found = dict(errors(got, expected, x, y))
    assert max(found.values()) < tolerance, found


@functools.cache
def reference(index):
    profile, name, fixed, what = PROFILES[index]
    parameters = draws(profile, fixed)
    # What one of the two codes does not know: a round profile's ellipticity, an order.
    keys = (parameters.keys() | fixed.keys()) - ({"e1", "e2"} if "e1" in fixed else set())

    def kwargs(i):
        return [{k: float(parameters[k][i]) if k in parameters else fixed[k] for k in keys}]

    return parameters, lenstronomy([name], what, kwargs, *positions())


def case(row):
    return f"{row[0].__name__}{row[2].get('m', '')}"


@pytest.mark.parametrize("index", range(len(PROFILES)), ids=map(case, PROFILES))
def test_profile_equals_lenstronomy(index, x64):
    profile, _, fixed, what = PROFILES[index]
    parameters, expected = reference(index)
    static = {k: v for k, v in fixed.items() if k == "m"}
    check(ours(profile, what, static, parameters, *positions()), expected, *positions(), x64)


def test_every_profile_is_compared():
    compared = {row[0] for row in PROFILES} | {mass.MultiGaussian, mass.Population, mass.Sum}
    public = {c for c in vars(mass).values() if isinstance(c, type)}
    assert {c for c in public if not inspect.isabstract(c)} == compared


def test_elliptical_dpie_is_a_difference_of_lenstronomys_nies(x64):
    parameters, what = draws(mass.DPIE, {}), ("deflection", "potential")
    p = parameters
    strength = 2 * p["sigma0"] * p["Ra"] * p["Rs"] / (p["Rs"] - p["Ra"])
    shared = ("e1", "e2", "center_x", "center_y")

    def one(core):
        def kwargs(i):
            rest = {k: p[k][i] for k in shared}
            return [{"theta_E": strength[i], "s_scale": p[core][i]} | rest]

        return lenstronomy(["NIE"], what, kwargs, *positions())

    inner, outer = one("Ra"), one("Rs")
    expected = {w: inner[w] - outer[w] for w in what}
    check(ours(mass.DPIE, what, {}, p, *positions()), expected, *positions(), x64)


def test_multi_gaussian_equals_lenstronomy(x64):
    what, rng = ("deflection", "convergence"), np.random.default_rng(3)
    p = draws(mass.Gaussian, {})
    p |= {f: rng.uniform(*RANGES[f], (DRAWS, 3)).astype(np.float32) for f in ("amp", "sigma")}

    def kwargs(i):
        return [{k: v[i].astype(float) for k, v in p.items()}]

    expected = lenstronomy(["MULTI_GAUSSIAN_ELLIPSE_KAPPA"], what, kwargs, *positions())
    check(ours(mass.MultiGaussian, what, {}, p, *positions()), expected, *positions(), x64)


def homoeoids(kappa, q, x, y):
    """Deflection of a lens elongated along x, by Schramm's integral over its elliptical shells."""

    def shell(weight):
        def integrand(v):
            u = v**6  # the central cusp is smooth in v
            stretch = 1 - (1 - q * q) * u
            radius = np.sqrt(u * q * (x * x + y * y / stretch))
            return 6 * v**5 * kappa(radius) * stretch**-weight

        return integrate.quad(integrand, 0, 1, epsabs=0, epsrel=1e-12, limit=200)[0]

    return q * x * shell(0.5), q * y * shell(1.5)


def test_elliptical_sersic_equals_quadrature(x64):
    p = draws(mass.Sersic, {"e2": 0.0, "center_x": 0.0, "center_y": 0.0})
    p["e1"] = np.abs(p["e1"])
    x, y = positions()
    expected = np.empty((DRAWS, 2, 5))
    for i in range(DRAWS):
        n, b, q = (
            p["n_sersic"][i],
            1.9992 * p["n_sersic"][i] - 0.3271,
            (1 - p["e1"][i]) / (1 + p["e1"][i]),
        )

        def kappa(radius, i=i, n=n, b=b):
            return p["k_eff"][i] * np.exp(-b * ((radius / p["R_sersic"][i]) ** (1 / n) - 1))

        expected[i] = np.transpose(
            [homoeoids(kappa, q, *at) for at in zip(x[i], y[i], strict=True)]
        )
    got = ours(mass.Sersic, ("deflection",), {}, p, x, y)
    check(got, {"deflection": expected}, x, y, x64)


@pytest.mark.parametrize("n", [0.36, 0.5, 1.0, 4.0, 8.0, 10.0, 12.0])
def test_sersic_over_its_whole_range(x64, n):
    """Indices, axis ratios and radii of the docstring; far out it is all the mass."""
    angle, radius = np.meshgrid([0.3, 1.2, 2.0], np.geomspace(1e-3, 1e3, 9))
    single = (np.ravel(radius * f(angle)).astype(np.float32) for f in (np.cos, np.sin))
    x, y = (axis.astype(float) for axis in single)
    index = float(np.float32(n))
    b = 1.9992 * index - 0.3271

    def kappa(radius):
        return np.exp(-b * (radius ** (1 / index) - 1))

    for e1 in np.float32([0.33, 2 / 3]):
        q = (1 - float(e1)) / (1 + float(e1))
        exact = np.array([homoeoids_in_logs(kappa, q, *at) for at in zip(x, y, strict=True)]).T
        lens = mass.Sersic(k_eff=1.0, R_sersic=1.0, n_sersic=index, e1=float(e1))
        difference = np.hypot(*(np.array(lens.deflection(x, y), float) - exact))
        assert (difference / np.hypot(*exact)).max() < (2e-13 if x64 else 1.5e-6)


def homoeoids_in_logs(kappa, q, x, y):
    """`homoeoids` where most of the mass may lie anywhere between the centre and the radius."""
    x, y = float(x), float(y)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = np.linspace(-90, 0, 91)
    log = 0.5 * (edges[1:, None] + edges[:-1, None] + nodes)
    u = np.exp(log)
    stretch = 1 - (1 - q * q) * u
    shells = 0.5 * weights * u * kappa(np.sqrt(u * q * (x * x + y * y / stretch)))
    return q * x * np.sum(shells * stretch**-0.5), q * y * np.sum(shells * stretch**-1.5)


def test_sersic_expansion_in_gaussians(double):
    """As accurate as the expansion is: 3e-4 of the deflection."""
    x, y = jnp.geomspace(0.1, 5.0, 20), jnp.geomspace(0.05, 2.0, 20)
    for n in (1.0, 2.5, 4.0):
        fields = {"k_eff": 0.4, "R_sersic": 1.0, "n_sersic": n, "e1": 0.2, "e2": -0.1}
        exact = mass.Sersic(**fields).deflection(x, y)
        gaussians = mass.sersic_gaussians(**fields).deflection(x, y)
        difference = np.hypot(*np.subtract(exact, gaussians)) / np.hypot(*exact)
        assert difference.max() < 3e-4
