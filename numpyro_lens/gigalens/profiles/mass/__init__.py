"""Deflectors by GIGA-Lens's module names."""

from numpyro_lens.gigalens.profiles.mass import epl as epl
from numpyro_lens.gigalens.profiles.mass import nfw as nfw
from numpyro_lens.gigalens.profiles.mass import shear as shear
from numpyro_lens.gigalens.profiles.mass import sie as sie
from numpyro_lens.gigalens.profiles.mass import sis as sis
from numpyro_lens.gigalens.profiles.mass import tnfw as tnfw
