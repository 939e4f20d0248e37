"""What is in the sky: planes of mass and light, and the rays through them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import equinox as eqx

from numpyro_lens._completion import own_names
from numpyro_lens._printing import with_values
from numpyro_lens._types import Coordinates, Field, Scalar, Scaling
from numpyro_lens.light import AbstractLight, Lights, as_light
from numpyro_lens.mass import AbstractMass, ConvergenceSheet, Masses, as_mass
from numpyro_lens.numerics.safe import as_float

Rays: TypeAlias = tuple[Field, Field]
"""Where rays meet a plane, x and y [arcsec]."""


class Plane(eqx.Module):
    """What lies at one redshift.

    Args:
        mass: a deflector or a list of them; None deflects nothing.
        light: a light profile or a list of them; None emits no light.

    Raises:
        TypeError: an argument is not a profile of its kind.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> Plane(mass=SIS(theta_E=1.0)).light is None
        True
    """

    mass: AbstractMass | None
    light: AbstractLight | None

    def __init__(self, mass: Masses | None = None, light: Lights | None = None) -> None:
        self.mass = None if _is_nothing(mass) else as_mass(mass)
        self.light = None if _is_nothing(light) else as_light(light, "light")

    def __repr__(self) -> str:
        return with_values(self)


def _is_nothing(profiles: Any) -> bool:
    """None, or a list of no profile."""
    return profiles is None or (isinstance(profiles, list | tuple) and not profiles)


class Scene(eqx.Module):
    r"""Planes, nearest first: a frozen pytree of profiles.

    A ray that is seen at :math:`\theta` meets plane j at

    .. math:: \theta_j = \theta - \sum_{i<j} s_{ij}\,\alpha_i(\theta_i), \qquad
              s_{ij} = \frac{D_{ij} D_s}{D_j D_{is}}

    with the deflections of light from the last plane, s.

    Args:
        planes: nearest first, at least one.
        scaling: :math:`s_{ij}`, (num_planes, num_planes), of which the part above the diagonal is
            used; 1 in the last column. Two planes need none.

    Raises:
        ValueError: no plane, or several without a scaling of their number.

    Example:
        >>> from numpyro_lens.light import Uniform
        >>> from numpyro_lens.mass import SIS
        >>> scene = Scene.of(mass=SIS(theta_E=1.0), source=Uniform(amp=2.0))
        >>> scene.mass.theta_E, scene.source.amp, scene.lens_light is None
        (1.0, 2.0, True)

    Reference: Schneider, Ehlers & Falco 1992, Gravitational Lenses, equation 9.7b.
    """

    planes: tuple[Plane, ...]
    scaling: Scaling | None = None

    def __repr__(self) -> str:
        return with_values(self)

    def __check_init__(self) -> None:
        num, shape = len(self.planes), getattr(self.scaling, "shape", None)
        if num == 0:
            raise ValueError("A scene has at least one plane. Write planes=[nl.Plane(light=...)].")
        if (num > 2 and shape is None) or (shape is not None and shape != (num, num)):
            raise ValueError(
                f"`scaling` of {num} planes is an array of shape ({num}, {num}), 1 in its last "
                f"column; got {'none' if shape is None else shape}. Its entry [i, j] is "
                "D_ij D_s / (D_j D_is) for the deflector i and the plane j."
            )

    @classmethod
    def of(
        cls,
        *,
        mass: Masses | None = None,
        source: Lights | None = None,
        lens_light: Lights | None = None,
        planes: Sequence[Plane] | None = None,
        scaling: Scaling | None = None,
    ) -> "Scene":
        """The scene of the arguments of `render` and `observe`.

        Args:
            mass, source, lens_light: the short form of two planes, a lens and what lies behind.
            planes: all planes instead, nearest first.
            scaling: see `Scene`.

        Raises:
            TypeError: an argument is not a profile of its kind.
            ValueError: both forms at once, or a scaling that does not fit the planes.
        """
        if planes is None:
            # Checked here, where the argument that is wrong has its name.
            near = None if _is_nothing(lens_light) else as_light(lens_light, "lens_light")
            far = None if _is_nothing(source) else as_light(source, "source")
            return cls((Plane(mass, near), Plane(None, far)), scaling)
        short = {"mass": mass, "source": source, "lens_light": lens_light}
        if given := [name for name, value in short.items() if value is not None]:
            raise ValueError(
                f"A scene is written as planes, or as mass, source and lens_light; got planes and "
                f"{', '.join(given)}. Write planes=[nl.Plane(mass=..., light=...), ...] alone."
            )
        if wrong := [type(p).__name__ for p in planes if not isinstance(p, Plane)]:
            raise TypeError(
                f"`planes` takes a list of Plane, nearest first; got {', '.join(wrong)}. "
                "Write planes=[nl.Plane(mass=..., light=...), nl.Plane(light=...)]."
            )
        return cls(tuple(planes), scaling)

    @property
    def mass(self) -> AbstractMass | None:
        """The deflector of a scene of two planes.

        Raises:
            ValueError: the scene has more planes.
        """
        if len(self.planes) > 2:
            raise ValueError(
                f"This scene has {len(self.planes)} planes and no single mass. Take "
                "scene.planes[0].mass, or scene.deflector() for all of them together."
            )
        return self.planes[0].mass

    @property
    def source(self) -> AbstractLight | None:
        """Light of the last plane, if there is more than one."""
        return self.planes[-1].light if len(self.planes) > 1 else None

    @property
    def lens_light(self) -> AbstractLight | None:
        """Light of the first plane."""
        return self.planes[0].light

    def factor(self, i: int, j: int) -> Scalar:
        """By how much the deflections of plane i are scaled for rays to plane j."""
        return 1.0 if self.scaling is None else self.scaling[i, j]

    def deflector(self, to: int = -1) -> AbstractMass | None:
        """One deflector, whose deflection is that of all planes in front of plane ``to``."""
        deflecting = [plane.mass for plane in self.planes[:to] if plane.mass is not None]
        if self.scaling is None and len(deflecting) < 2:
            return deflecting[0] if deflecting else None
        return _Planes(self, to % len(self.planes))


Lens: TypeAlias = Masses | Scene
"""A deflector, a list of them, or a scene."""


class _Planes(AbstractMass):
    """The total deflection of the planes in front of one."""

    scene: Scene
    to: int = eqx.field(static=True)

    def deflection(self, x: Coordinates, y: Coordinates) -> tuple[Field, Field]:
        beta_x, beta_y = rays(self.scene, x, y, self.to + 1)[-1]
        return x - beta_x, y - beta_y


def rays(scene: Scene, x: Coordinates, y: Coordinates, num: int | None = None) -> list[Rays]:
    """Where rays meet the planes of a scene.

    Args:
        scene: planes of mass and light.
        x, y: positions in the image plane [arcsec], of one shape.
        num: of planes to follow them through; all by default.

    Returns:
        Positions (x, y) [arcsec] in each plane, shaped like x.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> _, (beta_x, _) = rays(Scene.of(mass=SIS(theta_E=1.0)), 3.0, 0.0)
        >>> float(beta_x)
        2.0
    """
    x, y = as_float(x, y)
    met: list[Rays] = []
    deflections: list[Rays | None] = []
    for j, plane in enumerate(scene.planes[:num]):
        at_x, at_y = x, y
        for i, alpha in enumerate(deflections):
            if alpha is not None:
                factor = scene.factor(i, j)
                at_x, at_y = at_x - factor * alpha[0], at_y - factor * alpha[1]
        met.append((at_x, at_y))
        last = j == len(scene.planes[:num]) - 1
        deflections.append(
            None if last or plane.mass is None else plane.mass.deflection(at_x, at_y)
        )
    return met


def ray_trace(
    lens: Lens, x: Coordinates, y: Coordinates, *, to: int = -1
) -> tuple[Coordinates, Coordinates]:
    r"""Where a ray comes from: the lens equation :math:`\beta = \theta - \alpha(\theta)`.

    Args:
        lens: a deflector, a list of them, or a scene.
        x, y: positions in the image plane [arcsec], of one shape.
        to: number of the plane of a scene; the last by default.

    Returns:
        ``(beta_x, beta_y)``, positions in that plane [arcsec], shaped like x.

    Example:
        >>> from numpyro_lens.mass import Shear
        >>> beta_x, beta_y = ray_trace(Shear(gamma1=0.25, gamma2=0.0), 1.0, 1.0)
        >>> float(beta_x), float(beta_y)
        (0.75, 1.25)
    """
    alpha_x, alpha_y = as_deflector(lens, to).deflection(x, y)
    return x - alpha_x, y - alpha_y


def as_deflector(lens: Lens, to: int = -1) -> AbstractMass:
    """One deflector, whose deflection is that of a whole lens.

    Args:
        lens: a deflector, a list of them, or a scene.
        to: number of the plane of a scene; the last by default.

    Returns:
        A deflector.

    Raises:
        TypeError: it is none of these.

    Example:
        >>> from numpyro_lens.mass import SIS
        >>> as_deflector(Scene.of(mass=SIS(theta_E=1.0))).theta_E
        1.0
    """
    if not isinstance(lens, Scene):
        return as_mass(lens)
    return lens.deflector(to) or ConvergenceSheet(kappa=0.0)


def __dir__() -> list[str]:
    return own_names(globals())
