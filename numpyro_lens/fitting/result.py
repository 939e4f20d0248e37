"""The result of a lens fit: scenes and observations by the name of their site."""

from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from numpyro_lens._types import Array
from numpyro_lens.density import Target, conditioned, observed_sites
from numpyro_lens.fitting import derived, files, reconstruction
from numpyro_lens.fitting.plausibility import doubts
from numpyro_lens.infer import AbstractPosterior
from numpyro_lens.infer.posterior import Layout
from numpyro_lens.infer.verdict import Residuals, residuals_of
from numpyro_lens.linear import with_amplitudes
from numpyro_lens.models import observations, scenes
from numpyro_lens.observation import Observation
from numpyro_lens.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class View(NamedTuple):
    """What a site compares.

    Attributes:
        observation: the data.
        image: the model image, noise-free (ny, nx).
        scene: the planes that were rendered, None for an image of the model's own making.
    """

    observation: Observation
    image: np.ndarray
    scene: Scene | None


class LensFit(AbstractPosterior):
    """Posterior draws of a lens model.

    Scenes, observations and images have the name of the site that `observe` placed, so a scene is
    never paired with another's data. Where there is only one, its name may be left out.
    """

    @cached_property
    def observations(self) -> dict[str, Observation]:
        """The observations by the name of their site, at the best draw if they depend on it."""
        return _observations(self.target, self.best_z)

    @cached_property
    def views(self) -> dict[str, View]:
        """What each site compares, at the best draw; linear amplitudes have their mean there."""
        return self._views(self.best_z)

    @cached_property
    def residuals(self) -> tuple[Residuals, ...]:
        """Normalised residuals of every image at the best draw, summarised for the verdict."""
        return tuple(
            residuals_of(
                name,
                np.asarray(_residuals(view.observation, view.image)),
                np.asarray(view.observation.mask),
            )
            for name, view in self.views.items()
        )

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        """What is odd in a scene at the best draw; see `fitting.plausibility.doubts`."""
        found = [
            doubt
            for view in self.views.values()
            if view.scene is not None
            for doubt in doubts(view.scene, view.observation)
        ]
        return tuple(dict.fromkeys(found))

    def _views(self, z: np.ndarray) -> dict[str, View]:
        images, placed = jax.tree.map(np.asarray, _look(self.target, jnp.asarray(z)))
        # In the order of the model: that of jitted dicts is alphabetical.
        return {
            name: View(observation, images[name], placed.get(name))
            for name, observation in self.observations.items()
        }

    def site(self, name: str | None = None) -> str:
        """A site name, checked; the only one there is, when none is given.

        Raises:
            ValueError: there is no such image, or several to choose from.
        """
        names = ", ".join(map(repr, self.observations))
        if not self.observations:
            raise ValueError(
                "This model observes no `Observation`, so there is no image. End it with "
                'nl.observe("image", observation, mass=..., source=...).'
            )
        if name is None and len(self.observations) > 1:
            first = next(iter(self.observations))
            raise ValueError(
                f"This model observes several images: {names}. Say which: fit.scene({first!r})."
            )
        if name is not None and name not in self.observations:
            raise ValueError(f"This model observes the images {names}; got {name!r}.")
        return name or next(iter(self.observations))

    def scene(self, name: str | None = None, params: dict[str, Any] | None = None) -> Scene:
        """The scene that a site rendered, at ``params`` or else at the best draw.

        Linear amplitudes have their mean given the data and the other parameters.

        Args:
            name: of the site; may be left out when there is only one image.
            params: values of all latent sites.

        Raises:
            ValueError: no such image, or one of the model's own making.
        """
        name, views = self.site(name), self.views
        if params is not None:
            values = {site.name: params[site.name] for site in self.target.sites}
            views = self._views(np.asarray(self.target.unconstrain(values)))
        scene = views[name].scene
        if scene is None:
            raise ValueError(
                f"The image {name!r} is of the model's own making, so there is no scene to look at."
                f" Let observe render it: nl.observe({name!r}, observation, mass=..., source=...)."
            )
        return scene

    def source(
        self,
        name: str | None = None,
        *,
        plane: int = -1,
        num: int = 100,
        pixels: int = 100,
        half_width: float | None = None,
        seed: int = 0,
    ) -> Observation:
        """The source as it would be seen without the lens, and how well it is known.

        Args:
            name: of the site; may be left out when there is only one image.
            plane: number of the plane of the source, the lens in plane 0; the last by default.
            num: draws.
            pixels: a side.
            half_width: half of the side [arcsec]; by default what holds the source.
            seed: of the choice of draws and of the linear amplitudes.

        Returns:
            An observation: its image is the mean over the draws [flux per pixel], its noise the
            standard deviation. `numpyro_lens.write_fits` writes it, with a WCS.

        Raises:
            ValueError: no such image, or a scene without a source in that plane.
        """
        name = self.site(name)
        _check_has_source(name, self.scene(name), plane)
        return reconstruction.source_image(
            self.target,
            self._chosen(num, seed),
            name,
            self.observations[name],
            plane=plane,
            pixels=pixels,
            half_width=half_width,
            seed=seed,
        )

    def lens_subtracted(self, name: str | None = None) -> Observation:
        """The data without the light of the lens, at the best draw.

        Args:
            name: of the site; may be left out when there is only one image.

        Returns:
            The observation with another image.

        Raises:
            ValueError: no such image, or one of the model's own making.
        """
        name = self.site(name)
        return reconstruction.without_foreground(self.observations[name], self.scene(name))

    def derived(self, num: int = 200, zero_point: float | None = None, seed: int = 0) -> Any:
        """Numbers that are computed from the draws, with their intervals.

        Effective Einstein radius, total magnification and fluxes of each image, for the source in
        each plane; axis ratio and angle [degree] of each ellipticity, modulus and angle of each
        shear.

        Args:
            num: draws for the numbers of the images; the others use all.
            zero_point: magnitude of one unit of the images, for magnitudes too.
            seed: of the choice of draws.

        Returns:
            A ``pandas.DataFrame``: median, and the ends of the central 68 % interval.
        """
        values = derived.of_scenes(self.target, self._chosen(num, seed))
        if zero_point is not None:
            values |= derived.magnitudes(values, zero_point)
        flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in self.samples.items()}
        return derived.table(values | derived.polar(flat))

    def layout(self) -> Layout:
        """ArviZ's names of the axes: y and x of a single image, site_y and site_x of several."""
        return _layout(self.observations, {*self.samples, *self.observed})

    def save(self, path: str | PathLike) -> None:
        """Write netCDF: for ``numpyro_lens.load``, and for ``arviz.from_netcdf``."""
        files.save(self, self.observations, path)

    def plot(self) -> "Figure":
        """Data, model, residuals and source plane of every image; see `plot.plot_fit`."""
        from numpyro_lens import plot

        return plot.plot_fit(self)[0]

    def plot_corner(
        self,
        var_names: Sequence[str] | None = None,
        truths: dict[str, float] | None = None,
        **settings: Any,
    ) -> "Figure":
        """A figure of the posterior; see ``plot.plot_corner``."""
        from numpyro_lens import plot

        return plot.plot_corner(self, var_names, truths, **settings)[0]

    @property
    def observation(self) -> Observation:
        """Gone: a model may observe several images."""
        raise AttributeError(
            "A fit has its observations by the name of their site. Write "
            'fit.observations["image"], with the name that nl.observe was given.'
        )


def _check_has_source(name: str, scene: Scene, plane: int) -> None:
    last = len(scene.planes) - 1
    shining = [n for n, p in enumerate(scene.planes) if n and p.light is not None]
    if (last if plane == -1 else plane) not in shining:
        raise ValueError(
            f"A source is the light of a plane behind the first; got plane {plane} of the scene of "
            f"{name!r}, which has light in {', '.join(map(str, shining)) or 'none'} of its planes "
            f"1 to {last}. Choose one, or give it light: nl.observe(..., source=...)."
        )


_residuals = jax.jit(Observation.residuals)


@jax.jit
def _look(target: Target, z: Array) -> tuple[dict[str, Array], dict[str, Scene]]:
    """Model images and scenes of the sites that observe, by name."""
    trace = target.trace(z)
    sites, amplitudes = conditioned(observed_sites(trace))
    images = {name: sites[name]["fn"].mean for name in observations(trace)}
    placed = {
        name: with_amplitudes(scene, amplitudes[name]) for name, scene in scenes(trace).items()
    }
    return images, placed


def _observations(target: Target, z: np.ndarray) -> dict[str, Observation]:
    """The observations of the model; only what depends on its parameters is computed."""
    found: dict[str, Observation] = {}

    def look(z: Array) -> list:
        found.update(observations(target.trace(z)))
        # Not the leaves of the dict, whose names JAX sorts.
        leaves = (leaf for each in found.values() for leaf in jax.tree.leaves(each))
        return [leaf for leaf in leaves if isinstance(leaf, jax.core.Tracer)]

    def known(leaf: Any) -> Any:
        return next(values) if isinstance(leaf, jax.core.Tracer) else leaf

    if not jax.eval_shape(look, jnp.asarray(z)):
        return found
    values = iter(jax.jit(look)(jnp.asarray(z)))
    return {name: jax.tree.map(known, each) for name, each in found.items()}


def _layout(images: dict[str, Observation], names: set[str]) -> Layout:
    # A variable named as a dimension would be lost from its group.
    short = len(images) == 1 and not names & {"x", "y"}
    found = Layout({}, {}, {}, {})
    for name, observation in images.items():
        prefix = "" if short else f"{name}_"
        x, y = _pixel_offsets(observation)
        along_y, along_x = (_free(prefix + axis, names) for axis in ("y", "x"))
        found.dims[name] = [along_y, along_x]
        found.coords.update({along_x: x, along_y: y})
        prefix = "" if len(images) == 1 else f"{name}_"
        found.constant_dims[f"{prefix}mask"] = found.dims[name]
        for field in ("mask", "transform_pix2angle"):
            found.constant_data[prefix + field] = np.asarray(getattr(observation, field))
    return found


def _free(name: str, taken: set[str]) -> str:
    return _free(f"{name}_", taken) if name in taken else name


def _pixel_offsets(observation: Observation) -> tuple[np.ndarray, np.ndarray]:
    """Offsets from the image centre along x and y [arcsec]; exact for a diagonal pixel matrix."""
    matrix = np.asarray(observation.transform_pix2angle)
    ny, nx = observation.shape
    return (
        matrix[0, 0] * (np.arange(nx) - (nx - 1) / 2),
        matrix[1, 1] * (np.arange(ny) - (ny - 1) / 2),
    )
