"""Three bands in one picture: the colours, the pixels and the errors."""

import jax
import numpy as np
import pytest
from stand_ins import StandIn

import numpyro_lens as nl
from numpyro_lens import plot


def fit_of(colours, *, names="grz", shapes=((20, 24),) * 3, mask=None, noise=0.01):
    """Bands of one blob to the left and another to the right, of given colours (2, 3)."""
    observations, scenes = {}, {}
    for k, name in enumerate(names):
        lights = [
            nl.light.Gaussian(float(colour[k]), sigma=0.2, center_x=side)
            for colour, side in zip(colours, (-0.6, 0.6), strict=True)
        ]
        empty = nl.Observation.blank(
            shapes[k], pixel_scale=0.1, noise=nl.NoiseMap(noise), mask=mask, supersampling=1
        )
        scenes[name] = nl.Scene.of(lens_light=lights)
        observations[name] = nl.mock(empty, jax.random.key(k), lens_light=lights)
    return StandIn(observations, scenes)


RED_AND_WHITE = [[1.0, 5.0, 20.0], [20.0, 20.0, 20.0]]


def colours_of(axis):
    """The colours (ny, nx, 3) of a panel."""
    return np.asarray(axis.collections[0].get_array())


def test_what_is_bright_in_the_last_band_is_red(tmp_path):
    figure, axes = plot.plot_rgb(fit_of(RED_AND_WHITE))
    assert [axis.get_title() for axis in axes] == [
        "Data (z, r, g)",
        "Model",
        "Normalised residuals",
    ]
    for axis in axes[:2]:
        red, white = colours_of(axis)[10, 6], colours_of(axis)[10, 17]
        assert red[0] > 1.5 * red[1] > 1.5 * 1.5 * red[2]
        assert np.ptp(white) < 0.1
        assert white.mean() > 0.5
    figure.savefig(tmp_path / "rgb.png", dpi=40)
    _, axes = plot.plot_rgb(fit_of(RED_AND_WHITE), ["g", "r", "z"])
    assert np.argmax(colours_of(axes[0])[10, 6]) == 2


def test_of_more_bands_the_last_the_middle_and_the_first_are_shown():
    four = fit_of([[1.0] * 4] * 2, names="griz", shapes=((20, 24),) * 4)
    assert plot.plot_rgb(four)[1][0].get_title() == "Data (z, i, g)"


def test_residuals_are_grey_where_the_model_is_right():
    fit = fit_of(RED_AND_WHITE)
    _, axes = plot.plot_rgb(fit)
    expected = 0.5 + 0.1 * fit.observations["z"].residuals(fit.views["z"].image)
    np.testing.assert_allclose(colours_of(axes[2])[..., 0], np.clip(expected, 0, 1), atol=1e-5)


def test_masked_pixels_are_light_in_data_and_residuals():
    mask = np.ones((20, 24), dtype=bool)
    mask[:3] = False
    _, axes = plot.plot_rgb(fit_of(RED_AND_WHITE, mask=mask))
    for axis, light in zip(axes, (True, False, True), strict=True):
        assert np.all(colours_of(axis)[:3] == 0.93) == light
        assert not np.any(np.all(colours_of(axis)[3:] == 0.93, axis=-1))


def test_the_scale_may_be_given():
    faint, bright = (
        colours_of(plot.plot_rgb(fit_of(RED_AND_WHITE), stretch=s)[1][1]).mean() for s in (3.0, 0.1)
    )
    assert bright > 2.0 * faint


def test_three_bands_of_one_shape_are_asked_for():
    four = fit_of([[1.0] * 4] * 2, names="griz", shapes=((20, 24),) * 4)
    for names in (["g", "r"], "grz"):
        with pytest.raises(ValueError, match=r"red, green, blue.*plot_rgb\(fit, \['i', 'r', 'g'\]"):
            plot.plot_rgb(four, names)
    two = fit_of([[1.0] * 2] * 2, names="gr", shapes=((20, 24),) * 2)
    with pytest.raises(ValueError, match="got None of g, r"):
        plot.plot_rgb(two)
    with pytest.raises(ValueError, match="got 'u'"):
        plot.plot_rgb(four, ["g", "r", "u"])
    unlike = fit_of(RED_AND_WHITE, shapes=((20, 24), (20, 24), (10, 12)))
    with pytest.raises(ValueError, match=r"same pixels; 'z' has \(10, 12\) of 0\.1"):
        plot.plot_rgb(unlike)
    with pytest.raises(ValueError, match="same pixels"):
        plot.plot_rgb(
            StandIn(
                {**four.observations, "r": four.observations["r"].moved(rotation=0.2)},
                {name: view.scene for name, view in four.views.items()},
            ),
            ["i", "r", "g"],
        )


def test_bands_that_are_moved_by_a_part_of_a_pixel_may_be_drawn():
    fit = fit_of(RED_AND_WHITE)
    moved = {**fit.observations, "r": fit.observations["r"].moved(0.03, -0.02, 0.004)}
    scenes = {name: view.scene for name, view in fit.views.items()}
    assert len(plot.plot_rgb(StandIn(moved, scenes))[1]) == 3
