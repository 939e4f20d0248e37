"""FITS files: reads them as observations, writes observations, and says what was read."""

from numpyro_lens.io.reading import read_fits as read_fits
from numpyro_lens.io.summary import describe as describe
from numpyro_lens.io.writing import write_fits as write_fits
