"""Lens models are NumPyro functions: pieces to write one, and ready ones short enough to copy."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpyro
import numpyro.distributions as dist

from numpyro_lens import light, mass, priors
from numpyro_lens.observation import Observation
from numpyro_lens.simulate import render

Profile = TypeVar("Profile")


def sample(name: str, profile: type[Profile], **parameters) -> Profile:
    """Place the parameters of a profile in a NumPyro model.

    Args:
        name: prefix of the sites, which are called ``name.parameter``.
        profile: class of the profile, such as ``mass.EPL``.
        **parameters: for each field of the profile a distribution (it is sampled) or a number or
            array (it is fixed); a field with a default may be left out.

    Returns:
        The profile with its values.

    Raises:
        ValueError: a parameter is unknown or missing.

    Example:
        >>> import jax, numpyro, numpyro.distributions as dist, numpyro_lens as nl
        >>> with numpyro.handlers.seed(rng_seed=0):
        ...     lens = sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(0.0, 0.3), center_x=0.1)
        >>> lens.center_x
        0.1
    """
    _check_parameters(profile, parameters)
    values = {
        field: numpyro.sample(f"{name}.{field}", value)
        if isinstance(value, dist.Distribution)
        else value
        for field, value in parameters.items()
    }
    return profile(**values)


def observe(name: str, image, observation: Observation):
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


def _check_parameters(profile, parameters) -> None:
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


def epl_shear_sersic(observation: Observation) -> None:
    """An elliptical power law with external shear, and a Sersic each for lens and source light.

    It has 22 parameters.

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
    )
    image = render(observation, mass=lens + shear, source=source, lens_light=lens_light)
    observe("image", image, observation)


#: Ready models by the name that the command line takes.
READY: dict[str, Callable] = {"epl-shear-sersic": epl_shear_sersic}
