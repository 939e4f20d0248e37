import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import potential_energy

from numpyro_lens.infer import NormalQuantileTransform, flat_model
from numpyro_lens.infer.density import bijection


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
def args():
    return (jnp.asarray(0.3),)


def draws(flat, args, number=20):
    keys = jax.random.split(jax.random.key(0), number)
    return jnp.stack([flat.prior_draw(key, args) for key in keys])


def test_names_follow_the_model(args):
    flat = flat_model(every_support, args)
    expected = ("width", "bounded", "dependent", "a[0]", "a[1]", "shares[0]", "shares[1]")
    assert flat.names == expected
    assert flat.bounded == (False, True, True, False, False, False, False)


@pytest.mark.usefixtures("double")
def test_constrain_inverts_unconstrain(args):
    args = (jnp.asarray(0.3),)
    flat = flat_model(every_support, args)
    for z in draws(flat, args, 5):
        values = flat.constrain(z, args)
        assert values["bounded"] < values["dependent"] < values["bounded"] + values["width"]
        np.testing.assert_allclose(flat.unconstrain(values, args), z, atol=1e-8)


@pytest.mark.usefixtures("double")
def test_density_is_numpyros_up_to_the_map_of_intervals():
    """With NumPyro's own map the density is its potential energy; Jacobians make up the rest."""

    def model(data):
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mean, scale), obs=data)

    args = (jnp.asarray(0.3),)
    flat = flat_model(model, args)
    for z in draws(flat, args, 5):
        expected = -potential_energy(model, args, {}, flat.unravel(z))
        np.testing.assert_allclose(flat.log_density(z, args), expected, rtol=1e-12)


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


def test_a_model_inside_a_model_is_counted_once(args):
    flat = flat_model(every_support, args)
    z = draws(flat, args, 1)[0]
    inner = flat.as_numpyro()
    value, trace = numpyro.infer.util.log_density(inner, args, {}, {"z": z})
    assert set(trace) == {"z", "log_density"}
    np.testing.assert_allclose(value, flat.log_density(z, args), rtol=1e-6)


def test_equal_models_compile_once(args):
    one, two = flat_model(every_support, args), flat_model(every_support, (jnp.asarray(9.9),))
    assert one == two
    assert hash(one) == hash(two)


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
def test_models_that_cannot_be_fitted(model, message, args):
    with pytest.raises(ValueError, match=message):
        flat_model(model, args)
