"""Light profiles: flux and values by hand."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import numpyro_lens as nl
from numpyro_lens import light, mass


def test_sersic_is_amp_at_its_radius_and_gaussian_has_flux_amp(double):
    x, y = np.meshgrid(*[np.linspace(-4, 4, 401)] * 2)
    gaussian = light.Gaussian(amp=3.0, sigma=0.5, e1=0.2, e2=-0.1)
    np.testing.assert_allclose(gaussian.brightness(x, y).sum() * 0.02**2, 3.0, rtol=1e-8)
    sersic = light.Sersic(amp=3.0, R_sersic=0.7, n_sersic=2.5, e1=0.2)
    q = 0.8 / 1.2
    along_major, along_minor = 0.7 / np.sqrt(q), 0.7 * np.sqrt(q)
    np.testing.assert_allclose(sersic.brightness(along_major, 0.0), 3.0, rtol=1e-9)
    np.testing.assert_allclose(sersic.brightness(0.0, along_minor), 3.0, rtol=1e-9)


def test_amplitude_is_applied_once():
    one, two = (light.Sersic(a, 0.5, 2.0).brightness(0.3, 0.1) for a in (1.0, 2.0))
    np.testing.assert_allclose(two / one, 2.0, rtol=1e-6)


def test_smoothing_flattens_a_sersic_inside_its_radius(double):
    cusp, flat = (light.Sersic(1.0, 0.2, 6.0, e1=0.2, smoothing=s) for s in (0.0, 0.01))
    x = np.array([0.0, 0.003, 0.1, 1.0])
    round_flat, round_cusp = (light.Sersic(1.0, 0.2, 6.0, smoothing=s) for s in (0.01, 0.0))
    np.testing.assert_allclose(
        round_flat.brightness(x, 0.0), round_cusp.brightness(np.hypot(x, 0.01), 0.0), rtol=1e-12
    )
    np.testing.assert_allclose(flat.brightness(1.0, 0.2), cusp.brightness(1.0, 0.2), rtol=1e-3)


def test_smoothing_lets_a_cuspy_source_move_across_sub_pixels():
    """The flux of the image, as a source of index 6 moves by a sub-pixel of 0.0325"."""
    telescope = nl.Observation(np.zeros((40, 40)), pixel_scale=0.065, noise=nl.NoiseMap(1.0))
    lens = nl.mass.SIE(theta_E=0.8, e1=0.1)

    def flux(place, smoothing):
        source = light.Sersic(1.0, 0.2, 6.0, center_x=place, smoothing=smoothing)
        return jnp.sum(nl.render(telescope, mass=lens, source=source))

    places = jnp.linspace(0.05, 0.0825, 200)
    bumps = [
        np.abs(np.diff(jax.vmap(flux, (0, None))(places, smoothing), 2)).max()
        for smoothing in (0.0, 0.01)
    ]
    assert bumps[1] < 0.05 * bumps[0]


@pytest.mark.parametrize("n", [0.3, 0.5, 1.0, 4.0, 8.0])
@pytest.mark.parametrize("r", [0.0, 1e-4, 1.0, 1e3])
def test_sersic_is_finite_near_and_far(n, r, x64):
    def f(p):
        return light.Sersic(p[0], p[1], p[2], p[3], p[4]).brightness(p[5], p[6])

    p = jnp.array([1.0, 0.1, n, 0.0, 0.0, r, 0.0])
    assert all(np.isfinite(d(p)).all() for d in (f, jax.grad(f)))


def test_sersic_owned_derivatives_equal_finite_differences(double):
    x, y = jnp.array([0.3, -0.7, 1.2]), jnp.array([0.5, 0.1, -0.9])
    p, h = jnp.array([1.3, 0.6, 2.5, 0.2, -0.1, 0.05, -0.02]), 1e-5

    @jax.jit
    def slope_and_hessian(p):
        def value(p):
            return jnp.sum(light.Sersic(*p).brightness(x, y) ** 2)

        return jax.value_and_grad(value)(p), jax.hessian(value)(p)

    (_, slope), hessian = slope_and_hessian(p)
    moved = [[slope_and_hessian(p + k * h * e)[0] for k in (1, -1)] for e in jnp.eye(7)]
    differences = [(up[0] - down[0]) / (2 * h) for up, down in moved]
    np.testing.assert_allclose(slope, differences, rtol=1e-7)
    rows = [(up[1] - down[1]) / (2 * h) for up, down in moved]
    np.testing.assert_allclose(hessian, np.array(rows), rtol=1e-6, atol=1e-7)


def test_a_deflector_is_no_light():
    with pytest.raises(TypeError, match="lens_light=Sersic"):
        light.as_light(3.0, "lens_light")


def test_core_sersic_without_a_core_is_a_sersic(double):
    shared = {"amp": 2.0, "R_sersic": 0.6, "n_sersic": 3.0, "e1": 0.1, "e2": -0.2, "center_x": 0.1}
    x, y = np.meshgrid(*[np.linspace(-2, 2, 21)] * 2)
    core = light.CoreSersic(Rb=0.0, gamma=0.3, **shared).brightness(x, y)
    np.testing.assert_allclose(core, light.Sersic(**shared).brightness(x, y), rtol=1e-9)


def test_core_sersic_has_its_slope_inside_and_is_a_sersic_outside(double):
    """The bracket is a power of the radius, not of its product with the half-light radius."""
    core = light.CoreSersic(amp=2.0, R_sersic=0.7, Rb=0.01, n_sersic=2.5, gamma=0.4)
    inner = core.brightness(2e-4, 0.0) / core.brightness(1e-4, 0.0)
    np.testing.assert_allclose(inner, 2**-0.4, rtol=1e-4)
    sersic = light.Sersic(amp=2.0, R_sersic=0.7, n_sersic=2.5)
    np.testing.assert_allclose(core.brightness(1.0, 0), sersic.brightness(1.0, 0), rtol=1e-5)


def flux(profile, half_width=40.0):
    """Total flux by quadrature: Gauss-Legendre in a radius stretched to the centre."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    s = 0.5 * (nodes + 1)
    phi = 2 * np.pi * np.arange(64) / 64
    r = half_width * s**4
    x, y = r[:, None] * np.cos(phi), r[:, None] * np.sin(phi)
    ring = np.asarray(profile.brightness(x, y)).mean(axis=1)
    return 2 * np.pi * np.sum(0.5 * weights * ring * r * half_width * 4 * s**3)


def test_total_flux(double):
    amp, orders = jnp.arange(1.0, 7.0), light.shapelet_orders(2)
    # A Hermite function of even order n integrates to 1/2^(n/2) sqrt(2 sqrt(pi) n!)/(n/2)!.
    one = {0: np.sqrt(2 * np.sqrt(np.pi)), 2: np.sqrt(np.sqrt(np.pi))}
    shapelets = 0.3**2 * sum(
        a * one.get(n, 0) * one.get(m, 0) for a, (n, m) in zip(amp, orders, strict=True)
    )
    n, b = 1.5, 1.9992 * 1.5 - 0.3271
    sersic = 2.0 * 2 * np.pi * n * 0.5**2 * np.exp(b) * b ** (-2 * n) * scipy.special.gamma(2 * n)
    cases = [
        (light.MultiGaussian(jnp.array([1.0, 2.5]), jnp.array([0.2, 0.7]), 0.2, 0.1), 3.5),
        (light.Moffat(amp=2.0, alpha=0.3, beta=6.0), 2.0 * np.pi * 0.3**2 / 5.0),
        (light.Sersic(2.0, 0.5, n, 0.2, 0.1), sersic),
        (light.Shapelets(amp=amp, beta=0.3), shapelets),
    ]
    for profile, expected in cases:
        np.testing.assert_allclose(flux(profile), expected, rtol=1e-9)


def test_interpolated_equals_lenstronomy(x64):
    """Within the image and outside, which holds whatever the shape of the image."""
    module = pytest.importorskip("lenstronomy.LightModel.light_model")
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-2, 2, (2, 50))
    for shape in [(3, 5), (6, 2), (4, 4)]:
        draw = {"image": rng.uniform(0.0, 1.0, shape)} | drawn("Interpolated", rng)
        theirs = module.LightModel(["INTERPOL"]).surface_brightness(x, y, [draw])
        ours = light.Interpolated(**draw).brightness(x, y)
        assert 5 < np.count_nonzero(theirs) < 45
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-12 if x64 else 1e-5)


def test_interpolated_takes_whole_numbers_and_the_byte_order_of_fits():
    for dtype in (int, np.dtype(">f4"), np.dtype(">i2")):
        image = np.array([[1, 2], [3, 5]]).astype(dtype)
        galaxy = light.Interpolated(image, amp=1.0, scale=0.1)
        assert jax.jit(lambda galaxy: galaxy.brightness(0.0, 0.0))(galaxy) == 2.75


def test_interpolated_keeps_the_flux_of_its_pixels(double):
    image = np.random.default_rng(0).uniform(0.0, 1.0, (3, 4))
    x, y = np.meshgrid(*[np.arange(-2.0, 2.0, 0.01) + 0.005] * 2)
    seen = light.Interpolated(image, amp=2.0, scale=0.5, phi_G=0.3, center_x=0.1).brightness(x, y)
    np.testing.assert_allclose(seen.sum() * 0.01**2, 2.0 * image.sum() * 0.5**2, rtol=1e-4)


def test_total_flux_of_profiles_with_wide_wings(double):
    """Outside W there is Rs / W of it, so far out that it is not seen."""
    cases = [
        (light.Hernquist(amp=2.0, Rs=0.5, e1=0.2, e2=0.1), 2.0 * 2 * np.pi * 0.5**2),
        (light.DPIE(amp=2.0, Ra=0.1, Rs=1.5, e1=0.2, e2=0.1), 2.0 * 2 * np.pi * 0.1 * 1.5),
    ]
    for profile, expected in cases:
        np.testing.assert_allclose(flux(profile, half_width=1e6), expected, rtol=1e-5)


def test_a_dipole_moves_the_centre_of_a_gaussian(double):
    """It is the derivative in the centre: what is left is of second order."""
    x, y = np.meshgrid(*[np.linspace(-2, 2, 8)] * 2)
    sigma, flux, shift = jnp.array([0.4, 0.9]), jnp.array([2.0, 3.0]), 1e-4
    there = light.MultiGaussian(flux, sigma, center_x=shift, center_y=-2 * shift)
    amp = jnp.stack([flux * shift / sigma, -2 * flux * shift / sigma], axis=1).ravel()
    change = there.brightness(x, y) - light.MultiGaussian(flux, sigma).brightness(x, y)
    dipole = light.MultiGaussianDipole(amp, sigma).brightness(x, y)
    np.testing.assert_allclose(dipole, change, atol=1e-3 * np.abs(change).max())


def test_a_mass_and_a_light_of_one_name_are_alike(double):
    x, y = np.meshgrid(*[np.linspace(-2, 2, 8)] * 2)
    shape = {"e1": 0.2, "e2": 0.1, "center_x": 0.1}
    glow, lens = (m.DPIE(2.0, 0.1, 1.5, **shape) for m in (light, mass))
    np.testing.assert_allclose(glow.brightness(x, y), lens.convergence(x, y), rtol=1e-12)
    glow, lens = light.Hernquist(2.0, 0.5, center_x=0.1), mass.Hernquist(2.0, 0.5, center_x=0.1)
    np.testing.assert_allclose(glow.brightness(x, y), lens.convergence(x, y), rtol=1e-12)


def test_shapelets_are_orthonormal_to_order_20(x64):
    shapelets = light.Shapelets(amp=jnp.zeros(231), beta=0.5)
    x, y = np.meshgrid(*[np.arange(-5, 5, 0.05) + 0.025] * 2)
    basis = jax.jit(lambda s: light.basis(s, x, y))(shapelets).reshape(231, -1)
    gram = basis @ basis.T * (0.05 / 0.5) ** 2
    np.testing.assert_allclose(gram, np.eye(231), atol=1e-9 if x64 else 1e-4)


class Disc(light.AbstractLight):
    """A user's light whose amplitude is called otherwise."""

    flux: float
    radius: float
    linear_field = "flux"

    def brightness(self, x, y):
        return self.flux * jnp.exp(-(x * x + y * y) / self.radius**2)


class Saturated(light.AbstractLight):
    """A user's light that is proportional to none of its fields."""

    depth: float
    linear_field = None

    def brightness(self, x, y):
        return 1.0 - jnp.exp(-self.depth * jnp.exp(-(x * x + y * y)))


class Undeclared(light.AbstractLight):
    """One whose class forgot to say so."""

    flux: float

    def brightness(self, x, y):
        return self.flux + 0.0 * x


@pytest.fixture
def camera(double):
    return nl.Observation(np.zeros((6, 7)), pixel_scale=0.2, noise=nl.NoiseMap(1.0))


def test_a_linear_field_of_another_name(camera):
    disc = Disc(flux=3.0, radius=0.5)
    assert light.amplitude(disc) == 3.0
    x, y = np.array([0.1, 0.4]), np.array([0.2, -0.3])
    np.testing.assert_allclose(3.0 * light.basis(disc, x, y)[0], disc.brightness(x, y))
    images = nl.linear.unit_images(camera, nl.Scene.of(lens_light=[disc, light.Uniform(amp=2.0)]))
    np.testing.assert_allclose(3.0 * images[0], nl.render(camera, lens_light=disc), rtol=1e-12)
    free = Disc(flux=nl.Linear(scale=1.0, name="disc.flux"), radius=0.5)
    image = nl.linear.linear_image(camera, nl.Scene.of(lens_light=[free, Saturated(depth=2.0)]))
    np.testing.assert_allclose(image.basis, images[:1], rtol=1e-12)
    whole = nl.render(camera, lens_light=[disc, Saturated(depth=2.0)])
    np.testing.assert_allclose(image(jnp.array([3.0])), whole, rtol=1e-12)


def test_a_light_without_a_linear_field_renders_sums_and_teaches(camera):
    dark = Saturated(depth=2.0)
    assert light.amplitude(dark) is None
    both = nl.render(camera, lens_light=dark + light.Uniform(amp=1.0))
    np.testing.assert_allclose(both, nl.render(camera, lens_light=dark) + 0.2**2, rtol=1e-12)
    for profile in (dark, dark + light.Uniform(amp=1.0), Undeclared(flux=1.0)):
        with pytest.raises(TypeError, match="linear_field = 'flux'"):
            light.basis(profile, 0.0, 0.0)


@pytest.mark.parametrize("r", [0.0, 1.0, 30.0, 1e3])
def test_shapelets_of_order_20_are_finite_near_and_far(r, x64):
    def f(beta, x, amp):
        return light.Shapelets(amp, beta).brightness(x, 0.3 * x)

    out = jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(0.02, r, jnp.ones(231))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(out))


@pytest.mark.wrong_types
@pytest.mark.parametrize("shape", [(), (2,), (3, 1)])
def test_shapelets_teach_their_number_of_amplitudes(shape):
    with pytest.raises(ValueError, match="1, 3, 6, 10, 15"):
        light.Shapelets(amp=jnp.zeros(shape), beta=0.1)


REFERENCES = {
    "Sersic": "SERSIC_ELLIPSE",
    "CoreSersic": "CORE_SERSIC",
    "Gaussian": "GAUSSIAN_ELLIPSE",
    "MultiGaussian": "MULTI_GAUSSIAN_ELLIPSE",
    "Hernquist": "HERNQUIST_ELLIPSE",
    "Shapelets": "SHAPELETS",
    "Uniform": "UNIFORM",
}
RANGES = {
    "amp": (-1.0, 5.0),
    "R_sersic": (0.1, 2.0),
    "Rb": (0.01, 0.5),
    "Rs": (0.1, 2.0),
    "n_sersic": (0.5, 6.0),
    "gamma": (0.0, 1.5),
    "e1": (-0.4, 0.4),
    "e2": (-0.4, 0.4),
    "center_x": (-0.3, 0.3),
    "center_y": (-0.3, 0.3),
    "alpha": (0.1, 2.0),
    "beta": (0.2, 5.0),
    "sigma": (0.1, 2.0),
    "scale": (0.2, 0.6),
    "phi_G": (-3.0, 3.0),
}
FIXED = (("CoreSersic", "alpha"), ("Sersic", "smoothing"), ("Interpolated", "image"))
LENGTHS = {"MultiGaussian": {"amp": 3, "sigma": 3}, "Shapelets": {"amp": 66}}


def drawn(name, rng):
    """Values of every parameter but those that lenstronomy fixes."""
    names = [f.name for f in dataclasses.fields(getattr(light, name))]
    fields = [f for f in names if (name, f) not in FIXED]
    return {f: rng.uniform(*RANGES[f], LENGTHS.get(name, {}).get(f)) for f in fields}


def reference(name):
    """The function of lenstronomy; its list of models lacks Moffat."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "Moffat":
            return pytest.importorskip("lenstronomy.LightModel.Profiles.moffat").Moffat().function
        module = pytest.importorskip("lenstronomy.LightModel.light_model")
        model = module.LightModel([REFERENCES[name]])
    extra = {"n_max": 10} if name == "Shapelets" else {}
    return lambda x, y, **draw: model.surface_brightness(x, y, [draw | extra])


@pytest.mark.parametrize("name", [*REFERENCES, "Moffat"])
def test_200_draws_equal_lenstronomy(name, x64):
    function = reference(name)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-2, 2, (2, 50))
    draws = [drawn(name, rng) for _ in range(200)]
    stacked = {field: np.stack([draw[field] for draw in draws]) for field in draws[0]}
    ours = jax.jit(jax.vmap(lambda p: getattr(light, name)(**p).brightness(x, y)))(stacked)
    theirs = np.stack([function(x, y, **draw) for draw in draws])
    # Relative to the point, and for sums that cancel or tails that underflow to the brightest one.
    scale = np.abs(theirs).max(axis=1, keepdims=True)
    tolerance = 1e-8 if x64 else 1e-5
    if name == "Hernquist":  # theirs loses digits near Rs, where it divides by (X² - 1)²
        tolerance = max(tolerance, 1e-6)
    np.testing.assert_array_less(np.abs(ours - theirs), tolerance * (np.abs(theirs) + 0.1 * scale))
