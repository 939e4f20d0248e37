"""Functions of any deflector, on lenses whose answer is known."""

import numpy as np
import pytest

from numpyro_lens import lensing
from numpyro_lens.infer.stage import timed
from numpyro_lens.mass import EPL, NFW, SIE, SIS, PointMass, Shear

X, Y = np.array([0.5, -1.4, 2.0]), np.array([0.7, 0.9, -0.2])


def test_convergence_is_the_closed_form_of_a_profile_that_has_one(double):
    for lens in (EPL(theta_E=1.2, gamma=1.9, e1=0.1), EPL(1.2, 1.9) + Shear(0.1, 0.0)):
        np.testing.assert_array_equal(lensing.convergence(lens, X, Y), lens.convergence(X, Y))


def test_sis(double):
    lens, r = SIS(theta_E=1.2), np.hypot(X, Y)
    np.testing.assert_allclose(lensing.convergence(lens, X, Y), 0.6 / r)
    np.testing.assert_allclose(np.hypot(*lensing.shear(lens, X, Y)), 0.6 / r)
    np.testing.assert_allclose(lensing.magnification(lens, X, Y), 1 / (1 - 1.2 / r))
    beta = lensing.ray_trace(lens, X, Y)
    np.testing.assert_allclose(np.hypot(*beta), np.abs(r - 1.2))


def test_shear_alone(double):
    gamma1, gamma2 = lensing.shear(Shear(0.03, -0.02), X, Y)
    np.testing.assert_allclose([gamma1[0], gamma2[0]], [0.03, -0.02])


def test_critical_curve_is_where_the_magnification_diverges(double):
    lens = EPL(1.2, 1.8, 0.2, 0.1) + Shear(0.05, 0.02)
    curves = lensing.critical_curves(lens)
    assert len(curves) == 2
    for curve in curves:
        assert np.abs(lensing.inverse_magnification(lens, *curve.T)).max() < 1e-5
    caustics = lensing.caustics(lens)
    assert len(caustics) == 2
    for curve, caustic in zip(curves, caustics, strict=True):
        traced = np.stack(lensing.ray_trace(lens, *curve.T), axis=1)
        np.testing.assert_allclose(caustic, traced, atol=1e-12)


def test_curves_of_another_length_compile_nothing():
    """What is compiled for the curves of a lens would never be used again, and stay in memory."""
    lengths = []
    for theta_E in (1.0, 1.3):
        with timed() as timing:
            curves = lensing.caustics(SIE(theta_E, 0.1, 0.05))
        lengths.append(len(curves[0]))
    assert lengths[0] != lengths[1]
    assert timing.compile_s == 0.0


@pytest.mark.parametrize("gamma", [1.7, 2.0, 2.3])
def test_einstein_radius_is_theta_e(gamma, double):
    """Exact for an isothermal lens, where the critical curve is an iso-density curve."""
    np.testing.assert_allclose(lensing.einstein_radius(EPL(1.3, gamma)), 1.3, rtol=1e-4)
    np.testing.assert_allclose(lensing.einstein_radius(SIE(1.3, 0.2, -0.1)), 1.3, rtol=1e-4)


def test_a_window_too_small_teaches():
    with pytest.raises(ValueError, match="half_width=20"):
        lensing.einstein_radius(SIE(1.3, 0.2, -0.1), half_width=1.0)


def test_mass_within_equals_pi_theta_e_squared(double):
    lens = SIS(1.2, 0.3, -0.1)
    inside = lensing.mass_within(lens, 1.2, center=(0.3, -0.1))
    np.testing.assert_allclose(inside, np.pi * 1.2**2, rtol=1e-10)
    np.testing.assert_allclose(
        lensing.mass_within(PointMass(0.8, 0.2), 1.0), np.pi * 0.8**2, rtol=1e-10
    )
    round_ = EPL(1.3, 2.2)
    np.testing.assert_allclose(lensing.mass_in_einstein_radius(round_), np.pi * 1.3**2, rtol=1e-4)


@pytest.mark.parametrize("gamma", [1.6, 2.3])
def test_local_slope_of_a_power_law(gamma, double):
    lens = EPL(1.3, gamma, 0.2, -0.1)
    np.testing.assert_allclose(lensing.local_slope(lens, 0.9), gamma, rtol=1e-8)


def test_local_slope_of_a_halo(double):
    """An NFW has slope 1 inside and 3 outside."""
    halo = NFW(Rs=1.0, alpha_Rs=1.0)
    slopes = [lensing.local_slope(halo, r) for r in (1e-5, 1e4)]
    np.testing.assert_allclose(slopes, [1.0, 3.0], atol=0.1)
