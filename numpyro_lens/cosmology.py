"""Distances, and from velocities, masses and redshifts to lens parameters."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from numpyro_lens._completion import own_names
from numpyro_lens._constants import constants
from numpyro_lens._types import Array, Field, Parameter, Scalar
from numpyro_lens.numerics.halo import NFW_AT_RS
from numpyro_lens.numerics.quadrature import legendre


class FlatwCDM(eqx.Module):
    r"""A flat universe of matter and dark energy, whose distances are differentiable.

    .. math:: E^2(z) = \Omega_m (1+z)^3
              + (1 - \Omega_m)(1+z)^{3(1 + w_0 + w_a)} e^{-3 w_a z/(1+z)}

    Radiation is left out. The defaults of w0 and wa are a cosmological constant; any of the four
    numbers may be sampled in a model.

    Args:
        H0: Hubble constant [km/s/Mpc], scalar, positive.
        Om0: matter density today over the critical density, scalar, 0 < Om0 <= 1.
        w0, wa: equation of state of the dark energy, :math:`w = w_0 + w_a z/(1+z)`, scalars.

    Example:
        >>> cosmology = FlatwCDM(H0=70.0, Om0=0.3)
        >>> round(float(cosmology.angular_diameter_distance(0.5)))
        1259

    Reference: Hogg 1999, arXiv:astro-ph/9905116, equations 14 to 19; Linder 2003, PRL 90, 091301,
    for the dark energy. Tested for redshifts from 0.01 to 10.
    """

    H0: Scalar
    Om0: Scalar
    w0: Scalar = -1.0
    wa: Scalar = 0.0

    def efunc(self, z: Parameter) -> Field:
        """Hubble parameter over that of today, astropy's name, dimensionless.

        Args:
            z: redshift, any shape.
        """
        dark = 3.0 * ((1.0 + self.w0 + self.wa) * jnp.log1p(z) - self.wa * z / (1.0 + z))
        return jnp.sqrt(self.Om0 * (1.0 + z) ** 3 + (1.0 - self.Om0) * jnp.exp(dark))

    def comoving_distance(self, z: Scalar) -> Array:
        r"""Comoving distance :math:`\frac{c}{H_0} \int_0^z dz'/E(z')` [Mpc].

        Args:
            z: redshift, scalar.
        """
        nodes, weights = (jnp.asarray(v, jnp.result_type(float)) for v in legendre(40))
        # In the logarithm of the scale factor the integrand is smooth out to any redshift.
        log = jnp.log1p(jnp.asarray(z, jnp.result_type(float))) * nodes
        integrand = jnp.exp(log) / self.efunc(jnp.expm1(log))
        return constants().light / self.H0 * jnp.log1p(z) * jnp.sum(weights * integrand)

    def angular_diameter_distance(self, z: Scalar, z2: Scalar | None = None) -> Array:
        """Angular-diameter distance to a redshift, or from one to a larger one [Mpc].

        Args:
            z: redshift, scalar.
            z2: the larger one, scalar.
        """
        if z2 is None:
            return self.comoving_distance(z) / (1.0 + z)
        return (self.comoving_distance(z2) - self.comoving_distance(z)) / (1.0 + z2)

    def critical_density(self, z: Scalar) -> Array:
        r"""Critical density :math:`3 H^2/(8\pi G)` [solar mass / Mpc³].

        Args:
            z: redshift, scalar.
        """
        return 3.0 * (self.H0 * self.efunc(z)) ** 2 / (8.0 * jnp.pi * constants().gravity)


def scaling(redshifts: Sequence[Scalar], cosmology: Any) -> Array:
    r"""How deflections scale between planes, :math:`s_{ij} = D_{ij} D_s / (D_j D_{is})`.

    Args:
        redshifts: of the planes, nearest first, the last that of the source.
        cosmology: `FlatwCDM`, in which sampled values are differentiable, or a cosmology of
            `astropy.cosmology`.

    Returns:
        (num_planes, num_planes): for deflector i and plane j, 1 in the last column; what is not
        above the diagonal is zero.

    Raises:
        ValueError: fewer than two planes, or redshifts that do not increase.

    Example:
        >>> s = scaling([0.222, 0.609, 2.3], FlatwCDM(H0=70.0, Om0=0.3))
        >>> s.shape, round(float(s[0, 1]), 3), float(s[0, 2])
        ((3, 3), 0.711, 1.0)

    Reference: Schneider, Ehlers & Falco 1992, Gravitational Lenses, section 9.1.
    """
    _check_increasing(redshifts)
    last, num = redshifts[-1], len(redshifts)
    to_last = [_between(cosmology, z, last) for z in redshifts[:-1]]
    own = [_to(cosmology, z) for z in redshifts]
    rows = [
        [
            _between(cosmology, redshifts[i], redshifts[j]) * own[-1] / (own[j] * to_last[i])
            if i < j
            else 0.0
            for j in range(num)
        ]
        for i in range(num)
    ]
    return jnp.asarray(rows, jnp.result_type(float))


def time_delay_distances(redshifts: Sequence[Scalar], cosmology: Any) -> Array:
    r"""Time-delay distances between neighbouring planes, :math:`(1+z_i) D_i D_{i+1}/D_{i,i+1}`.

    Args:
        redshifts: of the planes, nearest first, the last that of the source.
        cosmology: `FlatwCDM`, or a cosmology of `astropy.cosmology`.

    Returns:
        (num_planes - 1,) [Mpc], for `images.time_delays`.

    Raises:
        ValueError: fewer than two planes, or redshifts that do not increase.

    Example:
        >>> d = time_delay_distances([0.5, 2.0], FlatwCDM(H0=70.0, Om0=0.3))
        >>> round(float(d[0]))
        2972

    Reference: Schneider, Ehlers & Falco 1992, Gravitational Lenses, equation 9.14.
    """
    _check_increasing(redshifts)
    pairs = itertools.pairwise(redshifts)
    values = [
        (1.0 + near) * _to(cosmology, near) * _to(cosmology, far) / _between(cosmology, near, far)
        for near, far in pairs
    ]
    return jnp.asarray(values, jnp.result_type(float))


def _to(cosmology: Any, z: Scalar) -> Scalar:
    """Angular-diameter distance to a redshift [Mpc], of our cosmology or of one of astropy's."""
    distance = cosmology.angular_diameter_distance(z)
    return distance if isinstance(cosmology, FlatwCDM) else float(distance.to_value("Mpc"))


def _between(cosmology: Any, z1: Scalar, z2: Scalar) -> Scalar:
    """Angular-diameter distance from one redshift to a larger one [Mpc]."""
    if isinstance(cosmology, FlatwCDM):
        return cosmology.angular_diameter_distance(z1, z2)
    near, far = (float(cosmology.comoving_transverse_distance(z).to_value("Mpc")) for z in (z1, z2))
    # Hogg 1999, arXiv:astro-ph/9905116, equation 19: astropy's own name for it has changed.
    curvature = cosmology.Ok0 / cosmology.hubble_distance.to_value("Mpc") ** 2
    between = far * math.sqrt(1.0 + curvature * near**2)
    return (between - near * math.sqrt(1.0 + curvature * far**2)) / (1.0 + float(z2))


def _check_increasing(redshifts: Sequence[Scalar]) -> None:
    known = [z for z in redshifts if isinstance(z, int | float | np.number | np.ndarray)]
    if len(redshifts) < 2 or any(a >= b for a, b in itertools.pairwise([0.0, *known])):
        raise ValueError(
            "Planes have increasing redshifts, the lens first and the source last; got "
            f"{list(redshifts)}. Write scaling([0.2, 0.6, 2.3], cosmology)."
        )


def scaled_theta_E(theta_E: Scalar, gamma: Scalar, factor: Scalar) -> Scalar:
    r"""Einstein radius of a power law for another plane, :math:`\theta_E s^{1/(\gamma-1)}`.

    A deflection that is s times as large is that of a power law of this Einstein radius.

    Args:
        theta_E: Einstein radius for the last plane [arcsec], scalar.
        gamma: slope of the power law, scalar.
        factor: entry of `scaling` for the deflector and the other plane, scalar.

    Returns:
        Einstein radius for the other plane [arcsec].

    Example:
        >>> scaled_theta_E(1.2, 2.0, 0.5)
        0.6
    """
    return theta_E * factor ** (1.0 / (gamma - 1.0))


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
        cosmology: a cosmology of `astropy.cosmology`, or `FlatwCDM`.
        z_lens, z_source: redshifts, numbers; the source lies behind the lens.

    Returns:
        `Distances` of Python numbers; of a `FlatwCDM` differentiable ones.

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
    density = cosmology.critical_density(z_lens)
    return Distances(
        _to(cosmology, z_lens),
        _to(cosmology, z_source),
        _between(cosmology, z_lens, z_source),
        density if isinstance(cosmology, FlatwCDM) else float(density.to_value("Msun / Mpc3")),
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


def __dir__() -> list[str]:
    return own_names(globals())
