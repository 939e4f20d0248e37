"""Simulation-based calibration: do posteriors hold the truth as often as they say?"""

from numpyro_lens.calibration.result import Calibration as Calibration
from numpyro_lens.calibration.result import load_calibration as load_calibration
from numpyro_lens.calibration.run import calibrate as calibrate
from numpyro_lens.calibration.simulate import Mock as Mock
from numpyro_lens.calibration.statistics import Band as Band
from numpyro_lens.calibration.statistics import Share as Share
from numpyro_lens.calibration.statistics import band as band
from numpyro_lens.calibration.statistics import ecdf_difference as ecdf_difference
from numpyro_lens.calibration.statistics import uniformity as uniformity
