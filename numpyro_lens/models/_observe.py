"""The likelihood of an observation: what a NumPyro model of a lens ends in."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from numpyro_lens._precision import full_precision
from numpyro_lens._types import Array, Image, Mask, Scaling, Vector
from numpyro_lens.density import AbstractMarginal, Sites
from numpyro_lens.light import Lights
from numpyro_lens.linear import (
    LinearImage,
    conditional_amplitudes,
    has_linear,
    linear_image,
    log_marginal,
)
from numpyro_lens.mass import Masses
from numpyro_lens.noise import AbstractNoise
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Plane, Scene
from numpyro_lens.simulate import render_scene


def observe(
    name: str,
    observation: Observation,
    *retired: Any,
    mass: Masses | None = None,
    source: Lights | None = None,
    lens_light: Lights | None = None,
    planes: Sequence[Plane] | None = None,
    scaling: Scaling | None = None,
    noise: AbstractNoise | None = None,
) -> Image:
    r"""Place the likelihood of an observation: render the scene, and compare it with the data.

    .. math:: d_i \sim N(m_i, \sigma_i), \quad \sigma_i^2 = \mathrm{noise}(m_i)

    inside the mask. Amplitudes that are `Linear` are integrated out exactly (`MarginalImage`); the
    noise must not depend on them then, and is that of the data, :math:`\mathrm{noise}(d_i)`. A
    fit gives the scene and the observation back by the name of the site.

    Args:
        name: name of the site.
        observation: data, noise, PSF and mask.
        *retired: not accepted; it catches the call of version 0.1, to show what replaces it.
        mass, source, lens_light, planes, scaling: the scene, as in `render`.
        noise: instead of that of the observation; it may hold sampled values.

    Returns:
        The observed image (ny, nx).

    Raises:
        TypeError: an argument is not of its kind.
        ValueError: planes and scaling do not fit together, or two linear amplitudes share a name.

    Example:
        >>> import numpyro.distributions as dist, numpyro_lens as nl
        >>> observation = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> def model(observation):
        ...     lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3))
        ...     source = nl.sample(
        ...         "source", nl.light.Gaussian, amp=nl.Linear(scale=10.0),
        ...         sigma=dist.LogNormal(-1.0, 0.3))
        ...     nl.observe("image", observation, mass=lens, source=source)
    """
    _check_is_observation("observe", observation, retired)
    scene = Scene.of(
        mass=mass, source=source, lens_light=lens_light, planes=planes, scaling=scaling
    )
    seen = observation if noise is None else observation.with_noise(noise)
    pixels: dist.Distribution = (
        _marginal_pixels(seen, scene)
        if has_linear(scene)
        else _normal_pixels(render_scene(seen, scene), seen)
    )
    return _placed(name, pixels, seen, scene)


def observe_exposures(
    exposures: Mapping[str, Observation],
    *,
    noise: Mapping[str, AbstractNoise] | None = None,
    **scene: Any,
) -> dict[str, Image]:
    r"""Place the likelihood of several exposures, which show one scene in the same units.

    .. math:: p(d_1, \ldots, d_n) = \int \prod_i N(d_i;\, F_i + U_i^T a,\, \sigma_i^2)\;
              N(a; \mu, s^2)\, da

    Each has its own pixels, PSF, noise and mask, and a site, whose density is conditional on the
    exposures before it. Amplitudes that are `Linear` are common to all of them, whereas `observe`
    gives each image its own; without such amplitudes this is `observe` of each exposure.

    Args:
        exposures: the observations, by the name of their site.
        noise: by name, instead of that of the observation; it may hold sampled values.
        **scene: ``mass, source, lens_light``, or ``planes, scaling``, as in `render`.

    Returns:
        The observed images (ny, nx), by name.

    Raises:
        TypeError: an argument is not of its kind.
        ValueError: planes and scaling do not fit together, two linear amplitudes share a name, or
            ``noise`` has a name that no exposure has.

    Example:
        >>> import numpyro, numpyro_lens as nl
        >>> blank = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> sky = nl.light.Uniform(amp=nl.Linear(scale=10.0, name="sky.amp"))
        >>> with numpyro.handlers.trace() as trace:
        ...     images = observe_exposures({"first": blank, "second": blank}, lens_light=sky)
        >>> list(trace)
        ['first', 'second']
    """
    seen = _checked_exposures(exposures, noise or {})
    shown = Scene.of(**scene)
    if not has_linear(shown):
        return {name: observe(name, exposure, **scene) for name, exposure in seen.items()}
    first, before, values = next(iter(seen)), None, {}
    for name, exposure in seen.items():
        pixels = _marginal_pixels(exposure, shown, before=before, shared=first)
        values[name] = _placed(name, pixels, exposure, shown)
        before = pixels.up_to(values[name])
    return values


def _checked_exposures(
    exposures: Mapping[str, Observation], noise: Mapping[str, AbstractNoise]
) -> dict[str, Observation]:
    """Each with its noise."""
    if not isinstance(exposures, Mapping) or not exposures:
        raise TypeError(
            "nl.observe_exposures takes exposures by the name of their site; got "
            f"{'none' if isinstance(exposures, Mapping) else type(exposures).__name__}. "
            'Write nl.observe_exposures({"first": first, "second": second}, mass=..., source=...).'
        )
    for exposure in exposures.values():
        _check_is_observation("observe_exposures", exposure, ())
    if unknown := sorted(set(noise) - set(exposures)):
        raise ValueError(
            f"`noise` has the names of exposures, {', '.join(exposures)}; got "
            f"{', '.join(unknown)}. Write noise={{{next(iter(exposures))!r}: ...}}."
        )
    replaced = {name: exposures[name].with_noise(value) for name, value in noise.items()}
    return dict(exposures) | replaced


def _marginal_pixels(observation: Observation, scene: Scene, **earlier: Any) -> "MarginalImage":
    sigma = observation.noise.sigma(observation.image)
    return MarginalImage(linear_image(observation, scene), sigma, observation.mask, **earlier)


def _placed(name: str, pixels: dist.Distribution, seen: Observation, scene: Scene) -> Image:
    return numpyro.sample(name, pixels, obs=seen.image, infer={_OBSERVATION: seen, _SCENE: scene})


#: Keys of what a site compares, in the ``infer`` dict of a NumPyro site.
_OBSERVATION, _SCENE = "observation", "scene"


def observe_image(name: str, image: Image, observation: Observation, *retired: Any) -> Image:
    r"""Place the likelihood of an image of your own making: independent normal pixels.

    .. math:: d_i \sim N(m_i, \sigma_i), \quad \sigma_i^2 = \mathrm{noise}(m_i)

    inside the mask. `observe` renders the image itself, so that a fit also has its scene.

    Args:
        name: name of the site.
        image: model image (ny, nx).
        observation: data, noise and mask.
        *retired: not accepted.

    Returns:
        The observed image (ny, nx).

    Raises:
        TypeError: it is no observation.
        ValueError: the two images differ in shape.

    Example:
        >>> import numpyro.distributions as dist, numpyro_lens as nl
        >>> observation = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> def model(observation):
        ...     sky = nl.sample("sky", nl.light.Uniform, amp=dist.Normal(0, 1))
        ...     image = nl.render(observation, lens_light=sky)
        ...     nl.observe_image("image", image**2, observation)
    """
    _check_is_observation("observe_image", observation, retired)
    if image.shape[-2:] != observation.shape:
        raise ValueError(
            f"The model image and the data have one shape; got {image.shape} and "
            f"{observation.shape}. Make the image with `render(observation, ...)`."
        )
    pixels = _normal_pixels(image, observation)
    return numpyro.sample(name, pixels, obs=observation.image, infer={_OBSERVATION: observation})


def _normal_pixels(image: Image, observation: Observation) -> dist.Distribution:
    pixels = dist.Normal(image, observation.noise.sigma(image)).mask(observation.mask)
    return pixels.to_event(2)


def _check_is_observation(verb: str, observation: Any, retired: tuple) -> None:
    if isinstance(observation, Observation) and not retired:
        return
    if isinstance(observation, Observation) or any(isinstance(o, Observation) for o in retired):
        raise TypeError(
            f"nl.{verb} got more than it takes by position. Since version 0.2 one call renders and "
            'compares: write nl.observe("image", observation, mass=..., source=...), or of an '
            'image of your own nl.observe_image("image", image, observation).'
        )
    raise TypeError(
        f"nl.{verb} compares with an Observation; got {type(observation).__name__}. "
        "Write nl.Observation(image, pixel_scale=0.05, noise=...)."
    )


def observations(trace: Sites) -> dict[str, Observation]:
    """The observations of a NumPyro trace, by the name of their site.

    Args:
        trace: of a model.

    Returns:
        What `observe` and `observe_image` placed in it.

    Example:
        >>> import numpyro, numpyro_lens as nl
        >>> observation = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> def model():
        ...     nl.observe("image", observation, lens_light=nl.light.Uniform(amp=1.0))
        >>> list(observations(numpyro.handlers.trace(model).get_trace()))
        ['image']
    """
    return _kept(trace, _OBSERVATION)


def scenes(trace: Sites) -> dict[str, Scene]:
    """The scenes of a NumPyro trace, by the name of their site; `observe_image` has none.

    Args:
        trace: of a model.

    Returns:
        What `observe` rendered; `Linear` amplitudes are still in it.

    Example:
        >>> import numpyro, numpyro_lens as nl
        >>> observation = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> def model():
        ...     nl.observe("image", observation, lens_light=nl.light.Uniform(amp=1.0))
        >>> scenes(numpyro.handlers.trace(model).get_trace())["image"].lens_light.amp
        1.0
    """
    return _kept(trace, _SCENE)


def _kept(trace: Sites, key: str) -> dict[str, Any]:
    return {
        name: site["infer"][key] for name, site in trace.items() if key in site.get("infer", {})
    }


class SeenPixels(NamedTuple):
    """Pixels that linear amplitudes explain.

    Attributes:
        image: the image as a function of its amplitudes.
        data: (ny, nx).
        sigma: (ny, nx) standard deviation of each pixel.
        used: (ny, nx), True uses the pixel.
    """

    image: LinearImage
    data: Image
    sigma: Image
    used: Mask

    def with_more(self, more: "SeenPixels") -> "SeenPixels":
        """These and others that the same amplitudes explain, all in one row."""
        fixed, basis, *rest = (
            jnp.concatenate([_in_one_row(one), _in_one_row(other)], axis=-1)
            for one, other in zip(self._arrays(), more._arrays(), strict=True)
        )
        return SeenPixels(LinearImage(fixed, basis, self.image.priors), *rest)

    def _arrays(self) -> tuple[Array, ...]:
        return self.image.fixed, self.image.basis, *self[1:]


def _in_one_row(images: Array) -> Array:
    return images.reshape(*images.shape[:-2], 1, -1)


class MarginalImage(AbstractMarginal):
    r"""Distribution of an image whose amplitudes are integrated out.

    .. math:: d \sim N(F + U^T \mu,\; \mathrm{diag}\,\sigma^2 + U^T \mathrm{diag}(s^2)\, U)

    inside the mask, for amplitudes :math:`a \sim N(\mu, s^2)` of images U; or for what earlier
    images have left of them.

    Args:
        image: the image as a function of its amplitudes.
        sigma: (ny, nx) standard deviation of each pixel.
        used: (ny, nx), True uses the pixel.
        before: earlier images that the same amplitudes explain; none by default.
        shared: name of the site of the first of these.
    """

    support = constraints.real_matrix
    pytree_data_fields = ("image", "sigma", "used", "before")
    pytree_aux_fields = ("_shared",)

    def __init__(
        self,
        image: LinearImage,
        sigma: Image,
        used: Mask,
        *,
        before: SeenPixels | None = None,
        shared: str | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.image, self.sigma, self.used = image, sigma, used
        self.before, self._shared = before, shared
        super().__init__((), image.fixed.shape, validate_args=validate_args)

    @property
    def shared(self) -> str | None:
        """Name of the first site with the same amplitudes; none where they are its own."""
        return self._shared

    def up_to(self, value: Image) -> SeenPixels:
        """The earlier images, and an image (ny, nx) of this distribution."""
        own = SeenPixels(self.image, value, self.sigma, self.used)
        return own if self.before is None else self.before.with_more(own)

    def log_prob(self, value: Image) -> Array:
        """Log density of an image (ny, nx), given the earlier ones."""
        joint = log_marginal(*self.up_to(value))
        return joint if self.before is None else joint - log_marginal(*self.before)

    def _amplitudes(self) -> tuple[Vector, Array]:
        """Mean (num,) and a factor (num, num) of the covariance, before this image is seen."""
        if self.before is None:
            return self.image.loc, jnp.diag(self.image.scale)
        return conditional_amplitudes(*self.before)

    @full_precision
    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Images with amplitudes drawn, and noise."""
        key_amplitudes, key_noise = jax.random.split(key)
        mean, factor = self._amplitudes()
        z = jax.random.normal(key_amplitudes, (*sample_shape, mean.size), mean.dtype)
        images = jnp.tensordot(z @ factor.T, self.image.basis, axes=1)
        noise = jax.random.normal(key_noise, images.shape, mean.dtype)
        center, sigma = (jnp.broadcast_to(v, images.shape) for v in (self.image(mean), self.sigma))
        return center + images + sigma * noise

    @property
    def mean(self) -> Image:
        """The image of the mean amplitudes."""
        return self.image(self._amplitudes()[0])

    @property
    @full_precision
    def variance(self) -> Image:
        """Variance of each pixel, noise and amplitudes together."""
        scaled = jnp.tensordot(self._amplitudes()[1].T, self.image.basis, axes=1)
        return self.sigma**2 + jnp.sum(scaled**2, axis=0)

    def prior(self, key: Array) -> dict[str, Array]:
        """Amplitudes drawn from their prior, by name."""
        loc = self.image.loc
        return self.image.named(loc + self.image.scale * jax.random.normal(key, loc.shape))

    @full_precision
    def conditional(self, value: Image, key: Array | None = None) -> dict[str, Array]:
        """Amplitudes given the image and the earlier ones: a draw, or without a key their mean."""
        mean, factor = conditional_amplitudes(*self.up_to(value))
        z = jnp.zeros_like(mean) if key is None else jax.random.normal(key, mean.shape, mean.dtype)
        return self.image.named(mean + factor @ z)

    def given(self, variables: dict[str, Array]) -> dist.Distribution:
        """The distribution of the image for given amplitudes: independent normal pixels."""
        values = jnp.concatenate([jnp.ravel(variables[str(p.name)]) for p in self.image.priors])
        return dist.Normal(self.image(values), self.sigma).mask(self.used).to_event(2)
