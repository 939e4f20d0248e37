"""Data that a model makes of parameters drawn from its prior, put in the place of the real ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.primitives import Messenger

from numpyro_lens._types import AnyArray
from numpyro_lens.density import (
    AbstractMarginal,
    Sites,
    Target,
    base_distribution,
    integrated,
    map_batch,
    merged,
    observed_sites,
    unplaced,
)
from numpyro_lens.observation import Observation


class Mock(NamedTuple):
    """Simulated data, and what they were made of.

    Attributes:
        truth: values of the latent sites and of the linear amplitudes, by name.
        data: of each observed site, by name.
    """

    truth: dict[str, np.ndarray]
    data: dict[str, np.ndarray]


@dataclass(frozen=True)
class WithData:
    """A model whose observed sites compare with data that are its first argument.

    What else the model computes from its own arguments stays: a prior that takes its unit from an
    image is the same for all data.

    Args:
        model: NumPyro model function.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def model(y):
        ...     mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> target = Target.of(WithData(model), {"y": np.array(3.0)}, 0.0)
        >>> float(target.trace(np.zeros(1))["y"]["value"])
        3.0
    """

    model: Callable

    def __call__(self, data: dict[str, AnyArray], *args: Any) -> Any:
        """Run the model with these data."""
        return _Replaced(self.model, data)(*args)


class _Replaced(Messenger):
    """NumPyro's effect handler that sets the values of observed sites."""

    def __init__(self, fn: Callable, data: dict[str, AnyArray]) -> None:
        self.data = data
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if msg["type"] != "sample" or not msg["is_observed"] or msg["name"] not in self.data:
            return
        value = self.data[msg["name"]]
        msg["value"] = value
        # An observation at the site goes on to residuals and pictures, which are of these data.
        msg["infer"] = {
            key: eqx.tree_at(_image, kept, value) if isinstance(kept, Observation) else kept
            for key, kept in (msg["infer"] or {}).items()
        }


def mock_data(target: Target, key: AnyArray) -> Mock:
    """Parameters from the prior, and data from the likelihood of every observed site.

    Args:
        target: a model with its arguments, of which the observed values are not used.
        key: of ``jax.random.key``.

    Example:
        >>> camera = nl.Observation.blank((6, 7), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> target = Target.of(nl.models.epl_shear_sersic, camera)
        >>> mock = mock_data(target, jax.random.key(0))
        >>> mock.data["image"].shape, mock.truth["lens.theta_E"].shape
        ((6, 7), ())
    """
    return Mock(*unplaced(_mock(target, key)))


def prior_values(target: Target, key: AnyArray, num: int = 1000) -> dict[str, np.ndarray]:
    """Draws (num, ...) from the prior of every latent site and linear amplitude, by name."""
    return unplaced(_truths(target, jax.random.split(key, num)))


@jax.jit
def _mock(target: Target, key: AnyArray) -> tuple[dict[str, AnyArray], dict[str, AnyArray]]:
    return _drawn(key, target)


@jax.jit
def _truths(target: Target, keys: AnyArray) -> dict[str, AnyArray]:
    return map_batch(lambda key, target: _drawn(key, target)[0], keys, target)


def _drawn(key: AnyArray, target: Target) -> tuple[dict[str, AnyArray], dict[str, AnyArray]]:
    key_prior, key_integrated, key_data = jax.random.split(key, 3)
    trace = target.trace(target.prior_draw(key_prior))
    sites = observed_sites(trace)
    variables = integrated(
        sites, lambda fn, _, index: fn.prior(jax.random.fold_in(key_integrated, index))
    )
    data: dict[str, AnyArray] = {}
    for index, (name, site) in enumerate(sites.items()):
        fn = site["fn"]
        pixels = fn.given(variables[name]) if isinstance(fn, AbstractMarginal) else fn
        data[name] = _as_seen(site, pixels.sample(jax.random.fold_in(key_data, index)))
    latent = {site.name: trace[site.name]["value"] for site in target.sites}
    return latent | merged(variables), data


def _as_seen(site: dict[str, Any], value: AnyArray) -> AnyArray:
    """Pixels out of use are zero, as in every observation."""
    for kept in (site["infer"] or {}).values():
        if isinstance(kept, Observation):
            value = jnp.where(kept.mask, value, 0.0)
    return value


def _image(observation: Observation) -> AnyArray:
    return observation.image


def check_can_simulate(target: Target) -> None:
    """Check that a model says where its parameters and its data come from.

    Raises:
        ValueError: a prior is improper, part of the likelihood a bare factor, or nothing observed.
    """
    trace: Sites = {}
    jax.eval_shape(lambda z: trace.update(target.trace(z)) or 0, np.zeros(target.dim))
    improper = [s.name for s in target.sites if _is_improper(trace[s.name]["fn"])]
    if improper:
        raise ValueError(
            "Calibration draws from the prior, and an improper one has no draws: "
            f"{', '.join(improper)}. Give proper priors, such as dist.Normal(0.0, 10.0)."
        )
    factors = [n for n, s in trace.items() if isinstance(s.get("fn"), dist.Unit)]
    if factors or not observed_sites(trace):
        named = ", ".join(factors) or "no site observes"
        raise ValueError(
            f"Calibration draws data from every observed site, and a factor predicts none: {named}."
            ' End the model with nl.observe("image", observation, ...) or '
            "numpyro.sample(name, distribution, obs=data)."
        )


def _is_improper(fn: Any) -> bool:
    return isinstance(base_distribution(fn), dist.ImproperUniform)
