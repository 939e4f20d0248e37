"""Tab completion in Python shows what a module is for."""

import importlib

import pytest

FOREIGN = {
    "Any",
    "jnp",
    "np",
    "jax",
    "eqx",
    "dist",
    "math",
    "Sequence",
    "NamedTuple",
    "Array",
    "own_names",
}
MODULES = {
    "priors": "amplitude",
    "simulate": "render",
    "lensing": "convergence",
    "noise": "NoiseMap",
    "psf": "PSF",
    "cosmology": "scaling",
    "images": "image_positions",
    "linear": "unit_images",
    "observation": "Observation",
    "coordinates": "pixel_grid",
    "scene": "Scene",
    "population": "reweight",
}


@pytest.mark.parametrize("module", MODULES)
def test_names_are_those_of_the_package(module):
    names = dir(importlib.import_module(f"numpyro_lens.{module}"))
    assert not FOREIGN & set(names)
    assert {MODULES[module], "__name__", "__doc__"} <= set(names)
    assert not any(name.startswith("_") and not name.startswith("__") for name in names)
