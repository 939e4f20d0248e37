"""Strong gravitational lenses as NumPyro models."""

from numpyro_lens import coordinates as coordinates
from numpyro_lens import exchange as exchange
from numpyro_lens import infer as infer
from numpyro_lens import lensing as lensing
from numpyro_lens import light as light
from numpyro_lens import linear as linear
from numpyro_lens import mass as mass
from numpyro_lens import models as models
from numpyro_lens import plot as plot
from numpyro_lens import priors as priors
from numpyro_lens import simulate as simulate
from numpyro_lens.infer import BackwardProbModel as BackwardProbModel
from numpyro_lens.infer import ForwardProbModel as ForwardProbModel
from numpyro_lens.infer import LensSimulator as LensSimulator
from numpyro_lens.infer import ModellingSequence as ModellingSequence
from numpyro_lens.infer import ModellingSequenceInterface as ModellingSequenceInterface
from numpyro_lens.infer import PhysicalModel as PhysicalModel
from numpyro_lens.infer import SimulatorConfig as SimulatorConfig
from numpyro_lens.infer import fit as fit
from numpyro_lens.infer import load as load
from numpyro_lens.io import read_fits as read_fits
from numpyro_lens.io import write_fits as write_fits
from numpyro_lens.linear import Linear as Linear
from numpyro_lens.models import observe as observe
from numpyro_lens.models import observe_marginal as observe_marginal
from numpyro_lens.models import sample as sample
from numpyro_lens.noise import NoiseMap as NoiseMap
from numpyro_lens.noise import PoissonNoise as PoissonNoise
from numpyro_lens.observation import Observation as Observation
from numpyro_lens.psf import PSF as PSF
from numpyro_lens.psf import GaussianPSF as GaussianPSF
from numpyro_lens.simulate import mock as mock
from numpyro_lens.simulate import render as render

__version__ = "0.1.0"
