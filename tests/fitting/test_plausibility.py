"""What is rare among galaxies is doubted."""

import dataclasses

import pytest
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.fitting.plausibility import doubts
from numpyro_lens.light import Gaussian, Uniform
from numpyro_lens.mass import SIE, Shear

PLAIN = {"theta_E": 1.0, "e1": 0.1, "e2": 0.0, "center_x": 0.0, "center_y": 0.0}
SHEAR = {"gamma1": 0.1, "gamma2": -0.1}
GALAXY = Gaussian(1.0, 0.5)


def scene(lens=PLAIN, shear=SHEAR, light=GALAXY):
    return nl.Scene.of(mass=[SIE(**lens), Shear(**shear)], lens_light=light)


@pytest.mark.parametrize(
    ("placed", "found"),
    [
        (scene(), []),
        (scene(shear={"gamma1": 0.0, "gamma2": -0.28}), ["The external shear is 0.28, above 0.2"]),
        (scene(PLAIN | {"center_y": -0.2}), ["The mass is 0.20 arcsec off the light"]),
        (scene(PLAIN | {"e2": 0.5}), ["The ellipticities of mass and light are 0.51 apart"]),
        (scene(PLAIN | {"center_x": 2.0}, light=Uniform(1.0)), []),
        (nl.Scene.of(lens_light=GALAXY), []),
    ],
)
def test_what_few_galaxies_have(placed, found):
    said = doubts(placed)
    assert len(said) == len(found)
    assert all(text.startswith(start) for text, start in zip(said, found, strict=True))


CAMERA = nl.Observation.blank((60, 60), pixel_scale=0.1, noise=nl.NoiseMap(0.01))


@pytest.mark.parametrize(
    ("amp", "lens", "found"),
    [
        (1.0, SIE(**PLAIN), ()),
        (-1.0, SIE(**PLAIN), ("The flux of the source is negative",)),
        (-1e-3, SIE(**PLAIN), ()),  # lost in the noise
        # Stretched by a matrix without convergence: fainter than without it.
        (1.0, Shear(gamma1=0.0, gamma2=1.6), ("The magnification of the source is 0.64, below 1",)),
        (1.0, None, ()),
    ],
)
def test_a_source_that_no_matter_makes(amp, lens, found):
    source = Gaussian(amp, 0.2, center_x=0.1)
    said = doubts(nl.Scene.of(mass=lens, source=source), CAMERA)
    assert [text for text in said if "shear" not in text] == list(found)


def test_the_nearest_light_and_the_heaviest_galaxy_count():
    small = SIE(**PLAIN | {"theta_E": 0.1, "center_x": 3.0})
    lights = [Gaussian(1.0, 0.5, center_x=9.0), GALAXY]
    assert not doubts(nl.Scene.of(mass=[small, SIE(**PLAIN)], lens_light=lights))


def test_the_verdict_tells():
    result = fitted()
    sound = dataclasses.replace(result.verdict, converged=True, residuals=(), other_modes=())
    assert sound.good
    result.__dict__["doubts"] = ("The external shear is 0.30, above 0.2",)
    del result.__dict__["verdict"]
    odd = dataclasses.replace(result.verdict, converged=True, residuals=(), other_modes=())
    assert not odd.good
    assert odd.exit_code == 3
    assert "shear is 0.30, above 0.2: look at" in str(odd)
