"""Inference for any NumPyro model: MAP, SVI, HMC."""

from numpyro_lens.density import NormalQuantileTransform as NormalQuantileTransform
from numpyro_lens.density import Target as Target
from numpyro_lens.density import map_batch as map_batch
from numpyro_lens.infer.diagnostics import Verdict as Verdict
from numpyro_lens.infer.files import load as load
from numpyro_lens.infer.files import save as save
from numpyro_lens.infer.hmc import HMC as HMC
from numpyro_lens.infer.map import MAP as MAP
from numpyro_lens.infer.pipeline import fit as fit
from numpyro_lens.infer.pipeline import fit_target as fit_target
from numpyro_lens.infer.posterior import AbstractPosterior as AbstractPosterior
from numpyro_lens.infer.posterior import HMCResult as HMCResult
from numpyro_lens.infer.precision import precision_error as precision_error
from numpyro_lens.infer.results import Basin as Basin
from numpyro_lens.infer.results import MAPResult as MAPResult
from numpyro_lens.infer.results import SVIResult as SVIResult
from numpyro_lens.infer.svi import SVI as SVI
from numpyro_lens.infer.svi import StickingTheLanding as StickingTheLanding
from numpyro_lens.sampler import CrossChain as CrossChain
from numpyro_lens.sampler import CrossChainHMC as CrossChainHMC
