"""The steps that fit a lens with two sources at different distances."""

import jax
import numpy as np
import pytest
from astropy.cosmology import Planck18
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.density import Target
from numpyro_lens.fitting import double_plane
from numpyro_lens.infer import MAP

SCALING = nl.cosmology.scaling([0.222, 0.609, 2.3], Planck18)


def lens():
    """Two rings, whose radii are 0.7 and 1 times the Einstein radius."""
    camera = nl.Observation.blank(
        (56, 56), pixel_scale=0.1, noise=nl.NoiseMap(0.01), psf=nl.GaussianPSF(fwhm=0.15)
    )
    near = {"center_x": 0.05, "center_y": -0.08}
    planes = [
        nl.Plane(
            nl.mass.EPL(theta_E=1.7, gamma=2.0, e1=0.06, e2=-0.03)
            + nl.mass.Shear(gamma1=0.03, gamma2=0.02),
            nl.light.Sersic(4.0, 0.9, 2.5, e1=0.05, smoothing=0.02),
        ),
        nl.Plane(nl.mass.SIS(theta_E=0.15, **near), nl.light.Sersic(6.0, 0.2, 1.0, **near)),
        nl.Plane(None, nl.light.Sersic(3.0, 0.2, 1.0, center_x=-0.1, center_y=0.12)),
    ]
    return nl.mock(camera, jax.random.key(0), planes=planes, scaling=SCALING)


@pytest.fixture
def begun(monkeypatch):
    """What `fit` is called with; it fits nothing."""
    calls = []

    def fit(*args, **given):
        calls.append((args, given))
        return fitted()

    monkeypatch.setattr(double_plane, "fit", fit)
    return calls


QUICK = {"num_starts": 2, "num_screened": 8, "num_steps": 2}


@pytest.mark.parametrize("scaling", [None, SCALING])
def test_the_source_of_the_search_is_near_or_far(scaling, begun, monkeypatch):
    searches = []

    def quick(**settings):
        searches.append(settings)
        return MAP(**settings | QUICK)

    monkeypatch.setattr(double_plane, "MAP", quick)
    observation = lens()
    result = nl.fit_double_source_plane(observation, scaling, seed=3, progress=False, target_ess=5)
    found = MAP(**searches[0] | QUICK).run(
        Target.of(nl.models.epl_shear_sersic, observation), jax.random.key(3), progress=False
    )
    assert result.num_gradients["search"] == sum(found.num_gradients.values())
    assert result.num_gradients["sampling"] == 7
    (args, given), search = begun[0], searches[0]
    assert args[0] is nl.models.double_source_plane
    assert args[1] is observation
    assert len(args) == (2 if scaling is None else 3)
    assert (given["seed"], given["target_ess"], given["progress"]) == (3, 5, False)
    assert search["num_polished"] == 0
    sites = {site.name for site in Target.of(*args).sites}
    near = [start for start in given["start"] if "near.amp" in start]
    far = [start for start in given["start"] if "far.amp" in start]
    assert len(near) == len(far) == (12 if scaling is None else 2)
    assert {float(start["lens.gamma"]) for start in near} >= {2.0}
    for one, other in zip(near, far, strict=True):
        assert set(one) | set(other) <= sites
        assert one["near.R_sersic"] == other["far.R_sersic"]
        ratio = one["scaling"] if scaling is None else float(scaling[0, 1])
        # The rays that reach the source of the search are the same either way.
        np.testing.assert_allclose(ratio * one["lens.theta_E"], other["lens.theta_E"], rtol=1e-6)


def test_a_ratio_alone_is_no_scaling():
    """Told before the search."""
    with pytest.raises(ValueError, match=r"shape \(3, 3\); got \(\)"):
        nl.fit_double_source_plane(None, 0.7)


def test_bands_keep_their_amplitudes():
    one = {"lens.theta_E": 1.0, "lens.gamma": 2.0, "VIS.source.amp": 3.0, "source.e1": 0.1}
    near, far, *_ = double_plane._two_sources(one, SCALING)
    assert set(near) == {"lens.theta_E", "lens.gamma", "VIS.near.amp", "near.e1"}
    assert set(far) == {"lens.theta_E", "lens.gamma", "VIS.far.amp", "far.e1"}


@pytest.mark.slow
def test_it_finds_both_rings(begun):
    """The search from there ends at the truth."""
    nl.fit_double_source_plane(lens(), progress=False)
    (args, given) = begun[0]
    target = Target.of(*args)
    found = given["map"].run(target, jax.random.key(0), start=given["start"], progress=False)
    best = {name: float(value[found.basins[0].start]) for name, value in found.samples.items()}
    np.testing.assert_allclose(best["lens.theta_E"], 1.7, rtol=0.03)
    np.testing.assert_allclose(best["scaling"], float(SCALING[0, 1]), atol=0.05)
    np.testing.assert_allclose(best["far.center_x"], -0.1, atol=0.05)
