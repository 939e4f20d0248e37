"""Lights by GIGA-Lens's module names."""

from numpyro_lens.gigalens.profiles.light import sersic as sersic
from numpyro_lens.gigalens.profiles.light import shapelets as shapelets
