"""Shapelets of COOLEST: those of lenstronomy and of this package, along the axes of the image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.polynomial.hermite import hermgauss, hermvander
from scipy.special import gammaln

from numpyro_lens import light


def shapelets(values: Mapping[str, Any], fields: Mapping[str, Any], turn: np.ndarray) -> Any:
    """The profile of a template.

    Args:
        values: ``n_max`` and ``amps`` of the template.
        fields: the other fields, in our coordinates.
        turn: the orthogonal matrix from the image's coordinates to ours.

    Raises:
        ValueError: there are not (n_max + 1)(n_max + 2)/2 amplitudes.
    """
    n_max, amps = values["n_max"], np.asarray(values["amps"], dtype=float)
    if n_max < 0 or 2 * len(amps) != (n_max + 1) * (n_max + 2):
        raise ValueError(
            "COOLEST's Shapelets have (n_max + 1)(n_max + 2)/2 amps; the template has "
            f"n_max = {n_max:g} and {len(amps)}."
        )
    amp: Any = turned(amps, turn)  # in 64 bit, as the other parameters are
    return light.Shapelets(amp=amp, **fields)


def shapelet_values(profile: light.Shapelets, turn: np.ndarray) -> dict[str, Any]:
    """``n_max`` and ``amps`` of the template of a profile."""
    return {"n_max": profile.n_max, "amps": turned(np.asarray(profile.amp, dtype=float), turn)}


def turned(amp: np.ndarray, turn: np.ndarray) -> np.ndarray:
    r"""Amplitudes of the same light in turned, and perhaps mirrored, coordinates.

    They are integrals of the light times each function, :math:`\int e^{-r^2} P(x, y)` with a
    polynomial, which Gauss's quadrature gives exactly.
    """
    n_max = round(float(np.sqrt(2 * len(amp) + 0.25) - 1.5))
    nodes, weights = hermgauss(n_max + 1)
    x, y = (axis.ravel() for axis in np.meshgrid(nodes, nodes))
    old_x, old_y = turn.T @ np.stack([x, y])
    before = _polynomials(old_x, old_y, n_max) @ amp
    return _polynomials(x, y, n_max).T @ (np.outer(weights, weights).ravel() * before)


def _polynomials(x: np.ndarray, y: np.ndarray, n_max: int) -> np.ndarray:
    """Each shapelet without its Gaussian, (position, function)."""
    n, m = light.shapelet_orders(n_max).T
    order = np.arange(n_max + 1)
    log_norm = 0.5 * (order * np.log(2.0) + 0.5 * np.log(np.pi) + gammaln(order + 1.0))
    along_x, along_y = (hermvander(t, n_max) * np.exp(-log_norm) for t in (x, y))
    return along_x[:, n] * along_y[:, m]
