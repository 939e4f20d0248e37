"""To and from other lens-modelling codes: lenstronomy, and the files of the COOLEST standard."""

from numpyro_lens.exchange._coolest import read_coolest as read_coolest
from numpyro_lens.exchange._coolest import write_coolest as write_coolest
from numpyro_lens.exchange._lenstronomy import from_lenstronomy as from_lenstronomy
from numpyro_lens.exchange._lenstronomy import read_lenstronomy as read_lenstronomy
from numpyro_lens.exchange._lenstronomy import to_lenstronomy as to_lenstronomy
