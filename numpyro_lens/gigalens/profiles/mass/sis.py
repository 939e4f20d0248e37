"""Singular isothermal sphere."""

from typing import ClassVar

from numpyro_lens import mass
from numpyro_lens.gigalens.profile import Mass


class SIS(Mass):
    """Singular isothermal sphere, `numpyro_lens.mass.SIS`."""

    profile: ClassVar = mass.SIS
