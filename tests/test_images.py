"""Images of point sources, on lenses whose answer is known and against lenstronomy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens import images, lensing
from numpyro_lens.mass import EPL, SIE, SIS, Shear

LENS = EPL(theta_E=1.2, gamma=2.1, e1=0.1, e2=-0.05) + Shear(0.05, -0.02)


def test_sis_images_and_delay(double):
    x, y = images.image_positions(SIS(theta_E=1.2), 0.3, 0.4)
    np.testing.assert_allclose(np.stack([x, y]), [[1.02, -0.42], [1.36, -0.56]], atol=1e-10)
    delays = images.time_delays(SIS(theta_E=1.2), x, y, 0.3, 0.4, time_delay_distance=3000.0)
    # phi_minus - phi_plus = 2 theta_E beta
    days = 3000.0 * 3.0856775814913673e22 / 299792458.0 / 86400.0 * np.deg2rad(1 / 3600) ** 2
    np.testing.assert_allclose(delays, [0.0, 2 * 1.2 * 0.5 * days], rtol=1e-10)


def test_images_solve_the_lens_equation(x64):
    x, y = images.image_positions(LENS, 0.01, 0.005)
    assert len(x) == 4
    beta = lensing.ray_trace(LENS, jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(beta, [[0.01] * 4, [0.005] * 4], atol=1e-12 if x64 else 2e-6)
    parity = np.sign(lensing.inverse_magnification(LENS, jnp.asarray(x), jnp.asarray(y)))
    assert list(parity) == [1, 1, -1, -1]  # minima arrive before saddles
    assert len(images.image_positions(LENS, 3.0, 3.0)[0]) == 1


def test_a_source_outside_the_search_has_no_image():
    x, y = images.image_positions(SIS(theta_E=1.0), 30.0, 0.0)
    assert x.shape == y.shape == (0,)


def test_images_and_delays_equal_lenstronomy(double):
    pytest.importorskip("lenstronomy")
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

    model = LensModel(["EPL", "SHEAR"])
    kwargs = [
        {"theta_E": 1.2, "gamma": 2.1, "e1": 0.1, "e2": -0.05},
        {"gamma1": 0.05, "gamma2": -0.02},
    ]
    x, y = images.image_positions(LENS, 0.01, 0.005)
    solver = LensEquationSolver(model)
    expected = solver.image_position_from_source(0.01, 0.005, kwargs, arrival_time_sort=True)
    np.testing.assert_allclose([x, y], expected, atol=1e-7)
    fermat = model.fermat_potential(x, y, kwargs, x_source=0.01, y_source=0.005)
    ours = images.fermat_potential(LENS, jnp.asarray(x), jnp.asarray(y), 0.01, 0.005)
    np.testing.assert_allclose(ours - ours[0], fermat - fermat[0], atol=1e-10)


def test_polished_images_carry_the_derivative_of_the_solution(double):
    source, h = (0.01, 0.005), 1e-5

    def lens(theta_E):
        return SIE(theta_E=theta_E, e1=0.1, e2=-0.05) + Shear(0.05, -0.02)

    x, y = map(jnp.asarray, images.image_positions(lens(1.2), *source))
    slope = jax.jacfwd(lambda t: jnp.stack(images.polish_images(lens(t), x, y, *source)))(1.2)
    moved = [np.stack(images.polish_images(lens(1.2 + d), x, y, *source, steps=8)) for d in (h, -h)]
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * h), rtol=1e-6)
    reverse = jax.grad(lambda t: images.polish_images(lens(t), x, y, *source)[0].sum())(1.2)
    np.testing.assert_allclose(reverse, slope[0].sum(), rtol=1e-10)
