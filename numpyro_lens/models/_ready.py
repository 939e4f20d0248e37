"""Ready models, short enough to copy."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from numpyro_lens import light, mass, priors
from numpyro_lens._types import Scaling
from numpyro_lens.linear import Linear
from numpyro_lens.mass import AbstractMass
from numpyro_lens.models._bands import Amplitude, Data, align, as_bands, sample_bands
from numpyro_lens.models._galaxy import galaxy, galaxy_sersic
from numpyro_lens.models._observe import observe
from numpyro_lens.models._sample import sample
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Plane


def power_law_with_shear() -> AbstractMass:
    """An elliptical power law ``lens`` and an external shear ``shear``, with broad priors.

    Returns:
        The deflector, of 8 parameters.
    """
    position, shear = dist.Normal(0.0, 0.1), dist.Normal(0.0, 0.06)
    ellipticity = dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8)
    power_law = sample(
        "lens",
        mass.EPL,
        theta_E=dist.LogNormal(0.1, 0.4),
        gamma=dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    return power_law + sample("shear", mass.Shear, gamma1=shear, gamma2=shear)


def sersic_lens_light(
    bands: Mapping[str, Observation], amp: Amplitude = priors.amplitude
) -> dict[str, light.Sersic]:
    """A Sersic profile ``lens_light`` of one shape in all bands, with broad priors.

    Args:
        bands: the observations, by the name of the band.
        amp: gives the prior of a band's amplitude, of its observation.

    Returns:
        The profile of each band, of 6 parameters and the amplitudes.
    """
    position = dist.Normal(0.0, 0.1)
    ellipticity = dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8)
    return sample_bands(
        "lens_light",
        light.Sersic,
        bands,
        amp=amp,
        R_sersic=dist.LogNormal(-0.2, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )


def with_sky(
    lights: Mapping[str, light.AbstractLight],
    bands: Mapping[str, Observation],
    sky: Amplitude | None,
) -> Mapping[str, light.AbstractLight]:
    """A uniform background ``sky`` of each band, added to its light.

    Args:
        lights: the light of each band.
        bands: the observations, by the name of the band.
        sky: gives the prior of a band's amplitude, of its observation; None adds nothing.

    Returns:
        The light of each band, of one amplitude more.

    Example:
        >>> import numpyro, numpyro_lens as nl
        >>> camera = nl.Observation.blank((5, 5), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
        >>> with numpyro.handlers.seed(rng_seed=0):
        ...     found = with_sky({"VIS": light.Gaussian(1.0, 0.2)}, {"VIS": camera}, nl.priors.sky)
        >>> [type(part).__name__ for part in light.components(found["VIS"])]
        ['Gaussian', 'Uniform']
    """
    if sky is None:
        return lights
    uniform = sample_bands("sky", light.Uniform, bands, amp=sky)
    return {name: lights[name] + uniform[name] for name in bands}


def sersic_source(name: str, bands: Mapping[str, Observation]) -> dict[str, light.Sersic]:
    """A Sersic profile behind a lens, of one shape in all bands, with broad priors.

    Its cusp is softened on the scale of a sub-pixel's footprint.

    Args:
        name: prefix of its sites.
        bands: the observations, by the name of the band.

    Returns:
        The profile of each band, of 6 parameters and the amplitudes.
    """
    position = dist.Normal(0.0, 0.3)
    ellipticity = dist.TruncatedNormal(0.0, 0.3, low=-0.8, high=0.8)
    return sample_bands(
        name,
        light.Sersic,
        bands,
        amp=priors.amplitude,
        R_sersic=dist.LogNormal(-1.5, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
        smoothing=light.Footprint(),
    )


def epl_shear_sersic(observation: Data, sky: Amplitude | None = None) -> None:
    """An elliptical power law with external shear, and a Sersic each for lens and source light.

    It has 22 parameters, and 5 more for every further band: two amplitudes, and its offset and
    rotation from the first.

    Args:
        observation: the data; or those of each band by its name, the reference first.
        sky: `priors.sky` for a background that was not subtracted: one parameter for each band.
    """
    bands = as_bands(observation)
    lens = power_law_with_shear()
    lens_light = with_sky(sersic_lens_light(bands), bands, sky)
    source = sersic_source("source", bands)
    for name, band in align(bands).items():
        observe(name, band, mass=lens, source=source[name], lens_light=lens_light[name])


def epl_shear_shapelets(observation: Data, n_max: int = 6, sky: Amplitude | None = None) -> None:
    """An elliptical power law with external shear, Sersic lens light and a shapelet source.

    It has 17 parameters, and 3 more for the offset and rotation of every further band; the 29
    amplitudes of each band are integrated out.

    Args:
        observation: the data; or those of each band by its name, the reference first.
        n_max: largest order of the shapelets.
        sky: as in `epl_shear_sersic`.
    """
    bands = as_bands(observation)
    num = len(light.shapelet_orders(n_max))
    lens = power_law_with_shear()
    lens_light = sersic_lens_light(bands, lambda band: Linear(scale=priors.brightest(band)))
    front = with_sky(lens_light, bands, sky)
    source = sample_bands(
        "source",
        light.Shapelets,
        bands,
        amp=lambda band: Linear(scale=jnp.full(num, priors.brightest(band))),
        beta=dist.LogNormal(-1.8, 0.5),
        center_x=dist.Normal(0.0, 0.3),
        center_y=dist.Normal(0.0, 0.3),
    )
    for name, band in align(bands).items():
        observe(name, band, mass=lens, source=source[name], lens_light=front[name])


def double_source_plane(
    observation: Data, scaling: Scaling | None = None, sky: Amplitude | None = None
) -> None:
    """A lens with two sources at different distances, of which the nearer deflects the farther.

    The lens is an elliptical power law with external shear, whose Einstein radius is that for the
    farther source; the nearer one is a singular isothermal sphere at the centre of its light. Lens
    and sources have a Sersic each. It has 31 parameters, and 6 more for every further band. From
    draws of this prior alone the search does not find its way:
    `numpyro_lens.fit_double_source_plane` leads it there.

    Args:
        observation: the data; or those of each band by its name, the reference first.
        scaling: of the three planes, (3, 3), from ``cosmology.scaling([z_lens, z_near, z_far],
            cosmology)``. By default the ratio of the distances is sampled as ``scaling``, the entry
            [0, 1], which needs no redshifts.
        sky: as in `epl_shear_sersic`.
    """
    bands = as_bands(observation)
    if scaling is None:
        ratio = numpyro.sample("scaling", dist.Uniform(0.3, 1.0))
        scaling = jnp.zeros((3, 3)).at[:2, 2].set(1.0).at[0, 1].set(ratio)
    lens, lens_light = power_law_with_shear(), with_sky(sersic_lens_light(bands), bands, sky)
    near, far = (sersic_source(name, bands) for name in ("near", "far"))
    at = next(iter(near.values()))
    center = {"center_x": at.center_x, "center_y": at.center_y}
    halo = sample("near_mass", mass.SIS, theta_E=dist.LogNormal(-1.5, 0.7), **center)
    for name, band in align(bands).items():
        planes = [Plane(lens, lens_light[name]), Plane(halo, near[name]), Plane(None, far[name])]
        observe(name, band, planes=planes, scaling=scaling)


#: Ready models by the name that the command line takes.
READY: dict[str, Callable] = {
    "epl-shear-sersic": epl_shear_sersic,
    "epl-shear-shapelets": epl_shear_shapelets,
    "double-source-plane": double_source_plane,
    "galaxy": galaxy,
    "galaxy-sersic": galaxy_sersic,
}
