"""Models of a galaxy that is lensed by a galaxy, for real images."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpyro.distributions as dist

from numpyro_lens import light, mass, priors
from numpyro_lens._types import AnyArray, ArrayLike, Scalar
from numpyro_lens.light import (
    HSGP,
    AbstractLight,
    MultiGaussian,
    MultiGaussianDipole,
    Sersic,
    Uniform,
)
from numpyro_lens.linear import Linear
from numpyro_lens.mass import AbstractMass
from numpyro_lens.models._bands import Data, align, as_bands, sample_bands
from numpyro_lens.models._observe import observe
from numpyro_lens.models._sample import place, sample
from numpyro_lens.observation import Observation


def galaxy(
    observation: Data,
    order: int = 9,
    num_gaussians: int = 10,
    members: Mapping[str, ArrayLike] | None = None,
) -> None:
    """A galaxy lensed by a galaxy: Gaussians in front, a power law, a free-form source.

    The light of the lens is two sets of Gaussians and one of dipoles about a common centre; the
    mass is an elliptical power law near the light, with an external shear; the source is a Sersic
    profile and a Gaussian process upon it. All amplitudes are integrated out, 88 by default; 23
    other parameters are sampled. From draws of this prior alone the search does not find its way:
    `numpyro_lens.fit_galaxy` leads it there.

    Args:
        observation: the data; or those of each band by its name, the reference first.
        order: of the Gaussian process, see `light.hsgp_orders`: 9 has 54 modes.
        num_gaussians: in each of the two sets.
        members: neighbours that deflect too, isothermal spheres of a scaling relation:
            ``luminosity``, ``center_x`` and ``center_y`` [arcsec], (n,) each. Sampled is the
            Einstein radius ``member.theta_E`` of luminosity 1; see `mass.scaling_relation`. Their
            light is to be masked.

    Raises:
        ValueError: ``members`` has other names.

    Example:
        >>> import numpyro_lens as nl
        >>> from numpyro.handlers import seed, trace
        >>> blank = nl.Observation.blank((9, 9), pixel_scale=0.2, noise=nl.NoiseMap(1.0))
        >>> sites = trace(seed(galaxy, 0)).get_trace(blank, order=3, num_gaussians=2)
        >>> [name for name in sites if name.startswith("detail")]
        ['detail.length', 'detail.sigma', 'detail.width']
    """
    bands = align(as_bands(observation))
    front = galaxy_light(bands, num_gaussians)
    lens = galaxy_mass(next(iter(front.values()))[0], gamma=dist.Normal(2.0, 0.3))
    if members is not None:
        reference = sample("member", mass.SIS, theta_E=dist.LogNormal(-2.0, 1.0))
        luminosity, x, y = _checked_members(members)
        lens += mass.scaling_relation(reference, luminosity, center_x=x, center_y=y)
    smooth = galaxy_source(bands)
    _observe(bands, front, lens, smooth, free_form_source(bands, smooth, order))


def _checked_members(members: Mapping[str, ArrayLike]) -> tuple[ArrayLike, ...]:
    names = ("luminosity", "center_x", "center_y")
    if set(members) != set(names):
        raise ValueError(
            f"Members have {', '.join(names)}, an array each; got {', '.join(members)}. Write "
            'members={"luminosity": ..., "center_x": ..., "center_y": ...}.'
        )
    return tuple(members[name] for name in names)


def galaxy_sersic(observation: Data, num_gaussians: int = 10) -> None:
    """The first step towards `galaxy`: an isothermal mass and a Sersic source.

    Args:
        observation: as in `galaxy`.
        num_gaussians: as in `galaxy`.
    """
    bands = align(as_bands(observation))
    front = galaxy_light(bands, num_gaussians)
    lens = galaxy_mass(next(iter(front.values()))[0], gamma=2.0)
    _observe(bands, front, lens, galaxy_source(bands))


def galaxy_unlensed(observation: Data, num_gaussians: int = 10) -> None:
    """What comes before `galaxy_sersic`: the light of the lens alone.

    Args:
        observation: as in `galaxy`.
        num_gaussians: as in `galaxy`.

    Example:
        >>> import numpyro_lens as nl
        >>> from numpyro.handlers import seed, trace
        >>> blank = nl.Observation.blank((9, 9), pixel_scale=0.2, noise=nl.NoiseMap(1.0))
        >>> list(trace(seed(galaxy_unlensed, 0)).get_trace(blank, num_gaussians=2))[-1]
        'image'
    """
    bands = align(as_bands(observation))
    _observe(bands, galaxy_light(bands, num_gaussians))


def _observe(
    bands: Mapping[str, Observation],
    front: Mapping[str, tuple[AbstractLight, ...]],
    lens: AbstractMass | None = None,
    *sources: Mapping[str, AbstractLight],
) -> None:
    for name, band in bands.items():
        source = [each[name] for each in sources] or None
        observe(name, band, mass=lens, source=source, lens_light=front[name])


def galaxy_light(
    bands: Mapping[str, Observation], num: int = 10
) -> dict[str, tuple[MultiGaussian, *tuple[AbstractLight, ...]]]:
    """Light of concentric Gaussians, ``lens_light``, ``halo`` and ``dipole``, and a ``sky``.

    The first two have the same centre and widths, and each its own ellipticity, so that the
    isophotes of the sum may turn and change their shape with radius; with the third, of the wider
    half of the widths, their centre may move. Widths go in equal ratios from half a pixel to the
    edge of the image.

    An amplitude is a flux, with a normal prior about zero, since only the sum has to be positive,
    where the data are. Its width is half the flux that makes a Gaussian as bright as the image is
    at its radius, see `priors.isophote`, and a tenth of that in the dipoles. If amplitudes could be
    much larger, two sets of almost the same ellipticity would do as well as any, and the posterior
    would be very narrow there.

    Args:
        bands: the observations, by the name of the band; the first sets the widths.
        num: Gaussians in each set.

    Returns:
        Four profiles of each band, ``lens_light`` first, of 6 parameters and for each band
        3 ``num`` + 3 linear amplitudes if ``num`` is even.
    """
    ellipticity, position = dist.Normal(0.0, 0.15), dist.Normal(0.0, 0.1)
    first = next(iter(bands.values()))
    pixel = jnp.sqrt(first.pixel_area) / first.sampling
    edge = jnp.max(jnp.abs(first.x - jnp.mean(first.x)))
    sigma = jnp.geomspace(0.5 * pixel, edge, num)
    wide = slice((num - 1) // 2, None)

    def flux(band: Observation) -> AnyArray:
        return 0.5 * priors.isophote(band, sigma) * (2.0 * jnp.pi * sigma**2 + _psf_area(band))

    def amp(band: Observation) -> Linear:
        return Linear(scale=flux(band))

    def pairs(band: Observation) -> Linear:
        return Linear(scale=0.1 * jnp.repeat(flux(band)[wide], 2))

    shape = {"amp": amp, "sigma": sigma, "e1": ellipticity, "e2": ellipticity}
    bulge = sample_bands(
        "lens_light", MultiGaussian, bands, **shape, center_x=position, center_y=position
    )
    one = next(iter(bulge.values()))
    center = {"center_x": one.center_x, "center_y": one.center_y}
    halo = sample_bands("halo", MultiGaussian, bands, **shape, **center)
    dipole = sample_bands(
        "dipole", MultiGaussianDipole, bands, amp=pairs, sigma=sigma[wide], **center
    )
    sky = sample_bands("sky", Uniform, bands, amp=lambda band: Linear(scale=priors.sky(band).scale))
    return {name: (bulge[name], halo[name], dipole[name], sky[name]) for name in bands}


def _psf_area(band: Observation) -> AnyArray:
    """Half the noise-equivalent area of the PSF, which for a Gaussian is two pi sigma squared."""
    sharpness = 1.0 if band.psf is None else jnp.sum(band.psf.kernel**2) * band.sampling**2
    return 0.5 * band.pixel_area / sharpness


def galaxy_mass(
    bulge: MultiGaussian,
    gamma: float | dist.Distribution,
    offset: float = 0.03,
    misalignment: float = 0.12,
    shear: float = 0.05,
) -> AbstractMass:
    """An elliptical power law ``lens`` near the light, and an external ``shear``.

    Centre and ellipticity of the mass are those of the light to three widths at most. A normal
    prior alone does not keep them there: a mass beside the light makes a ring of a wide source,
    which takes the place of the lens's light and explains more of the image than lensed arcs do.

    Args:
        bulge: light whose centre and ellipticity the mass has, to the widths below.
        gamma: slope, a number or its prior.
        offset: width of the prior of the mass's centre about that of the light [arcsec], in both
            coordinates.
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
        e1=_near(bulge.e1, misalignment),
        e2=_near(bulge.e2, misalignment),
        center_x=_near(bulge.center_x, offset),
        center_y=_near(bulge.center_y, offset),
    )
    width = dist.Normal(0.0, shear)
    return power_law + sample("shear", mass.Shear, gamma1=width, gamma2=width)


def _near(value: Scalar, width: float) -> dist.Distribution:
    """Normal, and no farther than three widths."""
    return dist.TruncatedNormal(value, width, low=value - 3.0 * width, high=value + 3.0 * width)


def galaxy_source(bands: Mapping[str, Observation]) -> dict[str, Sersic]:
    """A Sersic profile ``source`` whose amplitudes are integrated out.

    Its half-light radius is below 0.6 arcsec: a wider source could take the place of the lens's
    light. Sersic indices are near 1.5, as most sources have: what is far out in a profile of a
    large index is too faint to tell its radius, and the chains would wander there.

    Args:
        bands: the observations, by the name of the band.

    Returns:
        The profile of each band, of 6 parameters.
    """
    ellipticity, position = dist.Normal(0.0, 0.2), dist.Normal(0.0, 0.3)
    return sample_bands(
        "source",
        Sersic,
        bands,
        amp=lambda band: Linear(scale=priors.brightest(band)),
        R_sersic=dist.LogUniform(0.01, 0.6),
        n_sersic=dist.TruncatedNormal(1.5, 1.0, low=0.5, high=6.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
        smoothing=light.Footprint(),
    )


def free_form_source(
    bands: Mapping[str, Observation], smooth: Mapping[str, Sersic], order: int = 9, nu: float = 1.5
) -> dict[str, HSGP]:
    """A Gaussian process ``detail`` with a Matérn covariance, its amplitudes integrated out.

    Args:
        bands: the observations, by the name of the band.
        smooth: profiles with whose centre it moves.
        order: of the process, see `light.hsgp_orders`.
        nu: smoothness, see `light.matern_scale`.

    Returns:
        The profile of each band. The width and the correlation length in units of it are
        parameters of all, the standard deviation ``sigma`` of the process is one of each band.
    """
    length = place("detail.length", dist.LogNormal(-1.5, 0.5))

    def amp(name: str, band: Observation) -> Linear:
        prior = dist.LogNormal(jnp.log(0.05 * priors.brightest(band)), 2.0)
        prefix = f"{name}." if len(bands) > 1 else ""
        sigma = place(f"{prefix}detail.sigma", prior)
        return Linear(scale=sigma * light.matern_scale(order, length, nu))

    center = next(iter(smooth.values()))
    return sample_bands(
        "detail",
        HSGP,
        bands,
        amp={name: amp(name, band) for name, band in bands.items()},
        width=dist.LogUniform(0.1, 2.0),
        center_x=center.center_x,
        center_y=center.center_y,
    )
