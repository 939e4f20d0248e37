"""Rendering, recording and mock data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens.light import Gaussian, Uniform
from numpyro_lens.mass import SIS, Shear
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import PSF
from numpyro_lens.simulate import Scene, mock, record_scenes, render


@pytest.fixture
def instrument():
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    return Observation(np.zeros((12, 14)), pixel_scale=0.1, noise=NoiseMap(0.5), psf=PSF(kernel))


def test_pixels_are_brightness_times_area(instrument):
    image = render(instrument, lens_light=Uniform(amp=3.0))
    np.testing.assert_allclose(image[1:-1, 1:-1], 0.03, rtol=1e-5)
    # No light comes from outside the image.
    np.testing.assert_allclose(image[0, 1:-1], 0.0225, rtol=1e-5)


def test_lists_sums_and_nothing(instrument):
    lens, shear, light = SIS(0.3), Shear(0.05, 0.0), Gaussian(1.0, 0.1)
    a = render(instrument, mass=[lens, shear], source=[light, light], lens_light=light)
    b = render(instrument, mass=lens + shear, source=light + light, lens_light=(light,))
    np.testing.assert_allclose(a, b)
    assert not render(instrument, mass=None).any()
    plain = render(instrument, mass=None, source=light)
    np.testing.assert_allclose(plain, render(instrument, mass=None, lens_light=light))
    with pytest.raises(TypeError, match="source=Sersic"):
        render(instrument, mass=lens, source=lens)


def test_scenes_are_recorded_only_while_open(instrument):
    light = Gaussian(1.0, 0.1)
    with record_scenes() as outer:
        render(instrument, mass=SIS(1.0), source=light)
        with record_scenes() as inner:
            render(instrument, lens_light=light)
    render(instrument, lens_light=light)
    assert [len(outer), len(inner)] == [2, 1]
    assert isinstance(outer[0], Scene)
    assert outer[0].mass.theta_E == 1.0
    assert jax.tree.leaves(inner[0]) == jax.tree.leaves(light)


def test_mock_has_the_noise_that_it_says(instrument):
    light = Uniform(amp=1.0)
    keys = jax.random.split(jax.random.key(0), 200)
    images = jax.vmap(lambda k: mock(instrument, k, lens_light=light).image)(keys)
    residual = (images - render(instrument, lens_light=light)[None]) / 0.5
    np.testing.assert_allclose(jnp.std(residual), 1.0, atol=0.02)
    np.testing.assert_allclose(jnp.mean(residual), 0.0, atol=0.02)
