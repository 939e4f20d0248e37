"""Products of matrices have full precision wherever they are, also on a GPU that rounds them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import numpyro_lens as nl
from numpyro_lens._precision import full_precision
from numpyro_lens.density import Target
from numpyro_lens.infer import hmc, newton, svi
from numpyro_lens.sampler import Affine, CrossChain, Quadratic, crosschain

DIM = 3


def products(jaxpr):
    """Equations of products in a jaxpr, those inside of others included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                yield from products(getattr(inner, "jaxpr", inner))


def _is_jaxpr(value):
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def rounded(function, *args):
    """How many products there are, and those that a GPU would round."""
    found = list(products(jax.make_jaxpr(function)(*args).jaxpr))
    full = {jax.lax.Precision.HIGHEST}
    return len(found), [e for e in found if set(np.ravel(e.params["precision"])) != full]


def normal(z):
    return -0.5 * jnp.sum(z**2)


def galaxy():
    camera = nl.Observation.blank(
        (20, 20), pixel_scale=0.1, noise=nl.NoiseMap(1.0), psf=nl.PSF(jnp.ones((3, 3)))
    )
    data = nl.mock(camera, jax.random.key(0), mass=nl.mass.SIS(1.0))
    return Target.of(nl.models.galaxy, data, 3, 2)  # of order 3, with few Gaussians


def gradient():
    target = galaxy()
    return jax.value_and_grad(target.log_density), jnp.zeros(target.dim)


def replicate():
    site = galaxy().trace(jnp.zeros(galaxy().dim))["image"]["fn"]
    return site.sample, jax.random.key(0)


def amplitudes():
    site = galaxy().trace(jnp.zeros(galaxy().dim))["image"]["fn"]
    return lambda value: site.conditional(value, jax.random.key(0)), jnp.zeros((20, 20))


def ascent():
    target = galaxy()
    return lambda z: newton.ascend.alone(target, z, jnp.array([2])), jnp.zeros((1, target.dim))


def svi_steps():
    target, optimizer = galaxy(), svi.adam()
    elbo, frame = svi.StickingTheLanding(2), Affine(jnp.zeros(target.dim), jnp.eye(target.dim))
    key = jax.random.key(0)
    state = svi._begin.alone(target, optimizer, elbo, key, frame.scale_tril)
    return lambda state: svi._advance.alone(target, optimizer, elbo, 2, state, frame), state


def chains():
    density, quadratic = Partial(normal), Quadratic.of(Affine(jnp.zeros(DIM), jnp.eye(DIM)))
    start, settings = jnp.ones((4, DIM)), CrossChain(num_fit_draws=0)
    state, _ = crosschain.begin(settings, density, start, quadratic, 60, jax.random.key(0))
    return lambda state: hmc._advance.alone(settings, density, 60, 2, 2, state, None), state


def map_fit():
    quadratic, z = Quadratic.of(Affine(jnp.zeros(DIM), jnp.eye(DIM))), jnp.ones((40, DIM))
    return lambda z: crosschain._fit.alone(quadratic, z, -z), z


@pytest.mark.parametrize(
    "case", [gradient, replicate, amplitudes, ascent, svi_steps, chains, map_fit]
)
def test_no_product_is_rounded(case):
    number, wrong = rounded(*case())
    assert number > 0
    assert not wrong


def test_a_product_is_rounded_without():
    a = jnp.ones((2, 2))
    assert len(rounded(jnp.matmul, a, a)[1]) == 1
    assert rounded(full_precision(jnp.matmul), a, a) == (1, [])
