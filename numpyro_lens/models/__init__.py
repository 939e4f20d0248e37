"""Lens models are NumPyro functions: what is needed to write one, and ready ones to copy."""

from numpyro_lens.models._bands import Data as Data
from numpyro_lens.models._bands import align as align
from numpyro_lens.models._bands import as_bands as as_bands
from numpyro_lens.models._bands import sample_bands as sample_bands
from numpyro_lens.models._galaxy import free_form_source as free_form_source
from numpyro_lens.models._galaxy import galaxy as galaxy
from numpyro_lens.models._galaxy import galaxy_light as galaxy_light
from numpyro_lens.models._galaxy import galaxy_mass as galaxy_mass
from numpyro_lens.models._galaxy import galaxy_sersic as galaxy_sersic
from numpyro_lens.models._galaxy import galaxy_source as galaxy_source
from numpyro_lens.models._loading import arguments as arguments
from numpyro_lens.models._loading import load_model as load_model
from numpyro_lens.models._observe import MarginalImage as MarginalImage
from numpyro_lens.models._observe import observations as observations
from numpyro_lens.models._observe import observe as observe
from numpyro_lens.models._observe import observe_image as observe_image
from numpyro_lens.models._observe import scenes as scenes
from numpyro_lens.models._ready import READY as READY
from numpyro_lens.models._ready import double_source_plane as double_source_plane
from numpyro_lens.models._ready import epl_shear_sersic as epl_shear_sersic
from numpyro_lens.models._ready import epl_shear_shapelets as epl_shear_shapelets
from numpyro_lens.models._ready import power_law_with_shear as power_law_with_shear
from numpyro_lens.models._ready import sersic_lens_light as sersic_lens_light
from numpyro_lens.models._ready import sersic_source as sersic_source
from numpyro_lens.models._ready import with_sky as with_sky
from numpyro_lens.models._sample import sample as sample
