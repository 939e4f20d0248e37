"""Models that are not found from draws of their prior, and what leads a fit to them."""

from collections.abc import Callable

from numpyro_lens.fitting.double_plane import fit_double_source_plane
from numpyro_lens.fitting.galaxy import fit_galaxy
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.models import double_source_plane, galaxy

_RECIPES: dict[Callable, Callable[..., LensFit]] = {
    galaxy: fit_galaxy,
    double_source_plane: fit_double_source_plane,
}


def recipe_of(model: Callable) -> Callable[..., LensFit] | None:
    """What fits a model in steps.

    Args:
        model: NumPyro model function.

    Returns:
        A function of the data, by name of some arguments of the model, and of the settings of
        `fit`; None for a model that `fit` alone finds.

    Example:
        >>> from numpyro_lens import models
        >>> recipe_of(models.galaxy).__name__, recipe_of(models.epl_shear_sersic)
        ('fit_galaxy', None)
    """
    # By identity: a model may be a callable without a hash.
    return next((recipe for known, recipe in _RECIPES.items() if model is known), None)
