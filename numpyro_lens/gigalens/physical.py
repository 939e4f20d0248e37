"""What is in the sky: profiles of the lens, of its light and of the source."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpyro_lens.gigalens.profile import LightProfile, MassProfile, OwnLight, OwnMass
from numpyro_lens.light import AbstractLight
from numpyro_lens.mass import AbstractMass

ROLES = ("lenses", "lens_light", "source_light")

Params: TypeAlias = Sequence[Sequence[dict[str, Any]]]
"""Values of the lenses, of the lens light and of the source, a dict for each profile."""


@dataclass(frozen=True, eq=False)
class PhysicalModel:
    """Profiles of the lens, of its light and of the source.

    Args:
        lenses: mass profiles: GIGA-Lens's instances, ``[epl.EPL(50), shear.Shear()]``, or our
            classes, ``[mass.EPL, mass.Shear]``.
        lens_light: light profiles, such as ``[sersic.SersicEllipse()]`` or ``[light.Sersic]``.
        source_light: light profiles.
    """

    lenses: Sequence[Any]
    lens_light: Sequence[Any]
    source_light: Sequence[Any]

    def profiles(self, role: str) -> list[Any]:
        """The profiles of ``"lenses"``, ``"lens_light"`` or ``"source_light"``, as instances."""
        return [_instance(profile) for profile in getattr(self, role)]

    def build(self, params: Params) -> tuple[list, list, list]:
        """Profiles with their values.

        ``params`` is ``(lens_params, lens_light_params, source_light_params)``. The middle list may
        be left out when there is no lens light; an empty list leaves out what it would hold;
        ``Ie`` is accepted for ``amp``.

        Raises:
            ValueError: the lists do not match the profiles.
        """
        lenses, lens_light, source = self._paired(params)
        return (
            [profile.build(values) for profile, values in lenses],
            [profile.build(values) for profile, values in lens_light],
            [profile.build(values) for profile, values in source],
        )

    def build_unit(self, params: Params) -> tuple[list, list, list]:
        """Profiles with their values, and amplitudes of one in place of those to be solved for.

        Raises:
            ValueError: the lists do not match, or an amplitude is not to be solved for.
        """
        lenses, lens_light, source = self._paired(params)
        return (
            [profile.build(values) for profile, values in lenses],
            [profile.unit(values) for profile, values in lens_light],
            [profile.unit(values) for profile, values in source],
        )

    def _paired(self, params: Params) -> list[list[tuple[Any, dict[str, Any]]]]:
        groups = zip(ROLES, self.split(params), strict=True)
        return [list(zip(self.profiles(r), group, strict=False)) for r, group in groups]

    def split(self, params: Params) -> list[Sequence[dict[str, Any]]]:
        """The three lists, after a check of their lengths."""
        groups = list(params)
        if len(groups) == 2 and not self.lens_light:
            groups.insert(1, [])
        expected = [len(getattr(self, role)) for role in ROLES]
        found = [len(group) for group in groups]
        if len(found) != 3 or any(f > e for f, e in zip(found, expected, strict=True)):
            raise ValueError(
                f"Parameters come as three lists of dicts, one dict for each of {expected} lenses, "
                f"lens-light and source-light profiles; got {found}."
            )
        if any(0 < f < e for f, e in zip(found, expected, strict=True)):
            warnings.warn(
                f"There are {expected} lenses, lens-light and source-light profiles, and values "
                f"for {found} of them. The last ones are left out, as GIGA-Lens does.",
                stacklevel=3,
            )
        return groups


def _instance(profile: Any) -> Any:
    """GIGA-Lens's instance of a profile that may be one of our classes."""
    if isinstance(profile, MassProfile | LightProfile):
        return profile
    if isinstance(profile, type) and issubclass(profile, AbstractMass):
        return OwnMass(profile)
    if isinstance(profile, type) and issubclass(profile, AbstractLight):
        return OwnLight(profile)
    if isinstance(profile, type) and issubclass(profile, MassProfile | LightProfile):
        return profile()
    raise TypeError(
        f"A PhysicalModel holds profiles: instances as GIGA-Lens has them, epl.EPL(50), or classes "
        f"of numpyro_lens.mass and numpyro_lens.light; got {profile!r}."
    )
