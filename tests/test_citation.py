"""What is printed is BibTeX, of what the model used and of nothing else."""

import re

from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens import citation as module_function
from numpyro_lens.mass import AbstractPotential


def printed(capsys, *arguments):
    module_function(*arguments)
    return capsys.readouterr().out


def keys(text):
    return re.findall(r"^@\w+\{(\w+),$", text, re.M)


def test_model_cites_its_profiles_and_no_fit(capsys):
    text = printed(capsys, nl.models.epl_shear_sersic)
    assert keys(text) == ["numpyro_lens", "jax", "phan2019", "tessore2015"]
    assert text.count("{") == text.count("}")
    assert "% Sersic: Capaccioli 1989" in text


def test_fit_adds_its_methods(capsys):
    text = printed(capsys, fitted())
    assert {"gu2022", "hoffman2021", "roeder2017", "kumar2019"} <= set(keys(text))
    assert "kormann1994" in keys(text)  # the SIS of the model
    assert "tessore2015" not in keys(text)


def test_profile_without_reference_is_told(capsys):
    class Mine(AbstractPotential):
        """My own."""

        theta_E: float = 1.0

        def potential(self, x, y):
            return 0.0 * x

    def model(observation):
        nl.observe("image", observation, mass=Mine(), source=nl.light.Uniform(amp=1.0))

    assert "% Mine: no reference in its docstring" in printed(capsys, model)


def test_an_image_of_ones_own_making_is_told(capsys):
    def model(observation):
        image = nl.render(observation, lens_light=nl.light.Uniform(amp=1.0))
        nl.observe_image("picture", image, observation)

    assert "% picture: an image of the model's own making" in printed(capsys, model)


def test_every_entry_is_whole():
    import importlib

    entries = importlib.import_module("numpyro_lens.citations")
    used = set(entries._METHODS) | set(entries._STAGES)
    used |= {key for names in entries._PROFILES.values() for key in names}
    assert used == set(entries._BIBTEX)
    for name, entry in entries._BIBTEX.items():
        assert entry.count("{") == entry.count("}"), name
        assert "title = {" in entry
    assert all(hasattr(nl.mass, n) or hasattr(nl.light, n) for n in entries._PROFILES)
