"""The profiles that a mass or a light is the sum of."""

from numpyro_lens import light, mass


def profiles_of(whole: mass.AbstractMass | light.AbstractLight | None) -> tuple:
    """Profiles, none of which is a sum; none at all of None."""
    if whole is None:
        return ()
    if isinstance(whole, mass.AbstractMass):
        return mass.components(whole)
    return light.components(whole)
