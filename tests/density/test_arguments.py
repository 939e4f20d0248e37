"""What a model may be called with, and which primitives of NumPyro it may use."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import numpyro_lens as nl
from numpyro_lens.density import Target, evaluate

Y = np.array([1.0, 1.2, 0.8], dtype=np.float32)


def powers(y, num, kind="plain", squash=None):
    """A model whose sites depend on a whole number, a text and a function."""
    assert isinstance(num, int)
    a = numpyro.sample("a", dist.Normal(0.0, 1.0).expand([num]).to_event(1))
    mean = jnp.sum(a if kind == "plain" else jnp.square(a))
    numpyro.sample("y", dist.Normal(mean if squash is None else squash(mean), 0.5), obs=y)


def density(target):
    z = 0.1 * np.ones((1, target.dim), dtype=np.float32)
    return float(evaluate(target.log_density, z)[0][0])


def test_numbers_texts_and_functions_are_part_of_the_function():
    two = Target.of(powers, Y, 2)
    assert two.names == ("a[0]", "a[1]")
    assert Target.of(powers, Y, 3).dim == 3
    assert density(Target.of(powers, Y, 2, "squares")) != density(two)
    assert density(Target.of(powers, Y, 2, "plain", jnp.tanh)) != density(two)
    assert two.arguments[1] == 2


def test_they_are_part_of_the_fingerprint():
    from numpyro_lens.infer.fingerprint import fingerprint

    kinds = [
        fingerprint(Target.of(powers, Y, 2, kind), jax.random.key(0))
        for kind in ("plain", "squares")
    ]
    assert kinds[0]["arguments"] != kinds[1]["arguments"]


def test_a_ready_model_takes_its_number_of_shapelets():
    camera = nl.Observation(np.ones((8, 8)), pixel_scale=0.2, noise=nl.NoiseMap(0.1))
    target = Target.of(nl.models.epl_shear_shapelets, camera, 2)
    assert np.isfinite(density(target))


def test_arrays_of_another_machine():
    assert density(Target.of(powers, Y.astype(">f4"), 2)) == density(Target.of(powers, Y, 2))


def improper(y):
    mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.positive, (), ()))
    pair = numpyro.sample("pair", dist.ImproperUniform(dist.constraints.real, (2,), ()))
    numpyro.sample("y", dist.Normal(mu + pair.sum(), 0.5), obs=y)


def test_an_improper_prior_starts_where_numpyro_starts(double):
    target = Target.of(improper, Y)
    draws = jax.vmap(target.prior_draw)(jax.random.split(jax.random.key(0), 200))
    assert draws.shape == (200, 3)
    assert -2 <= draws.min() < -1.8 < 1.8 < draws.max() <= 2
    expected = dist.Normal(np.exp(0.3) + 0.5, 0.5).log_prob(Y).sum() + 0.3
    z = jnp.array([0.3, 0.1, 0.4])
    np.testing.assert_allclose(target.log_density(z), expected, rtol=1e-12)


def test_a_prior_of_one_value_is_fixed():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0, 1))
        width = numpyro.sample("width", dist.Delta(0.5))
        both = numpyro.sample("both", dist.Delta(jnp.ones(2), event_dim=1))
        numpyro.sample("y", dist.Normal(mu * both[0], width), obs=y)

    target = Target.of(model, Y)
    assert target.names == ("mu",)
    expected = dist.Normal(0.1, 0.5).log_prob(Y).sum() + dist.Normal(0, 1).log_prob(0.1)
    np.testing.assert_allclose(density(target), expected, rtol=1e-5)


def test_a_parameter_of_numpyro_says_that_it_is_not_fitted():
    def model(y):
        mu = numpyro.param("mu", 0.0)
        numpyro.sample("y", dist.Normal(mu, numpyro.sample("s", dist.HalfNormal(1.0))), obs=y)

    with pytest.warns(UserWarning, match=r"not fitted: mu keeps.*numpyro.sample\('mu'"):
        assert Target.of(model, Y).names == ("s",)


@pytest.mark.wrong_types
def test_arguments_by_name_and_keys_as_seeds_are_explained():
    with pytest.raises(TypeError, match=r"got num by name.*functools.partial\(model, num=2\)"):
        nl.fit(powers, Y, num=2)
    with pytest.raises(ValueError, match="seed=0"):
        nl.infer.fit(powers, Y, 2, seed=jax.random.key(0))


def test_an_observation_of_another_precision_is_told():
    def stop(stage, result):
        raise KeyboardInterrupt

    camera = nl.Observation(np.ones((6, 6)), pixel_scale=0.2, noise=nl.NoiseMap(0.1))

    def model(observation):
        amp = numpyro.sample("amp", dist.Normal(1.0, 0.1))
        nl.observe("image", observation, lens_light=nl.light.Uniform(amp=amp))

    quick = nl.infer.MAP(num_starts=2, num_screened=4, num_steps=2, num_polished=0, max_searches=1)
    warned = pytest.warns(UserWarning, match="Make it after")
    with jax.enable_x64(True), warned, pytest.raises(KeyboardInterrupt):
        nl.fit(model, camera, map=quick, progress=False, callback=stop)


@pytest.mark.parametrize("name", ["", ".", "chain", "draw", "a/b"])
def test_names_that_no_file_holds_are_refused_before_the_fit(name):
    def model(y):
        numpyro.sample("y", dist.Normal(numpyro.sample(name, dist.Normal(0, 1)), 0.5), obs=y)

    with pytest.raises(ValueError, match=r'divider="\."'):
        Target.of(model, Y)


@pytest.mark.parametrize("name", ["", "chain", "a/b"])
def test_so_are_those_of_what_is_derived_or_integrated_out(name):
    def derived(y):
        mu = numpyro.sample("mu", dist.Normal(0, 1))
        numpyro.deterministic(name, 2 * mu)
        numpyro.sample("y", dist.Normal(mu, 0.5), obs=y)

    with pytest.raises(ValueError, match="could not hold"):
        Target.of(derived, Y)

    def integrated(observation):
        sigma = numpyro.sample("sigma", dist.LogNormal(-1, 0.1))
        spot = nl.sample(f"{name}/spot", nl.light.Gaussian, amp=nl.Linear(scale=1.0), sigma=sigma)
        nl.observe("image", observation, lens_light=spot)

    camera = nl.Observation(np.ones((6, 6)), pixel_scale=0.2, noise=nl.NoiseMap(0.1))
    with pytest.raises(ValueError, match=r"could not hold '.*/spot\.amp'"):
        Target.of(integrated, camera)


class Module(eqx.Module):
    width: jax.Array

    def __call__(self, y):
        mu = numpyro.sample("mu", dist.Normal(0, self.width))
        numpyro.sample("y", dist.Normal(mu, 0.5), obs=y)


@dataclasses.dataclass
class Data:
    width: float

    def __call__(self, y):
        Module(jnp.asarray(self.width))(y)


@pytest.mark.parametrize("kind", [lambda width: Module(jnp.asarray(width)), Data])
def test_a_model_may_be_an_object(kind):
    compiled = jax.jit(lambda target, z: target.log_density(z))
    narrow, wide, again = (
        float(compiled(Target.of(kind(width), Y), jnp.ones(1))) for width in (1.0, 2.0, 1.0)
    )
    assert narrow == again != wide
    assert compiled._cache_size() == 2


def test_random_numbers_inside_a_model_stay_the_same():
    def model(y):
        noise = jax.random.normal(numpyro.prng_key())
        mu = numpyro.sample("mu", dist.Normal(noise, 1))
        numpyro.sample("y", dist.Normal(mu, 0.5), obs=y)

    target = Target.of(model, Y)
    trace = target.trace(0.1 * jnp.ones(1))
    expected = sum(trace[name]["fn"].log_prob(trace[name]["value"]).sum() for name in ("mu", "y"))
    assert density(target) == pytest.approx(float(expected), rel=1e-5)


def test_scopes_with_another_divider_are_fine():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(mu, 0.5), obs=y)

    scoped = numpyro.handlers.scope(model, prefix="a", divider=".")
    assert Target.of(scoped, Y).names == ("a.mu",)
