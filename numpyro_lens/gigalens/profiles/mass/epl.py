"""Elliptical power law."""

from typing import ClassVar

from numpyro_lens import mass
from numpyro_lens.gigalens.profile import Mass


class EPL(Mass):
    """Elliptical power law, `numpyro_lens.mass.EPL`.

    Args:
        niter: terms of GIGA-Lens's series; ours has as many as the precision needs.
    """

    profile: ClassVar = mass.EPL

    def __init__(self, niter: int = 18) -> None:
        super().__init__()
        self.niter = niter
