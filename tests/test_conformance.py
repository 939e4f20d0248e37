"""What holds for every profile of the catalogue."""

import inspect

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import LIGHTS, MASSES, name, parts_of

from numpyro_lens import lensing, light, mass
from numpyro_lens.lensing import deflection_jacobian

masses = pytest.mark.parametrize("lens", MASSES, ids=name)
lights = pytest.mark.parametrize("profile", LIGHTS, ids=name)
profiles = pytest.mark.parametrize("profile", MASSES + LIGHTS, ids=name)
X = np.array([0.3, -1.0, 2.1, 0.7, -0.2])
Y = np.array([0.9, 0.4, -1.3, 0.01, -0.6])


def value(profile, x, y):
    """One array of everything that a profile computes."""
    if isinstance(profile, light.AbstractLight):
        return profile.brightness(x, y)
    potential, convergence = mass.potential_of(profile, x, y), mass.convergence_of(profile, x, y)
    parts = *profile.deflection(x, y), potential, convergence
    return jnp.stack(parts)


@jax.jit
def compiled(profile, x, y):
    return value(profile, x, y)


@jax.jit
def slopes(lens, x, y):
    """Gradient of the potential, the deflection, its Jacobian and the convergence."""
    gradient = jax.grad(lambda x, y: lens.potential(x, y).sum(), argnums=(0, 1))(x, y)
    jacobian = deflection_jacobian(lens, x, y)
    return gradient, lens.deflection(x, y), jacobian, mass.convergence_of(lens, x, y)


def vector(profile):
    return jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, profile))


def test_catalogue_is_complete():
    for module, base, cases in (
        (mass, mass.AbstractMass, MASSES),
        (light, light.AbstractLight, LIGHTS),
    ):
        public = {c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)}
        assert {c for c in public if not inspect.isabstract(c)} == {type(c) for c in cases}


@masses
def test_deflection_is_the_gradient_of_the_potential(lens, double):
    gradient, deflection, _, _ = slopes(lens, X, Y)
    np.testing.assert_allclose(deflection, gradient, rtol=1e-10)


@masses
def test_convergence_is_half_the_divergence_and_the_curl_vanishes(lens, double):
    _, _, (xx, xy, yx, yy), convergence = slopes(lens, X, Y)
    np.testing.assert_allclose(convergence, 0.5 * (xx + yy), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(xy, yx, atol=1e-12)


@masses
def test_convergence_of_a_list_is_that_of_its_profiles(lens, double):
    """The functions of the package find the closed forms, through sums too."""
    both = lensing.convergence([lens, mass.SIS(theta_E=0.3)], X, Y)
    one = mass.convergence_of(lens, X, Y) + mass.SIS(theta_E=0.3).convergence(X, Y)
    np.testing.assert_allclose(both, one, rtol=1e-12, atol=1e-14)


@lights
def test_basis_times_amplitude_is_the_brightness(profile, double):
    """Whatever the amplitudes are when the basis is computed."""
    amplitudes = np.concatenate([np.ravel(light.amplitude(p)) for p in parts_of(profile)])
    parts = jax.jit(light.basis_parts)(profile, X, Y)
    basis = light.basis(profile, X, Y)
    assert basis.shape == (amplitudes.size, *X.shape)
    np.testing.assert_allclose(basis, np.concatenate(parts), rtol=1e-12)
    np.testing.assert_allclose(amplitudes @ basis, profile.brightness(X, Y), rtol=1e-12)


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
    if isinstance(lens, mass.PointMass):  # its convergence is zero between the nodes
        inside = np.pi * lens.theta_E**2
    np.testing.assert_allclose(flux, 2 * inside, rtol=1e-6, atol=1e-10)


def _center(lens, field):
    first = parts_of(lens)[0]
    return getattr(getattr(first, "profile", first), field, 0.0)


def centred(profile):
    fields = [f for f in ("center_x", "center_y") if hasattr(profile, f)]
    return eqx.tree_at(lambda p: [getattr(p, f) for f in fields], profile, [0.0] * len(fields))


#: what vanishes exponentially has no relative accuracy far outside
VANISHING = (
    mass.Gaussian,
    mass.MultiGaussian,
    light.Gaussian,
    light.MultiGaussian,
    light.MultiGaussianDipole,
)


@profiles
def test_single_precision_holds_from_a_ten_thousandth_of_an_arcsecond(profile):
    """To 1e3", where the singular, the cuspy and the truncated profiles are."""
    parts = parts_of(profile)
    if len(parts) > 1 or isinstance(profile, mass.Population | light.Shapelets):
        pytest.skip("made of the others")
    profile = jax.tree.map(lambda v: np.float32(v).astype(float), centred(profile))
    far = 1.0 if isinstance(profile, VANISHING) else 1e3
    radius, angle = np.geomspace(1e-4, far, 29), np.linspace(0.1, 6.0, 7)[:, None]
    x, y = (np.float32(radius * f(angle)).astype(float) for f in (np.cos, np.sin))
    found = []
    for precise in (False, True):
        with jax.enable_x64(precise):
            found.append(np.array(compiled_without_potential(profile, x, y), float))
    single, double = found
    tolerance = 2e-5 * np.abs(double)
    if len(double) == 3:  # both components to the accuracy of the deflection
        tolerance[:2] = 2e-6 * np.hypot(*double[:2])
    assert (np.abs(single - double) <= tolerance).all()


@jax.jit
def compiled_without_potential(profile, x, y):
    if isinstance(profile, light.AbstractLight):
        return profile.brightness(x, y)[None]
    return jnp.stack([*profile.deflection(x, y), mass.convergence_of(profile, x, y)])


# Hessians that take from a quarter of a minute to a minute to compile, in double precision or both.
SLOW_IN_DOUBLE = {mass.EPL, mass.SIE, mass.NIE}
SLOW = {mass.DPIE, mass.TNFW, mass.NFWEllipse, mass.Gaussian, mass.MultiGaussian, mass.Sersic} | {
    mass.EPLMultipole,
    mass.Population,
}


def _slow_last(profile, x64):
    kinds = {type(p) for p in parts_of(profile)}
    return [pytest.mark.slow] if kinds & (SLOW | (SLOW_IN_DOUBLE if x64 else set())) else []


@pytest.mark.parametrize(
    ("profile", "x64"),
    [
        pytest.param(p, x64, id=f"{name(p)}-{dtype}", marks=_slow_last(p, x64))
        for p in MASSES + LIGHTS
        for x64, dtype in ((False, "float32"), (True, "float64"))
    ],
    indirect=["x64"],
)
def test_finite_with_two_derivatives_at_awkward_points(profile, x64):
    """At the centre, round, isothermal, on scale radii; and the plain catalogue values."""
    f = _at_a_point(profile)
    hessian = jax.jit(jax.vmap(jax.hessian(f)))(jnp.stack(_awkward(profile)))
    assert np.isfinite(hessian).all()


def _at_a_point(profile):
    """The sum of everything that a profile computes, of its parameters and a position."""
    flat, rebuild = vector(profile)
    # No two outputs cancel: what is not finite in one is not finite in the sum.
    return lambda z: value(rebuild(z[: flat.size]), z[-2], z[-1]).sum()


def _awkward(profile):
    points, size = [], vector(profile)[0].size
    for p in (profile, _round(profile)):
        z = jnp.concatenate([vector(p)[0], jnp.zeros(2)])
        center = jnp.array([_center(p, "center_x"), _center(p, "center_y")])
        points += [z, z.at[size:].set(center)]
        points += [z.at[size:].set(center + jnp.array([r, 0.0])) for r in _radii(p)]
    return points


def _radii(profile):
    """Radii where a formula could divide zero by zero."""
    return [getattr(profile, f) for f in ("Rs", "r_trunc", "Ra", "r_E") if hasattr(profile, f)]


def _round(profile):
    if len(parts := parts_of(profile)) > 1:
        return type(profile)(tuple(map(_round, parts)))
    names = [n for n in ("e1", "e2") if hasattr(profile, n)]
    new = [0.0] * len(names)
    if hasattr(profile, "gamma"):
        names, new = [*names, "gamma"], [*new, 2.0]
    if hasattr(profile, "Ra"):
        names, new = [*names, "Ra"], [*new, profile.Rs]
    return eqx.tree_at(lambda p: [getattr(p, n) for n in names], profile, new) if names else profile


@profiles
def test_finite_over_wide_priors(profile, x64):
    """Draws far outside a sensible prior, some with an ellipticity above one; awkward points."""
    rng = np.random.default_rng(1)
    flat, _ = vector(profile)
    draws = np.asarray(flat) * np.exp(0.4 * rng.normal(size=(1000, flat.size)))
    for i, field in enumerate(_fields(profile)):
        if field in ("e1", "e2"):
            draws[:, i] = rng.uniform(-1.5, 1.5, 1000)
        if field == "gamma":
            draws[:, i] = rng.uniform(1.05, 2.95, 1000)
    where = np.stack([X, Y], axis=1)[np.arange(1000) % X.size]
    points = np.concatenate([np.hstack([draws, where]), np.stack(_awkward(profile))])
    f = jax.jit(jax.vmap(jax.value_and_grad(_at_a_point(profile))))
    for array in f(jnp.asarray(points, flat.dtype)):
        assert np.isfinite(array).all()


def _fields(profile):
    """The field of every entry of the flat vector; a field that is an array has several."""
    leaves = jax.tree_util.tree_flatten_with_path(profile)[0]
    return [path[-1].name for path, leaf in leaves for _ in range(np.size(leaf))]


@profiles
def test_pytree(profile):
    flat, rebuild = vector(profile)
    again = rebuild(flat)
    assert jax.tree.structure(again) == jax.tree.structure(profile)
    leaves, tree = jax.tree.flatten(profile)
    for new, old in zip(jax.tree.leaves(again), leaves, strict=True):
        np.testing.assert_array_equal(new, np.asarray(old, new.dtype))
    assert jax.tree.unflatten(tree, [object()] * len(leaves)) is not None


@profiles
def test_vmap_over_parameters_equals_a_loop(profile):
    flat, rebuild = vector(profile)
    batch = flat[None] * jnp.linspace(0.9, 1.1, 3)[:, None]

    def f(z):
        return compiled(rebuild(z), X, Y)

    loop = jnp.stack([f(z) for z in batch])
    np.testing.assert_allclose(jax.vmap(f)(batch), loop, rtol=2e-5, atol=1e-6)


@profiles
def test_compiles_once(profile):
    flat, rebuild = vector(profile)
    compiled(rebuild(flat), X, Y)
    before = compiled._cache_size()
    compiled(rebuild(1.1 * flat), X, Y)
    assert compiled._cache_size() == before
