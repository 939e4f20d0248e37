"""Models of a galaxy that is lensed by a galaxy, for real images."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from numpyro_lens import light, mass
from numpyro_lens._types import Array
from numpyro_lens.light import AbstractLight, MultiGaussian, Sersic, Uniform
from numpyro_lens.linear import Linear
from numpyro_lens.mass import AbstractMass
from numpyro_lens.models import observe, sample
from numpyro_lens.observation import Observation


def galaxy(observation: Observation, order: int = 9, num_gaussians: int = 10) -> None:
    """A galaxy lensed by a galaxy: Gaussians in front, a power law, a free-form source.

    The light of the lens is a sum of Gaussians with a common centre and shape; the mass is an
    elliptical power law near the light, with an external shear; the source is a Sersic profile and
    a Gaussian process upon it. All amplitudes are integrated out, 66 by default; 21 other
    parameters are sampled. From draws of this prior the search does not find its way:
    `numpyro_lens.fit_galaxy` leads it.

    Args:
        observation: the data.
        order: of the Gaussian process, see `light.hsgp_orders`: 9 has 54 modes.
        num_gaussians: in the light of the lens.
    """
    bulge, halo, sky = galaxy_light(observation, num_gaussians)
    lens = galaxy_mass(bulge, gamma=dist.Normal(2.0, 0.3))
    smooth = sersic_source(observation)
    detail = free_form_source(observation, smooth, order)
    observe("image", observation, mass=lens, source=[smooth, detail], lens_light=[bulge, halo, sky])


def galaxy_sersic(observation: Observation, num_gaussians: int = 10) -> None:
    """The first step towards `galaxy`: an isothermal mass and a Sersic source.

    Args:
        observation: the data.
        num_gaussians: in the light of the lens.
    """
    bulge, halo, sky = galaxy_light(observation, num_gaussians)
    lens = galaxy_mass(bulge, gamma=2.0)
    source = sersic_source(observation)
    observe("image", observation, mass=lens, source=source, lens_light=[bulge, halo, sky])


def galaxy_light(
    observation: Observation, num: int = 10
) -> tuple[MultiGaussian, MultiGaussian, Uniform]:
    """Light of two sets of concentric Gaussians, ``lens_light`` and ``halo``, and a ``sky``.

    Both sets have the same centre and widths, and each its own ellipticity, so that the isophotes
    of the sum may turn and change their shape with radius. Widths go in equal ratios from half a
    pixel to the edge of the image. An amplitude is a flux; it may be as large as that of the image,
    or as makes the Gaussian five times as bright as the brightest pixel, whichever is less, with
    either sign: only the sum has to be positive, where the data are.

    Args:
        observation: sets the units and the widths.
        num: Gaussians in each set.

    Returns:
        Three profiles, of 6 parameters and 2 ``num`` + 1 linear amplitudes.
    """
    ellipticity, position = dist.Normal(0.0, 0.15), dist.Normal(0.0, 0.1)
    pixel = jnp.sqrt(observation.pixel_area) / observation.sampling
    edge = jnp.max(jnp.abs(observation.x - jnp.mean(observation.x)))
    flux = jnp.sum(jnp.where(observation.mask, jnp.abs(observation.image), 0.0))
    sigma = jnp.geomspace(0.5 * pixel, edge, num)
    brightest = 10.0 * jnp.pi * sigma**2 * _brightest(observation)
    gaussians = {
        "amp": Linear(scale=jnp.minimum(flux, brightest)),
        "sigma": sigma,
        "e1": ellipticity,
        "e2": ellipticity,
    }
    bulge = sample(
        "lens_light", MultiGaussian, **gaussians, center_x=position, center_y=position
    )
    center = {"center_x": bulge.center_x, "center_y": bulge.center_y}
    halo = sample("halo", MultiGaussian, **gaussians, **center)
    sky = sample("sky", Uniform, amp=Linear(scale=0.1 * _brightest(observation)))
    return bulge, halo, sky


def galaxy_mass(
    bulge: MultiGaussian,
    gamma: float | dist.Distribution,
    offset: float = 0.03,
    misalignment: float = 0.12,
    shear: float = 0.05,
) -> AbstractMass:
    """An elliptical power law ``lens`` near the light, and an external ``shear``.

    Args:
        bulge: light whose centre and ellipticity the mass has, to the widths below.
        gamma: slope, a number or its prior.
        offset: width of the prior of the mass's centre about that of the light [arcsec].
        misalignment: width of the prior of both ellipticities about those of the light.
        shear: width of the prior of both components of the shear.

    Returns:
        The deflector.
    """
    power_law = sample(
        "lens",
        mass.EPL,
        theta_E=dist.LogNormal(0.1, 0.5),
        gamma=gamma,
        e1=dist.Normal(bulge.e1, misalignment),
        e2=dist.Normal(bulge.e2, misalignment),
        center_x=dist.Normal(bulge.center_x, offset),
        center_y=dist.Normal(bulge.center_y, offset),
    )
    width = dist.Normal(0.0, shear)
    return power_law + sample("shear", mass.Shear, gamma1=width, gamma2=width)


def sersic_source(observation: Observation) -> Sersic:
    """A Sersic profile ``source`` whose amplitude is integrated out.

    Its half-light radius is below 0.6 arcsec: a wider source could take the place of the lens's
    light.

    Args:
        observation: sets the unit of the amplitude.

    Returns:
        The profile, of 6 parameters.
    """
    ellipticity, position = dist.Normal(0.0, 0.2), dist.Normal(0.0, 0.3)
    return sample(
        "source",
        Sersic,
        amp=Linear(scale=_brightest(observation)),
        R_sersic=dist.LogUniform(0.01, 0.6),
        n_sersic=dist.Uniform(0.5, 6.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
        smoothing=light.Footprint(),
    )


def free_form_source(
    observation: Observation, center: AbstractLight, order: int = 9, nu: float = 1.5
) -> light.HSGP:
    """A Gaussian process ``detail`` with a Matérn covariance, its amplitudes integrated out.

    Args:
        observation: sets the unit.
        center: profile with whose centre it moves.
        order: of the process, see `light.hsgp_orders`.
        nu: smoothness, see `light.matern_scale`.

    Returns:
        The profile, of 3 parameters: its width, the correlation length in units of that, and the
        standard deviation of the process.
    """
    width = numpyro.sample("detail.width", dist.LogUniform(0.1, 2.0))
    length = numpyro.sample("detail.length", dist.LogNormal(-1.5, 0.5))
    sigma = numpyro.sample(
        "detail.sigma", dist.LogNormal(jnp.log(0.05 * _brightest(observation)), 2.0)
    )
    return sample(
        "detail",
        light.HSGP,
        amp=Linear(scale=sigma * light.matern_scale(order, length, nu)),
        width=width,
        center_x=center.center_x,
        center_y=center.center_y,
    )


def _brightest(observation: Observation) -> Array:
    """Surface brightness of the brightest pixel in use."""
    used = jnp.where(observation.mask, observation.image, 0.0)
    return jnp.max(used) / observation.pixel_area
