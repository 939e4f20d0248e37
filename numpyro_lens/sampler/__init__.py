"""Hamiltonian Monte Carlo whose chains adapt together, for any NumPyro model or log density."""

from numpyro_lens.sampler.adaptation import windows as windows
from numpyro_lens.sampler.additive import Additive as Additive
from numpyro_lens.sampler.crosschain import CrossChainState as CrossChainState
from numpyro_lens.sampler.crosschain import begin as begin
from numpyro_lens.sampler.crosschain import begun_again as begun_again
from numpyro_lens.sampler.crosschain import move as move
from numpyro_lens.sampler.crosschain import refitted as refitted
from numpyro_lens.sampler.crosschain import transition as transition
from numpyro_lens.sampler.kernel import CrossChainHMC as CrossChainHMC
from numpyro_lens.sampler.maps import AbstractMap as AbstractMap
from numpyro_lens.sampler.maps import Affine as Affine
from numpyro_lens.sampler.quadratic import Quadratic as Quadratic
from numpyro_lens.sampler.settings import CrossChain as CrossChain
from numpyro_lens.sampler.trajectory import HARMONIC as HARMONIC
from numpyro_lens.sampler.trajectory import MINIMUM_NORM as MINIMUM_NORM
from numpyro_lens.sampler.trajectory import VELOCITY_VERLET as VELOCITY_VERLET
from numpyro_lens.sampler.trajectory import Integrator as Integrator
