"""Fits of lenses: scenes and observations by name, the source that follows the mass, files."""

from numpyro_lens.fitting.double_plane import fit_double_source_plane as fit_double_source_plane
from numpyro_lens.fitting.files import model_name as model_name
from numpyro_lens.fitting.galaxy import fit_galaxy as fit_galaxy
from numpyro_lens.fitting.galaxy import search_galaxy as search_galaxy
from numpyro_lens.fitting.loading import load as load
from numpyro_lens.fitting.pipeline import fit as fit
from numpyro_lens.fitting.pipeline import fit_target as fit_target
from numpyro_lens.fitting.recipes import recipe_of as recipe_of
from numpyro_lens.fitting.result import LensFit as LensFit
from numpyro_lens.fitting.result import View as View
from numpyro_lens.fitting.source_map import source_map as source_map
