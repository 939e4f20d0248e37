"""GIGA-Lens's interface, a thin layer over `infer`, so that its users move over.

The modules have GIGA-Lens's names: ``gigalens.jax.inference`` is
``numpyro_lens.gigalens.jax.inference`` and so on; `tfp` and `tfd` stand for TFP's.
"""

from numpyro_lens.gigalens.inference import ModellingSequence as ModellingSequence
from numpyro_lens.gigalens.inference import (
    ModellingSequenceInterface as ModellingSequenceInterface,
)
from numpyro_lens.gigalens.model import BackwardProbModel as BackwardProbModel
from numpyro_lens.gigalens.model import ForwardProbModel as ForwardProbModel
from numpyro_lens.gigalens.model import ProbabilisticModel as ProbabilisticModel
from numpyro_lens.gigalens.physical import PhysicalModel as PhysicalModel
from numpyro_lens.gigalens.simulator import LensSimulator as LensSimulator
from numpyro_lens.gigalens.simulator import SimulatorConfig as SimulatorConfig
