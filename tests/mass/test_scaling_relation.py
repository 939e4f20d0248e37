"""Members of a group: those of individual profiles, all following one reference."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import numpyro_lens as nl
from numpyro_lens import mass
from numpyro_lens.density import Target

X, Y = np.meshgrid(np.linspace(-3, 3, 7), np.linspace(-2, 2, 5))
LUMINOSITY = np.array([1.0, 0.3, 0.05])
PLACE = {"center_x": np.array([1.0, -2.0, 0.5]), "center_y": np.array([0.3, 1.0, -1.5])}
SHAPE = {"e1": np.array([0.1, 0.0, -0.2]), "e2": np.array([0.0, 0.2, 0.1])}


def each_alone(build):
    """The sum of individual profiles; ``build`` takes a luminosity and the rest of a member."""
    rows = [{k: v[i] for k, v in (PLACE | SHAPE).items()} for i in range(3)]
    return mass.as_mass([build(*pair) for pair in zip(LUMINOSITY, rows, strict=True)])


CASES = {
    "isothermal": (
        lambda theta: mass.scaling_relation(
            mass.NIE(theta_E=theta, s_scale=0.1), LUMINOSITY, **PLACE, **SHAPE
        ),
        lambda theta: each_alone(
            lambda l, own: mass.NIE(theta * l**0.5, s_scale=0.1 * l**0.5, **own)
        ),
    ),
    "truncated": (
        lambda sigma0: mass.scaling_relation(
            mass.DPIE(sigma0=sigma0, Ra=0.05, Rs=2.0), LUMINOSITY, **PLACE, **SHAPE
        ),
        lambda sigma0: each_alone(
            lambda l, own: mass.DPIE(sigma0, 0.05 * l**0.5, 2.0 * l**0.5, **own)
        ),
    ),
    "other exponents": (
        lambda theta: mass.scaling_relation(
            mass.EPL(theta_E=theta, gamma=2.1),
            LUMINOSITY,
            exponents={"theta_E": 0.7, "gamma": 0.02},
            **PLACE,
            **SHAPE,
        ),
        lambda theta: each_alone(lambda l, own: mass.EPL(theta * l**0.7, 2.1 * l**0.02, **own)),
    ),
}


@pytest.mark.parametrize(("group", "alone"), CASES.values(), ids=CASES.keys())
def test_members_equal_individual_profiles(double, group, alone):
    """Deflections, and the derivative in what all members follow."""

    def total(value, build):
        return sum(jnp.sum(jnp.sin(a)) for a in build(value).deflection(X, Y))

    for build in (group, alone):
        assert isinstance(build(0.8), mass.Population if build is group else mass.Sum)
    found, expected = (np.stack(build(0.8).deflection(X, Y)) for build in (group, alone))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    slope, exact = (jax.grad(total)(0.8, build) for build in (group, alone))
    assert abs(float(exact)) > 1e-3
    np.testing.assert_allclose(slope, exact, rtol=1e-10)


def test_a_field_may_be_each_members_own(double):
    radii = np.array([0.5, 0.6, 0.1])
    reference = mass.NIE(theta_E=1.0, s_scale=0.2)
    profile = mass.scaling_relation(reference, LUMINOSITY, theta_E=radii).profile
    np.testing.assert_array_equal(profile.theta_E, radii)
    np.testing.assert_allclose(profile.s_scale, 0.2 * LUMINOSITY**0.5)
    shared = mass.scaling_relation(reference, LUMINOSITY, exponents={"s_scale": 0.0}).profile
    np.testing.assert_allclose(shared.s_scale, 0.2)


def test_hundreds_of_members_compile_as_fast_as_two(double):
    """Their gradient in the reference has the size of two."""

    def size(n):
        place = {"center_x": jnp.linspace(-9, 9, n), "center_y": jnp.linspace(5, -5, n)}

        def total(theta_E, luminosity):
            reference = mass.NIE(theta_E=theta_E, s_scale=0.05)
            group = mass.scaling_relation(reference, luminosity, **place)
            return sum(a.sum() for a in group.deflection(X, Y))

        return len(jax.jit(jax.grad(total)).lower(0.5, jnp.ones(n)).as_text().splitlines())

    assert size(300) == size(2)


def test_a_model_samples_the_reference(double):
    def model(observation):
        reference = nl.sample("member", mass.SIS, theta_E=dist.LogNormal(-1.0, 0.3))
        exponent = numpyro.sample("exponent", dist.Normal(0.5, 0.1))
        members = mass.scaling_relation(
            reference, LUMINOSITY, exponents={"theta_E": exponent}, **PLACE
        )
        source = nl.light.Gaussian(amp=5.0, sigma=0.3)
        nl.observe("image", observation, mass=mass.SIS(1.0) + members, source=source)

    image = nl.Observation.blank((9, 9), pixel_scale=0.4, noise=nl.NoiseMap(1.0))
    target = Target.of(model, image)
    assert target.names == ("member.theta_E", "exponent")
    at, step = jnp.array([0.2, -0.1]), 1e-6
    slope = jax.grad(target.log_density)(at)
    for i in range(2):
        ends = [target.log_density(at.at[i].add(sign * step)) for sign in (1, -1)]
        assert float(slope[i]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize(
    ("reference", "luminosity", "settings", "message"),
    [
        (mass.SIS(1.0), 1.0, {}, r"shape \(n,\); got shape \(\)"),
        (mass.SIS(1.0), [1.0], {"radius": [1.0]}, "got radius.*theta_E, center_x, center_y"),
        (mass.SIS(1.0), [1.0], {"exponents": {"Rs": 0.5}}, "got Rs"),
        (mass.Shear(0.1, 0.0), [1.0], {}, r"exponents=\{'gamma1': 0.5\}"),
        (mass.SIS(1.0), [1.0], {"theta_E": [1.0]}, "No field of SIS"),
    ],
)
def test_errors_say_what_to_type(reference, luminosity, settings, message):
    with pytest.raises(ValueError, match=message):
        mass.scaling_relation(reference, luminosity, **settings)
