"""Any NumPyro model as a log density over one unconstrained vector."""

from numpyro_lens.density.batching import evaluate as evaluate
from numpyro_lens.density.batching import map_batch as map_batch
from numpyro_lens.density.batching import unplaced as unplaced
from numpyro_lens.density.batching import values_and_gradients as values_and_gradients
from numpyro_lens.density.dynamic_batching import batch_size as batch_size
from numpyro_lens.density.dynamic_batching import compiled as compiled
from numpyro_lens.density.dynamic_batching import run_batched as run_batched
from numpyro_lens.density.model import AbstractMarginal as AbstractMarginal
from numpyro_lens.density.model import Site as Site
from numpyro_lens.density.model import Sites as Sites
from numpyro_lens.density.model import Target as Target
from numpyro_lens.density.model import base_distribution as base_distribution
from numpyro_lens.density.model import conditioned as conditioned
from numpyro_lens.density.model import flat_model as flat_model
from numpyro_lens.density.model import flat_site as flat_site
from numpyro_lens.density.model import integrated as integrated
from numpyro_lens.density.model import merged as merged
from numpyro_lens.density.model import observed_sites as observed_sites
from numpyro_lens.density.transforms import NormalQuantileTransform as NormalQuantileTransform
from numpyro_lens.density.transforms import bijection as bijection
