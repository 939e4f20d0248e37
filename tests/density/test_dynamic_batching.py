import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens.density import dynamic_batching
from numpyro_lens.density.dynamic_batching import DynamicBatch, batch_size, compiled, run_batched


@pytest.fixture
def power():
    """A compiled function, and the shapes that it was traced with."""
    traced = []

    @compiled(static_argnames=("power",))
    def function(x, power=2):
        traced.append((jnp.shape(x), power))
        return {"value": x**power, "sum": jnp.sum(x)}

    function.traced = traced
    return function


@pytest.fixture
def counted(monkeypatch):
    """How many calls were evaluated at once, each time."""
    sizes = []
    evaluate = DynamicBatch._evaluate_most

    def counting(self):
        before = len(self._waiting)
        evaluate(self)
        sizes.append(before - len(self._waiting))

    monkeypatch.setattr(DynamicBatch, "_evaluate_most", counting)
    return sizes


@pytest.mark.parametrize("size", [1, 3, 8])
def test_each_gets_its_own_result(power, size):
    def three_calls(x):
        first = power(jnp.full(4, x))
        return first["sum"], power(first["value"], power=3)["value"][0]

    found = run_batched(three_calls, [1.0, 2.0, 3.0, 4.0, 5.0], size)
    np.testing.assert_allclose(found, [(4 * x, x**6) for x in (1, 2, 3, 4, 5)], rtol=1e-6)


def test_equal_calls_are_evaluated_at_once_and_compiled_once(power, counted):
    run_batched(lambda x: power(power(jnp.full(2, x))["value"]), [1.0, 2.0, 3.0, 4.0], 4)
    assert counted == [4, 4]
    assert power.traced == [((2,), 2)]


def test_one_at_a_time_is_no_batch(power, counted):
    here = threading.get_ident()
    found = run_batched(lambda x: (float(power(x)["value"]), threading.get_ident()), [1.0, 2.0], 1)
    assert found == [(1.0, here), (4.0, here)]
    assert counted == []


def test_the_next_takes_the_place_of_one_that_ended(power, counted):
    def calls(number):
        for _ in range(number):
            power(jnp.ones(2))
        return number

    assert run_batched(calls, [1, 3, 2], 2) == [1, 3, 2]
    assert counted == [2, 2, 2]


@pytest.mark.parametrize(
    "given",
    [
        [{"x": jnp.ones(2)}, {"x": jnp.ones(3)}],
        [{"x": jnp.ones(2)}, {"x": jnp.ones(2, int)}],
        [{"x": jnp.ones(2)}, {"x": jnp.ones(2), "power": 3}],
    ],
    ids=["shape", "dtype", "static"],
)
def test_what_differs_is_evaluated_apart(power, counted, given):
    found = run_batched(lambda arguments: power(**arguments), given, 2)
    assert counted == [1, 1]
    for result, arguments in zip(found, given, strict=True):
        np.testing.assert_array_equal(result["sum"], power(**arguments)["sum"])


def test_loops_of_different_lengths_are_evaluated_together(counted):
    @compiled()
    def doubled(x, times):
        return jax.lax.fori_loop(0, times, lambda _, x: 2.0 * x, x)

    found = run_batched(lambda times: doubled(jnp.ones(2), times)[0], [1, 3, 0], 3)
    np.testing.assert_array_equal(found, [2.0, 8.0, 1.0])
    assert counted == [3]


def test_an_error_of_one_lets_the_others_end(power):
    ended = []

    def fail_at_two(x):
        value = power(jnp.full(2, x))["sum"]
        if x == 2.0:
            raise RuntimeError("two")
        ended.append(float(power(value[None])["sum"]))
        return x

    with pytest.raises(RuntimeError, match="two"):
        run_batched(fail_at_two, [1.0, 2.0, 3.0], 3)
    assert sorted(ended) == [2.0, 6.0]


def test_an_error_of_the_function_reaches_all_that_called_it():
    @compiled()
    def wrong(x):
        raise ValueError("wrong shape")

    def caught(x):
        with pytest.raises(ValueError, match="wrong shape"):
            wrong(jnp.full(2, x))
        return x

    assert run_batched(caught, [1.0, 2.0], 2) == [1.0, 2.0]


def test_a_call_inside_of_another_is_part_of_it(power, counted):
    @compiled()
    def outer(x):
        return power(x)["value"] + 1.0

    found = run_batched(lambda x: outer(jnp.full(2, x))[0], [1.0, 2.0], 2)
    np.testing.assert_array_equal(found, [2.0, 5.0])
    assert counted == [2]


def test_precision_and_size_are_those_of_the_caller(power, double):
    def look(x):
        return str(power(jnp.full(2, x))["sum"].dtype), batch_size()

    assert run_batched(look, [1.0, 2.0], 2) == [("float64", 2)] * 2
    assert batch_size() == 1


def test_keys_and_none_are_arguments_too():
    @compiled()
    def drawn(key, nothing):
        assert nothing is None
        return jax.random.normal(key, (3,))

    keys = list(jax.random.split(jax.random.key(1), 3))
    found = run_batched(lambda key: drawn(key, None), keys, 3)
    np.testing.assert_allclose(found, [jax.random.normal(key, (3,)) for key in keys], rtol=1e-6)


def test_an_interrupt_ends_all_of_them(power, monkeypatch):
    begun = threading.Event()

    def interrupt(_):
        begun.wait()
        raise KeyboardInterrupt

    def without_end(x):
        begun.set()
        while True:
            power(jnp.full(2, x))

    monkeypatch.setattr(dynamic_batching, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_batched(without_end, [1.0, 2.0], 2)


def test_a_batch_holds_something():
    with pytest.raises(ValueError, match="size=0"):
        DynamicBatch(0)
