"""What holds for every profile of the catalogue."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import LIGHTS, MASSES, name

from numpyro_lens import light, mass
from numpyro_lens.lensing import deflection_jacobian

masses = pytest.mark.parametrize("lens", MASSES, ids=name)
profiles = pytest.mark.parametrize("profile", MASSES + LIGHTS, ids=name)
X = np.array([0.3, -1.0, 2.1, 0.7, -0.2])
Y = np.array([0.9, 0.4, -1.3, 0.01, -0.6])


def value(profile, x, y):
    """One array of everything that a profile computes."""
    if isinstance(profile, light.AbstractLight):
        return profile.brightness(x, y)
    parts = *profile.deflection(x, y), profile.potential(x, y), profile.convergence(x, y)
    return jnp.stack(parts)


def vector(profile):
    return jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, profile))


def test_catalogue_is_complete():
    for module, base, cases in (
        (mass, mass.AbstractMass, MASSES),
        (light, light.AbstractLight, LIGHTS),
    ):
        public = {c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)}
        assert public - {base} == {type(c) for c in cases}


@masses
def test_deflection_is_the_gradient_of_the_potential(lens, double):
    x, y = jnp.asarray(X), jnp.asarray(Y)
    gradient = jax.grad(lambda x, y: lens.potential(x, y).sum(), argnums=(0, 1))(x, y)
    np.testing.assert_allclose(lens.deflection(x, y), gradient, rtol=1e-10)


@masses
def test_convergence_is_half_the_divergence_and_the_curl_vanishes(lens, double):
    xx, xy, yx, yy = deflection_jacobian(lens, X, Y)
    np.testing.assert_allclose(lens.convergence(X, Y), 0.5 * (xx + yy), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(xy, yx, atol=1e-12)


@masses
def test_gauss_theorem(lens, double):
    """Flux of the deflection out of a circle: twice the mass inside, by quadrature."""
    phi = 2 * np.pi * np.arange(512) / 512
    ring = np.cos(phi), np.sin(phi)
    ax, ay = lens.deflection(*(2.0 * r + 0.01 for r in ring))
    flux = 2.0 * np.mean(ax * ring[0] + ay * ring[1]) * 2 * np.pi
    # Nodes bunched quadratically, then more, at the centre of the catalogue's lenses.
    nodes, weights = np.polynomial.legendre.leggauss(60)
    center = np.array([_center(lens, "center_x"), _center(lens, "center_y")])
    shift = center - 0.01
    along = shift[0] * ring[0] + shift[1] * ring[1]
    edge = -along + np.sqrt(along**2 - shift @ shift + 4.0)
    s = 0.5 * (nodes[:, None] + 1)
    r = edge * s**6
    kappa = np.asarray(lens.convergence(center[0] + r * ring[0], center[1] + r * ring[1]))
    inside = np.sum(0.5 * weights[:, None] * kappa * r * edge * 6 * s**5) * 2 * np.pi / 512
    np.testing.assert_allclose(flux, 2 * inside, rtol=1e-6, atol=1e-10)


def _center(lens, field):
    return getattr(getattr(lens, "components", (lens,))[0], field, 0.0)


def _power_law_last(profile):
    """In double precision the Hessian of the power law takes half a minute to compile."""
    kinds = {type(p) for p in getattr(profile, "components", (profile,))}
    return [pytest.mark.slow] if kinds & {mass.EPL, mass.SIE} else []


@pytest.mark.parametrize(
    ("profile", "x64"),
    [
        pytest.param(p, x64, id=f"{name(p)}-{dtype}", marks=_power_law_last(p) if x64 else [])
        for p in MASSES + LIGHTS
        for x64, dtype in ((False, "float32"), (True, "float64"))
    ],
    indirect=["x64"],
)
def test_finite_with_two_derivatives_at_awkward_points(profile, x64):
    """At the centre, round, isothermal; every argument; and the plain catalogue values."""
    flat, rebuild = vector(profile)
    size = flat.size

    def f(z):
        return value(rebuild(z[:size]), z[size], z[size + 1])

    def slope(z):
        jacobian = jax.jacrev(f)(z)
        return jacobian, (f(z), jacobian)

    points = []
    for p in (profile, _round(profile)):
        z = jnp.concatenate([vector(p)[0], jnp.zeros(2)])
        center = jnp.array([_center(p, "center_x"), _center(p, "center_y")])
        points += [z, z.at[size:].set(center)]
    everything = jax.jit(jax.vmap(jax.jacfwd(slope, has_aux=True)))(jnp.stack(points))
    assert all(np.isfinite(array).all() for array in jax.tree.leaves(everything))


def _round(profile):
    if hasattr(profile, "components"):
        return type(profile)(tuple(map(_round, profile.components)))
    names = [n for n in ("e1", "e2") if hasattr(profile, n)]
    new = [0.0] * len(names)
    if hasattr(profile, "gamma"):
        names, new = [*names, "gamma"], [*new, 2.0]
    return eqx.tree_at(lambda p: [getattr(p, n) for n in names], profile, new) if names else profile


@profiles
def test_finite_over_wide_priors(profile, x64):
    """Draws far outside a sensible prior, some of them with an ellipticity above one."""
    rng = np.random.default_rng(1)
    flat, rebuild = vector(profile)
    draws = np.asarray(flat) * np.exp(0.4 * rng.normal(size=(200, flat.size)))
    for i, field in enumerate(_fields(profile)):
        if field in ("e1", "e2"):
            draws[:, i] = rng.uniform(-1.5, 1.5, 200)
        if field == "gamma":
            draws[:, i] = rng.uniform(1.05, 2.95, 200)
    x, y = jnp.asarray(X), jnp.asarray(Y)

    def f(z):
        return value(rebuild(z), x, y).sum()

    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(f)))(jnp.asarray(draws, flat.dtype))
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()


def _fields(profile):
    parts = getattr(profile, "components", (profile,))
    return [f for p in parts for f in p.__dataclass_fields__]


@profiles
def test_pytree(profile):
    flat, rebuild = vector(profile)
    again = rebuild(flat)
    assert jax.tree.structure(again) == jax.tree.structure(profile)
    np.testing.assert_allclose(value(again, X, Y), value(profile, X, Y), rtol=1e-6)
    leaves, tree = jax.tree.flatten(profile)
    assert jax.tree.unflatten(tree, [object()] * len(leaves)) is not None


@profiles
def test_vmap_over_parameters_equals_a_loop(profile):
    flat, rebuild = vector(profile)
    batch = flat[None] * jnp.linspace(0.9, 1.1, 3)[:, None]

    def f(z):
        return value(rebuild(z), jnp.asarray(X), jnp.asarray(Y))

    loop = jnp.stack([f(z) for z in batch])
    np.testing.assert_allclose(jax.vmap(f)(batch), loop, rtol=2e-5, atol=1e-6)


@profiles
def test_compiles_once(profile):
    traces = []

    @jax.jit
    def f(profile, x, y):
        traces.append(1)
        return value(profile, x, y)

    f(profile, X, Y)
    f(jax.tree.map(lambda leaf: leaf * 1.1, profile), X, Y)
    assert len(traces) == 1
