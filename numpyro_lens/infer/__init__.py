"""Inference for any NumPyro model: MAP, SVI, HMC."""

from typing import NoReturn

from numpyro_lens.density import NormalQuantileTransform as NormalQuantileTransform
from numpyro_lens.density import Target as Target
from numpyro_lens.density import map_batch as map_batch
from numpyro_lens.infer.files import load as load
from numpyro_lens.infer.files import save as save
from numpyro_lens.infer.hmc import HMC as HMC
from numpyro_lens.infer.map import MAP as MAP
from numpyro_lens.infer.pipeline import fit as fit
from numpyro_lens.infer.pipeline import fit_target as fit_target
from numpyro_lens.infer.posterior import AbstractPosterior as AbstractPosterior
from numpyro_lens.infer.posterior import HMCResult as HMCResult
from numpyro_lens.infer.precision import precision_error as precision_error
from numpyro_lens.infer.predictive import prior_predictive as prior_predictive
from numpyro_lens.infer.results import Basin as Basin
from numpyro_lens.infer.results import MAPResult as MAPResult
from numpyro_lens.infer.results import SVIResult as SVIResult
from numpyro_lens.infer.svi import SVI as SVI
from numpyro_lens.infer.svi import StickingTheLanding as StickingTheLanding
from numpyro_lens.infer.verdict import Residuals as Residuals
from numpyro_lens.infer.verdict import Verdict as Verdict
from numpyro_lens.sampler import CrossChain as CrossChain
from numpyro_lens.sampler import CrossChainHMC as CrossChainHMC

_RETIRED = {
    "flat_model": "Target.of(model, *args), of nl.infer or nl.density",
    "FlatModel": "Target, of nl.infer or nl.density",
    "ModellingSequence": "nl.ModellingSequence",
    "ForwardProbModel": "nl.ForwardProbModel",
    "BackwardProbModel": "nl.BackwardProbModel",
    "LensSimulator": "nl.LensSimulator",
    "PhysicalModel": "nl.PhysicalModel",
    "SimulatorConfig": "nl.SimulatorConfig",
    "Integrator": "nl.sampler.Integrator",
}


def __getattr__(name: str) -> NoReturn:
    """Of a name of version 0.1 say what to write now."""
    hint = f" since version 0.2. Write {_RETIRED[name]}" if name in _RETIRED else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}.")
