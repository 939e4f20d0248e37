r"""The evidence, by bridge sampling between the draws and a normal in straightened coordinates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from scipy.special import expit, logsumexp

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target, evaluate
from numpyro_lens.infer.diagnostics import ess
from numpyro_lens.sampler import AbstractMap, Affine, Quadratic


class LogEvidence(NamedTuple):
    """Natural logarithm of the evidence, and its Monte-Carlo standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.2f} \u00b1 {self.error:.2f}"


def log_evidence(target: Target, z: np.ndarray, key: AnyArray, num: int = 4000) -> LogEvidence:
    r"""Logarithm of the integral of a density, given draws from it.

    .. math:: \frac1Z = \frac{\mathrm E_{z \sim p}[\,g(z)\, h(z)]}{\mathrm E_{z \sim g}[\,
              Z p(z)\, h(z)]}, \qquad h = \frac{1}{s_1 p + s_2 g}

    The proposal g is the normal that quadratic layers map to; they are fitted to the first half of
    the draws of each chain, and the second half is used above.

    Args:
        target: the density, with normalised prior and likelihood.
        z: draws of it (num_chains, num_results, d).
        key: of ``jax.random.key``.
        num: draws of the proposal, and at most of the posterior.

    Returns:
        The logarithm and its error.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> z = 0.25 + np.sqrt(0.5) * np.random.default_rng(0).normal(size=(4, 500, 1))
        >>> found = log_evidence(Target.of(model, 0.5), z, jax.random.key(0))
        >>> exact = -0.5 * np.log(2 * np.pi * 2.0) - 0.5**2 / 4.0
        >>> bool(abs(found.value - exact) < 0.05)
        True

    Reference: Meng & Wong 1996, Stat. Sin. 6, 831; error of Frühwirth-Schnatter 2004, Econom. J. 7,
    143, equation 13.
    """
    z = np.asarray(z, dtype=jnp.result_type(float))
    half = z.shape[1] // 2
    straight = _fitted(target, z[:, :half], num)
    kept = z[:, half:]
    number = max(1.0, float(np.min(ess(kept, "bulk"))))
    step = max(1, kept.shape[0] * kept.shape[1] // num)
    drawn = kept.reshape(-1, target.dim)[::step]
    proposed = straight(jax.random.normal(key, (num, target.dim), drawn.dtype))
    above, below = (_log_ratio(target, straight, jnp.asarray(v)) for v in (drawn, proposed))
    return _bridge(above, below, min(number, len(drawn)))


def _fitted(target: Target, z: np.ndarray, num: int) -> AbstractMap:
    """Quadratic layers upon the Gaussian of the draws."""
    flat = z.reshape(-1, target.dim)
    tril = np.linalg.cholesky(np.atleast_2d(np.cov(flat.T.astype(float))))
    gaussian = Affine(*(jnp.asarray(v, flat.dtype) for v in (flat.mean(axis=0), tril)))
    thinned = jnp.asarray(flat[:: max(1, len(flat) // num)])
    layers = Quadratic.of(gaussian, num_single=0)
    return layers.fit(thinned, evaluate(target.log_density, thinned)[1])


def _log_ratio(target: Target, straight: AbstractMap, z: AnyArray) -> np.ndarray:
    """Logarithm of density over proposal at (n, d)."""
    u = straight.whiten(z)
    # The determinant of a map is the same everywhere.
    jacobian = jax.jacfwd(lambda u: straight(u[None])[0])(jnp.zeros(target.dim, z.dtype))
    log_proposal = jnp.sum(norm.logpdf(u), axis=1) - jnp.linalg.slogdet(jacobian)[1]
    log_density, _ = evaluate(target.log_density, z)
    ratio = np.asarray(log_density - log_proposal, dtype=float)
    return np.where(np.isnan(ratio), -np.inf, ratio)


def _bridge(drawn: np.ndarray, proposed: np.ndarray, number: float) -> LogEvidence:
    """Of log ratios at draws of the posterior, worth ``number`` independent ones, and the proposal.

    With the best bridge, each side averages a share between zero and one.
    """
    offset = np.log(number / len(proposed))
    value = float(np.median(drawn))
    for _ in range(1000):
        above = logsumexp(proposed - np.logaddexp(0.0, offset + proposed - value))
        below = logsumexp(-np.logaddexp(0.0, offset + drawn - value))
        before, value = value, float(above - np.log(len(proposed)) - below + np.log(len(drawn)))
        if abs(value - before) < 1e-8:
            break
    shares = expit(offset + proposed - value), expit(-(offset + drawn - value))
    counts = len(proposed), number
    spread = sum(np.var(s) / np.mean(s) ** 2 / n for s, n in zip(shares, counts, strict=True))
    return LogEvidence(value, float(np.sqrt(spread)))
