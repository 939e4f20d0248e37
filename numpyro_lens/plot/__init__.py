"""Pictures of an observation, a fit and a posterior, for a paper or a notebook.

Every function ``plot_...`` returns ``(figure, axes)``, takes ``ax=`` and works without a display;
none changes matplotlib's settings. Save a picture with ``figure.savefig("fit.png", dpi=200)``.
"""

from numpyro_lens.plot._calibration import plot_calibration as plot_calibration
from numpyro_lens.plot._corner import plot_corner as plot_corner
from numpyro_lens.plot._corner import write_corners as write_corners
from numpyro_lens.plot._data import plot_data as plot_data
from numpyro_lens.plot._fit import plot_fit as plot_fit
from numpyro_lens.plot._fit import plot_observation as plot_observation
from numpyro_lens.plot._maps import plot_convergence as plot_convergence
from numpyro_lens.plot._maps import plot_magnification as plot_magnification
from numpyro_lens.plot._prediction import plot_prediction as plot_prediction
from numpyro_lens.plot._prior import plot_prior_predictive as plot_prior_predictive
from numpyro_lens.plot._rgb import plot_rgb as plot_rgb
from numpyro_lens.plot._stages import plot_elbo as plot_elbo
from numpyro_lens.plot._stages import plot_starts as plot_starts
