"""Models that are fitted in steps."""

import pytest

import numpyro_lens as nl
from numpyro_lens.fitting import recipe_of


class Unhashable:
    """A model that cannot be the key of a dict."""

    __hash__ = None

    def __call__(self, observation):
        raise AssertionError("a stand-in")


def test_ready_models_have_the_recipes_of_their_names():
    assert recipe_of(nl.models.galaxy) is nl.fit_galaxy
    assert recipe_of(nl.models.double_source_plane) is nl.fit_double_source_plane
    assert recipe_of(nl.models.epl_shear_sersic) is None
    assert recipe_of(Unhashable()) is None


@pytest.mark.parametrize("name", ["galaxy", "double_source_plane"])
def test_a_recipe_finds_its_own_start(name):
    model = getattr(nl.models, name)
    with pytest.raises(TypeError, match=f"its own start.*nl.models.{name}, observation, start="):
        recipe_of(model)(None, start={"lens.theta_E": 1.0})
