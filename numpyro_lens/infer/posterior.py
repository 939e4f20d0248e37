"""The result of a fit: the chains, what ArviZ makes of them, and what the model predicts."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import DTypeLike
from numpyro.distributions import Independent
from scipy.special import ndtr

from numpyro_lens import plot
from numpyro_lens._types import Array
from numpyro_lens.infer import diagnostics
from numpyro_lens.infer.batching import map_batch, unplaced
from numpyro_lens.infer.density import FlatModel, Sites, observed_sites
from numpyro_lens.infer.results import MAPResult, SVIResult, constrain
from numpyro_lens.linear import with_amplitudes
from numpyro_lens.models import MarginalImage
from numpyro_lens.observation import Observation
from numpyro_lens.simulate import Scene, record_scenes


@dataclass(frozen=True, repr=False, eq=False)
class HMCResult:
    """Posterior draws, with the stages that led to them.

    It behaves as the array of unconstrained chains (num_results, num_chains, d), as GIGA-Lens
    returns it.

    Attributes:
        z: unconstrained draws (num_chains, num_results, d).
        statistics: by ArviZ's names, (num_chains, num_results) each.
        svi, map: results of the stages before, ``map`` may be missing.
        timing: seconds of compilation and of running.
    """

    flat: FlatModel
    args: tuple
    z: np.ndarray
    statistics: dict[str, np.ndarray]
    svi: SVIResult
    map: MAPResult | None
    stage_gradients: dict[str, int]
    timing: dict[str, float]
    hmc_settings: Any
    seed: int | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def model(self) -> Callable:
        """The NumPyro model function."""
        return self.flat.model

    @property
    def observation(self) -> Observation:
        """The first observation among the arguments of the model.

        Raises:
            ValueError: the model takes none.
        """
        for arg in self.args:
            if isinstance(arg, Observation):
                return arg
        raise ValueError("This model takes no `Observation`; its arguments are in `result.args`.")

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each entry of the unconstrained vector."""
        return self.flat.names

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
        before = {} if self.map is None else dict(self.map.num_gradients)
        return before | getattr(self.svi, "num_gradients", {}) | self.stage_gradients

    @property
    def timings(self) -> dict[str, dict[str, float]]:
        """Seconds of compilation and of running, by stage."""
        stages: dict[str, Any] = {"map": self.map, "svi": self.svi, "hmc": self}
        return {name: stage.timing for name, stage in stages.items() if hasattr(stage, "timing")}

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Values of the latent and deterministic sites, (num_chains, num_results, ...) each."""
        values = constrain(self.flat, self.z.reshape(-1, self.flat.dim), self.args)
        return {name: v.reshape(*self.z.shape[:2], *v.shape[1:]) for name, v in values.items()}

    @cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """Values of the observed sites."""
        return _observed(self.flat, self.z[0, 0], self.args)

    @cached_property
    def best(self) -> dict[str, np.ndarray]:
        """Site values of the draw with the highest log density."""
        index = np.unravel_index(np.argmax(self.log_density), self.log_density.shape)
        return {name: values[index] for name, values in self.samples.items()}

    @cached_property
    def verdict(self) -> diagnostics.Verdict:
        """Whether the chains can be trusted, in numbers and in words (``str``)."""
        return diagnostics.verdict(
            self.names, self.z, self.statistics["diverging"], _at_bounds(self.flat, self.z)
        )

    def summary(self, var_names: Sequence[str] | None = None) -> Any:
        """ArviZ's summary, a ``pandas.DataFrame`` with a row for each parameter."""
        return diagnostics.summary(self.to_arviz(), var_names=var_names)

    def scene(self, params: dict[str, Any] | None = None) -> Scene:
        """The mass and light that the model rendered, at ``params`` or else at ``best``.

        Linear amplitudes have their mean given the data and the other parameters.

        Raises:
            ValueError: the model does not call ``render``.
        """
        values = self.best if params is None else params
        values = {site.name: values[site.name] for site in self.flat.sites}
        scene = scene_at(self.flat, self.flat.unconstrain(values, self.args), self.args)
        if scene is None:
            raise ValueError(
                "This model does not call `numpyro_lens.render`, so there is no scene to look at."
            )
        return jax.tree.map(np.asarray, scene)

    def predict(self, num: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
        """Noiseless prediction of each observed site for ``num`` draws, {site: (num, ...)}.

        Linear amplitudes are drawn given the data and each draw of the other parameters; they are
        in the dict too, by name, such as ``source.amp``.
        """
        return self._over_draws(_means, num, seed)

    def _over_draws(self, function: Callable, num: int, seed: int) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(seed)
        flat_draws = self.z.reshape(-1, self.flat.dim)
        chosen = generator.choice(len(flat_draws), size=min(num, len(flat_draws)), replace=False)
        keys = jax.random.split(jax.random.key(seed), len(chosen))
        return unplaced(function(self.flat, flat_draws[np.sort(chosen)], keys, self.args))

    def to_arviz(
        self, log_likelihood: bool = False, posterior_predictive: bool = False, num: int = 200
    ) -> Any:
        """An ArviZ container with coordinates ``x`` and ``y`` [arcsec] on image sites.

        The ``log_likelihood`` of an image has one dimension, over the pixels in use: a masked pixel
        is no data, and ArviZ's LOO counts or refuses those that it finds. The dimension is called
        ``image_pixel`` for a site ``image`` and holds the index into the flattened image.

        Args:
            log_likelihood: add that of every pixel in use, for every draw thinned to about ``num``
                in all.
            posterior_predictive: add ``num`` images drawn from the model.
            num: draws of the two optional groups.
        """
        groups: dict[str, dict[str, Any]] = {
            "posterior": self.samples,
            "sample_stats": dict(self.statistics),
            "observed_data": self.observed,
        }
        observation = next((arg for arg in self.args if isinstance(arg, Observation)), None)
        coords: dict[str, Any] = {}
        dims: dict[str, dict[str, list[str]]] = {}
        if observation is not None:
            groups["constant_data"] = _constant_data(observation)
            coords = _pixel_coordinates(observation)
            dims = _image_dims(self.observed, observation)
        if log_likelihood:
            values = self._thinned(_log_likelihoods, num)
            groups["log_likelihood"], used = _pixels_in_use(values)
            coords = coords | used
            dims["log_likelihood"] = {name.removesuffix("_pixel"): [name] for name in used}
        if posterior_predictive:
            groups["posterior_predictive"] = self._thinned(_predictive, num)
        return diagnostics.build_container(
            groups, coords=coords, dims=dims, attrs=self._attributes()
        )

    def _thinned(self, function: Callable, num: int) -> dict[str, np.ndarray]:
        """Apply to every k-th draw of every chain, keeping the (chain, draw) axes."""
        step = max(1, self.z.shape[0] * self.z.shape[1] // num)
        z = self.z[:, ::step]
        keys = jax.random.split(jax.random.key(0), z.shape[0] * z.shape[1])
        values = function(self.flat, z.reshape(-1, self.flat.dim), keys, self.args)
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

    def save(self, path: str | PathLike) -> None:
        """Write netCDF: for ``numpyro_lens.load``, and for ``arviz.from_netcdf``."""
        from numpyro_lens.infer import saved

        saved.save(self, path)

    def plot(self) -> Figure:
        """A figure of data, model, normalised residuals and source plane; see ``plot.plot_fit``."""
        return plot.plot_fit(self)[0]

    def plot_corner(
        self,
        var_names: Sequence[str] | None = None,
        truths: dict[str, float] | None = None,
        **settings: Any,
    ) -> Figure:
        """A figure of the posterior; see ``plot.plot_corner``."""
        return plot.plot_corner(self, var_names, truths, **settings)[0]

    def __repr__(self) -> str:
        return (
            f"HMCResult: {self.z.shape[0]} chains of {self.z.shape[1]} draws, "
            f"{self.flat.dim} parameters, {sum(self.num_gradients.values())} gradients "
            f"in all stages\n{self.verdict}"
        )

    def _repr_html_(self) -> str:
        sentence = str(self.verdict).replace("\n", "<br>")
        return f"<p>{sentence}</p>{self.summary()._repr_html_()}"


def scene_at(flat: FlatModel, z: Array, args: tuple) -> Scene | None:
    """The last scene that a model renders at an unconstrained vector, if it renders any."""
    with record_scenes() as scenes:
        trace = flat.trace(z, args)
    if not scenes:
        return None
    return with_amplitudes(scenes[-1], _given_amplitudes(observed_sites(trace))[1])


def _given_amplitudes(sites: Sites, key: Array | None = None) -> tuple[Sites, dict[str, Any]]:
    """The sites for given values of the linear amplitudes, and these: drawn, or their means."""
    out: dict[str, Any] = {}
    amplitudes: dict[str, Any] = {}
    for index, (name, site) in enumerate(sites.items()):
        fn = site["fn"]
        if isinstance(fn, MarginalImage):
            own = None if key is None else jax.random.fold_in(key, index)
            drawn = fn.amplitudes(site["value"], own)
            fn, amplitudes = fn.given(drawn), amplitudes | drawn
        out[name] = site | {"fn": fn}
    return out, amplitudes


def _for_each_draw(
    function: Callable, flat: FlatModel, z: Array, keys: Array, args: tuple
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Values of ``function(site, key)`` of the observed sites, and amplitudes, of each draw."""

    def one(draw: tuple[Array, Array], args: tuple) -> tuple[dict[str, Array], dict[str, Array]]:
        z, key = draw
        sites, amplitudes = _given_amplitudes(observed_sites(flat.trace(z, args)), key)
        keys = jax.random.split(jax.random.fold_in(key, len(sites)), len(sites))
        values = {n: function(site, k) for (n, site), k in zip(sites.items(), keys, strict=True)}
        return values, amplitudes

    return map_batch(one, (z, keys), args)


@partial(jax.jit, static_argnames=("flat",))
def _means(flat: FlatModel, z: Array, keys: Array, args: tuple) -> dict[str, Array]:
    values, amplitudes = _for_each_draw(lambda site, _: site["fn"].mean, flat, z, keys, args)
    return values | amplitudes


@partial(jax.jit, static_argnames=("flat",))
def _predictive(flat: FlatModel, z: Array, keys: Array, args: tuple) -> dict[str, Array]:
    return _for_each_draw(lambda site, key: site["fn"].sample(key), flat, z, keys, args)[0]


@partial(jax.jit, static_argnames=("flat",))
def _log_likelihoods(flat: FlatModel, z: Array, keys: Array, args: tuple) -> dict[str, Array]:
    def pointwise(site: dict[str, Any], _key: Array) -> Array:
        fn = site["fn"]
        while isinstance(fn, Independent):
            fn = fn.base_dist
        return fn.log_prob(site["value"])

    return _for_each_draw(pointwise, flat, z, keys, args)[0]


def _pixels_in_use(
    values: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Log likelihoods with images (chain, draw, ny, nx) as (chain, draw, used), and which they are.

    A pixel out of use has the log likelihood zero in every draw, whatever masked it.
    """
    kept, coords = {}, {}
    for name, value in values.items():
        if value.ndim == 4:
            value = value.reshape(*value.shape[:2], -1)
            coords[f"{name}_pixel"] = np.flatnonzero(np.any(value != 0.0, axis=(0, 1)))
            value = value[..., coords[f"{name}_pixel"]]
        kept[name] = value
    return kept, coords


def _observed(flat: FlatModel, z: Array, args: tuple) -> dict[str, np.ndarray]:
    sites = observed_sites(flat.trace(z, args))
    return {name: np.asarray(site["value"]) for name, site in sites.items()}


def _constant_data(observation: Observation) -> dict[str, np.ndarray]:
    return {
        "mask": np.asarray(observation.mask),
        "transform_pix2angle": np.asarray(observation.transform_pix2angle),
    }


def _image_dims(
    observed: dict[str, np.ndarray], observation: Observation
) -> dict[str, dict[str, list[str]]]:
    """Names of the dimensions of what is shaped like the observation, by group."""
    shape = observation.shape
    images = {name: ["y", "x"] for name, value in observed.items() if value.shape == shape}
    return {
        "constant_data": {"mask": ["y", "x"]},
        "observed_data": images,
        "posterior_predictive": images,
    }


def _pixel_coordinates(observation: Observation) -> dict[str, np.ndarray]:
    """Offsets from the image centre along both axes [arcsec]; exact for a diagonal pixel matrix."""
    matrix = np.asarray(observation.transform_pix2angle)
    ny, nx = observation.shape
    return {
        "x": matrix[0, 0] * (np.arange(nx) - (nx - 1) / 2),
        "y": matrix[1, 1] * (np.arange(ny) - (ny - 1) / 2),
    }


def _at_bounds(flat: FlatModel, z: np.ndarray, threshold: float = 0.15) -> list[str]:
    """Names of coordinates with bounded support whose draws pile up at one of the bounds.

    They do when the 5 % quantile of the distance to the bound is below ``threshold`` times the
    median: 0.1 for a flat density that ends there, 0.45 for a Gaussian three sigma away.
    """
    bounded = [index for index, is_bounded in enumerate(flat.bounded) if is_bounded]
    found = []
    for index in bounded:
        ratios = []
        for sign in (1, -1):
            low, middle = np.quantile(ndtr(sign * z[..., index].astype(float)), [0.05, 0.5])
            ratios.append(low / middle)
        if min(ratios) < threshold <= max(ratios):
            found.append(flat.names[index])
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
