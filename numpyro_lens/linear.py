"""Amplitudes enter an image linearly, so they can be solved for."""

import dataclasses

import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve

from numpyro_lens._types import Array, Image
from numpyro_lens.light import as_light
from numpyro_lens.light._base import components
from numpyro_lens.observation import Observation
from numpyro_lens.simulate import render


def unit_images(observation: Observation, *, mass=None, source=None, lens_light=None) -> Array:
    """The image of each light profile at amplitude one, lens light first.

    Args:
        observation: the instrument.
        mass: a deflector, or a list of them.
        source: light in the source plane, or a list; its ``amp`` are not looked at.
        lens_light: light in the image plane, or a list; its ``amp`` are not looked at.

    Returns:
        ``(k, ny, nx)`` images, in the units of `render`.

    Example:
        >>> import numpy as np
        >>> import numpyro_lens as nl
        >>> instrument = nl.Observation(np.zeros((8, 9)), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
        >>> lights = [nl.light.Uniform(amp=1.0), nl.light.Gaussian(amp=1.0, sigma=0.2)]
        >>> unit_images(instrument, lens_light=lights).shape
        (2, 8, 9)
    """
    images = [render(observation, mass=mass, lens_light=p) for p in _unit_profiles(lens_light)]
    images += [render(observation, mass=mass, source=p) for p in _unit_profiles(source)]
    return jnp.stack(images)


def _unit_profiles(light):
    if light is None:
        return []
    return [dataclasses.replace(p, amp=1.0) for p in components(as_light(light))]  # type: ignore[call-arg]


def solve_amplitudes(images, data: Image, sigma: Image, mask=None, *, ridge=None):
    r"""Amplitudes of the best weighted fit, by Cholesky factorisation.

    .. math:: (N + \lambda D)\, a = b, \quad N_{kl} = \sum_p \frac{U_{kp} U_{lp}}{\sigma_p^2},
              \quad b_k = \sum_p \frac{U_{kp} d_p}{\sigma_p^2}, \quad D = \mathrm{diag}\,N

    The ridge is relative to each image's own weight, so it changes an isolated amplitude by one
    part in 1/ridge whatever the units. Images that cannot be told apart share the flux; no
    singular value is thrown away, so the solution has a derivative everywhere.

    Args:
        images: ``(k, ny, nx)`` array, or a list of images, each of amplitude one.
        data: ``(ny, nx)`` image to fit.
        sigma: ``(ny, nx)`` standard deviation of each pixel.
        mask: ``(ny, nx)``, True uses the pixel; all of them by default.
        ridge: the ridge; by default 1e-5 in single and 1e-12 in double precision.

    Returns:
        ``(k,)`` amplitudes, to be used as ``amp``.

    Example:
        >>> import jax.numpy as jnp
        >>> images = jnp.array([[[1.0, 0.0]], [[0.0, 2.0]]])
        >>> amplitudes = solve_amplitudes(images, jnp.array([[3.0, 4.0]]), jnp.ones((1, 2)))
        >>> [round(float(a), 3) for a in amplitudes]
        [3.0, 2.0]

    Reference: Warren & Dye 2003, ApJ 590, 673, equation 6.
    """
    weighted, target = _whitened(images, data, sigma, mask)
    if ridge is None:
        ridge = 1e-5 if jnp.finfo(weighted.dtype).bits <= 32 else 1e-12
    # An image without light keeps a finite scale, and gets the amplitude zero.
    scale = jnp.sqrt(jnp.sum(weighted**2, axis=1) + jnp.finfo(weighted.dtype).tiny)
    unit = weighted / scale[:, None]
    normal = unit @ unit.T + ridge * jnp.eye(scale.size, dtype=unit.dtype)
    return cho_solve(cho_factor(normal), unit @ target) / scale


def _whitened(images, data, sigma, mask):
    """Images ``(k, pixels)`` and data ``(pixels,)`` over sigma, zero out of use."""
    images = jnp.stack(list(images)) if isinstance(images, list | tuple) else images
    mask = jnp.ones(data.shape, bool) if mask is None else mask
    weight = jnp.where(mask, 1.0 / jnp.where(mask, sigma, 1.0), 0.0)
    target = jnp.where(mask, data, 0.0) * weight
    return (images * weight[None]).reshape(images.shape[0], -1), target.ravel()
