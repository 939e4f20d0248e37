import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest

from numpyro_lens.infer import MAP, Target
from numpyro_lens.infer import map as search
from numpyro_lens.infer.map import laplace_scale_tril, one_component
from numpyro_lens.infer.newton import ascend


def log_normal(data):
    numpyro.sample("x", dist.LogNormal(1.0, 0.5))
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=data)


def two_modes(data):
    x = numpyro.sample("x", dist.Uniform(-5.0, 5.0))
    numpyro.sample("y", dist.Normal(x**2 + 0.1 * x, 0.2), obs=data)


def broken(data):
    """Finite everywhere, but the gradient is NaN below zero: the unused branch of a ``where``."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("root", jnp.where(x < 0, 0.0, jnp.sqrt(x)))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=data)


ARGS = (jnp.asarray(0.0),)
QUICK = {"num_screened": None, "num_starts": 6, "num_steps": 50, "num_polished": 2}


def run(model, args=ARGS, seed=0, start=None, **settings):
    settings = MAP(**{**QUICK, **settings})
    return settings.run(Target.of(model, *args), jax.random.key(seed), start=start, progress=False)


def test_mode_is_that_of_the_unconstrained_density():
    """exp(1) in unconstrained space; ``AutoDelta`` on the model itself would find exp(1 - 0.5²)."""
    result = run(log_normal)
    np.testing.assert_allclose(result.samples["x"][result.basins[0].start], np.e, rtol=1e-3)


def test_every_start_has_a_life_of_its_own():
    """An autoguide keeps its first initialisation: here the starts would all be one."""
    start = np.array([[-1.0], [-0.5], [0.5], [1.0]])
    untouched = run(two_modes, (jnp.asarray(4.0),), start=start, num_steps=0, num_polished=0)
    np.testing.assert_allclose(untouched.params, start, rtol=1e-6)
    moved = run(two_modes, (jnp.asarray(4.0),), start=start, num_steps=100, num_polished=0)
    assert np.unique(np.sign(moved.samples["x"])).size == 2


def test_basins_are_told_apart_and_ranked():
    start = np.array([[-1.0], [-0.5], [0.5], [1.0], [0.9]])
    result = run(two_modes, (jnp.asarray(4.0),), start=start, num_steps=300, num_polished=5)
    values = [basin.log_density for basin in result.basins]
    assert len(values) == 2
    assert values == sorted(values, reverse=True)
    assert sum(basin.num_starts for basin in result.basins) == 5


def hill_with_a_spike():
    """A standard normal, and near five a mode that one step of Adam leaves."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("spike", 30.0 * jnp.exp(-0.5 * ((x - 5.0) / 0.01) ** 2))


def test_no_start_ends_lower_than_it_began():
    start = np.array([[5.005], [-1.0]])
    result = run(hill_with_a_spike, (), start=start, num_polished=0)
    at_start = result.target.log_density(jnp.asarray(start[0], dtype=jnp.float32))
    assert result.log_density[0] == pytest.approx(float(at_start), rel=1e-5)
    np.testing.assert_allclose(result.params[0], start[0], rtol=1e-6)
    np.testing.assert_allclose(result.params[1], 0.0, atol=0.3)  # it climbed
    # 50 steps of two starts, their ends, the starts again, and a Hessian of one parameter.
    assert result.num_gradients["map"] == 2 * (50 + 1 + 1) + 2


def test_a_basin_of_one_start_is_looked_at_again():
    lonely = {"num_starts": 1, "num_polished": 1}
    assert run(two_modes, (jnp.asarray(4.0),), **lonely, max_searches=1).shape == (1, 1)
    assert run(two_modes, (jnp.asarray(4.0),), **lonely, max_searches=9).basins[0].num_starts == 2
    start = np.array([[0.5]])
    assert run(two_modes, (jnp.asarray(4.0),), start=start, **lonely).shape == (1, 1)


def straight_line(data):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(slope * jnp.arange(50.0), 1.0).to_event(1), obs=data)


@pytest.mark.parametrize(("bend", "searches"), [(0.0, 1), (0.1, 2)])
def test_data_that_are_not_explained_get_a_second_look_and_no_third(bend, searches):
    x = np.arange(50.0)
    data = 0.3 * x + bend * x**2 + np.random.default_rng(0).normal(size=50)
    result = run(straight_line, (jnp.asarray(data),), num_screened=20, num_steps=200)
    assert result.basins[0].num_starts > 1
    assert result.num_gradients["screening"] == 20 * searches


def test_a_factor_explains_itself():
    def model(_):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("likelihood", -1000.0 * (x - 3.0) ** 2)

    result = run(model, num_screened=20)
    assert result.basins[0].num_starts > 1
    assert result.num_gradients["screening"] == 20  # there was no second look


def test_new_starts_keep_one_component_of_the_best():
    def model(data):
        for name in ("lens.x", "lens.y", "source.x", "flux"):
            numpyro.sample(name, dist.Normal(0.0, 1.0))
        numpyro.factor("nothing", 0.0 * data)

    kept = one_component(Target.of(model, *ARGS), jax.random.key(0), 100)
    patterns = {tuple(row) for row in np.asarray(kept).astype(int)}
    assert patterns == {(1, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)}


def test_log_density_is_that_of_the_parameters():
    result = run(two_modes, (jnp.asarray(4.0),))
    for z, value in zip(result.params, result.log_density, strict=True):
        np.testing.assert_allclose(result.target.log_density(jnp.asarray(z)), value, rtol=1e-5)


def test_a_nan_gradient_is_counted_though_the_value_is_finite():
    result = run(broken, start=np.array([[-1.0], [1.0], [-2.0]]), num_polished=0)
    assert result.num_nonfinite == {"log_density": 0, "gradient": 2}
    assert result.basins[0].start == 1


def impossible(data):
    """The density is zero below zero, and its gradient NaN."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.factor("root", jnp.where(x < 0, -jnp.inf, jnp.sqrt(x)))
    numpyro.sample("y", dist.Normal(x, 1.0), obs=data)


@pytest.mark.parametrize("model", [broken, impossible])
@pytest.mark.parametrize("num_polished", [0, 1, 4])
def test_what_is_not_finite_is_counted_where_the_starts_end(model, num_polished):
    """After the polish: of the parameters, values and gradients that the result holds."""
    start = np.array([[-1.0], [1.0], [-2.0], [0.3]])
    result = run(model, start=start, num_steps=3, num_polished=num_polished)
    density = jax.value_and_grad(result.target.log_density)
    value, gradient = jax.vmap(density)(jnp.asarray(result.params))
    expected = {
        "log_density": int(np.sum(~np.isfinite(value))),
        "gradient": int(np.sum(~np.isfinite(gradient))),
    }
    assert expected["gradient"] == 2
    assert result.num_nonfinite == expected


def test_a_start_that_fails_leaves_the_others_alone():
    start = np.array([[-1.0], [1.0], [0.7]])
    mixed = run(broken, start=start, num_polished=0)
    alone = run(broken, start=start[1:], num_polished=0)
    np.testing.assert_allclose(mixed.params[1:], alone.params, rtol=1e-6)


def test_no_finite_start_is_an_error():
    with pytest.raises(ValueError, match="None of the 2 starts"):
        run(broken, start=np.array([[-1.0], [-2.0]]), num_polished=0)


def test_start_of_the_wrong_shape():
    with pytest.raises(
        ValueError, match=r"one row of 1 unconstrained values.*got an array of shape \(3, 2\)"
    ):
        run(log_normal, start=np.zeros((3, 2)))


def test_same_seed_same_result():
    np.testing.assert_array_equal(run(two_modes, seed=3).params, run(two_modes, seed=3).params)


def test_result_is_the_array_of_parameters():
    result = run(two_modes, optimizer=optax.sgd(1e-3))
    assert result.shape == np.asarray(result).shape == (6, 1)
    assert result.best.shape == (1, 1)
    np.testing.assert_array_equal(result[2], result.params[2])


@pytest.mark.usefixtures("double")
def test_newton_reaches_the_mode_of_a_curved_valley():
    def banana(data):
        x = numpyro.sample("x", dist.Normal(0.0, 3.0))
        y = numpyro.sample("y", dist.Normal(x**2, 0.05))
        numpyro.sample("data", dist.Normal(x + y, 0.1), obs=data)

    target = Target.of(banana, jnp.asarray(2.0))
    climbed = ascend(target, jnp.array([[-3.0, 5.0], [2.0, 0.0]]), jnp.full(2, 20))
    assert int(jnp.max(climbed.num_steps)) <= 20
    for point in climbed.best.z:
        assert float(jnp.linalg.norm(jax.grad(target.log_density)(point))) < 1.0
    expected = -jax.hessian(target.log_density)(climbed.best.z[0])
    np.testing.assert_allclose(climbed.best.hessian[0], expected, rtol=1e-8)


def test_a_row_without_steps_is_left_where_it_is():
    target = Target.of(two_modes, jnp.asarray(4.0))
    climbed = ascend(target, jnp.array([[1.5], [1.6]]), jnp.array([20, 0]))
    assert int(climbed.num_steps[0]) > 1
    assert int(climbed.num_steps[1]) == 0
    assert climbed.best.value[1] == -np.inf
    np.testing.assert_allclose(climbed.best.z[1], 1.6, rtol=1e-6)


def test_only_what_is_near_the_best_is_polished_on(monkeypatch):
    """Two starts near a mode, and one thousands below them in log density."""
    rounds = []

    def counted(target, z, steps):
        rounds.append(list(steps))
        ascent = ascend(target, z, jnp.minimum(jnp.asarray(steps), 1))
        return ascent._replace(done=jnp.full(len(z), len(rounds) == 3))

    monkeypatch.setattr(search, "ascend", counted)
    start = np.array([[0.5], [0.51], [2.0]])
    run(two_modes, (jnp.asarray(4.0),), start=start, num_steps=0, num_polished=3)
    assert rounds == [[20, 20, 20], [20, 20, 0], [20, 20, 0]]


def test_laplace_covariance_is_floored():
    tril = laplace_scale_tril(np.diag([4.0, 1e-12, -1e-12]))
    np.testing.assert_allclose(tril @ tril.T, np.diag([0.25, 100.0, 100.0]))
