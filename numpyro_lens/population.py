"""Populations: from the posteriors of many lenses to the distribution of their parameters."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.scipy.special import logsumexp

from numpyro_lens._completion import own_names
from numpyro_lens._types import AnyArray, ArrayLike, Scalar
from numpyro_lens.density import Sites, Target, map_batch, unplaced
from numpyro_lens.fitting import load
from numpyro_lens.infer import AbstractPosterior

Values: TypeAlias = dict[str, AnyArray]
"""Draws by the name of their site."""

Fit: TypeAlias = AbstractPosterior | str | PathLike
"""A result, or where its file is."""

#: a lens that rests on fewer draws than this is not known
_MIN_ESS = 10.0
#: of the Monte-Carlo estimate of the log likelihood (Talbot & Golomb 2023)
_MAX_VARIANCE = 1.0
#: for each lens (Farr 2019)
_MIN_INJECTIONS = 4.0
#: share of the draws of the hyperparameters that may break one of these rules
_TOLERATED = 0.05


def _arrays(values: Mapping[str, ArrayLike]) -> Values:
    return {name: _array(value) for name, value in values.items()}


def _array(value: ArrayLike) -> AnyArray:
    return jnp.asarray(value, jnp.result_type(float))


class Draws(eqx.Module):
    r"""Posterior draws of many lenses, and the prior density :math:`p_0` of their fits at each.

    A frozen pytree: pass it to the model as an argument. `collect` makes one of fits.

    Args:
        values: by the name of their site, (num_lenses, num_draws) each.
        log_prior: log density of the prior of the fits (num_lenses, num_draws), of those sites
            whose distribution the population replaces.

    Raises:
        ValueError: shapes differ, or a density is not finite.

    Example:
        >>> slopes = np.random.default_rng(0).normal(2.0, 0.1, (5, 400))
        >>> Draws({"lens.gamma": slopes}, log_prior=np.zeros((5, 400))).num_lenses
        5
    """

    values: Values = eqx.field(converter=_arrays)
    log_prior: AnyArray = eqx.field(converter=_array)

    def __check_init__(self) -> None:
        if self.log_prior.ndim != 2:
            raise ValueError(
                "log_prior has a row for each lens and a column for each draw; got the shape "
                f"{self.log_prior.shape}. For one lens write log_prior[None]."
            )
        _check_shapes(self.values, self.log_prior.shape)
        _check_finite("log_prior", self.log_prior)

    @property
    def num_lenses(self) -> int:
        """Number of lenses."""
        return self.log_prior.shape[0]


class Injections(eqx.Module):
    """Mock lenses from a known density, and with what probability each would be in the sample.

    Args:
        values: by the name of their site, (num,) each.
        log_density: log of the density that they were drawn from (num,).
        log_detectable: log probability of being detected (num,): 0 for those that were found,
            -inf for those that were not; 0 by default.
        num_drawn: how many were drawn, where only those that were found are given.

    Raises:
        ValueError: shapes differ, or a density is not finite.

    Example:
        >>> slopes = np.random.default_rng(0).uniform(1.0, 3.0, 1000)
        >>> found = slopes > 1.8
        >>> Injections({"lens.gamma": slopes[found]}, np.log(0.5 * np.ones(found.sum())),
        ...            num_drawn=1000).num_drawn
        1000
    """

    values: Values = eqx.field(converter=_arrays)
    log_density: AnyArray = eqx.field(converter=_array)
    log_detectable: AnyArray = eqx.field(converter=_array, default=0.0)
    num_drawn: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        _check_shapes(self.values, self.log_density.shape)
        _check_finite("log_density", self.log_density)
        if self.log_detectable.shape not in ((), self.log_density.shape):
            raise ValueError(
                f"log_detectable is one number, or one for each of {self.log_density.shape}; got "
                f"the shape {self.log_detectable.shape}."
            )
        if self.num_drawn is not None and self.num_drawn < self.log_density.size:
            raise ValueError(
                f"num_drawn counts those that were not found too; got {self.num_drawn}, and "
                f"{self.log_density.size} are given."
            )


class Reweighted(NamedTuple):
    """What `reweighted` returns.

    Attributes:
        log_likelihood: of the population (num_lenses,), up to a constant.
        ess: effective number of the draws that each lens rests on (num_lenses,).
    """

    log_likelihood: AnyArray
    ess: AnyArray


def reweighted(draws: Draws, log_population: Callable[[Values], AnyArray]) -> Reweighted:
    r"""Likelihood of a population, from draws of each lens under the prior of its fit.

    .. math:: \log p(d_i|\Lambda) = \log \frac1K \sum_k w_{ik} + \text{const}, \qquad
        w_{ik} = \frac{p(\theta_{ik}|\Lambda)}{p_0(\theta_{ik})}, \qquad
        \mathrm{ESS}_i = \frac{(\sum_k w_{ik})^2}{\sum_k w_{ik}^2}

    Args:
        draws: of the lenses.
        log_population: normalised log density of the population at given values: of a dict of
            arrays (num_lenses, num_draws), such an array.

    Returns:
        Log likelihood and effective sample size of each lens.

    Raises:
        ValueError: ``log_population`` returns another shape.

    Reference: Hogg, Myers & Bovy 2010, ApJ 725, 2166, their sum over the draws of every object; the
    effective sample size is that of Kish 1965, Survey Sampling.

    Example:
        >>> import numpyro.distributions as dist
        >>> slopes = np.random.default_rng(0).normal(2.0, 0.1, (5, 400))
        >>> draws = Draws({"lens.gamma": slopes}, log_prior=np.zeros((5, 400)))
        >>> population = dist.Normal(2.0, 0.1)
        >>> reweighted(draws, lambda lens: population.log_prob(lens["lens.gamma"])).ess.shape
        (5,)
    """
    log_weights = _log_density(log_population, draws.values, draws.log_prior) - draws.log_prior
    log_sum, ess = _summed(log_weights)
    return Reweighted(log_sum - np.log(draws.log_prior.shape[1]), ess)


def reweight(
    name: str,
    draws: Draws,
    log_population: Callable[[Values], AnyArray],
    *,
    log_detectable: Scalar | None = None,
    injections: Injections | None = None,
) -> None:
    r"""Place the likelihood of a population in a NumPyro model, that of `reweighted` draws.

    Where lenses are in the sample because they were detected, each is divided by the fraction
    of the population that would be,

    .. math:: p(\{d\}|\Lambda) = \prod_i \frac{\int p(d_i|\theta) p(\theta|\Lambda) d\theta}
        {\alpha(\Lambda)}, \qquad
        \alpha(\Lambda) = \int p_\mathrm{det}(\theta) p(\theta|\Lambda) d\theta .

    Besides the factor ``name`` it places these deterministic sites, which `check` reads:
    ``name.ess``, the effective sample size of the lens with the smallest; ``name.variance``, of
    the Monte-Carlo error of the log likelihood; and ``name.injections``, the effective number of
    injections for each lens.

    Args:
        name: of the site.
        draws: of the lenses.
        log_population: log density of the population at given values, as of `reweighted`.
        log_detectable: :math:`\log\alpha` for these hyperparameters, where it is known in closed
            form.
        injections: what to estimate it from.

    Raises:
        ValueError: both of the last two are given, or ``log_population`` returns another shape.

    Reference: Loredo 2004, AIP Conf. Proc. 735, 195; Mandel, Farr & Gair 2019, MNRAS 486, 1086,
    their likelihood of detected objects; the estimate from injections is Farr 2019, RNAAS 3, 66,
    eq. 8.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist
        >>> slopes = np.random.default_rng(0).normal(2.0, 0.1, (5, 400))
        >>> draws = Draws({"lens.gamma": slopes}, log_prior=np.zeros((5, 400)))
        >>> def model(draws):
        ...     mean = numpyro.sample("mean", dist.Normal(2.0, 0.5))
        ...     width = numpyro.sample("width", dist.HalfNormal(0.3))
        ...     slopes = dist.Normal(mean, width)
        ...     reweight("lenses", draws, lambda lens: slopes.log_prob(lens["lens.gamma"]))
        >>> trace = numpyro.handlers.trace(numpyro.handlers.seed(model, 0)).get_trace(draws)
        >>> list(trace)
        ['mean', 'width', 'lenses', 'lenses.ess', 'lenses.variance']
    """
    if log_detectable is not None and injections is not None:
        raise ValueError(
            "The detected fraction is known in closed form, or estimated from injections; got "
            "both. Leave out log_detectable or injections."
        )
    found = reweighted(draws, log_population)
    num = draws.num_lenses
    variance = jnp.sum(_relative_variance(found.ess, draws.log_prior.shape[1]))
    fraction = 0.0 if log_detectable is None else log_detectable
    if injections is not None:
        fraction, ess = _detected(injections, log_population)
        variance += num**2 * _relative_variance(ess, _num_drawn(injections))
    numpyro.factor(name, jnp.sum(found.log_likelihood) - num * fraction)
    numpyro.deterministic(f"{name}.ess", jnp.min(found.ess))
    numpyro.deterministic(f"{name}.variance", variance)
    if injections is not None:
        numpyro.deterministic(f"{name}.injections", ess / num)


def _detected(
    injections: Injections, log_population: Callable[[Values], AnyArray]
) -> tuple[AnyArray, AnyArray]:
    """Log of the detected fraction, and the effective number of injections."""
    density = _log_density(log_population, injections.values, injections.log_density)
    log_sum, ess = _summed(density - injections.log_density + injections.log_detectable)
    return log_sum - np.log(_num_drawn(injections)), ess


def _num_drawn(injections: Injections) -> int:
    return injections.num_drawn or injections.log_density.size


def _summed(log_weights: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Log of the sum over the last axis, and the effective number of terms; 0 of nothing."""
    log_sum = logsumexp(log_weights, axis=-1)
    log_ess = 2.0 * log_sum - logsumexp(2.0 * log_weights, axis=-1)
    ess = jnp.where(jnp.isfinite(log_sum), jnp.exp(log_ess), 0.0)
    return log_sum, jax.lax.stop_gradient(ess)


def _relative_variance(ess: AnyArray, num: int) -> AnyArray:
    """Of the mean of ``num`` weights; that of its logarithm (Farr 2019, eq. 9)."""
    return 1.0 / jnp.maximum(ess, 1e-6) - 1.0 / num


def _log_density(
    log_population: Callable[[Values], AnyArray], values: Values, like: AnyArray
) -> AnyArray:
    found = jnp.asarray(log_population(values))
    if found.shape != like.shape:
        raise ValueError(
            "log_population returns one log density for each draw, an array of the shape "
            f"{like.shape}; got {found.shape}. A distribution of a scalar site has it: "
            'lambda lens: dist.Normal(mean, width).log_prob(lens["lens.gamma"]).'
        )
    return found


# --- from fits -------------------------------------------------------------------------------


def collect(
    fits: Sequence[Fit],
    sites: str | Sequence[str],
    *,
    given: Sequence[str] = (),
    num: int = 1000,
    model: Callable | None = None,
) -> Draws:
    """Draws of many fits of one model, with the prior density of some of its sites.

    The population replaces the prior of ``sites``; the priors of all others stay. Where the prior
    of a site depends on others, it is evaluated at the values that they have in each draw.

    Args:
        fits: results of `numpyro_lens.fit`, their files, or folders that hold ``posterior.nc``.
        sites: whose distribution the population replaces.
        given: further sites whose values the population may depend on.
        num: draws of each lens, evenly spaced along its chains.
        model: the function that was fitted; files of a ready model know theirs.

    Returns:
        The draws of every lens, in the order of the fits.

    Raises:
        ValueError: a name is no sampled site, or a fit has fewer draws.

    Example:
        >>> draws = collect([fit, fit], "lens.theta_E", num=100)
        >>> draws.values["lens.theta_E"].shape, float(draws.log_prior[0, 0])  # uniform on 0.6"
        ((2, 100), 0.5108...)
    """
    sites = (sites,) if isinstance(sites, str) else tuple(sites)
    if isinstance(fits, Fit) or not len(fits):
        got = "one" if isinstance(fits, Fit) else "none"
        raise ValueError(
            f"A population is of a list of results, files or folders; got {got}. Write "
            "collect([fit, ...], sites)."
        )
    found = [_draws_of(fit, sites, tuple(given), num, model) for fit in fits]
    return Draws(*jax.tree.map(lambda *each: np.stack(each), *found))


def _draws_of(
    fit: Fit,
    sites: tuple[str, ...],
    given: tuple[str, ...],
    num: int,
    model: Callable | None,
) -> tuple[Values, AnyArray]:
    result = fit if isinstance(fit, AbstractPosterior) else load(_file(Path(fit)), model=model)
    where = "a fit" if isinstance(fit, AbstractPosterior) else repr(str(fit))
    _check_sites(sites, [site.name for site in result.target.sites])
    z = result.z.reshape(-1, result.target.dim)
    if len(z) < num:
        raise ValueError(
            f"As many draws are taken of each lens; got num={num}, and {where} has {len(z)}. "
            f"Write num={len(z)}."
        )
    chosen = z[np.linspace(0, len(z) - 1, num).astype(int)]
    return unplaced(_with_prior(result.target, jnp.asarray(chosen), sites, given))


def _file(path: Path) -> Path:
    return path / "posterior.nc" if path.is_dir() else path


@partial(jax.jit, static_argnames=("sites", "given"))
def _with_prior(
    target: Target, z: AnyArray, sites: tuple[str, ...], given: tuple[str, ...]
) -> tuple[Values, AnyArray]:
    """Values, and the prior density of each draw; the image, which nobody asks for, costs none."""

    def one(z: AnyArray, target: Target) -> tuple[Values, AnyArray]:
        trace = target.trace(z)
        _check_names(given, trace)
        values = {name: jnp.asarray(trace[name]["value"]) for name in (*sites, *given)}
        priors = [jnp.sum(trace[name]["fn"].log_prob(values[name])) for name in sites]
        return values, jnp.sum(jnp.stack(priors))

    return map_batch(one, z, target)


# --- can the result be trusted? ----------------------------------------------------------------


def check(samples: Mapping[str, ArrayLike], name: str) -> None:
    """Warn where the draws of the lenses do not carry what was made of them.

    Three rules: every lens rests on at least 10 effective draws; the variance of the Monte-Carlo
    error of the log likelihood is at most 1; there are at least 4 effective injections for each
    lens. Each may be broken at one of twenty draws of the hyperparameters.

    Args:
        samples: draws of the hyperparameters by site: ``mcmc.get_samples()`` or ``fit.samples``.
        name: of the site that `reweight` placed.

    Raises:
        ValueError: there is no such site.

    Reference: Talbot & Golomb 2023, MNRAS 526, 3495, for the variance; Farr 2019, RNAAS 3, 66, for
    the injections (its effective number, eq. 9, is somewhat larger than that of Kish).

    Example:
        >>> sizes, variance = np.full(100, 300.0), np.full(100, 0.1)
        >>> check({"lenses.ess": sizes, "lenses.variance": variance}, "lenses")
    """
    if f"{name}.ess" not in samples:
        raise ValueError(
            f"samples hold what reweight({name!r}, ...) placed in the model; got "
            f"{', '.join(samples) or 'nothing'}."
        )
    for problem in _problems(samples, name):
        warnings.warn(problem, stacklevel=2)


def _problems(samples: Mapping[str, ArrayLike], name: str) -> list[str]:
    def quantile(site: str, share: float, default: float) -> float:
        values = samples.get(f"{name}.{site}")
        return default if values is None else float(np.quantile(np.asarray(values), share))

    ess = quantile("ess", _TOLERATED, np.inf)
    variance = quantile("variance", 1.0 - _TOLERATED, 0.0)
    injections = quantile("injections", _TOLERATED, np.inf)
    found = []
    if not ess >= _MIN_ESS:
        found.append(
            f"{name}: a lens rests on {ess:.3g} effective draws, fewer than {_MIN_ESS:g}: where "
            "the population is, it has hardly any. `reweighted(...).ess` says which one. Fit it "
            "with a wider prior, or collect more draws: collect(..., num=...)."
        )
    if not variance <= _MAX_VARIANCE:
        found.append(
            f"{name}: the log likelihood has a Monte-Carlo error with the variance {variance:.3g}, "
            f"more than {_MAX_VARIANCE:g}. Take more draws of each lens, collect(..., num=...), "
            "and more injections."
        )
    if not injections >= _MIN_INJECTIONS:
        found.append(
            f"{name}: there are {injections:.3g} effective injections for each lens, fewer than "
            f"{_MIN_INJECTIONS:g}. Draw more of them, from a density like that of the population."
        )
    return found


# --- what may come in --------------------------------------------------------------------------


def _check_shapes(values: Values, shape: tuple[int, ...]) -> None:
    wrong = [f"{name} {v.shape}" for name, v in values.items() if v.shape[: len(shape)] != shape]
    if wrong or not values:
        raise ValueError(
            f"Every site has a value for each log density, of which there are {shape}; got "
            f"{', '.join(wrong) or 'no site'}."
        )


def _check_finite(name: str, density: AnyArray) -> None:
    if isinstance(density, jax.core.Tracer) or np.all(np.isfinite(density)):
        return
    bad = np.argwhere(~np.isfinite(np.asarray(density)))[0]
    raise ValueError(
        f"{name} is finite at every draw, since each was drawn under it; got "
        f"{density[tuple(bad)]} at {tuple(map(int, bad))}."
    )


def _check_names(given: tuple[str, ...], trace: Sites) -> None:
    if unknown := [name for name in given if name not in trace]:
        raise ValueError(
            f"`given` names sites of the model: {', '.join(trace)}; got {', '.join(unknown)}."
        )


def _check_sites(sites: tuple[str, ...], sampled: list[str]) -> None:
    unknown = [name for name in sites if name not in sampled]
    if unknown or not sites:
        raise ValueError(
            "The prior density is that of sites which the model samples: "
            f"{', '.join(sampled)}; got {', '.join(unknown) or 'none'}. Of a quantity with "
            "a density of your own, make population.Draws(values, log_prior) yourself."
        )


def __dir__() -> list[str]:
    return own_names(globals())
