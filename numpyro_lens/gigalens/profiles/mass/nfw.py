"""Navarro-Frenk-White halo."""

from typing import ClassVar

from numpyro_lens import mass
from numpyro_lens.gigalens.profile import Mass


class NFW(Mass):
    """Navarro-Frenk-White halo, `numpyro_lens.mass.NFW`."""

    profile: ClassVar = mass.NFW
