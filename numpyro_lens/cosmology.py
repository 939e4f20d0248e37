"""From velocities, masses and redshifts to lens parameters, with distances as plain numbers."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from numpyro_lens._constants import constants
from numpyro_lens._types import Scalar
from numpyro_lens.numerics.halo import NFW_AT_RS


class Distances(NamedTuple):
    """What a lens needs of a cosmology: plain numbers, which a model may also sample.

    Args:
        lens: angular-diameter distance D_d to the lens [Mpc].
        source: angular-diameter distance D_s to the source [Mpc].
        between: angular-diameter distance D_ds from the lens to the source [Mpc].
        critical_density_3d: critical density of the universe at the lens [solar mass / Mpc³].
        z_lens: redshift of the lens.

    Example:
        >>> d = Distances(lens=1000.0, source=1800.0, between=1200.0, z_lens=0.3)
        >>> round(d.time_delay_distance, 3)
        1950.0
    """

    lens: Scalar
    source: Scalar
    between: Scalar
    critical_density_3d: Scalar = 1.5e11
    z_lens: Scalar = 0.0

    @property
    def time_delay_distance(self) -> Scalar:
        r"""Time-delay distance :math:`(1+z_d) D_d D_s / D_{ds}` [Mpc]."""
        return (1.0 + self.z_lens) * self.lens * self.source / self.between

    @property
    def critical_density(self) -> Scalar:
        r"""Critical density :math:`c^2 D_s / (4\pi G D_d D_{ds})` [solar mass / arcsec²]."""
        light, gravity, arcsec, *_ = constants()
        scale = light**2 / (4.0 * jnp.pi * gravity) * arcsec**2
        return scale * self.lens * self.source / self.between


def distances(cosmology: Any, z_lens: float, z_source: float) -> Distances:
    """The distances of a lens and a source in a cosmology.

    Args:
        cosmology: a cosmology of `astropy.cosmology`.
        z_lens, z_source: redshifts, numbers; the source lies behind the lens.

    Returns:
        `Distances` of Python numbers.

    Raises:
        ValueError: the source is not behind the lens.

    Example:
        >>> from astropy.cosmology import FlatLambdaCDM
        >>> d = distances(FlatLambdaCDM(H0=70, Om0=0.3), 0.5, 2.0)
        >>> round(d.lens), round(d.source), round(d.between)
        (1259, 1727, 1097)
    """
    if not 0.0 < z_lens < z_source:
        raise ValueError(
            "The source has to lie behind the lens, 0 < z_lens < z_source; got "
            f"z_lens={z_lens}, z_source={z_source}. Write distances(cosmology, 0.5, 2.0)."
        )
    lens, source = (
        float(cosmology.comoving_transverse_distance(z).to_value("Mpc")) for z in (z_lens, z_source)
    )
    # Hogg 1999, arXiv:astro-ph/9905116, equation 19: astropy's own name for it has changed.
    curvature = cosmology.Ok0 / cosmology.hubble_distance.to_value("Mpc") ** 2
    between = source * math.sqrt(1.0 + curvature * lens**2)
    between -= lens * math.sqrt(1.0 + curvature * source**2)
    return Distances(
        lens / (1.0 + z_lens),
        source / (1.0 + z_source),
        between / (1.0 + z_source),
        float(cosmology.critical_density(z_lens).to_value("Msun / Mpc3")),
        z_lens,
    )


def sis_from_velocity_dispersion(sigma_v: Scalar, distances: Distances) -> dict[str, Scalar]:
    r"""Parameters of a `mass.SIS`, :math:`\theta_E = 4\pi (\sigma_v/c)^2 D_{ds}/D_s`.

    Args:
        sigma_v: velocity dispersion along the line of sight [km/s].
        distances: `Distances` of the lens and the source.

    Returns:
        ``{"theta_E": ...}`` [arcsec], for ``SIS(**parameters)``.

    Example:
        >>> d = Distances(lens=1259.0, source=1727.0, between=1097.0)
        >>> round(sis_from_velocity_dispersion(250.0, d)["theta_E"], 2)
        1.14

    Reference: Schneider, Ehlers & Falco 1992, Gravitational Lenses, chapter 8.
    """
    ratio = distances.between / distances.source
    radius = 4.0 * jnp.pi * (sigma_v / constants().light) ** 2 * ratio
    return {"theta_E": radius / constants().arcsec}


def velocity_dispersion(theta_E: Scalar, distances: Distances) -> Scalar:
    """Velocity dispersion of a `mass.SIS`, the inverse of `sis_from_velocity_dispersion`.

    Args:
        theta_E: Einstein radius [arcsec].
        distances: `Distances` of the lens and the source.

    Returns:
        Velocity dispersion [km/s].
    """
    ratio = distances.between / distances.source
    radius = theta_E * constants().arcsec
    return constants().light * jnp.sqrt(radius / (4.0 * jnp.pi * ratio))


def nfw_from_mass(m200: Scalar, concentration: Scalar, distances: Distances) -> dict[str, Scalar]:
    r"""Parameters of a `mass.NFW` from its mass within 200 times the critical density.

    .. math:: r_{200}^3 = \frac{3 M_{200}}{800\pi\rho_c}, \quad R_s = r_{200}/c, \quad
        \alpha_{R_s} = \frac{4\rho_0 R_s^2 (1 - \ln 2)}{\Sigma_{cr}}

    Args:
        m200: mass [solar mass].
        concentration: r200 over the scale radius.
        distances: `Distances` of the lens and the source.

    Returns:
        ``{"Rs": ..., "alpha_Rs": ...}`` [arcsec], for ``NFW(**parameters)``.

    Example:
        >>> d = Distances(1259.0, 1727.0, 1097.0, critical_density_3d=2.36e11)
        >>> halo = nfw_from_mass(1e13, 6.0, d)
        >>> round(float(halo["Rs"]), 1), round(float(halo["alpha_Rs"]), 2)
        (10.1, 1.15)

    Reference: Navarro, Frenk & White 1997, ApJ 490, 493, equations 1 and 2.
    """
    r200 = (3.0 * m200 / (800.0 * jnp.pi * distances.critical_density_3d)) ** (1.0 / 3.0)
    Rs = r200 / concentration / distances.lens / constants().arcsec
    core = jnp.log1p(concentration) - concentration / (1.0 + concentration)
    mass = m200 / (jnp.pi * core * distances.critical_density)
    return {"Rs": Rs, "alpha_Rs": mass * NFW_AT_RS / Rs}


def nfw_mass(
    Rs: Scalar, alpha_Rs: Scalar, distances: Distances, *, steps: int = 30
) -> tuple[Scalar, Scalar]:
    """Mass and concentration of a `mass.NFW`, the inverse of `nfw_from_mass`.

    Args:
        Rs, alpha_Rs: its parameters [arcsec].
        distances: `Distances` of the lens and the source.
        steps: Newton steps in the logarithm of the concentration; 30 converge from 0.1 to 1000.

    Returns:
        ``(m200, concentration)``, the mass in solar masses.
    """
    length = Rs * distances.lens * constants().arcsec
    mass = alpha_Rs * Rs / NFW_AT_RS * jnp.pi * distances.critical_density
    # Of the mean density, c³ / (ln(1+c) - c/(1+c)), the logarithm is nearly linear in that of c.
    target = jnp.log(mass / (length**3 * 800.0 * jnp.pi / 3.0 * distances.critical_density_3d))
    log_c = jnp.log(10.0) + 0.0 * target
    for _ in range(steps):
        c = jnp.exp(log_c)
        core = jnp.log1p(c) - c / (1.0 + c)
        slope = 3.0 - (c / (1.0 + c)) ** 2 / core
        log_c = log_c - (3.0 * log_c - jnp.log(core) - target) / slope
    c = jnp.exp(log_c)
    return mass * (jnp.log1p(c) - c / (1.0 + c)), c
