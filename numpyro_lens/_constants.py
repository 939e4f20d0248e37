"""Constants of nature in the units of lenses, from astropy when they are first used."""

import functools
from typing import NamedTuple


class Constants(NamedTuple):
    """Constants of nature and lengths of units.

    Args:
        light: speed of light [km/s].
        gravity: gravitational constant [Mpc km² / (solar mass s²)].
        arcsec: an arcsecond [radian].
        day: a day [s].
        megaparsec: a megaparsec [km].
    """

    light: float
    gravity: float
    arcsec: float
    day: float
    megaparsec: float


@functools.cache
def constants() -> Constants:
    """The values of astropy, which is imported here and not with the package.

    Returns:
        `Constants`.

    Example:
        >>> constants().light
        299792.458
    """
    from astropy import units
    from astropy.constants import G, c

    return Constants(
        light=float(c.to_value("km / s")),
        gravity=float(G.to_value("Mpc km2 / (Msun s2)")),
        arcsec=float(units.arcsec.to(units.radian)),
        day=float(units.day.to(units.s)),
        megaparsec=float(units.Mpc.to(units.km)),
    )
