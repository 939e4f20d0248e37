"""Lens models are NumPyro functions: pieces to write one, and ready ones short enough to copy."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from numpyro_lens import light, mass, priors
from numpyro_lens._types import Array, Image, Mask
from numpyro_lens.light import Lights
from numpyro_lens.linear import (
    Linear,
    LinearImage,
    conditional_amplitudes,
    linear_image,
    log_marginal,
)
from numpyro_lens.mass import Masses
from numpyro_lens.observation import Observation
from numpyro_lens.simulate import render

Profile = TypeVar("Profile")


def sample(name: str, profile: type[Profile], **parameters: Any) -> Profile:
    """Place the parameters of a profile in a NumPyro model.

    Args:
        name: prefix of the sites, which are called ``name.parameter``.
        profile: class of the profile, such as ``mass.EPL``.
        **parameters: for each field of the profile a distribution (it is sampled) or a number or
            array (it is fixed); the ``amp`` of a light can also be `Linear` (it is integrated out,
            see `observe_marginal`); a field with a default may be left out.

    Returns:
        The profile with its values.

    Raises:
        ValueError: a parameter is unknown or missing, or one other than ``amp`` is `Linear`.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, numpyro_lens as nl
        >>> with numpyro.handlers.seed(rng_seed=0):
        ...     lens = sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3), center_x=0.1)
        >>> lens.center_x
        0.1
    """
    _check_parameters(profile, parameters)
    values = {field: _place(f"{name}.{field}", value) for field, value in parameters.items()}
    return profile(**values)


def _place(site: str, value: Any) -> Any:
    if isinstance(value, Linear):
        return dataclasses.replace(value, name=site)
    return numpyro.sample(site, value) if isinstance(value, dist.Distribution) else value


def observe(name: str, image: Image, observation: Observation) -> Image:
    r"""Place the likelihood of an image: independent normal pixels inside the mask.

    .. math:: d_i \sim N(m_i, \sigma_i), \quad \sigma_i^2 = \mathrm{noise}(m_i)

    Args:
        name: name of the site.
        image: model image (ny, nx).
        observation: data, noise and mask.

    Returns:
        The observed image (ny, nx).

    Raises:
        ValueError: the two images differ in shape.

    Example:
        >>> import numpyro, numpy as np, numpyro_lens as nl
        >>> observation = nl.Observation(
        ...     np.zeros((5, 5)), pixel_scale=0.1, noise=nl.PoissonNoise(0.1, 100.0))
        >>> def model(observation):
        ...     sky = nl.sample("sky", nl.light.Uniform, amp=numpyro.distributions.Normal(0, 1))
        ...     image = nl.render(observation, mass=nl.mass.SIS(theta_E=0.1), lens_light=sky)
        ...     nl.observe("image", image, observation)
    """
    if image.shape[-2:] != observation.shape:
        raise ValueError(
            f"The model image and the data have one shape; got {image.shape} and "
            f"{observation.shape}. Make the image with `render(observation, ...)`."
        )
    pixels = dist.Normal(image, observation.noise.sigma(image)).mask(observation.mask)
    return numpyro.sample(name, pixels.to_event(2), obs=observation.image)


class MarginalImage(dist.Distribution):
    r"""Distribution of an image whose amplitudes are integrated out.

    .. math:: d \sim N(F + U^T \mu,\; \mathrm{diag}\,\sigma^2 + U^T \mathrm{diag}(s^2)\, U)

    inside the mask, for amplitudes :math:`a \sim N(\mu, s^2)` of images U.

    Args:
        image: the image as a function of its amplitudes.
        sigma: (ny, nx) standard deviation of each pixel.
        used: (ny, nx), True uses the pixel.
    """

    support = constraints.real_matrix
    pytree_data_fields = ("image", "sigma", "used")

    def __init__(
        self,
        image: LinearImage,
        sigma: Image,
        used: Mask,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.image, self.sigma, self.used = image, sigma, used
        super().__init__((), image.fixed.shape, validate_args=validate_args)

    def log_prob(self, value: Image) -> Array:
        """Log density of an image (ny, nx)."""
        return log_marginal(self.image, value, self.sigma, self.used)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Images with amplitudes drawn from their prior, and noise."""
        key_amplitudes, key_noise = jax.random.split(key)
        loc, scale = self.image.loc, self.image.scale
        z = jax.random.normal(key_amplitudes, (*sample_shape, loc.size), loc.dtype)
        amplitudes = jnp.broadcast_to(loc, z.shape) + jnp.broadcast_to(scale, z.shape) * z
        images = jnp.tensordot(amplitudes, self.image.basis, axes=1)
        noise = jax.random.normal(key_noise, images.shape, loc.dtype)
        fixed, sigma = (jnp.broadcast_to(v, images.shape) for v in (self.image.fixed, self.sigma))
        return fixed + images + sigma * noise

    @property
    def mean(self) -> Image:
        """The image of the prior means."""
        return self.image(self.image.loc)

    @property
    def variance(self) -> Image:
        """Variance of each pixel, noise and amplitudes together."""
        scaled = self.image.basis * self.image.scale[:, None, None]
        return self.sigma**2 + jnp.sum(scaled**2, axis=0)

    def amplitudes(self, value: Image, key: Array | None = None) -> dict[str, Array]:
        """Amplitudes given the image, by name: a draw, or without a key their mean."""
        mean, factor = conditional_amplitudes(self.image, value, self.sigma, self.used)
        z = jnp.zeros_like(mean) if key is None else jax.random.normal(key, mean.shape, mean.dtype)
        return self.image.named(mean + factor @ z)

    def given(self, amplitudes: dict[str, Array]) -> dist.Distribution:
        """The distribution of the image for given amplitudes: independent normal pixels."""
        values = jnp.concatenate([jnp.ravel(amplitudes[str(p.name)]) for p in self.image.priors])
        return dist.Normal(self.image(values), self.sigma).mask(self.used).to_event(2)


def observe_marginal(
    name: str,
    observation: Observation,
    *,
    mass: Masses | None = None,
    source: Lights | None = None,
    lens_light: Lights | None = None,
    sigma: Image | None = None,
) -> Image:
    r"""Place the likelihood of an image with its `Linear` amplitudes integrated out.

    It renders the scene and compares it with the data, as `render` and `observe` do for light whose
    amplitudes are all sampled or fixed. The noise must not depend on the amplitudes: it is that of
    the data, ``observation.noise.sigma(observation.image)``, unless ``sigma`` is given.

    Args:
        name: name of the site.
        observation: data, noise and mask.
        mass: as in `render`.
        source: as in `render`; any of its amplitudes can be `Linear`.
        lens_light: as in `render`; any of its amplitudes can be `Linear`.
        sigma: standard deviation of each pixel (ny, nx), instead of that of the data.

    Returns:
        The observed image (ny, nx).

    Raises:
        ValueError: no amplitude is linear, or two have the same name.

    Example:
        >>> import numpyro.distributions as dist, numpy as np, numpyro_lens as nl
        >>> observation = nl.Observation(np.zeros((5, 5)), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> def model(observation):
        ...     lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3))
        ...     source = nl.sample(
        ...         "source", nl.light.Gaussian, amp=nl.Linear(scale=10.0),
        ...         sigma=dist.LogNormal(-1.0, 0.3))
        ...     nl.observe_marginal("image", observation, mass=lens, source=source)
    """
    image = linear_image(observation, mass=mass, source=source, lens_light=lens_light)
    sigma = observation.noise.sigma(observation.image) if sigma is None else sigma
    pixels = MarginalImage(image, sigma, observation.mask)
    return numpyro.sample(name, pixels, obs=observation.image)


def _check_parameters(profile: type, parameters: dict[str, Any]) -> None:
    fields = {field.name: field for field in dataclasses.fields(profile)}
    unknown = [name for name in parameters if name not in fields]
    missing = [
        name
        for name, field in fields.items()
        if name not in parameters
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if unknown or missing:
        problems = [f"unknown: {', '.join(unknown)}"] * bool(unknown) + [
            f"missing: {', '.join(missing)}"
        ] * bool(missing)
        raise ValueError(
            f"Give each parameter of {profile.__name__} a distribution or a number "
            f"({'; '.join(problems)}). Its parameters are: {', '.join(fields)}."
        )
    for name, value in parameters.items():
        _check_kind(profile, name, value)


def _check_kind(profile: type, name: str, value: Any) -> None:
    if isinstance(value, type):
        raise ValueError(
            f"Give each parameter of {profile.__name__} a distribution or a number; `{name}` got "
            f"the class {value.__name__} itself. Write {name}={value.__name__}(...)."
        )
    if isinstance(value, light.Footprint) and name != "smoothing":
        raise ValueError(
            "Only the `smoothing` of a light follows the footprint of the rays; got Footprint for "
            f"{name}. Give it a distribution: dist.LogNormal(-1.0, 0.3)."
        )
    if isinstance(value, Linear) and name != "amp":
        raise ValueError(
            f"Only the `amp` of a light enters an image linearly; got Linear for {name}. "
            "Give it a distribution: dist.Normal(0.0, 1.0)."
        )


def epl_shear_sersic(observation: Observation) -> None:
    """An elliptical power law with external shear, and a Sersic each for lens and source light.

    It has 22 parameters. The cusp of the source is as flat as the rays are wide.

    Args:
        observation: the data.
    """
    position = dist.Normal(0.0, 0.1)
    ellipticity = dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8)
    index = dist.Uniform(0.2, 10.0)
    lens = sample(
        "lens",
        mass.EPL,
        theta_E=dist.LogNormal(0.1, 0.4),
        gamma=dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    shear = sample(
        "shear", mass.Shear, gamma1=dist.Normal(0.0, 0.06), gamma2=dist.Normal(0.0, 0.06)
    )
    lens_light = sample(
        "lens_light",
        light.Sersic,
        amp=priors.amplitude(observation),
        R_sersic=dist.LogNormal(-0.2, 0.7),
        n_sersic=index,
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    source = sample(
        "source",
        light.Sersic,
        amp=priors.amplitude(observation),
        R_sersic=dist.LogNormal(-1.5, 0.7),
        n_sersic=index,
        e1=dist.TruncatedNormal(0.0, 0.3, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0.0, 0.3, low=-0.8, high=0.8),
        center_x=dist.Normal(0.0, 0.3),
        center_y=dist.Normal(0.0, 0.3),
        smoothing=light.Footprint(),
    )
    image = render(observation, mass=lens + shear, source=source, lens_light=lens_light)
    observe("image", image, observation)


def epl_shear_shapelets(observation: Observation, n_max: int = 6) -> None:
    """An elliptical power law with external shear, Sersic lens light and a shapelet source.

    It has 17 parameters; the 29 amplitudes are integrated out.

    Args:
        observation: the data.
        n_max: largest order of the shapelets.
    """
    position = dist.Normal(0.0, 0.1)
    ellipticity = dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8)
    lens = sample(
        "lens",
        mass.EPL,
        theta_E=dist.LogNormal(0.1, 0.4),
        gamma=dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    shear = sample(
        "shear", mass.Shear, gamma1=dist.Normal(0.0, 0.06), gamma2=dist.Normal(0.0, 0.06)
    )
    brightest = jnp.exp(priors.amplitude(observation, fraction=1.0).loc)
    lens_light = sample(
        "lens_light",
        light.Sersic,
        amp=Linear(scale=brightest),
        R_sersic=dist.LogNormal(-0.2, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    num = len(light.shapelet_orders(n_max))
    source = sample(
        "source",
        light.Shapelets,
        amp=Linear(scale=jnp.full(num, brightest)),
        beta=dist.LogNormal(-1.8, 0.5),
        center_x=dist.Normal(0.0, 0.3),
        center_y=dist.Normal(0.0, 0.3),
    )
    observe_marginal("image", observation, mass=lens + shear, source=source, lens_light=lens_light)


#: Ready models by the name that the command line takes.
READY: dict[str, Callable] = {
    "epl-shear-sersic": epl_shear_sersic,
    "epl-shear-shapelets": epl_shear_shapelets,
}
