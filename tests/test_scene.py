"""Planes, and the rays through them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro_lens as nl
from numpyro_lens.lensing import caustics, convergence, critical_curves, inverse_magnification
from numpyro_lens.light import Gaussian, Uniform
from numpyro_lens.mass import EPL, SIE, SIS, Shear
from numpyro_lens.scene import Plane, Scene, ray_trace, rays
from numpyro_lens.simulate import render, render_scene

X, Y = np.array([0.5, -1.4, 2.0, 0.1]), np.array([0.7, 0.9, -0.2, -1.1])
NEAR, MIDDLE = EPL(1.1, 2.1, 0.1, 0.05) + Shear(0.05, -0.03), SIE(0.4, -0.1, 0.2, 0.3, -0.2)
FAR = SIS(0.2, -0.4, 0.1)
GLOW = Gaussian(amp=2.0, sigma=0.3, center_x=0.1, center_y=-0.05)


def scaled(num, seed=0):
    """Numbers between zero and one above the diagonal, 1 for the last plane."""
    scaling = np.triu(np.random.default_rng(seed).uniform(0.2, 0.9, (num, num)), 1)
    scaling[:, -1] = 1.0
    return jnp.asarray(scaling)


def traced(masses, scaling, x, y):
    """The lens equation, plane by plane and deflector by deflector."""
    met = []
    for j in range(len(masses)):
        at = np.array([x, y])
        for i in range(j):
            if masses[i] is not None:
                at = at - float(scaling[i, j]) * np.array(masses[i].deflection(*met[i]))
        met.append(at)
    return met


def instrument(**changes):
    return nl.Observation.blank((12, 15), pixel_scale=0.2, noise=nl.NoiseMap(1.0), **changes)


def test_two_planes_are_the_short_form(double):
    short = Scene.of(mass=NEAR, source=GLOW, lens_light=Uniform(0.5))
    long = Scene.of(planes=[Plane(NEAR, Uniform(0.5)), Plane(light=GLOW)])
    assert jax.tree.structure(short) == jax.tree.structure(long)
    for one, other in zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True):
        np.testing.assert_array_equal(one, other)
    alpha = NEAR.deflection(X, Y)
    for scene in (short, long):
        (seen, source), expected = rays(scene, X, Y), (X - alpha[0], Y - alpha[1])
        np.testing.assert_array_equal(seen, (X, Y))
        np.testing.assert_allclose(source, expected, rtol=1e-14)
        np.testing.assert_allclose(ray_trace(scene, X, Y), expected, rtol=1e-14)
    image = render(instrument(), mass=NEAR, source=GLOW, lens_light=Uniform(0.5))
    np.testing.assert_array_equal(render_scene(instrument(), long), image)


@pytest.mark.parametrize("masses", [(NEAR, MIDDLE, None), (NEAR, MIDDLE, FAR, None)], ids=len)
def test_several_planes_are_a_direct_loop(masses, double):
    scaling = scaled(len(masses))
    scene = Scene(tuple(Plane(mass=mass) for mass in masses), scaling)
    expected = traced(masses, scaling, X, Y)
    for found, wanted in zip(rays(scene, X, Y), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-13)
    for to, wanted in enumerate(expected):
        np.testing.assert_allclose(ray_trace(scene, X, Y, to=to), wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ray_trace(scene, X, Y), expected[-1], rtol=1e-12)
    for num in range(1, len(masses) + 1):
        np.testing.assert_array_equal(rays(scene, X, Y, num), rays(scene, X, Y)[:num])


def test_light_of_every_plane_is_seen_where_its_rays_are(double):
    masses, scaling = (NEAR, MIDDLE, None), scaled(3)
    lights = [Gaussian(amp=1.0, sigma=0.5), Gaussian(amp=3.0, sigma=0.2, center_x=0.2), GLOW]
    scene = Scene(tuple(map(Plane, masses, lights)), scaling)
    camera = instrument(supersampling=1)
    met = traced(masses, scaling, np.asarray(camera.x).ravel(), np.asarray(camera.y).ravel())
    expected = sum(light.brightness(*at) for light, at in zip(lights, met, strict=True))
    expected = np.reshape(expected, camera.shape) * 0.04
    np.testing.assert_allclose(render_scene(camera, scene), expected, rtol=1e-12)
    planes = render(camera, planes=scene.planes, scaling=scaling)
    np.testing.assert_allclose(planes, expected, rtol=1e-12)


def test_an_empty_plane_between_changes_nothing(double):
    ones = jnp.ones((3, 3))
    two, three = Scene((Plane(NEAR), Plane())), Scene((Plane(NEAR), Plane(), Plane()), ones)
    np.testing.assert_allclose(ray_trace(three, X, Y), ray_trace(two, X, Y), rtol=1e-14)
    np.testing.assert_array_equal(rays(three, X, Y)[1], rays(three, X, Y)[2])


def test_a_plane_behind_the_light_does_not_bend_it(double):
    """The last plane may have mass, which deflects nothing that is seen."""
    with_mass = Scene((Plane(NEAR), Plane(MIDDLE, GLOW)), scaled(2))
    without = Scene((Plane(NEAR), Plane(light=GLOW)))
    np.testing.assert_allclose(ray_trace(with_mass, X, Y), ray_trace(without, X, Y), rtol=1e-14)


def test_the_part_of_the_scaling_below_the_diagonal_is_not_looked_at(double):
    planes = (Plane(NEAR), Plane(MIDDLE), Plane())
    scaling = scaled(3)
    spoiled = jnp.where(jnp.tril(jnp.ones((3, 3), bool)).at[2, 2].set(False), jnp.nan, scaling)
    expected = ray_trace(Scene(planes, scaling), X, Y)
    np.testing.assert_array_equal(ray_trace(Scene(planes, spoiled), X, Y), expected)


def test_a_ray_is_as_if_there_were_no_plane_in_between(double):
    """At one distance, two deflectors are one: no ray moves between them."""
    both = Scene(
        (Plane(NEAR), Plane(MIDDLE), Plane()), jnp.array([[1, 0, 1], [0, 1, 1], [0, 0, 1.0]])
    )
    np.testing.assert_allclose(ray_trace(both, X, Y), ray_trace(NEAR + MIDDLE, X, Y), rtol=1e-13)


def test_derivatives_go_through_the_planes_and_the_scaling(double):
    def position(scaling, theta_E):
        planes = (Plane(SIS(theta_E)), Plane(SIS(0.3, 0.1)), Plane())
        return jnp.stack(ray_trace(Scene(planes, scaling), X, Y))

    scaling, h = scaled(3), 1e-6
    slope = jax.jacfwd(position, 0)(scaling, 1.0)[..., 0, 1]
    up, down = (position(scaling.at[0, 1].add(d), 1.0) for d in (h, -h))
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-6, atol=1e-9)
    slope = jax.jacfwd(position, 1)(scaling, 1.0)
    up, down = (position(scaling, 1.0 + d) for d in (h, -h))
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-6, atol=1e-9)


def test_a_scene_is_a_lens_for_every_function_of_lenses(double):
    """An empty middle plane leaves the curves where they were."""
    plain = Scene.of(mass=NEAR, source=GLOW)
    planes = Scene((Plane(NEAR), Plane(), Plane(light=GLOW)), jnp.ones((3, 3)))
    np.testing.assert_allclose(convergence(planes, X, Y), convergence(NEAR, X, Y), rtol=1e-8)
    for scene in (plain, planes):
        for curve in critical_curves(scene):
            assert np.abs(inverse_magnification(scene, *curve.T)).max() < 1e-5
        assert [c.shape for c in caustics(scene)] == [c.shape for c in critical_curves(scene)]


def test_scenes_name_their_parts():
    scene = Scene.of(mass=MIDDLE, source=GLOW, lens_light=Uniform(0.5))
    assert scene.mass is MIDDLE
    assert scene.source is GLOW
    assert scene.lens_light.amp == 0.5
    alone = Scene((Plane(light=GLOW),))
    assert alone.source is None
    assert alone.lens_light is GLOW
    three = Scene((Plane(NEAR), Plane(MIDDLE), Plane(light=GLOW)), scaled(3))
    assert three.source is GLOW
    with pytest.raises(ValueError, match=r"3 planes and no single mass.*scene\.deflector\(\)"):
        _ = three.mass


def test_a_list_of_no_profile_is_nothing():
    scene = Scene.of(mass=[], source=GLOW, lens_light=[])
    assert scene.mass is None
    assert scene.lens_light is None
    image = render(instrument(), mass=(), source=[], lens_light=[])
    assert image.shape == (12, 15)
    assert not image.any()


ONE, TWO, THREE = ([Plane(mass=SIS(1.0))] * n for n in (1, 2, 3))


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"planes": []}, ValueError, r"at least one plane.*planes=\[nl\.Plane"),
        ({"planes": THREE}, ValueError, r"of 3 planes is an array of shape \(3, 3\).*got none"),
        ({"planes": THREE, "scaling": np.ones((2, 2))}, ValueError, r"\(3, 3\).*got \(2, 2\)"),
        ({"planes": TWO, "scaling": np.ones(2)}, ValueError, r"\(2, 2\).*got \(2,\)"),
        ({"mass": SIS(1.0), "scaling": np.ones((3, 3))}, ValueError, r"of 2 planes.*got \(3, 3\)"),
        ({"planes": ONE, "mass": SIS(1.0)}, ValueError, r"got planes and mass\. Write planes="),
        (
            {"planes": ONE, "source": GLOW, "lens_light": GLOW},
            ValueError,
            "got planes and source, lens_light",
        ),
        ({"planes": [SIS(1.0), GLOW]}, TypeError, r"a list of Plane.*got SIS, Gaussian"),
        ({"source": SIS(1.0)}, TypeError, r"`source` takes profiles.*got SIS"),
        ({"lens_light": SIS(1.0)}, TypeError, r"`lens_light` takes profiles.*got SIS"),
        ({"mass": GLOW}, TypeError, "got Gaussian"),
    ],
)
def test_errors_teach(arguments, kind, message):
    for call in (Scene.of, lambda **scene: render(instrument(), **scene)):
        with pytest.raises(kind, match=message):
            call(**arguments)


@pytest.mark.wrong_types
def test_a_plane_takes_profiles_of_its_kinds():
    with pytest.raises(TypeError, match=r"`light` takes profiles.*got SIS"):
        Plane(light=SIS(1.0))
    with pytest.raises(TypeError, match="got Gaussian"):
        Plane(mass=GLOW)


def test_a_scene_prints_its_values():
    scene = Scene.of(
        mass=SIS(theta_E=jnp.asarray(1.234567)), source=Gaussian(amp=np.float32(2.0), sigma=0.1)
    )
    for text in (repr(scene), str(scene.planes[0]), str(scene.mass)):
        assert "theta_E=1.235" in text
    assert "amp=2.0" in repr(scene.source)
    assert "theta_E=f32[3]" in repr(SIS(theta_E=jnp.ones(3)))
    jax.make_jaxpr(lambda theta_E: repr(SIS(theta_E=theta_E)) and theta_E)(1.0)  # while tracing
