"""Light profiles: flux and values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens import light


def test_sersic_is_amp_at_its_radius_and_gaussian_has_flux_amp(double):
    x, y = np.meshgrid(*[np.linspace(-4, 4, 401)] * 2)
    gaussian = light.Gaussian(amp=3.0, sigma=0.5, e1=0.2, e2=-0.1)
    np.testing.assert_allclose(gaussian.brightness(x, y).sum() * 0.02**2, 3.0, rtol=1e-8)
    sersic = light.Sersic(amp=3.0, R_sersic=0.7, n_sersic=2.5, e1=0.2)
    q = 0.8 / 1.2
    along_major, along_minor = 0.7 / np.sqrt(q), 0.7 * np.sqrt(q)
    np.testing.assert_allclose(sersic.brightness(along_major, 0.0), 3.0, rtol=1e-9)
    np.testing.assert_allclose(sersic.brightness(0.0, along_minor), 3.0, rtol=1e-9)


def test_amplitude_is_applied_once():
    one, two = (light.Sersic(a, 0.5, 2.0).brightness(0.3, 0.1) for a in (1.0, 2.0))
    np.testing.assert_allclose(two / one, 2.0, rtol=1e-6)


@pytest.mark.parametrize("n", [0.3, 0.5, 1.0, 4.0, 8.0])
@pytest.mark.parametrize("r", [0.0, 1e-4, 1.0, 1e3])
def test_sersic_is_finite_near_and_far(n, r, x64):
    def f(p):
        return light.Sersic(p[0], p[1], p[2], p[3], p[4]).brightness(p[5], p[6])

    p = jnp.array([1.0, 0.1, n, 0.0, 0.0, r, 0.0])
    assert all(np.isfinite(d(p)).all() for d in (f, jax.grad(f)))


def test_a_deflector_is_no_light():
    with pytest.raises(TypeError, match="lens_light=Sersic"):
        light.as_light(3.0, "lens_light")
