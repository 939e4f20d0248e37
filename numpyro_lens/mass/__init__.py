"""Deflectors: anything with ``deflection``, ``potential`` and ``convergence`` of (x, y)."""

from numpyro_lens.mass._base import AbstractMass as AbstractMass
from numpyro_lens.mass._base import Sum as Sum
from numpyro_lens.mass._base import as_mass as as_mass
from numpyro_lens.mass._external import Shear as Shear
from numpyro_lens.mass._isothermal import SIE as SIE
from numpyro_lens.mass._isothermal import SIS as SIS
from numpyro_lens.mass._power_law import EPL as EPL
