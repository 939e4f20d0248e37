"""Conversions with a cosmology: round trips, and lenstronomy's numbers."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM, LambdaCDM

import numpyro_lens
from numpyro_lens import cosmology, lensing
from numpyro_lens.mass import NFW, SIS

COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3, Ob0=0.05)
DISTANCES = cosmology.distances(COSMOLOGY, 0.5, 1.5)


@pytest.mark.parametrize("module", ["cosmology", "images"])
def test_astropy_is_imported_by_its_first_use_alone(module):
    """In a fresh process, without the package's everyday names, some of which read FITS files."""
    code = f"""
import importlib, sys, types
package = types.ModuleType("numpyro_lens")
package.__path__ = {numpyro_lens.__path__!r}
sys.modules["numpyro_lens"] = package
importlib.import_module("numpyro_lens.{module}")
assert "astropy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def lens_cosmo():
    pytest.importorskip("lenstronomy")
    from lenstronomy.Cosmo.lens_cosmo import LensCosmo

    return LensCosmo(0.5, 1.5, COSMOLOGY)


def test_velocity_dispersion_round_trip(double, lens_cosmo):
    parameters = cosmology.sis_from_velocity_dispersion(250.0, DISTANCES)
    np.testing.assert_allclose(parameters["theta_E"], lens_cosmo.sis_sigma_v2theta_E(250.0))
    again = cosmology.velocity_dispersion(**parameters, distances=DISTANCES)
    np.testing.assert_allclose(again, 250.0, rtol=1e-12)


@pytest.mark.parametrize("concentration", [1.5, 6.0, 40.0])
def test_nfw_mass_round_trip(concentration, double, lens_cosmo):
    parameters = cosmology.nfw_from_mass(2e13, concentration, DISTANCES)
    expected = lens_cosmo.nfw_physical2angle(2e13, concentration)
    # Its gravitational constant times the solar mass is 2.8e-4 above the IAU's.
    np.testing.assert_allclose(list(parameters.values()), expected, rtol=1e-3)
    again = cosmology.nfw_mass(**parameters, distances=DISTANCES)
    np.testing.assert_allclose(again, [2e13, concentration], rtol=1e-10)


def test_nfw_from_mass_encloses_that_mass(double):
    """The projected mass of the profile, far out, is what the three-dimensional density has."""
    lens = NFW(**cosmology.nfw_from_mass(1e13, 5.0, DISTANCES))
    inside = lensing.mass_within(lens, lens.Rs) * DISTANCES.critical_density
    # In a cylinder of radius Rs: M200 (1 - ln 2) / (ln(1+c) - c/(1+c)).
    expected = 1e13 * (1 - np.log(2)) / (np.log(6.0) - 5.0 / 6.0)
    np.testing.assert_allclose(inside, expected, rtol=1e-10)


def test_distances_agree_with_lenstronomy(double, lens_cosmo):
    np.testing.assert_allclose(DISTANCES.time_delay_distance, lens_cosmo.ddt, rtol=1e-10)
    np.testing.assert_allclose(DISTANCES.critical_density, lens_cosmo.sigma_crit_angle, rtol=1e-3)


def test_a_sis_weighs_what_its_velocity_dispersion_says(double):
    """pi theta_E² Sigma_cr = sigma_v² pi r / G at r = theta_E."""
    theta_E = cosmology.sis_from_velocity_dispersion(250.0, DISTANCES)["theta_E"]
    mass = lensing.mass_within(SIS(theta_E), theta_E) * DISTANCES.critical_density
    radius = theta_E * np.deg2rad(1 / 3600) * DISTANCES.lens
    np.testing.assert_allclose(mass, np.pi * 250.0**2 * radius / 4.30091e-9, rtol=1e-5)


def test_distances_in_a_curved_universe():
    curved = LambdaCDM(H0=70, Om0=0.3, Ode0=0.6)
    d = cosmology.distances(curved, 0.5, 2.0)
    # In an open universe the integral between the redshifts gives the same distance.
    radius = curved.hubble_distance.to_value("Mpc") / np.sqrt(curved.Ok0)
    path = (curved.comoving_distance(2.0) - curved.comoving_distance(0.5)).to_value("Mpc")
    np.testing.assert_allclose(d.between, radius * np.sinh(path / radius) / 3.0, rtol=1e-8)


def test_a_source_in_front_teaches():
    with pytest.raises(ValueError, match="behind the lens"):
        cosmology.distances(COSMOLOGY, 1.5, 0.5)
