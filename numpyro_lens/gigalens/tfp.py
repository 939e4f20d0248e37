"""The corner of TFP that GIGA-Lens's scripts use, in the place of the import of ``tfp``."""

from numpyro_lens.gigalens import bijectors as bijectors
from numpyro_lens.gigalens import mcmc as mcmc
from numpyro_lens.gigalens import tfd as distributions

__all__ = ["bijectors", "distributions", "mcmc"]
