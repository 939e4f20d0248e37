import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from jax.test_util import check_grads

from numpyro_lens.numerics.cholesky import inverse_cholesky


def positive(n, size=()):
    a = np.random.default_rng(n).normal(size=(*size, n, n))
    return jnp.array(a @ a.swapaxes(-1, -2) + np.eye(n), float)


@pytest.mark.parametrize("n", [12, 200])
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e5])
def test_is_the_inverse_factor(x64, condition, n):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    matrix = turn * np.geomspace(1.0 / condition, 1.0, n) @ turn.T
    root = inverse_cholesky(jnp.array(matrix, float))
    np.testing.assert_array_equal(root, np.tril(root))
    assert (np.diag(root) > 0.0).all()
    tolerance = (1e-14 if x64 else 1e-6) * condition
    np.testing.assert_allclose(root @ matrix @ root.T, np.eye(n), atol=tolerance)


def _rows_of(name, jaxpr):
    """Rows of the matrices that an operation takes, wherever it is called."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == name:
            yield equation.invars[0].aval.shape[-1]
        for inner in jaxprs_in_params(equation.params):
            yield from _rows_of(name, inner)


@pytest.mark.parametrize(("name", "most"), [("cholesky", 128), ("triangular_solve", 31)])
def test_openblas_gets_no_matrix_that_it_gives_to_threads(name, most):
    jaxpr = jax.make_jaxpr(jax.jacfwd(lambda a: inverse_cholesky(a).sum()))(jnp.eye(300)).jaxpr
    assert 0 < max(_rows_of(name, jaxpr)) <= most


def test_derivatives_of_any_order(double):
    check_grads(lambda a: inverse_cholesky(jnp.asarray(0.5 * (a + a.T))), (positive(5),), order=3)


@pytest.mark.parametrize("size", [(3,), (2, 3)])
def test_of_many_is_each(double, size):
    function = inverse_cholesky
    for _ in size:
        function = jax.vmap(function)
    matrices = positive(4, size)
    each = [inverse_cholesky(matrix) for matrix in matrices.reshape(-1, 4, 4)]
    np.testing.assert_allclose(function(matrices).reshape(-1, 4, 4), each, rtol=1e-14)
