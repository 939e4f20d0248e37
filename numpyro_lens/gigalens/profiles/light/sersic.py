"""Sersic profiles."""

from typing import Any, ClassVar

from numpyro_lens import light
from numpyro_lens.gigalens.profile import Light, with_amp


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


class Point(Light):
    r"""A spot of brightness :math:`I_e^2`, 0.003 arcsec in radius: the point of ``xh-dev``.

    It is the Sersic profile of :math:`R_e = 0.001` arcsec and :math:`n = 0.165`. Rays of sub-pixels
    step over so small a spot, as they do there: the image of a point is often empty.

    Args:
        use_lstsq: whether its brightness is solved for.
    """

    profile: ClassVar = light.Sersic
    _params: ClassVar = ["center_x", "center_y", "Ie"]

    def named(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values by our names of the parameters, with those that are fixed."""
        values = with_amp(values) | {"R_sersic": 0.001, "n_sersic": 0.165}
        return values | ({"amp": values["amp"] ** 2} if "amp" in values else {})
