"""Scenes whose image is not what their numbers say are told, and others are not."""

import warnings

import jax
import numpy as np
import pytest

import numpyro_lens as nl
from numpyro_lens.limits import warn_of_limits


def camera(supersampling):
    return nl.Observation.blank(
        (21, 21), pixel_scale=0.1, noise=nl.NoiseMap(1.0), supersampling=supersampling
    )


def spot(center):
    return nl.light.Gaussian(amp=1.0, sigma=0.01, center_x=center, center_y=center)


@pytest.mark.parametrize("supersampling", [1, 2, 4, 8])
def test_a_source_between_the_sub_pixels_has_its_flux_or_is_told(supersampling):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flux = [
            float(nl.render(camera(supersampling), lens_light=spot(center)).sum())
            for center in (0.0, 0.025, 0.05)
        ]
    if supersampling < 4:
        assert max(np.abs(np.subtract(flux, 1))) > 0.5
        assert 'Gaussian with sigma=0.01" is smaller than a sub-pixel' in str(caught[0].message)
    if not caught:
        np.testing.assert_allclose(flux, 1.0, atol=0.1)


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ({"mass": nl.mass.SIE(theta_E=1.0, e1=0.96)}, "SIE has an ellipticity of 0.96; beyond 0.9"),
        (
            {"lens_light": nl.light.Sersic(amp=1.0, R_sersic=0.5, n_sersic=0.2)},
            "Sersic has n_sersic=0.2; below 0.36",
        ),
        ({"source": nl.light.Sersic(amp=1.0, R_sersic=0.01, n_sersic=1.0)}, "R_sersic=0.01"),
    ],
)
def test_values_beyond_their_range_are_named(scene, words):
    with pytest.warns(UserWarning, match=words):
        nl.mock(camera(1), jax.random.key(0), **scene)


def test_an_observation_of_another_precision_is_told():
    single = camera(4)
    with jax.enable_x64(True), pytest.warns(UserWarning, match="made in another precision"):
        nl.render(single, mass=nl.mass.SIS(theta_E=0.5))


def test_traced_values_are_left_alone():
    image = jax.jit(lambda sigma: nl.render(camera(2), lens_light=nl.light.Gaussian(1.0, sigma)))
    assert np.isfinite(image(0.01)).all()


def test_what_a_footprint_softens_and_several_sizes():
    lights = nl.light.MultiGaussian(amp=np.ones(2), sigma=np.array([0.01, 0.3]))
    with pytest.warns(UserWarning, match="sigma=0.01"):
        warn_of_limits(camera(2), nl.Scene.of(lens_light=lights))
