"""Pictures: what their axes hold. How they look is judged by eye."""

import math
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from stand_ins import StandIn

import numpyro_lens as nl
from numpyro_lens import plot
from numpyro_lens.plot import _corner
from numpyro_lens.scene import Plane, Scene


@pytest.fixture(scope="module")
def scene():
    return Scene.of(
        mass=nl.mass.SIE(theta_E=0.8, e1=0.1, e2=0.05) + nl.mass.Shear(gamma1=0.03, gamma2=0.0),
        source=nl.light.Sersic(amp=20.0, R_sersic=0.1, n_sersic=1.0, center_x=0.05, center_y=0.02),
        lens_light=nl.light.Uniform(amp=0.5),
    )


def fit_of(scene, *, shape=(30, 36), matrix=((0.1, 0.0), (0.0, 0.1)), mask=None):
    empty = nl.Observation.blank(
        shape, transform_pix2angle=matrix, noise=nl.NoiseMap(0.02), mask=mask
    )
    observation = nl.mock(empty, jax.random.key(0), planes=scene.planes, scaling=scene.scaling)
    return StandIn({"image": observation}, {"image": scene})


def without(scene, missing):
    parts = {name: getattr(scene, name) for name in ("mass", "source", "lens_light")}
    return Scene.of(**parts | {missing: None})


@pytest.fixture(scope="module")
def drawn(scene):
    return plot.plot_fit(fit_of(scene))


def saved(figure, path):
    figure.savefig(path, dpi=40)
    return path.stat().st_size > 1000


def test_fit_has_four_panels_with_arcsec_axes(drawn, tmp_path):
    figure, axes = drawn
    assert isinstance(figure, Figure)
    titles = [axis.get_title() for axis in axes]
    assert titles[:2] == ["Data", "Model"]
    assert titles[2].startswith("Normalised residuals")
    assert titles[3] == "Source plane"
    assert {axis.get_xlabel() for axis in axes} == {"x [arcsec]"}
    np.testing.assert_allclose(axes[0].get_xlim(), (-1.8, 1.8), rtol=1e-5)
    np.testing.assert_allclose(axes[0].get_ylim(), (-1.5, 1.5), rtol=1e-5)
    assert saved(figure, tmp_path / "fit.png")


def test_residuals_are_normalised_on_a_symmetrical_scale(drawn):
    _, axes = drawn
    mesh = axes[2].collections[0]
    assert mesh.get_clim() == (-5, 5)
    np.testing.assert_allclose(np.std(mesh.get_array()), 1.0, atol=0.1)


def test_curves_lie_on_model_and_source(drawn):
    _, axes = drawn
    radius = np.hypot(*axes[1].lines[0].get_xydata().T)
    assert 0.6 < radius.min() <= radius.max() < 1.0
    assert axes[3].lines
    assert not axes[0].lines


@pytest.mark.parametrize(
    ("matrix", "x_lim"),
    [
        (((-0.1, 0.0), (0.0, 0.1)), (1.8, -1.8)),
        (((0.08, -0.06), (0.06, 0.08)), (-2.34, 2.34)),
    ],
    ids=["right-ascension-left", "rotated"],
)
def test_pixels_stand_where_the_matrix_puts_them(scene, matrix, x_lim):
    result = fit_of(scene, matrix=matrix)
    _, axes = plot.plot_fit(result)
    np.testing.assert_allclose(axes[0].get_xlim(), x_lim, rtol=1e-5)
    corners = axes[0].collections[0].get_coordinates()
    centres = (corners[1:, 1:] + corners[:-1, :-1]) / 2
    np.testing.assert_allclose(centres[..., 0], result.observations["image"].x, atol=1e-5)
    np.testing.assert_allclose(centres[..., 1], result.observations["image"].y, atol=1e-5)


def test_masked_pixels_are_hatched(scene):
    mask = np.ones((30, 36), dtype=bool)
    mask[:, :6] = False
    _, axes = plot.plot_fit(fit_of(scene, mask=mask))
    for axis in (axes[0], axes[2]):
        shown = np.ma.getmaskarray(axis.collections[0].get_array()).reshape(mask.shape)
        np.testing.assert_array_equal(~shown, mask)
        assert axis.patch.get_hatch()
    assert len(axes[1].collections) == 2  # the model and the line around the fitted pixels


def test_the_line_around_fitted_pixels_has_a_legend(scene):
    mask = np.ones((30, 36), dtype=bool)
    mask[:, :6] = False
    _, axes = plot.plot_fit(fit_of(scene, mask=mask))
    labels = [text.get_text() for text in axes[1].get_legend().texts]
    assert labels == ["fitted pixels", "critical curves"]


@pytest.mark.parametrize("missing", ["mass", "source", "lens_light"])
def test_parts_may_be_missing(scene, missing, tmp_path):
    figure, _ = plot.plot_fit(fit_of(without(scene, missing)))
    assert saved(figure, tmp_path / "fit.png")


def test_view_closes_in_on_the_fitted_pixels(scene):
    mask = np.zeros((30, 36), dtype=bool)
    mask[10:20, 10:22] = True
    _, axes = plot.plot_fit(fit_of(scene, mask=mask))
    np.testing.assert_allclose(axes[0].get_xlim(), (-1.0, 0.6), atol=1e-5)
    np.testing.assert_allclose(axes[0].get_ylim(), (-0.7, 0.7), atol=1e-5)


def pixels(figure):
    """The drawn picture as (rows, columns, RGB) between 0 and 1."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255.0


def share(image, colour, tolerance=0.08):
    """Which part of a picture has a colour."""
    return np.mean(np.all(np.abs(image - np.array(to_rgb(colour))) < tolerance, axis=-1))


def test_data_panel_is_bright_on_the_ring(scene):
    figure, axes = plot.plot_observation(fit_of(scene).observations["image"])
    image = pixels(figure)
    box = axes[0].get_window_extent()
    height = image.shape[0]
    inside = image[height - int(box.y1) : height - int(box.y0), int(box.x0) : int(box.x1)].sum(-1)
    y, x = np.mgrid[-1.5 : 1.5 : inside.shape[0] * 1j, -1.8 : 1.8 : inside.shape[1] * 1j]
    radius = np.hypot(x, y)
    ring, corner = inside[np.abs(radius - 0.8) < 0.1], inside[radius > 1.4]
    assert ring.mean() > corner.mean() + 0.3


@pytest.mark.parametrize("matrix", [((-0.1, 0.0), (0.0, 0.1)), ((0.1, 0.0), (0.0, 0.1))])
def test_compass_points_north_and_east(scene, matrix):
    empty = nl.Observation.blank(
        (20, 20),
        transform_pix2angle=matrix,
        noise=nl.NoiseMap(0.1),
        sky_position=(150.0, 2.0),
    )
    _, axes = plot.plot_observation(empty)
    names = {text.get_text(): text.xyann for text in axes[0].texts if text.get_text()}
    start = axes[0].texts[0].xy
    assert names["N"][1] > start[1]
    assert (names["E"][0] - start[0]) * matrix[0][0] > 0
    _, axes = plot.plot_observation(fit_of(scene).observations["image"])
    assert not axes[0].texts


def test_convergence_falls_outwards(scene):
    figure, axes = plot.plot_convergence(fit_of(scene))
    kappa = np.asarray(axes[0].collections[0].get_array()).reshape(30, 36)
    assert np.unravel_index(np.argmax(kappa), kappa.shape) in {
        (14, 17),
        (14, 18),
        (15, 17),
        (15, 18),
    }
    assert kappa.max() > 5 * kappa[0, 0] > 0
    assert np.ptp(pixels(figure)) == 1.0


def test_magnification_changes_sign_on_the_critical_curve(scene):
    figure, axes = plot.plot_magnification(fit_of(scene))
    mu = np.asarray(axes[0].collections[0].get_array()).reshape(30, 36)
    assert mu[15, 12] < 0 < mu[0, 0]
    image = pixels(figure)
    assert share(image, "#67001f", 0.3) > 0.001  # both ends of the scale
    assert share(image, "#053061", 0.3) > 0.001


def test_maps_need_a_mass(scene):
    for draw in (plot.plot_convergence, plot.plot_magnification):
        with pytest.raises(ValueError, match="belong to a lens"):
            draw(fit_of(without(scene, "mass")))


def test_starts_are_ranked_and_basins_counted():
    density = np.array([-100.0, -1.0, np.nan, -0.5, -50.0])
    basins = ((-0.5, 2, 3), (-50.0, 1, 4))
    basins = tuple(nl.infer.Basin(*basin) for basin in basins)
    figure, axes = plot.plot_starts(SimpleNamespace(log_density=density, basins=basins))
    ranked = axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(ranked, [0, 0.5, 49.5, 99.5, np.nan])
    assert [text.get_text() for text in axes[0].texts] == ["2 starts", "1 start"]
    assert "1 failed" in axes[0].get_title()
    assert share(pixels(figure), "#D55E00") > 1e-4


def test_elbo_rises():
    losses = 100.0 * np.exp(-np.arange(50) / 5)
    figure, axes = plot.plot_elbo(SimpleNamespace(losses=losses, pareto_k=0.3))
    assert np.all(np.diff(axes[0].lines[0].get_ydata()) > 0)
    assert axes[0].get_title() == "Pareto k 0.30"
    assert share(pixels(figure), "#0072B2") > 1e-3


def test_prediction_shows_mean_and_spread(scene):
    fit = fit_of(scene)
    fit.predict = lambda num: {"image": np.stack([np.ones((30, 36)), np.full((30, 36), 1.04)])}
    figure, axes = plot.plot_prediction(fit)
    np.testing.assert_allclose(axes[0].collections[0].get_array(), 1.02, rtol=1e-6)
    np.testing.assert_allclose(axes[1].collections[0].get_array(), 1.0, rtol=1e-5)
    assert share(pixels(figure), "#fde725", 0.2) > 0.1  # the top of viridis


def test_prediction_needs_an_image():
    with pytest.raises(ValueError, match="observes no `Observation`"):
        plot.plot_prediction(StandIn({}, {}))


@pytest.fixture(scope="module")
def two_bands(scene):
    """Two images of different shape and scale; the second source is a hundred times fainter."""
    faint = nl.light.Sersic(amp=0.2, R_sersic=0.1, n_sersic=1.0, center_x=0.05, center_y=0.02)
    scenes = {"vis": scene, "nir": Scene.of(mass=scene.mass, source=faint)}
    noise = {"vis": 0.02, "nir": 2e-4}
    empty = {
        "vis": nl.Observation.blank((30, 36), pixel_scale=0.1, noise=nl.NoiseMap(noise["vis"])),
        "nir": nl.Observation.blank((15, 14), pixel_scale=0.2, noise=nl.NoiseMap(noise["nir"])),
    }
    observations = {
        name: nl.mock(e, jax.random.key(0), planes=scenes[name].planes) for name, e in empty.items()
    }
    return StandIn(observations, scenes)


def test_every_image_has_a_row_with_its_own_scene(two_bands):
    figure, axes = plot.plot_fit(two_bands)
    assert [axis.get_title() for axis in axes[::4]] == ["vis: data", "nir: data"]
    for row, shape in ((axes[:4], (30, 36)), (axes[4:], (15, 14))):
        assert all(row[k].collections[0].get_array().size == np.prod(shape) for k in range(3))
        mean_square = float(row[2].get_title().split()[-1].rstrip(")"))
        assert mean_square == pytest.approx(1.0, abs=0.25)
    assert share(pixels(figure), plot._panel.CURVE) > 1e-4


def test_one_of_several_images_is_named(two_bands):
    _, axes = plot.plot_fit(two_bands, "nir")
    assert len(axes) == 4
    with pytest.raises(ValueError, match=r"'vis', 'nir'; got 'ks'"):
        plot.plot_fit(two_bands, "ks")
    with pytest.raises(ValueError, match=r"several images: 'vis', 'nir'\. Say which"):
        plot.plot_convergence(two_bands)
    _, axes = plot.plot_convergence(two_bands, name="nir")
    assert axes[0].collections[0].get_array().size == 15 * 14


def test_three_planes_are_drawn(tmp_path):
    near = Plane(mass=nl.mass.SIS(theta_E=0.7), light=nl.light.Uniform(amp=0.1))
    middle = Plane(mass=nl.mass.SIS(theta_E=0.2), light=nl.light.Gaussian(amp=2.0, sigma=0.1))
    far = Plane(light=nl.light.Gaussian(amp=3.0, sigma=0.1, center_x=0.2))
    scaling = np.array([[0.0, 0.6, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    figure, axes = plot.plot_fit(fit_of(Scene.of(planes=[near, middle, far], scaling=scaling)))
    assert saved(figure, tmp_path / "fit.png")
    labels = [line.get_label() for line in axes[1].lines]
    assert labels == [f"critical curves for plane {plane}" for plane in (1, 2)]
    radii = [np.hypot(*line.get_data()).mean() for line in axes[1].lines]
    assert radii[0] == pytest.approx(0.6 * 0.7, rel=0.01)
    assert radii[1] > 0.7
    assert [axis.get_title() for axis in axes[3:]] == ["Source in plane 1", "Source in plane 2"]
    for axis, peak in zip(axes[3:], (2.0, 3.0), strict=True):
        brightness = axis.collections[0].get_array().reshape(300, 300)
        assert brightness.max() * 2.0 * np.pi * 0.1**2 == pytest.approx(peak, rel=0.01)
        assert axis.lines


def test_axes_may_be_given(scene):
    figure = Figure()
    axes = figure.subplots(2, 2)
    drawn_on, returned = plot.plot_fit(fit_of(scene), ax=axes)
    assert drawn_on is figure
    assert list(returned) == list(axes.ravel())
    with pytest.raises(ValueError, match="4 axes"):
        plot.plot_fit(fit_of(scene), ax=axes[0])


def test_corner_overlays_a_second_result(posterior):
    samples = {name: 1.0 * values for name, values in posterior.samples.items()}
    samples["lens.e1"] = samples["lens.e1"] + 1.0
    figure, axes = plot.plot_corner(posterior, other=SimpleNamespace(samples=samples))
    assert axes[1, 1].get_xlim()[1] > 1.2
    assert [text.get_text() for text in figure.legends[0].texts] == ["HMC", "VI"]
    assert share(pixels(figure), "#E69F00") > 1e-3


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(1)
    x, noise = rng.normal(size=(2, 4, 500))
    samples = {"lens.theta_E": 1 + 0.01 * x, "lens.e1": 0.1 * x + 0.05 * noise}
    return SimpleNamespace(samples=samples | {"pixels": np.zeros((4, 500, 3))})


def test_corner_draws_scalar_sites_below_the_diagonal(posterior, tmp_path):
    figure, axes = plot.plot_corner(posterior, truths={"lens.theta_E": 1.0, "other": 3.0})
    assert axes.shape == (2, 2)
    assert axes[0, 1] is None
    assert axes[1, 0].get_xlabel() == r"lens $\theta_\mathrm{E}$"
    assert axes[1, 0].get_ylabel() == "lens $e_1$"
    assert axes[0, 0].get_title().startswith(("$1.000", "$0.999"))
    assert saved(figure, tmp_path / "corner.png")


def test_corner_has_ticks_on_its_outer_panels_alone(posterior):
    """Each tick costs as much as a contour, and a picture of 22 parameters has 253 panels."""
    samples = {**posterior.samples, "lens.e2": posterior.samples["lens.e1"]}
    figure, axes = plot.plot_corner(SimpleNamespace(samples=samples))
    assert len(figure.axes) == 6
    shown = [[axis.xaxis.get_visible(), axis.yaxis.get_visible()] for axis in axes[:, 0]]
    assert shown == [[False, False], [False, True], [True, True]]
    assert not axes[1, 1].xaxis.get_visible()


def test_corner_takes_given_axes(posterior):
    axes = Figure().subplots(2, 2)
    _, returned = plot.plot_corner(posterior, ax=axes)
    assert returned[1, 0] is axes[1, 0]
    assert not axes[0, 1].get_visible()


def test_corner_regions_hold_68_and_95_per_cent(posterior):
    _, axes = plot.plot_corner(posterior)
    contours = axes[1, 0].collections[1]
    draws = np.stack([np.ravel(posterior.samples[n]) for n in ("lens.theta_E", "lens.e1")], axis=-1)
    inside = [path.contains_points(draws).mean() for path in contours.get_paths()]
    np.testing.assert_allclose(inside, [0.95, 0.68], atol=0.05)


def test_corner_takes_sites_in_the_order_given(posterior):
    _, axes = plot.plot_corner(posterior, var_names=["lens.e1", "lens.theta_E"])
    assert axes[1, 0].get_xlabel() == "lens $e_1$"


def test_corner_shows_a_truth_outside_the_draws(posterior):
    _, axes = plot.plot_corner(posterior, truths={"lens.e1": 2.0})
    assert axes[1, 1].get_xlim()[1] > 2.0


@pytest.mark.parametrize("names", [["lens.gamma"], ["pixels"], []])
def test_corner_lists_the_sites_when_a_name_is_wrong(posterior, names):
    with pytest.raises(ValueError, match=r"lens\.theta_E, lens\.e1"):
        plot.plot_corner(posterior, var_names=names)


LENS = ["theta_E", "gamma", "e1", "e2", "center_x", "center_y"]
LIGHT = ["amp", "R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y"]


@pytest.fixture
def many():
    """A posterior of fifteen parameters, eight of the mass."""
    names = [f"lens.{field}" for field in LENS] + [f"bulge.{field}" for field in LIGHT]
    draws = np.random.default_rng(0).normal(size=(2, 50))
    names += ["shear.gamma1", "shear.gamma2"]
    return SimpleNamespace(samples=dict.fromkeys(names, draws))


def test_a_corner_of_many_parameters_is_of_the_mass_and_says_so(many):
    figure, axes = plot.plot_corner(many)
    shown = [axis.get_xlabel() for axis in axes[-1]]
    assert len(shown) == 8
    assert {label.split()[0] for label in shown} == {"lens", "shear"}
    assert figure.texts[-1].get_text() == "the mass: 8 of 15 parameters"
    everything = list(many.samples)
    assert plot.plot_corner(many, everything[:14])[1].shape == (14, 14)


def test_a_corner_of_many_parameters_without_a_mass_is_of_all():
    names = [f"a{number}" for number in range(13)]
    assert _corner._readable(names) == names


def test_every_component_has_a_page(many, tmp_path):
    plot.write_corners(tmp_path / "corner.pdf", many)
    text = (tmp_path / "corner.pdf").read_bytes()
    assert text.count(b"/Type /Page ") == 3


def test_corner_survives_a_constant(tmp_path):
    draws = np.random.default_rng(0).normal(size=(2, 50))
    result = SimpleNamespace(samples={"a": draws, "b": np.ones((2, 50))})
    figure, _ = plot.plot_corner(result)
    assert saved(figure, tmp_path / "corner.png")


def test_interval_shows_two_digits_of_the_smaller_error():
    assert _corner._interval(1.1, 1.2345, 1.3) == "$1.234_{-0.134}^{+0.066}$"
    assert math.isfinite(float(_corner._interval(1.0, 1.0, 1.0)[1:6]))


def test_replicates_from_the_prior_stand_beside_the_data(tmp_path):
    observation = nl.Observation.blank((6, 8), pixel_scale=0.1, noise=nl.NoiseMap(0.1))
    images = np.random.default_rng(0).normal(size=(5, 6, 8))
    figure, axes = plot.plot_prior_predictive(
        {"vis": images, "a": images[:, 0, 0]}, observation, name="vis"
    )
    assert [axis.get_title() for axis in axes[:6]] == [
        "Data",
        *(f"Replicate {i}" for i in range(1, 6)),
    ]
    np.testing.assert_allclose(
        axes[2].collections[0].get_array().ravel(), images[1].ravel(), rtol=1e-5
    )
    norms = {id(axis.collections[0].norm) for axis in axes[:6]}
    assert len(norms) == 1
    assert not axes[7].axison
    assert saved(figure, tmp_path / "prior.png")
    with pytest.raises(ValueError, match=r"those of vis do"):
        plot.plot_prior_predictive({"vis": images}, observation)
