"""What lenstronomy's names of profiles mean here: a function of its parameters for each."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro_lens import light, mass
from numpyro_lens._types import Coordinates, Field, Parameter
from numpyro_lens.coordinates import to_ellipticity, to_shear
from numpyro_lens.numerics.ellipse import elliptical_square


class _EllipticalPotential(mass.AbstractPotential):
    r"""Power law with elliptical potential, :math:`\psi \propto (R^2)^{(3-\gamma)/2}`: SPEP.

    Here for reading lenstronomy's models; its convergence is dumbbell-shaped for flat lenses.

    Args:
        theta_E: Einstein radius [arcsec].
        gamma: slope.
        e1, e2: ellipticity of the potential.
        center_x, center_y: centre [arcsec].

    Reference: Barkana 1998, ApJ 502, 531, with lenstronomy's normalisation.
    """

    theta_E: Parameter
    gamma: Parameter
    e1: Parameter
    e2: Parameter
    center_x: Parameter = 0.0
    center_y: Parameter = 0.0

    def potential(self, x: Coordinates, y: Coordinates) -> Field:
        power = 3.0 - self.gamma
        modulus = jnp.sqrt(self.e1**2 + self.e2**2)
        q = (1.0 - modulus) / (1.0 + modulus)
        square = elliptical_square(x - self.center_x, y - self.center_y, self.e1, self.e2) / q
        unit = self.theta_E**2 * q * (0.5 * power) ** (2.0 / (self.gamma - 1.0))
        return 2.0 * unit / power**2 * (square / unit) ** (0.5 * power)


def _check_origin(ra_0: float, dec_0: float) -> None:
    if ra_0 != 0 or dec_0 != 0:
        raise ValueError(
            "a shear and a sheet of mass have their origin at (0, 0) here; got "
            f"ra_0={ra_0}, dec_0={dec_0}. Subtract it from all centres, or leave it out: it only "
            "moves the source."
        )


def _shear(gamma1: Any, gamma2: Any, ra_0: Any = 0.0, dec_0: Any = 0.0) -> mass.Shear:
    _check_origin(ra_0, dec_0)
    return mass.Shear(gamma1, gamma2)


def _polar_shear(gamma_ext: Any, psi_ext: Any, ra_0: Any = 0.0, dec_0: Any = 0.0) -> mass.Shear:
    gamma1, gamma2 = (float(g) for g in to_shear(gamma_ext, psi_ext))
    return _shear(gamma1, gamma2, ra_0, dec_0)


def _sheet(kappa: Any, ra_0: Any = 0.0, dec_0: Any = 0.0) -> mass.ConvergenceSheet:
    _check_origin(ra_0, dec_0)
    return mass.ConvergenceSheet(kappa)


def _softened(
    theta_E: Any,
    gamma: Any,
    e1: Any,
    e2: Any,
    s_scale: Any = 0.0,
    center_x: Any = 0.0,
    center_y: Any = 0.0,
) -> mass.EPL:
    if s_scale > 1e-5 * theta_E:
        raise ValueError(
            f"SPEMD has no core here; got s_scale={s_scale}. Of slope 2 it is the profile NIE."
        )
    return mass.EPL(theta_E, gamma, e1, e2, center_x, center_y)


def _round_jaffe(
    sigma0: Any, Ra: Any, Rs: Any, center_x: Any = 0.0, center_y: Any = 0.0
) -> mass.DPIE:
    return mass.DPIE(sigma0, min(Ra, Rs), max(Ra, Rs), 0.0, 0.0, center_x, center_y)


def _multipole(
    m: Any, a_m: Any, phi_m: Any, center_x: Any = 0.0, center_y: Any = 0.0, r_E: Any = 1.0
) -> mass.Multipole:
    return mass.Multipole(int(m), a_m, phi_m, center_x, center_y, r_E)


def _chameleon(
    alpha_1: Any,
    w_c: Any,
    w_t: Any,
    e1: Any,
    e2: Any,
    center_x: Any = 0.0,
    center_y: Any = 0.0,
) -> mass.AbstractMass:
    """The difference of two isothermal ellipsoids."""
    theta_E, *cores = _chameleon_sizes(alpha_1, w_c, w_t, e1, e2)
    inner, outer = (
        mass.NIE(sign * theta_E, e1, e2, core, center_x, center_y)
        for sign, core in zip((1, -1), cores, strict=True)
    )
    return inner + outer


def _chameleon_sizes(
    alpha_1: Any, w_c: Any, w_t: Any, e1: Any, e2: Any
) -> tuple[float, float, float]:
    """Einstein radius and cores of both, by the round one's deflection at one arcsecond."""
    if not w_t > w_c:
        raise ValueError(f"CHAMELEON has w_t > w_c; got w_c={w_c}, w_t={w_t}.")

    def unit(core: float) -> float:
        return np.sqrt(1.0 + core**2) - core

    # 2 w / (1 + q) with q = (1 - |e|) / (1 + |e|)
    stretch = 1.0 + np.hypot(e1, e2)
    return alpha_1 / (unit(w_c) - unit(w_t)), stretch * w_c, stretch * w_t


def _gaussians(
    amp: Any,
    sigma: Any,
    e1: Any = 0.0,
    e2: Any = 0.0,
    center_x: Any = 0.0,
    center_y: Any = 0.0,
    scale_factor: Any = 1.0,
) -> mass.MultiGaussian:
    amp, sigma = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (amp, sigma))
    return mass.MultiGaussian(scale_factor * amp, sigma, e1, e2, center_x, center_y)


def _sersic_ellipse(
    k_eff: Any,
    R_sersic: Any,
    n_sersic: Any,
    e1: Any,
    e2: Any,
    center_x: Any = 0.0,
    center_y: Any = 0.0,
) -> mass.Sersic:
    """Theirs has q = 1 - |e|, unlike their other profiles, and its radius on the major axis."""
    q = 1.0 - np.hypot(e1, e2)
    e1, e2 = e1 / (1.0 + q), e2 / (1.0 + q)
    return mass.Sersic(k_eff, np.sqrt(q) * R_sersic, n_sersic, e1, e2, center_x, center_y)


def _without_e(kind: type) -> Callable:
    """The round case of a profile, whose ellipticity has no default."""

    def build(**values: Any) -> Any:
        return kind(**values, e1=0.0, e2=0.0)

    parameters = inspect.signature(kind).parameters.values()
    kept = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters if p.name not in ("e1", "e2")]
    build.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    return build


def _sersic_of_angle(
    amp: Any,
    R_sersic: Any,
    n_sersic: Any,
    q: Any,
    phi: Any,
    center_x: Any = 0.0,
    center_y: Any = 0.0,
) -> light.Sersic:
    e1, e2 = (float(e) for e in to_ellipticity(q, phi))
    return light.Sersic(amp, R_sersic, n_sersic, e1, e2, center_x, center_y)


def _pseudo_jaffe(
    amp: Any, Ra: Any, Rs: Any, center_x: Any = 0.0, center_y: Any = 0.0
) -> light.DPIE:
    return light.DPIE(amp, Ra, Rs, 0.0, 0.0, center_x, center_y)


def _light_chameleon(
    amp: Any,
    w_c: Any,
    w_t: Any,
    e1: Any,
    e2: Any,
    center_x: Any = 0.0,
    center_y: Any = 0.0,
) -> light.DPIE:
    """Normalised like the mass of this name: ``amp`` is a deflection there."""
    theta_E, inner, outer = _chameleon_sizes(amp, w_c, w_t, e1, e2)
    centre = 0.5 * theta_E * (1.0 / inner - 1.0 / outer)
    return light.DPIE(centre, inner, outer, e1, e2, center_x, center_y)


def _shapelets(
    amp: Any, n_max: Any, beta: Any, center_x: Any = 0.0, center_y: Any = 0.0
) -> light.Shapelets:
    amp = np.atleast_1d(np.asarray(amp, dtype=float))
    if len(amp) != (int(n_max) + 1) * (int(n_max) + 2) // 2:
        raise ValueError(
            f"SHAPELETS of n_max={n_max} have (n_max + 1)(n_max + 2)/2 amplitudes; got {len(amp)}."
        )
    return light.Shapelets(amp, beta, center_x, center_y)


def _light_gaussians(
    amp: Any,
    sigma: Any,
    e1: Any = 0.0,
    e2: Any = 0.0,
    center_x: Any = 0.0,
    center_y: Any = 0.0,
) -> light.MultiGaussian:
    amp, sigma = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (amp, sigma))
    return light.MultiGaussian(amp, sigma, e1, e2, center_x, center_y)


MASSES: dict[str, Callable] = {
    "SIS": mass.SIS,
    "SIE": mass.SIE,
    "EPL": mass.EPL,
    "EPL_NUMBA": mass.EPL,
    "PEMD": mass.EPL,
    "SPEMD": _softened,
    "SPEP": _EllipticalPotential,
    "NIE": mass.NIE,
    "NFW": mass.NFW,
    "NFW_ELLIPSE_CSE": mass.NFWEllipse,
    "TNFW": mass.TNFW,
    "HERNQUIST": mass.Hernquist,
    "POINT_MASS": mass.PointMass,
    "PJAFFE": _round_jaffe,
    "CHAMELEON": _chameleon,
    "SERSIC": _without_e(mass.Sersic),
    "SERSIC_ELLIPSE_KAPPA": _sersic_ellipse,
    "GAUSSIAN_ELLIPSE_KAPPA": mass.Gaussian,
    "MULTI_GAUSSIAN": _gaussians,
    "MULTI_GAUSSIAN_ELLIPSE_KAPPA": _gaussians,
    "MULTIPOLE": _multipole,
    "EPL_MULTIPOLE_M1M3M4": mass.EPLMultipole,
    "SHEAR": _shear,
    "SHEAR_GAMMA_PSI": _polar_shear,
    "CONVERGENCE": _sheet,
}
LIGHTS: dict[str, Callable] = {
    "SERSIC": _without_e(light.Sersic),
    "SERSIC_ELLIPSE": light.Sersic,
    "SERSIC_ELLIPSE_Q_PHI": _sersic_of_angle,
    "CORE_SERSIC": light.CoreSersic,
    "GAUSSIAN": _without_e(light.Gaussian),
    "GAUSSIAN_ELLIPSE": light.Gaussian,
    "MULTI_GAUSSIAN": _light_gaussians,
    "MULTI_GAUSSIAN_ELLIPSE": _light_gaussians,
    "HERNQUIST": _without_e(light.Hernquist),
    "HERNQUIST_ELLIPSE": light.Hernquist,
    "PJAFFE": _pseudo_jaffe,
    "CHAMELEON": _light_chameleon,
    "MOFFAT": light.Moffat,
    "SHAPELETS": _shapelets,
    "UNIFORM": light.Uniform,
    "INTERPOL": functools.partial(light.Interpolated, amp=1.0, scale=1.0),
}


def built(name: str, values: Mapping[str, Any], known: Mapping[str, Callable]) -> Any:
    """The profile of a name with its parameters.

    Args:
        name: lenstronomy's.
        values: parameters by lenstronomy's names.
        known: the functions by name.

    Returns:
        A mass or a light.

    Raises:
        ValueError: a parameter is missing or unknown.
    """
    build = known[name]
    try:
        inspect.signature(build).bind(**values)
    except TypeError as error:
        parameters = ", ".join(inspect.signature(build).parameters)
        raise ValueError(
            f"{name} has the parameters {parameters}; got {', '.join(values)}: {error}."
        ) from None
    return build(**values)
