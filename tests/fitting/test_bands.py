"""Several images and one mass: whatever a result shows goes by the name of the site."""

import warnings

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.simulate import render_scene

BANDS = ("vis", "nir")
MASS = nl.mass.SIE(theta_E=0.7, e1=0.1, e2=0.0)
TRUTH = {
    "vis": {"source": nl.light.Gaussian(30.0, 0.12, center_x=0.1), "sky": 2.0},
    "nir": {"source": nl.light.Gaussian(10.0, 0.25, center_x=0.1), "sky": 5.0},
}


def model(vis, nir):
    """A mass, the position of the source and the name of the sky are shared."""
    lens = nl.sample(
        "lens", nl.mass.SIE, theta_E=dist.LogNormal(-0.3, 0.2), e1=dist.Normal(0, 0.2), e2=0.0
    )
    center = numpyro.sample("center", dist.Normal(0.0, 0.2))
    sky = nl.sample("sky", nl.light.Uniform, amp=nl.Linear(scale=10.0))
    for name, band in {"vis": vis, "nir": nir}.items():
        source = nl.sample(
            f"{name}_source",
            nl.light.Gaussian,
            amp=nl.Linear(scale=50.0),
            sigma=dist.LogNormal(-1.7, 0.4),
            center_x=center,
        )
        nl.observe(name, band, mass=lens, source=source, lens_light=sky)


def observed(name, seed):
    """Two cameras that have nothing in common."""
    mask = np.ones((20, 24), dtype=bool)
    mask[:2, :3] = False
    cameras = {
        "vis": {"shape": (20, 24), "pixel_scale": 0.09, "psf": nl.GaussianPSF(0.1), "mask": mask},
        "nir": {
            "shape": (11, 13),
            "pixel_scale": 0.17,
            "psf": nl.PSF(np.arange(9.0).reshape(3, 3)),
        },
    }
    camera = nl.Observation.blank(noise=nl.NoiseMap(0.02), **cameras[name])
    light = {"source": TRUTH[name]["source"], "lens_light": nl.light.Uniform(TRUTH[name]["sky"])}
    return nl.mock(camera, jax.random.key(seed), mass=MASS, **light)


@pytest.fixture(scope="module")
def bands():
    return {name: observed(name, seed) for seed, name in enumerate(BANDS)}


@pytest.fixture(scope="module")
def fit(bands):
    starts = nl.infer.MAP(num_starts=16, num_screened=500, max_searches=1)
    chains = nl.infer.HMC(num_burnin_steps=100, num_results=200, max_results=400)
    return nl.fit(model, *bands.values(), seed=0, map=starts, hmc=chains, progress=False)


def mean_square(observation, image):
    """Of the normalised residuals inside the mask."""
    residual = (observation.image - image) / observation.noise.sigma(observation.image)
    return float(np.mean(np.square(np.asarray(residual))[np.asarray(observation.mask)]))


def test_both_images_are_explained_each_by_its_own_scene(fit, bands):
    assert fit.verdict.converged, str(fit.verdict)
    assert list(fit.observations) == list(fit.views) == list(BANDS)
    for name, band in bands.items():
        view = fit.views[name]
        assert view.observation is band
        assert 0.8 < mean_square(band, view.image) < 1.2
        image = render_scene(band, fit.scene(name))
        np.testing.assert_allclose(image, view.image, rtol=1e-4, atol=1e-5)


def test_the_scene_of_another_image_does_not_explain_the_data(fit, bands):
    """Were one paired with the other's data, the test above would see it."""
    for name, other in (BANDS, BANDS[::-1]):
        assert mean_square(bands[name], render_scene(bands[name], fit.scene(other))) > 5.0


def test_scenes_hold_the_truth_of_their_band(fit):
    """Each within four spreads; those of the other band are far from it."""
    drawn = fit.samples | fit.predict(400)
    for name in BANDS:
        scene, truth = fit.scene(name), TRUTH[name]
        for found, expected, draws in (
            (scene.mass.theta_E, 0.7, drawn["lens.theta_E"]),
            (scene.source.sigma, truth["source"].sigma, drawn[f"{name}_source.sigma"]),
            (scene.source.amp, truth["source"].amp, drawn[f"{name}_source.amp"]),
            (scene.lens_light.amp, truth["sky"], drawn[f"{name}.sky.amp"]),
        ):
            assert abs(float(found) - expected) < 4 * draws.std()
            assert draws.std() < 0.15 * expected


def test_a_scene_at_given_values_is_rendered_for_its_site(fit):
    params = {site.name: fit.samples[site.name][1, 2] for site in fit.target.sites}
    scene = fit.scene("nir", params)
    np.testing.assert_allclose(scene.source.sigma, params["nir_source.sigma"], rtol=1e-5)
    np.testing.assert_allclose(scene.mass.theta_E, params["lens.theta_E"], rtol=1e-5)


def test_several_images_want_a_name(fit):
    with pytest.raises(ValueError, match=r"several images: 'vis', 'nir'.*fit\.scene\('vis'\)"):
        fit.scene()
    with pytest.raises(ValueError, match=r"observes the images 'vis', 'nir'; got 'r'"):
        fit.scene("r")


def test_an_amplitude_that_both_bands_have_is_predicted_for_each(fit):
    drawn = fit.predict(200)
    assert {name: values.shape for name, values in drawn.items()} == {
        "vis": (200, 20, 24),
        "nir": (200, 11, 13),
        "vis.sky.amp": (200,),
        "nir.sky.amp": (200,),
        "vis_source.amp": (200,),
        "nir_source.amp": (200,),
    }
    for name in BANDS:
        sky = drawn[f"{name}.sky.amp"]
        assert abs(sky.mean() - TRUTH[name]["sky"]) < 5 * sky.std()
        assert mean_square(fit.observations[name], drawn[name].mean(0)) < 1.2


def test_arviz_names_the_axes_for_their_site(fit):
    data = fit.to_arviz(posterior_predictive=True, num=400)
    by_pixel = fit.to_arviz(log_likelihood=True, num=400)
    for name in BANDS:
        dims = (f"{name}_y", f"{name}_x")
        shape = fit.observations[name].shape
        used = np.asarray(fit.observations[name].mask)
        assert data["observed_data"][name].dims == dims
        assert data["constant_data"][f"{name}_mask"].dims == dims
        assert data["posterior_predictive"][name].dims == ("chain", "draw", *dims)
        assert data["posterior_predictive"][name].shape[2:] == shape
        x = data["observed_data"][f"{name}_x"].values
        scale = float(fit.observations[name].transform_pix2angle[0, 0])
        np.testing.assert_allclose(np.diff(x), scale, rtol=1e-4)
        replicates = data["posterior_predictive"][name].values.reshape(-1, *shape)
        assert mean_square(fit.observations[name], replicates.mean(0)) < 1.2
        pixels = by_pixel["log_likelihood"][name]
        np.testing.assert_array_equal(pixels[f"{name}_pixel"], np.flatnonzero(used))
        assert az.loo(by_pixel, var_name=name).n_data_points == used.sum()


def test_two_bands_survive_the_disk(fit, bands, tmp_path):
    path = tmp_path / "posterior.nc"
    fit.save(path)
    bare, whole = nl.load(path), nl.load(path, model=model)
    for loaded in (bare, whole):
        np.testing.assert_array_equal(loaded.z, fit.z)
        assert list(loaded.observations) == list(BANDS)
        for name in BANDS:
            np.testing.assert_array_equal(loaded.observations[name].image, bands[name].image)
            assert repr(loaded.observations[name]) == repr(bands[name])
        assert loaded.to_arviz()["observed_data"]["nir"].dims == ("nir_y", "nir_x")
    with pytest.raises(ValueError, match="model=your_function"):
        bare.scene("vis")
    for name in BANDS:
        np.testing.assert_allclose(whole.views[name].image, fit.views[name].image, rtol=1e-4)
        assert whole.views[name].observation is whole.observations[name]


# --- quick runs ----------------------------------------------------------------------------------

QUICK = {
    "map": nl.infer.MAP(num_starts=4, num_screened=40, num_steps=25, max_searches=1),
    "svi": nl.infer.SVI(num_steps=25),
    "hmc": nl.infer.HMC(num_chains=4, num_burnin_steps=20, num_results=20, max_results=20),
    "progress": False,
}


def test_a_checkpoint_knows_its_bands(bands, tmp_path):
    run = QUICK | {"checkpoint": tmp_path}
    first = nl.fit(model, *bands.values(), **run)
    np.testing.assert_array_equal(nl.fit(model, *bands.values(), **run).z, first.z)
    fainter = bands["nir"].with_image(0.999 * bands["nir"].image)
    with pytest.raises(ValueError, match=r"its arguments: \[1\]\.image is"):
        nl.fit(model, bands["vis"], fainter, **run)
    with pytest.raises(ValueError, match=r"its arguments: \[0\]\.image is"):
        nl.fit(model, bands["nir"], bands["vis"], **run)


def test_one_seed_one_result_and_another_seed_another(bands):
    one, same, other = (nl.fit(model, *bands.values(), seed=s, **QUICK) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.z, same.z)
    assert not np.all(one.z == other.z, axis=-1).any()


# --- a dict of bands -----------------------------------------------------------------------------


def of_a_dict(bands):
    """The second band is moved; which one that is depends on the order of the dict."""
    amp = numpyro.sample("amp", dist.LogNormal(0.0, 0.3))
    for i, (name, band) in enumerate(bands.items()):
        dx = numpyro.sample(f"{name}.dx", dist.Normal(0.0, 0.1)) if i else 0.0
        blob = nl.light.Gaussian(amp, sigma=0.3)
        nl.observe(name, band.moved(dx=dx), lens_light=blob)


def test_a_dict_of_bands_keeps_its_order_on_disk_too(bands, tmp_path):
    """JAX sorts the keys of a dict: then the other band would move."""
    fit = fitted(of_a_dict, dict(bands))
    assert list(bands) == ["vis", "nir"]
    assert fit.target.names == ("amp", "nir.dx")
    assert list(fit.observations) == list(fit.views) == ["vis", "nir"]
    traced = jax.jit(lambda target, z: target.log_density(z))(fit.target, jnp.zeros(2))
    np.testing.assert_allclose(traced, fit.target.log_density(jnp.zeros(2)), rtol=1e-5)
    fit.save(tmp_path / "posterior.nc")
    for loaded in (
        nl.load(tmp_path / "posterior.nc", model=of_a_dict),
        nl.load(tmp_path / "posterior.nc", model=of_a_dict, args=(dict(bands),)),
    ):
        (again,) = loaded.args
        assert list(again) == ["vis", "nir"]
        for name in BANDS:
            np.testing.assert_array_equal(again[name].image, bands[name].image)
            image = loaded.views[name].image
            np.testing.assert_allclose(image, fit.views[name].image, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(
                loaded.observations[name].x, fit.observations[name].x, atol=1e-6
            )


# --- names ---------------------------------------------------------------------------------------


def camera(shape=(6, 7)):
    return nl.Observation.blank(shape, pixel_scale=0.2, noise=nl.NoiseMap(0.1))


def named(*names, latent="spot.amp"):
    """A result whose images have given names."""

    def model(*images):
        spot = nl.light.Gaussian(numpyro.sample(latent, dist.LogNormal(0.0, 0.3)), sigma=0.3)
        for name, image in zip(names, images, strict=True):
            nl.observe(name, image, lens_light=spot)

    return fitted(model, *(camera((6 + i, 9 - i)) for i in range(len(names))))


@pytest.mark.parametrize(
    ("names", "latent"),
    [
        (("image",), "spot.amp"),
        (("image",), "x"),
        (("image",), "image_y"),
        (("y",), "spot.amp"),
        (("x",), "spot.amp"),
        (("x", "y"), "spot.amp"),
        (("x", "y", "x_y"), "spot.amp"),
        (("vis", "nir"), "vis_y"),
        (("vis", "vis_y", "vis_y_x"), "x"),
    ],
    ids=str,
)
def test_no_name_hides_a_group(names, latent, tmp_path):
    result = named(*names, latent=latent)
    result.save(tmp_path / "posterior.nc")
    for data in (
        result.to_arviz(posterior_predictive=True, num=60),
        az.from_netcdf(str(tmp_path / "posterior.nc")),
    ):
        assert set(data["observed_data"].data_vars) == set(names)
        assert set(data["posterior"].data_vars) == {latent}
        for name in names:
            dims = data["observed_data"][name].dims
            assert len(set(dims)) == 2
            assert all(dim in data["observed_data"].coords for dim in dims)
    assert set(nl.load(tmp_path / "posterior.nc").observations) == set(names)


def test_loo_of_images_of_any_name():
    data = named("y", "x").to_arviz(log_likelihood=True, posterior_predictive=True, num=120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the draws are no posterior: Pareto k is large
        for name, number in (("y", 54), ("x", 56)):
            assert az.loo(data, var_name=name).n_data_points == number
    assert set(data["posterior_predictive"].data_vars) == {"x", "y"}


# --- what has no scene ---------------------------------------------------------------------------


def test_an_image_of_the_models_own_making_has_data_and_no_scene():
    def model(observation):
        amp = numpyro.sample("amp", dist.Normal(1.0, 0.1))
        image = nl.render(observation, lens_light=nl.light.Gaussian(1.0, 0.3))
        nl.observe_image("image", amp * image**2, observation)

    fit = fitted(model, camera())
    assert fit.views["image"].scene is None
    assert fit.views["image"].image.shape == (6, 7)
    with pytest.raises(ValueError, match=r"own making.*nl\.observe\('image', observation"):
        fit.scene()


def test_a_model_without_an_image_has_no_scene():
    def model(data):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(x, 1.0), obs=data)

    fit = fitted(model, jnp.zeros(3))
    assert fit.observations == {}
    assert fit.to_arviz()["observed_data"]["y"].shape == (3,)
    with pytest.raises(ValueError, match=r"so there is no image.*nl\.observe\("):
        fit.scene()
