"""The density over one vector: against independent computations, and through models that fail."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from numpyro.infer.util import potential_energy

from numpyro_lens.density import NormalQuantileTransform, Target, bijection, flat_model


def every_support(data):
    """Sites out of alphabetical order: supports of every kind, one that depends on another."""
    width = numpyro.sample("width", dist.LogNormal(0.0, 1.0))
    bounded = numpyro.sample("bounded", dist.Uniform(-1.0, 3.0))
    dependent = numpyro.sample("dependent", dist.Uniform(bounded, bounded + width))
    vector = numpyro.sample("a", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    shares = numpyro.sample("shares", dist.Dirichlet(jnp.ones(3)))
    total = numpyro.deterministic("total", jnp.sum(vector) + dependent)
    numpyro.sample("y", dist.Normal(total + shares[0], 1.0), obs=data)


@pytest.fixture
def target():
    return Target.of(every_support, jnp.asarray(0.3))


def draws(target, number=20):
    return jnp.stack([target.prior_draw(k) for k in jax.random.split(jax.random.key(0), number)])


def test_names_follow_the_model(target):
    expected = ("width", "bounded", "dependent", "a[0]", "a[1]", "shares[0]", "shares[1]")
    assert target.names == expected
    assert target.dim == len(expected)
    assert target.bounded == (False, True, True, False, False, False, False)


@pytest.mark.usefixtures("double")
def test_constrain_inverts_unconstrain():
    target = Target.of(every_support, jnp.asarray(0.3))
    for z in draws(target, 5):
        values = target.constrain(z)
        assert values["bounded"] < values["dependent"] < values["bounded"] + values["width"]
        np.testing.assert_allclose(target.unconstrain(values), z, atol=1e-8)


@pytest.mark.usefixtures("double")
def test_density_is_numpyros_up_to_the_map_of_intervals():
    """With NumPyro's own map the density is its potential energy; Jacobians make up the rest."""

    def model(data):
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mean, scale), obs=data)

    target = Target.of(model, jnp.asarray(0.3))
    for z in draws(target, 5):
        expected = -potential_energy(model, target.args, {}, target.unravel(z))
        np.testing.assert_allclose(target.log_density(z), expected, rtol=1e-12)


SCALES, WIDTHS = np.array([0.5, 1.0, 2.0]), np.array([1.0, 4.0])


def vectors(data):
    """Every kind of map over a site of several values, and priors without a joint event."""
    positive = numpyro.sample("positive", dist.LogNormal(0.0, jnp.asarray(SCALES)).to_event(1))
    interval = numpyro.sample("interval", dist.Uniform(0.0, jnp.asarray(WIDTHS)).to_event(1))
    with numpyro.plate("plate", 3):
        plated = numpyro.sample("plated", dist.Gamma(2.0, 1.5))
    free = numpyro.sample("free", dist.Normal(jnp.zeros((2, 2)), 1.0).to_event(2))
    total = jnp.sum(positive) + jnp.sum(interval) + jnp.sum(plated) + jnp.sum(free)
    numpyro.sample("y", dist.Normal(total, 1.0), obs=data)


def log_density_by_hand(z, data):
    """Of `vectors`, by SciPy: priors at the values, and the slope of each map written out."""
    positive, x, plated, free = np.exp(z[:3]), z[3:5], np.exp(z[5:8]), z[8:]
    interval = WIDTHS * scipy.special.ndtr(x)
    priors = [
        scipy.stats.lognorm(SCALES).logpdf(positive),
        scipy.stats.uniform(0.0, WIDTHS).logpdf(interval),
        scipy.stats.gamma(2.0, scale=1 / 1.5).logpdf(plated),
        scipy.stats.norm.logpdf(free),
    ]
    slopes = [z[:3], np.log(WIDTHS) + scipy.stats.norm.logpdf(x), z[5:8]]
    total = sum(np.sum(part) for part in (positive, interval, plated, free))
    return sum(map(np.sum, priors + slopes)) + scipy.stats.norm(total, 1.0).logpdf(data)


@pytest.mark.usefixtures("double")
def test_density_of_vectors_is_prior_times_jacobian_written_out():
    target = Target.of(vectors, jnp.asarray(0.7))
    for z in draws(target, 5):
        expected = log_density_by_hand(np.asarray(z), 0.7)
        np.testing.assert_allclose(target.log_density(z), expected, rtol=1e-12)


@pytest.mark.usefixtures("double")
def test_density_of_shares_is_prior_times_jacobian_of_the_map_itself():
    """The free shares are the first two: the map to them has a square Jacobian."""
    alpha = jnp.array([2.0, 1.0, 3.0])

    def model(data):
        shares = numpyro.sample("shares", dist.Dirichlet(alpha))
        numpyro.sample("y", dist.Normal(shares[0], 1.0), obs=data)

    target = Target.of(model, jnp.asarray(0.7))
    for z in draws(target, 5):
        shares = target.constrain(z)["shares"]
        jacobian = jax.jacobian(lambda z: target.constrain(z)["shares"][:2])(z)
        expected = scipy.stats.dirichlet(alpha).logpdf(shares)
        expected += np.linalg.slogdet(jacobian)[1] + scipy.stats.norm.logpdf(0.7, shares[0])
        np.testing.assert_allclose(target.log_density(z), expected, rtol=1e-10)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "prior",
    [
        dist.Normal(0.3, 0.7),
        dist.LogNormal(0.2, 0.5),
        dist.Gamma(3.0, 2.0),
        dist.Uniform(-1.0, 3.0),
        dist.Beta(2.0, 3.0),
        dist.TruncatedNormal(0.5, 0.4, low=0.0, high=2.0),
        dist.HalfNormal(0.4),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_the_density_integrates_to_one_where_the_data_say_nothing(prior):
    def model():
        numpyro.sample("x", prior)
        numpyro.sample("y", dist.Normal(0.0, 1 / np.sqrt(2 * np.pi)), obs=jnp.zeros(()))

    density = jax.jit(lambda x: jnp.exp(Target.of(model).log_density(x[None])))
    total, _ = scipy.integrate.quad(lambda x: float(density(x)), -30.0, 12.0, points=[0.0])
    assert total == pytest.approx(1.0, abs=1e-7)


@pytest.mark.usefixtures("double")
def test_nothing_but_the_sites_of_the_model_is_in_the_density():
    """A log determinant could be there and be taken away again: here both are looked at alone."""
    target = Target.of(vectors, jnp.asarray(0.7))
    z = draws(target, 1)[0]
    assert set(target.trace(z)) == {"positive", "interval", "plate", "plated", "free", "y"}
    values = {site.name: target.constrain(z)[site.name] for site in target.sites}
    joint, _ = numpyro.infer.util.log_density(vectors, target.args, {}, values)
    slopes = jnp.sum(z[:3]) + jnp.sum(z[5:8]) + np.log(WIDTHS).sum()
    slopes = slopes + jnp.sum(jax.scipy.stats.norm.logpdf(z[3:5]))
    np.testing.assert_allclose(target.log_density(z) - joint, slopes, rtol=1e-10)


@pytest.mark.usefixtures("double")
def test_jacobian_against_automatic_differentiation():
    transform = NormalQuantileTransform(-1.0, 3.0)
    z = jnp.linspace(-6.0, 6.0, 41)
    slope = jax.vmap(jax.grad(transform))(z)
    np.testing.assert_allclose(
        transform.log_abs_det_jacobian(z, transform(z)), jnp.log(slope), rtol=1e-9
    )


def test_normal_quantile_stays_inside_with_a_finite_gradient(x64):
    transform = bijection(dist.TruncatedNormal(2.0, 0.25, low=1.0, high=3.0).support)
    assert isinstance(transform, NormalQuantileTransform)
    z = jnp.asarray([-40.0, -9.0, -1.0, 0.0, 1.0, 9.0, 40.0])
    values = transform(z)
    assert bool(jnp.all((values >= 1.0) & (values <= 3.0)))
    slope = jax.vmap(jax.grad(lambda z: dist.Normal(2.0, 0.25).log_prob(transform(z))))(z)
    assert bool(jnp.all(jnp.isfinite(slope)))
    # Rounding of a value next to its bound is all that the round trip loses.
    inner = jnp.linspace(-3.0, 3.0, 13)
    np.testing.assert_allclose(transform.inv(transform(inner)), inner, atol=1e-10 if x64 else 1e-3)


def test_a_model_inside_a_model_is_counted_once(target):
    z = draws(target, 1)[0]
    value, trace = numpyro.infer.util.log_density(flat_model, (target,), {}, {"z": z})
    assert set(trace) == {"z", "log_density"}
    np.testing.assert_allclose(value, target.log_density(z), rtol=1e-6)


def test_equal_models_compile_once(target):
    """All but the arguments is static, equal and of one hash."""
    other = Target.of(every_support, jnp.asarray(9.9))
    one, two = (jax.tree.structure(t) for t in (target, other))
    assert one == two
    assert hash(one) == hash(two)
    density = jax.jit(lambda target, z: target.log_density(z))
    values = {float(density(t, jnp.zeros(7))) for t in (target, other)}
    assert len(values) == 2
    assert density._cache_size() == 1


def no_latent(data):
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


def no_observed(data):
    numpyro.sample("x", dist.Normal(data, 1.0))


def discrete(data):
    numpyro.sample("k", dist.Bernoulli(0.5))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (no_latent, "at least one latent site"),
        (no_observed, "at least one observed site"),
        (discrete, "discrete: k"),
    ],
)
def test_models_that_cannot_be_fitted(model, message):
    with pytest.raises(ValueError, match=message):
        Target.of(model, jnp.asarray(0.3))
