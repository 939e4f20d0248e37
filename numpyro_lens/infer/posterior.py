"""The result of a fit: the chains, as an ArviZ container too, and predictions of the model."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from numpy.typing import DTypeLike
from numpyro.distributions import Independent
from scipy.special import ndtr

from numpyro_lens._types import AnyArray
from numpyro_lens.density import Target, conditioned, map_batch, merged, observed_sites, unplaced
from numpyro_lens.infer import diagnostics
from numpyro_lens.infer.evidence import LogEvidence, log_evidence
from numpyro_lens.infer.results import MAPResult, SVIResult, constrain
from numpyro_lens.infer.tables import latex_table
from numpyro_lens.infer.verdict import Residuals, Verdict, judge

P = TypeVar("P", bound="AbstractPosterior")


#: groups whose variables are observed sites
_OF_DATA = ("observed_data", "posterior_predictive", "log_likelihood")


class Layout(NamedTuple):
    """How ArviZ is to name the axes of the observed sites.

    Attributes:
        dims: names of the dimensions of each observed site, by site; others get ArviZ's own.
        coords: values along these dimensions.
        constant_data: what else describes the data, by name.
        constant_dims: names of the dimensions of the constant data.
    """

    dims: dict[str, list[str]] = {}  # noqa: RUF012 never changed
    coords: dict[str, np.ndarray] = {}  # noqa: RUF012
    constant_data: dict[str, np.ndarray] = {}  # noqa: RUF012
    constant_dims: dict[str, list[str]] = {}  # noqa: RUF012


@dataclass(frozen=True, repr=False, eq=False)
class AbstractPosterior(abc.ABC):
    """Posterior draws, with the stages that led to them.

    It behaves as the array of unconstrained chains (num_results, num_chains, d), as GIGA-Lens
    returns it.

    Attributes:
        z: unconstrained draws (num_chains, num_results, d).
        statistics: by ArviZ's names, (num_chains, num_results) each.
        svi, map: results of the stages before, ``map`` may be missing.
        own_gradients: evaluations of burn-in, of sampling, and of what went before this fit.
        timing: seconds of tracing, of compiling and of running.
    """

    target: Target
    z: np.ndarray
    statistics: dict[str, np.ndarray]
    svi: SVIResult
    map: MAPResult | None
    own_gradients: dict[str, int]
    timing: dict[str, float]
    hmc_settings: Any = None
    seed: int | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls: type[P], other: "AbstractPosterior") -> P:
        """The same posterior as this kind of result, with what the other has computed."""
        result = cls(**{field.name: getattr(other, field.name) for field in fields(other)})
        result.__dict__.update({k: v for k, v in other.__dict__.items() if k != "verdict"})
        return result

    @abc.abstractmethod
    def layout(self) -> Layout:
        """How ArviZ is to name the axes of the observed sites."""

    @property
    def model(self) -> Callable:
        """The NumPyro model function."""
        return self.target.model

    @property
    def args(self) -> tuple:
        """The arguments of the model."""
        return self.target.arguments

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each entry of the unconstrained vector."""
        return self.target.names

    @property
    def chains(self) -> np.ndarray:
        """Unconstrained chains as GIGA-Lens orders them, (num_results, num_chains, d)."""
        return self.z.swapaxes(0, 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """(num_results, num_chains, d)."""
        return self.chains.shape

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.chains, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.chains[index]

    def __len__(self) -> int:
        return self.z.shape[1]

    @property
    def log_density(self) -> np.ndarray:
        """Unconstrained log density of every draw (num_chains, num_results)."""
        return self.statistics["lp"]

    @property
    def num_gradients(self) -> dict[str, int]:
        """Evaluations of the log density and its gradient by stage, screening included."""
        stages = (getattr(stage, "num_gradients", {}) for stage in (self.map, self.svi))
        return {name: n for own in (*stages, self.own_gradients) for name, n in own.items()}

    @property
    def timings(self) -> dict[str, dict[str, float]]:
        """Seconds of tracing, of compiling and of running, by stage."""
        stages: dict[str, Any] = {"map": self.map, "svi": self.svi, "hmc": self}
        return {name: stage.timing for name, stage in stages.items() if hasattr(stage, "timing")}

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Values of the latent and deterministic sites, (num_chains, num_results, ...) each."""
        values = constrain(self.target, self.z.reshape(-1, self.target.dim))
        return {name: v.reshape(*self.z.shape[:2], *v.shape[1:]) for name, v in values.items()}

    @cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """Values of the observed sites."""
        return unplaced(_observed(self.target, self.z[0, 0]))

    @cached_property
    def best_z(self) -> np.ndarray:
        """Unconstrained vector (d,) of the draw with the highest log density."""
        return self.z[np.unravel_index(np.argmax(self.log_density), self.log_density.shape)]

    @cached_property
    def best(self) -> dict[str, np.ndarray]:
        """Site values of the draw with the highest log density."""
        index = np.unravel_index(np.argmax(self.log_density), self.log_density.shape)
        return {name: np.asarray(values[index]) for name, values in self.samples.items()}

    @property
    @abc.abstractmethod
    def residuals(self) -> tuple[Residuals, ...]:
        """Of every observation that has normalised residuals, at the best draw."""

    @property
    @abc.abstractmethod
    def doubts(self) -> tuple[str, ...]:
        """What is rare in nature, at the best draw; a sentence each, for the verdict."""

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the fit can be trusted, in numbers and in words (``str``)."""
        return judge(
            self.names,
            self.z,
            self.statistics["diverging"],
            at_bounds=at_bounds(self.target, self.z),
            residuals=self.residuals,
            search=self.map if isinstance(self.map, MAPResult) else None,
            doubts=self.doubts,
        )

    def log_evidence(self, seed: int = 0, num: int = 4000) -> LogEvidence:
        """The logarithm of the evidence and its error, by bridge sampling; see `log_evidence`.

        It compares models of the same data, whose priors are taken seriously.

        Args:
            seed: the same seed gives the same result.
            num: evaluations of the density at draws, and at as many points of a proposal.
        """
        return log_evidence(self.target, self.z, jax.random.key(seed), num)

    def summary(self, var_names: Sequence[str] | None = None) -> Any:
        """ArviZ's summary, a ``pandas.DataFrame`` with a row for each parameter."""
        return diagnostics.summary(self.to_arviz(), var_names=var_names)

    def table(self, form: str = "latex") -> str:
        """Median and central 68 % interval of each parameter, as text for a paper.

        Args:
            form: ``"latex"``, a ``tabular``.

        Raises:
            ValueError: there is no other form.
        """
        if form != "latex":
            raise ValueError(
                f'A table has the form "latex"; got {form!r}. Others are made of fit.summary(), a '
                "pandas.DataFrame: fit.summary().to_markdown()."
            )
        return latex_table(self.samples)

    def predict(self, num: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
        """Noiseless prediction of each observed site for ``num`` draws, {site: (num, ...)}.

        Linear amplitudes are drawn given the data and each draw of the other parameters; they are
        in the dict too, by name, such as ``source.amp``, or ``vis.source.amp`` where the sites
        ``vis`` and ``nir`` both integrate out a ``source.amp``.
        """
        chosen = self._chosen(num, seed)
        keys = jax.random.split(jax.random.key(seed), len(chosen))
        return unplaced(_means(self.target, chosen, keys))

    def _chosen(self, num: int, seed: int) -> np.ndarray:
        """At most so many of the unconstrained draws (n, d), in their order."""
        draws = self.z.reshape(-1, self.target.dim)
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(draws), size=min(num, len(draws)), replace=False)
        return draws[np.sort(chosen)]

    def to_arviz(
        self, log_likelihood: bool = False, posterior_predictive: bool = False, num: int = 200
    ) -> Any:
        """An ArviZ container, with coordinates on the axes of images.

        With the ``log_likelihood`` the data, their replicates and it have one dimension, over the
        pixels in use: a masked pixel is no data, ArviZ's LOO counts or refuses those that it finds,
        and ``loo_pit`` wants all three alike. The dimension is called ``image_pixel`` for a site
        ``image`` and holds the index into the flattened image.

        Args:
            log_likelihood: add that of every pixel in use, for every draw thinned to about ``num``
                in all.
            posterior_predictive: add ``num`` images drawn from the model.
            num: draws of the two optional groups.
        """
        layout = self.layout()
        groups: dict[str, dict[str, Any]] = {
            "posterior": self.samples,
            "sample_stats": dict(self.statistics),
            "observed_data": dict(self.observed),
        }
        if layout.constant_data:
            groups["constant_data"] = layout.constant_data
        if posterior_predictive:
            groups["posterior_predictive"] = self._thinned(_predictive, num)
        coords, dims = dict(layout.coords), dict(layout.dims)
        if log_likelihood:
            groups["log_likelihood"] = self._thinned(_log_likelihoods, num)
            used = _pixels_in_use(groups["log_likelihood"])
            coords |= {f"{name}_pixel": pixels for name, pixels in used.items()}
            dims |= {name: [f"{name}_pixel"] for name in used}
            groups |= {g: _at_pixels(groups[g], used) for g in _OF_DATA if g in groups}
        return diagnostics.build_container(
            groups,
            coords=coords,
            dims=dict.fromkeys(_OF_DATA, dims) | {"constant_data": layout.constant_dims},
            attrs=self._attributes(),
        )

    def _thinned(self, function: Callable, num: int) -> dict[str, np.ndarray]:
        """Apply to every k-th draw of every chain, keeping the (chain, draw) axes."""
        step = max(1, self.z.shape[0] * self.z.shape[1] // num)
        z = self.z[:, ::step]
        keys = jax.random.split(jax.random.key(0), z.shape[0] * z.shape[1])
        values = function(self.target, z.reshape(-1, self.target.dim), keys)
        return {
            name: np.asarray(v).reshape(*z.shape[:2], *v.shape[1:]) for name, v in values.items()
        }

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that made the draws."""
        return {package: _version(package) for package in ("numpyro_lens", "numpyro", "jax")}

    def _attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {f"{k}_version": v for k, v in self.versions.items()}
        attributes |= {
            "inference_library": "numpyro_lens",
            "seed": -1 if self.seed is None else self.seed,
        }
        attributes |= {"settings": repr(self.settings or self.hmc_settings)}
        return attributes | {f"num_gradients_{k}": v for k, v in self.num_gradients.items()}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}: {self.z.shape[0]} chains of {self.z.shape[1]} draws, "
            f"{self.target.dim} parameters, {sum(self.num_gradients.values())} gradients "
            f"in all stages\n{self.verdict}"
        )

    def _repr_html_(self) -> str:
        sentence = str(self.verdict).replace("\n", "<br>")
        return f"<p>{sentence}</p>{self.summary()._repr_html_()}"


class HMCResult(AbstractPosterior):
    """Posterior draws of any NumPyro model."""

    @property
    def residuals(self) -> tuple[Residuals, ...]:
        """None: an observed site of any kind has no noise to normalise by."""
        return ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """None: of a model of any kind nothing is known."""
        return ()

    def layout(self) -> Layout:
        """ArviZ's own names."""
        return Layout()


def _for_each_draw(
    function: Callable, target: Target, z: AnyArray, keys: AnyArray
) -> tuple[dict[str, AnyArray], dict[str, AnyArray]]:
    """Values of ``function(site, key)`` of the observed sites, and amplitudes, of each draw."""

    def one(draw: tuple[AnyArray, AnyArray], target: Target) -> Any:
        z, key = draw
        sites, variables = conditioned(observed_sites(target.trace(z)), key)
        keys = jax.random.split(jax.random.fold_in(key, len(sites)), len(sites))
        values = {n: function(site, k) for (n, site), k in zip(sites.items(), keys, strict=True)}
        return values, merged(variables)

    return map_batch(one, (z, keys), target)


@jax.jit
def _observed(target: Target, z: AnyArray) -> dict[str, AnyArray]:
    return {name: site["value"] for name, site in observed_sites(target.trace(z)).items()}


@jax.jit
def _means(target: Target, z: AnyArray, keys: AnyArray) -> dict[str, AnyArray]:
    values, variables = _for_each_draw(lambda site, _: site["fn"].mean, target, z, keys)
    return values | variables


@jax.jit
def _predictive(target: Target, z: AnyArray, keys: AnyArray) -> dict[str, AnyArray]:
    return _for_each_draw(lambda site, key: site["fn"].sample(key), target, z, keys)[0]


@jax.jit
def _log_likelihoods(target: Target, z: AnyArray, keys: AnyArray) -> dict[str, AnyArray]:
    def pointwise(site: dict[str, Any], _key: AnyArray) -> AnyArray:
        fn = site["fn"]
        while isinstance(fn, Independent):
            fn = fn.base_dist
        return fn.log_prob(site["value"])

    return _for_each_draw(pointwise, target, z, keys)[0]


def _pixels_in_use(log_likelihoods: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Indices into the flattened image of each site whose log likelihood is (chain, draw, ny, nx).

    A pixel out of use has the log likelihood zero in every draw, whatever masked it.
    """
    return {
        name: np.flatnonzero(np.any(value != 0.0, axis=(0, 1)))
        for name, value in log_likelihoods.items()
        if value.ndim == 4
    }


def _at_pixels(values: dict[str, Any], used: dict[str, np.ndarray]) -> dict[str, Any]:
    """Images (..., ny, nx) at the pixels in use, (..., used); everything else as it is."""
    flat = {name: np.reshape(values[name], (*np.shape(values[name])[:-2], -1)) for name in used}
    return values | {name: flat[name][..., pixels] for name, pixels in used.items()}


def at_bounds(target: Target, z: np.ndarray, threshold: float = 0.15) -> list[str]:
    """Names of coordinates with bounded support whose draws accumulate at one of the bounds.

    They do when the 5 % quantile of the distance to the bound is below ``threshold`` times the
    median: 0.1 for a flat density that ends there, 0.45 for a Gaussian three sigma away.
    """
    bounded = [index for index, is_bounded in enumerate(target.bounded) if is_bounded]
    found = []
    for index in bounded:
        ratios = []
        for sign in (1, -1):
            low, middle = np.quantile(ndtr(sign * z[..., index].astype(float)), [0.05, 0.5])
            ratios.append(low / middle)
        if min(ratios) < threshold <= max(ratios):
            found.append(target.names[index])
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
