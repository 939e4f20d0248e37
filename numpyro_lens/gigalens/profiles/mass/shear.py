"""External shear."""

from typing import ClassVar

from numpyro_lens import mass
from numpyro_lens.gigalens.profile import Mass


class Shear(Mass):
    """External shear, `numpyro_lens.mass.Shear`."""

    profile: ClassVar = mass.Shear
