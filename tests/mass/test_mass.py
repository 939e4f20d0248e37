"""Deflectors: limits, sums, populations and what a profile needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens import mass


def test_isothermal_limits(double):
    x, y = np.array([0.3, -1.2, 0.01]), np.array([0.2, 0.8, 1.4])
    sie = mass.SIE(theta_E=1.1, e1=0.2, e2=0.1)
    epl = mass.EPL(theta_E=1.1, gamma=2.0, e1=0.2, e2=0.1)
    np.testing.assert_allclose(sie.deflection(x, y), epl.deflection(x, y), rtol=1e-14)
    sis, round_ = mass.SIS(theta_E=1.1), mass.SIE(theta_E=1.1, e1=1e-9)
    np.testing.assert_allclose(sis.deflection(x, y), round_.deflection(x, y), rtol=1e-8)
    np.testing.assert_allclose(sis.convergence(x, y), round_.convergence(x, y), rtol=1e-8)


def test_addition_flattens_and_teaches():
    a, b, c = mass.SIS(1.0), mass.Shear(0.1, 0.0), mass.SIS(0.2, 1.0, 1.0)
    assert len(((a + b) + (c + a)).components) == 4
    assert mass.as_mass([a, b + c]).components == (a, b, c)
    with pytest.raises(TypeError, match="mass=EPL"):
        mass.as_mass("EPL")
    with pytest.raises(TypeError):
        a + 1.0


class Bent(mass.AbstractMass):
    """Constant deflection: a user's profile with a deflection alone."""

    angle: float = 0.1

    def deflection(self, x, y):
        return self.angle + 0.0 * x, self.angle * x + 0.0 * y


def test_a_profile_without_potential_teaches():
    for lens in (Bent(), Bent() + mass.SIS(1.0), mass.Population(Bent(angle=np.ones(2)))):
        with pytest.raises(NotImplementedError, match=r"Bent has no closed-form potential.*define"):
            mass.potential_of(lens, 0.0, 1.0)


def test_a_mass_without_deflection_is_none():
    class Nothing(mass.AbstractMass):
        pass

    class Flat(mass.AbstractPotential):
        pass

    for kind, missing in ((mass.AbstractMass, "deflection"), (Nothing, "deflection")):
        with pytest.raises(TypeError, match=missing):
            kind()
    with pytest.raises(TypeError, match="potential"):
        Flat()


def test_a_potential_is_enough(double):
    class Sphere(mass.AbstractPotential):
        theta_E: float

        def potential(self, x, y):
            return self.theta_E * jnp.sqrt(x * x + y * y)

    x, y = np.array([0.3, -1.2]), np.array([0.2, 0.8])
    ours, sis = Sphere(1.1), mass.SIS(theta_E=1.1)
    np.testing.assert_allclose(ours.deflection(x, y), sis.deflection(x, y), rtol=1e-12)
    kappa = mass.convergence_of(ours + Bent(), x, y)
    np.testing.assert_allclose(kappa, sis.convergence(x, y), rtol=1e-12)
    both = mass.Population(Sphere(np.array([1.0, 0.1])))
    np.testing.assert_allclose(mass.convergence_of(both, x, y), sis.convergence(x, y), rtol=1e-12)


X, Y = np.array([0.3, -1.2, 0.05]), np.array([0.2, 0.8, 1.4])
SHAPE = {"e1": 0.15, "e2": -0.1, "center_x": 0.05, "center_y": -0.03}
NFW = mass.NFW(Rs=2.0, alpha_Rs=0.9)
# A profile, what it becomes, and how far from the limit it is.
LIMITS = {
    "NIE to SIE": (
        mass.NIE(theta_E=1.1, s_scale=1e-9, **SHAPE),
        mass.SIE(theta_E=1.1, **SHAPE),
        1e-7,
    ),
    "DPIE to NIE": (
        mass.DPIE(sigma0=2.0, Ra=0.2, Rs=1e9, **SHAPE),
        mass.NIE(theta_E=0.8, s_scale=0.2, **SHAPE),
        1e-7,
    ),
    "DPIE, Ra and Rs exchanged": (
        mass.DPIE(sigma0=2.0, Ra=0.2, Rs=1.3, **SHAPE),
        mass.DPIE(sigma0=2.0, Ra=1.3, Rs=0.2, **SHAPE),
        1e-12,
    ),
    "DPIE, Ra to Rs": (
        mass.DPIE(sigma0=2.0, Ra=0.7 - 1e-9, Rs=0.7 + 1e-9, **SHAPE),
        mass.DPIE(sigma0=2.0, Ra=0.7, Rs=0.7, **SHAPE),
        1e-12,
    ),
    "TNFW to NFW": (mass.TNFW(Rs=2.0, alpha_Rs=0.9, r_trunc=1e7), NFW, 1e-6),
    "NFWEllipse to NFW": (mass.NFWEllipse(Rs=2.0, alpha_Rs=0.9), NFW, 1e-4),
    "EPLMultipole to EPL": (
        mass.EPLMultipole(theta_E=1.1, gamma=1.9, **SHAPE),
        mass.EPL(theta_E=1.1, gamma=1.9, **SHAPE),
        1e-12,
    ),
    "Sersic of index 1/2 to Gaussian": (
        mass.Sersic(k_eff=np.exp(-0.6725), R_sersic=np.sqrt(2 * 0.6725), n_sersic=0.5, **SHAPE),
        mass.Gaussian(amp=2 * np.pi, sigma=1.0, **SHAPE),
        1e-10,
    ),
    "Gaussian far away to PointMass": (
        mass.Gaussian(amp=np.pi * 0.8**2, sigma=1e-4, **SHAPE),
        mass.PointMass(theta_E=0.8, center_x=0.05, center_y=-0.03),
        1e-6,
    ),
    "Population to its sum": (
        mass.Population(mass.NFW(Rs=np.array([1.0, 2.0]), alpha_Rs=0.3, center_x=0.2)),
        mass.NFW(1.0, 0.3, 0.2) + mass.NFW(2.0, 0.3, 0.2),
        1e-12,
    ),
}


@jax.jit
def deflection(lens, x, y):
    return lens.deflection(x, y)


@pytest.mark.parametrize("case", LIMITS.values(), ids=LIMITS.keys())
def test_limits(case, double):
    lens, limit, tolerance = case
    alpha, expected = (np.stack(deflection(p, X, Y)) for p in (lens, limit))
    assert np.hypot(*(alpha - expected)).max() < tolerance * np.hypot(*expected).max()


def test_a_thousand_subhaloes_compile_as_fast_as_one(double):
    """The compiled program has the size of one, and one is held in memory."""

    def size(n):
        members = jnp.full(n, 0.01)
        population = mass.Population(mass.TNFW(Rs=members, alpha_Rs=members, r_trunc=members))
        f = jax.grad(lambda p: sum(a.sum() for a in p.deflection(X, Y)))
        return len(jax.jit(f).lower(population).as_text().splitlines())

    assert size(1000) == size(2)


def test_a_thousand_subhaloes_take_the_memory_of_two_and_add_up(double):
    x, y = jnp.meshgrid(*[jnp.linspace(-3, 3, 64)] * 2)
    rng = np.random.default_rng(0)

    def loss(population, x, y):
        return sum(jnp.sum(a**2) for a in population.deflection(x, y))

    def compiled(n):
        population = mass.Population(mass.SIS(*rng.uniform(0.001, 0.01, (3, n))))
        gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        return population.profile, gradient.lower(population, x, y).compile()

    (_, two), (members, thousand) = compiled(2), compiled(1000)
    memory = [f.memory_analysis().temp_size_in_bytes for f in (two, thousand)]
    assert memory[1] < 1.5 * memory[0]
    value, (slope, _) = thousand(mass.Population(members), x, y)

    def reference(members):
        each = jax.vmap(lambda member: jnp.stack(member.deflection(x, y)))(members)
        return jnp.sum(jnp.sum(each, axis=0) ** 2)

    expected = jax.jit(jax.value_and_grad(reference))(jax.tree.map(jnp.asarray, members))
    np.testing.assert_allclose(value, expected[0], rtol=1e-11)
    for got, exact in zip(jax.tree.leaves((slope,)), jax.tree.leaves(expected[1]), strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-9, atol=1e-9 * np.abs(exact).max())


def test_population_gradients_equal_those_of_a_sum(double):
    centers = jnp.array([0.1, -0.4, 0.9])

    def total(centers, build):
        return sum(a.sum() for a in build(centers).deflection(X, Y))

    one = jax.grad(total)(centers, lambda c: mass.Population(mass.SIS(0.2, c)))
    many = jax.grad(total)(centers, lambda c: mass.as_mass([mass.SIS(0.2, v) for v in c]))
    np.testing.assert_allclose(one, many, rtol=1e-10)


def test_a_population_of_unequal_lengths_teaches():
    population = mass.Population(mass.SIS(theta_E=jnp.ones(3), center_x=jnp.ones(2)))
    with pytest.raises(ValueError, match="arrays of one length"):
        population.deflection(X, Y)
    with pytest.raises(ValueError, match="scalars only"):
        mass.Population(mass.SIS(theta_E=1.0)).deflection(X, Y)
