"""A search of a simpler model, from which a fit starts."""

import dataclasses
from typing import Any

from numpyro_lens._types import AnyArray
from numpyro_lens.fitting.result import LensFit
from numpyro_lens.infer import MAPResult


def best_values(found: MAPResult) -> dict[str, AnyArray]:
    """Values of the sites where a search ended best.

    Args:
        found: its ends.

    Returns:
        Values by the name of the site.
    """
    return {name: value[found.basins[0].start] for name, value in found.samples.items()}


def check_no_start(settings: dict[str, Any], function: str, model: str) -> None:
    """Check that a fit that finds its own start is not given one.

    Args:
        settings: given by name.
        function: that was called.
        model: that it fits.

    Raises:
        TypeError: ``start`` is among them.

    Example:
        >>> check_no_start({"target_ess": 400}, "fit_galaxy", "galaxy")
    """
    if "start" in settings:
        raise TypeError(
            f"{function} searches for its own start; got `start`. To go on from an earlier result "
            f"write nl.fit(nl.models.{model}, observation, start=earlier)."
        )


def with_search(result: LensFit, found: MAPResult) -> LensFit:
    """A fit, with the gradients of the search that it started from.

    Args:
        result: the fit.
        found: ends of the search.

    Returns:
        The fit, whose ``num_gradients["search"]`` are those of a cheaper model.
    """
    spent = {"search": sum(found.num_gradients.values())}
    return dataclasses.replace(result, own_gradients=spent | result.own_gradients)
