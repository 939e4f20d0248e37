"""Draw every angle of the conventions: ``python docs/pictures/angles.py``."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Ellipse

from numpyro_lens import coordinates, mass

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
PHI_35, PHI_60 = np.radians([35, 60])


def main(path=Path(__file__).parent / "angles.png"):
    figure = Figure(figsize=(10, 9.4), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for draw, axis in zip((position_angle, ellipticity, shear, sky), axes, strict=True):
        draw(axis)
        axis.set_aspect("equal")
    figure.savefig(path, dpi=110)


def position_angle(axis, q=0.5, phi=PHI_35):
    """An ellipse of constant elliptical radius."""
    axis.set_title(r"Position angle $\phi$, axis ratio $q = b/a$")
    # On R = 1 the half axes are 1/sqrt(q) and sqrt(q).
    axis.add_patch(
        Ellipse((0, 0), 2 / q**0.5, 2 * q**0.5, angle=np.degrees(phi), fc="none", ec=BLUE)
    )
    along = np.array([np.cos(phi), np.sin(phi)])
    across = np.array([-along[1], along[0]])
    names = (
        (q**-0.5, along, (14, -4), r"$a = R/\sqrt{q}$"),
        (q**0.5, across, (6, 8), r"$b = R\sqrt{q}$"),
    )
    for half, direction, offset, name in names:
        axis.plot(*np.outer(direction, [0, half]), color=BLUE)
        place = {"xytext": offset, "textcoords": "offset points"}
        axis.annotate(name, 0.55 * half * direction, **place)
    _sector(axis, 0.6, 0, np.degrees(phi), r"$\phi$")
    _cross(axis, 1.7, "x", "y")


def ellipticity(axis):
    """The plane of (e1, e2) with the ellipse that each point stands for."""
    axis.set_title(r"Ellipticity: $e_1 + i e_2 = \frac{1-q}{1+q} e^{2i\phi}$")
    for radius, count in ((0.0, 1), (0.25, 8), (0.5, 8)):
        for turn in 2 * np.pi * np.arange(count) / count:
            e1, e2 = radius * np.cos(turn), radius * np.sin(turn)
            q, phi = (float(v) for v in coordinates.from_ellipticity(e1, e2))
            size = 0.1
            shape = Ellipse(
                (e1, e2), size / q**0.5, size * q**0.5, angle=np.degrees(phi), fc=BLUE, alpha=0.6
            )
            axis.add_patch(shape)
    for radius in (0.25, 0.5):
        axis.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fc="none", ec=GREY, ls=":"))
        place = radius * np.array([np.cos(-np.pi / 8), np.sin(-np.pi / 8)])
        box = {"fc": "white", "ec": "none", "pad": 1}
        axis.annotate(
            f"q = {(1 - radius) / (1 + radius):.2f}", place, ha="center", color=GREY, bbox=box
        )
    axis.set(xlim=(-0.75, 0.75), ylim=(-0.75, 0.75), xlabel="$e_1$", ylabel="$e_2$")


def shear(axis, strength=0.15, phi=PHI_35):
    """The deflection of a shear, and the image of a round source."""
    axis.set_title(r"Shear: $\gamma_1 + i\gamma_2 = \gamma\, e^{2i\phi}$")
    gamma1, gamma2 = (float(v) for v in coordinates.to_shear(strength, phi))
    x, y = np.meshgrid(*2 * [np.linspace(-1.4, 1.4, 9)])
    alpha = mass.Shear(gamma1=gamma1, gamma2=gamma2).deflection(x, y)
    axis.quiver(
        x, y, *map(np.asarray, alpha), color=ORANGE, width=0.004, label=r"deflection $\alpha$"
    )
    turn = np.linspace(0, 2 * np.pi, 200)
    jacobian = np.eye(2) - np.array([[gamma1, gamma2], [gamma2, -gamma1]])
    axis.plot(0.6 * np.cos(turn), 0.6 * np.sin(turn), color=GREY, ls="--", label="source")
    image = np.linalg.solve(jacobian, 0.6 * np.stack([np.cos(turn), np.sin(turn)]))
    axis.plot(*image, color=BLUE, label=r"its image, stretched along $\phi$")
    axis.plot(*np.outer([np.cos(phi), np.sin(phi)], [0, 1.3]), color=BLUE, lw=0.8)
    _sector(axis, 0.9, 0, np.degrees(phi), r"$\phi$")
    _cross(axis, 1.7, "x", "y")
    axis.legend(loc="lower center", fontsize="small", framealpha=1)


def sky(axis, q=0.5, phi=PHI_60):
    """An image with a WCS: x and y of the package on the sky."""
    axis.set_title("With a WCS, right ascension to the left")
    axis.invert_xaxis()
    axis.add_patch(
        Ellipse((0, 0), 2 / q**0.5, 2 * q**0.5, angle=np.degrees(phi), fc="none", ec=BLUE)
    )
    axis.plot(*np.outer([np.cos(phi), np.sin(phi)], [0, 1.4]), color=BLUE)
    _sector(axis, 0.5, 0, np.degrees(phi), r"$\phi$")
    _sector(axis, 1.0, np.degrees(phi), 90, r"PA", colour=ORANGE)
    _cross(axis, 1.7, "East\n= x", "North = y")
    text = "$\\phi$ runs from x to y\nPA, East of North, is $90° - \\phi$"
    axis.annotate(text, (1.75, -1.75), ha="left", va="bottom")


def _cross(axis, half, x, y):
    for tip, name in (((half, 0), x), ((0, half), y)):
        axis.annotate("", tip, xytext=(0, 0), arrowprops={"arrowstyle": "->", "color": "black"})
        axis.annotate(name, 1.08 * np.array(tip), ha="center", va="center")
    low, high = -half - 0.1, half + 0.3
    axis.set_xlim((high, low) if axis.xaxis_inverted() else (low, high))
    axis.set_ylim(low, high)
    axis.axis("off")


def _sector(axis, radius, start, end, name, colour="black"):
    axis.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta1=start, theta2=end, color=colour))
    middle = np.radians((start + end) / 2)
    axis.annotate(
        name,
        1.15 * radius * np.array([np.cos(middle), np.sin(middle)]),
        ha="center",
        va="center",
        color=colour,
    )


if __name__ == "__main__":
    main()
