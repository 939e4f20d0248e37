"""What is compiled is let go before it takes all memory maps of a process."""

import sys

import jax
import jax.numpy as jnp
import pytest

from numpyro_lens.infer import memory


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_compiled_functions_are_let_go_where_they_take_too_many_maps():
    twice = jax.jit(lambda x: 2 * x)
    twice(jnp.ones(3))
    assert not memory.forget_compiled()
    assert twice._cache_size() == 1
    assert memory.forget_compiled(most=0.0)
    assert twice._cache_size() == 0


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path / "nothing")
    assert not memory.forget_compiled(most=0.0)
