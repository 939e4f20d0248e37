"""Sersic profiles."""

from typing import ClassVar

from numpyro_lens import light
from numpyro_lens.gigalens.profile import Light


class Sersic(Light):
    """Round Sersic profile, `numpyro_lens.light.Sersic`.

    Args:
        use_lstsq: whether its amplitude is solved for.
    """

    profile: ClassVar = light.Sersic
    _params: ClassVar = ["R_sersic", "n_sersic", "center_x", "center_y"]


class SersicEllipse(Light):
    """Elliptical Sersic profile, `numpyro_lens.light.Sersic`.

    Args:
        use_lstsq: whether its amplitude is solved for.
    """

    profile: ClassVar = light.Sersic
    _name: ClassVar = "SERSIC_ELLIPSE"


class CoreSersic(Light):
    """Sersic profile with a core, `numpyro_lens.light.CoreSersic`.

    Args:
        use_lstsq: whether its amplitude is solved for.
    """

    profile: ClassVar = light.CoreSersic
    _name: ClassVar = "CORE_SERSIC"
