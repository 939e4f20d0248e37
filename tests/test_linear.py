"""Amplitudes solved for are those simulated, in the same units."""

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens.light import Gaussian, Sersic
from numpyro_lens.linear import solve_amplitudes, unit_images
from numpyro_lens.mass import SIE
from numpyro_lens.noise import NoiseMap
from numpyro_lens.observation import Observation
from numpyro_lens.psf import GaussianPSF
from numpyro_lens.simulate import render


def scene(amplitudes):
    lights = [Sersic(amplitudes[0], 0.5, 3.0), Gaussian(amplitudes[1], 0.2, center_x=0.3)]
    source = Sersic(amplitudes[2], 0.2, 1.0, center_x=0.1)
    return {"mass": SIE(0.8, 0.1, 0.0), "source": source, "lens_light": lights}


def test_simulated_amplitudes_come_back(x64):
    observation = Observation(
        np.zeros((30, 32)), pixel_scale=0.08, noise=NoiseMap(0.1), psf=GaussianPSF(0.15)
    )
    truth = [5.0, 2.0, 9.0]
    image = jax.jit(lambda o: render(o, **scene(truth)))(observation)
    images = jax.jit(lambda o: unit_images(o, **scene([7.0, 7.0, 7.0])))(observation)
    # A masked pixel without a value spoils neither the solution nor its derivative.
    mask = observation.mask.at[3, 3].set(False)
    data = image.at[3, 3].set(jnp.nan)
    sigma = jnp.full(image.shape, 0.1).at[3, 3].set(0.0)
    found = solve_amplitudes(images, data, sigma, mask)
    np.testing.assert_allclose(found, truth, rtol=1e-8 if x64 else 1e-3)

    def first(scale):
        return solve_amplitudes(images * scale, data, sigma, mask)[0]

    np.testing.assert_allclose(jax.grad(first)(1.0), -5.0, rtol=1e-6 if x64 else 1e-2)


def test_equal_and_empty_images_are_no_failure(x64):
    one = jnp.ones((4, 5))
    found = solve_amplitudes([one, one, 0 * one], 6 * one, one)
    np.testing.assert_allclose(found, [3.0, 3.0, 0.0], rtol=1e-2, atol=1e-2)
