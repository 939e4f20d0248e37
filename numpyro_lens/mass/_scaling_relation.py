"""Members of a group or a cluster, whose masses follow their luminosities."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from numpyro_lens._types import ArrayLike, Scalar
from numpyro_lens.mass._base import AbstractMass
from numpyro_lens.mass._population import Population

_LENGTHS = ("theta_E", "s_scale", "Ra", "Rs", "r_trunc", "alpha_Rs", "R_sersic")


def scaling_relation(
    reference: AbstractMass,
    luminosity: ArrayLike,
    *,
    exponents: Mapping[str, Scalar] | None = None,
    **own: ArrayLike,
) -> Population:
    r"""Members of a group as one `Population`, scaled with their luminosities.

    .. math:: p_i = p_\star\, (L_i / L_\star)^{\eta_p}

    By default every length of the reference scales as the root of the luminosity: the Einstein
    radius :math:`\theta_E \propto \sigma_v^2 \propto L^{1/2}` (Faber & Jackson 1976), the core and
    the truncation radius. Convergences such as ``sigma0`` of `DPIE`, slopes and ellipticities are
    those of the reference. Hundreds of members compile as fast as one.

    Args:
        reference: the profile of a galaxy of luminosity 1, whose fields are scalars; they may be
            sampled, and all members follow.
        luminosity: of each member, relative to the reference, (n,), positive.
        exponents: of the fields that scale otherwise, by their name; they may be sampled. Zero is
            a field that all members share.
        **own: fields that each member has of its own, (n,): ``center_x``, ``center_y``, ``e1``,
            ``e2``, or one that does not follow the relation.

    Returns:
        The members.

    Raises:
        ValueError: the luminosities are no list of numbers, a name is no field of the reference,
            or none of its fields scales.

    Example:
        >>> from numpyro_lens.mass import DPIE
        >>> members = scaling_relation(
        ...     DPIE(sigma0=2.0, Ra=0.01, Rs=3.0), [1.0, 0.25], center_x=[4.0, -3.0])
        >>> members.profile.Rs
        Array([3. , 1.5], dtype=float32)

    Reference: Jullo et al. 2007, New J. Phys. 9, 447.
    """
    luminosity = jnp.asarray(luminosity, float)
    powers = _powers(reference, exponents or {}, own)
    if luminosity.ndim != 1:
        raise ValueError(
            "`luminosity` has one number for each member, shape (n,); got shape "
            f"{luminosity.shape}. Write luminosity=10 ** (-0.4 * (magnitude - reference))."
        )
    scaled = {field: getattr(reference, field) * luminosity**p for field, p in powers.items()}
    each = {field: jnp.asarray(value, float) for field, value in own.items()}
    return Population(dataclasses.replace(reference, **scaled, **each))


def _powers(
    reference: AbstractMass, exponents: Mapping[str, Scalar], own: Mapping[str, ArrayLike]
) -> dict[str, Scalar]:
    """The exponent of every field that scales."""
    fields = [field.name for field in dataclasses.fields(reference)]
    if unknown := [name for name in (*exponents, *own) if name not in fields]:
        raise ValueError(
            f"What scales, and what each member has of its own, are fields of the reference; got "
            f"{', '.join(unknown)}. The fields of {type(reference).__name__} are: "
            f"{', '.join(fields)}."
        )
    powers: dict[str, Scalar] = {
        name: exponents.get(name, 0.5)
        for name in fields
        if (name in _LENGTHS or name in exponents) and name not in own
    }
    if not powers:
        raise ValueError(
            f"No field of {type(reference).__name__} is known to follow the luminosity; its fields "
            f"are: {', '.join(fields)}. Give exponents={{{fields[0]!r}: 0.5}}."
        )
    return powers
