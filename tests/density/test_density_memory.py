from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro_lens as nl
from numpyro_lens.density import Target, map_batch, memory
from numpyro_lens.density.memory import needed_bytes, samples_at_once

KIB = 1024


def at_the_end(x):
    """Two large arrays, the first of them gone before the second is there."""
    first = jnp.sum(jnp.outer(x, x), axis=0)
    return jnp.sum(jnp.outer(first, first))


def both(x):
    one = jnp.outer(x, x)
    return jnp.sum(one @ jnp.sin(one))


@pytest.mark.parametrize(
    ("function", "arrays"), [(at_the_end, 1), (both, 3)], ids=["one after the other", "together"]
)
def test_what_is_needed_at_the_same_time_counts(function, arrays):
    assert arrays * 256 <= needed_bytes(function, jnp.ones(256)) / KIB < arrays * 256 + 4


def test_branches_and_loops_count_once():
    def loop(x):
        return jax.lax.fori_loop(
            0, 100, lambda _, y: jax.lax.cond(y[0] > 0, at_each, at_each, y), x
        )

    def at_each(x):
        return jnp.sum(jnp.outer(x, x), axis=0)

    assert 256 <= needed_bytes(loop, jnp.ones(256)) / KIB < 264


@pytest.mark.parametrize("model", [nl.models.epl_shear_sersic, nl.models.galaxy])
def test_the_gradient_of_a_lens_needs_about_what_xla_says(model):
    camera = nl.Observation.blank(
        (32, 32), pixel_scale=0.1, noise=nl.NoiseMap(1.0), psf=nl.PSF(jnp.ones((5, 5)))
    )
    target = Target.of(model, nl.mock(camera, jax.random.key(0), mass=nl.mass.SIS(1.0)))
    function, z = jax.value_and_grad(target.log_density), jnp.zeros(target.dim)
    compiled = jax.jit(function).lower(z).compile().memory_analysis()
    assert 0.5 < needed_bytes(function, z) / compiled.temp_size_in_bytes < 2.0


@pytest.mark.parametrize(("limit", "expected"), [(None, 4096), (10 << 20, 4), (1, 1)])
def test_an_accelerator_has_as_many_as_fit(monkeypatch, limit, expected):
    told = None if limit is None else {"bytes_limit": limit}
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: told)])
    x = jnp.ones(256)
    assert samples_at_once(at_the_end, x) == pytest.approx(expected, rel=0.05)
    assert samples_at_once(at_the_end, x, others=4) == pytest.approx(max(expected / 4, 1), rel=0.05)


def test_chunks_change_nothing(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(memory, "_UNKNOWN", 8 << 20)  # of which an eighth
    x = jnp.arange(10.0 * 256).reshape(10, 256) / 2560.0
    jaxpr = str(jax.make_jaxpr(lambda x: map_batch(lambda x, _: at_the_end(x), x, None))(x))
    assert "3,256,256" in jaxpr
    found = map_batch(lambda x, _: at_the_end(x), x, None)
    np.testing.assert_allclose(found, [at_the_end(row) for row in x], rtol=1e-5)
