"""Singular isothermal ellipsoid."""

from typing import ClassVar

from numpyro_lens import mass
from numpyro_lens.gigalens.profile import Mass


class SIE(Mass):
    """Singular isothermal ellipsoid, `numpyro_lens.mass.SIE`."""

    profile: ClassVar = mass.SIE
