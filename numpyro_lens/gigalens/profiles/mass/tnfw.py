"""Truncated Navarro-Frenk-White halo."""

from typing import ClassVar

from numpyro_lens import mass
from numpyro_lens.gigalens.profile import Mass


class TNFW(Mass):
    """Truncated Navarro-Frenk-White halo, `numpyro_lens.mass.TNFW`."""

    profile: ClassVar = mass.TNFW
