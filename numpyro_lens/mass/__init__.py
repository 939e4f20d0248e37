"""Deflectors: anything with ``deflection``, ``potential`` and ``convergence`` of (x, y)."""

from numpyro_lens.mass._base import AbstractMass as AbstractMass
from numpyro_lens.mass._base import Sum as Sum
from numpyro_lens.mass._base import as_mass as as_mass
from numpyro_lens.mass._cored import DPIE as DPIE
from numpyro_lens.mass._cored import NIE as NIE
from numpyro_lens.mass._external import ConvergenceSheet as ConvergenceSheet
from numpyro_lens.mass._external import Shear as Shear
from numpyro_lens.mass._gaussian import Gaussian as Gaussian
from numpyro_lens.mass._gaussian import MultiGaussian as MultiGaussian
from numpyro_lens.mass._halo import NFW as NFW
from numpyro_lens.mass._halo import TNFW as TNFW
from numpyro_lens.mass._halo import Hernquist as Hernquist
from numpyro_lens.mass._halo_elliptical import NFWEllipse as NFWEllipse
from numpyro_lens.mass._isothermal import SIE as SIE
from numpyro_lens.mass._isothermal import SIS as SIS
from numpyro_lens.mass._multipole import EPLMultipole as EPLMultipole
from numpyro_lens.mass._multipole import Multipole as Multipole
from numpyro_lens.mass._point import PointMass as PointMass
from numpyro_lens.mass._population import Population as Population
from numpyro_lens.mass._power_law import EPL as EPL
from numpyro_lens.mass._stellar import Sersic as Sersic
from numpyro_lens.mass._stellar import sersic_gaussians as sersic_gaussians
