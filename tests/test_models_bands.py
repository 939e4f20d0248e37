"""Bands of one lens: what they share, what is each one's own, and where they lie."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from astropy.cosmology import Planck18
from numpyro import handlers

import numpyro_lens as nl
from numpyro_lens.density import Target, evaluate
from numpyro_lens.infer.map import prior_draws


def camera(shape=(8, 9), scale=0.2, seed=0):
    image = 1.0 + np.random.default_rng(seed).normal(size=shape)
    return nl.Observation(image, pixel_scale=scale, noise=nl.NoiseMap(0.5), supersampling=1)


@pytest.fixture
def bands():
    return {"vis": camera(), "nir": camera((6, 5), 0.3, seed=1)}


def traced(function, **values):
    """What a model returns and its sites, some of them at given values."""
    model = handlers.trace(handlers.seed(handlers.substitute(function, values), 0))
    sites = model.get_trace()
    return {k: s["value"] for k, s in sites.items()}, {k: s["fn"] for k, s in sites.items()}


def placed(bands, **parameters):
    """Profiles and sites of a Sersic in these bands."""
    out = {}

    def model():
        parameters.setdefault("n_sersic", 1.0)
        out.update(nl.sample_bands("source", nl.light.Sersic, bands, **parameters))

    return out, *traced(model)


def test_the_shape_is_shared_and_the_amplitude_is_each_bands_own(bands):
    profiles, values, _ = placed(
        bands, amp=dist.LogNormal(0.0, 1.0), R_sersic=dist.LogNormal(-1.0, 0.3)
    )
    assert list(values) == ["vis.source.amp", "nir.source.amp", "source.R_sersic"]
    assert list(profiles) == ["vis", "nir"]
    for name, profile in profiles.items():
        assert profile.amp is values[f"{name}.source.amp"]
        assert profile.R_sersic is values["source.R_sersic"]
        assert profile.n_sersic == 1.0
    assert values["vis.source.amp"] != values["nir.source.amp"]


def test_a_dict_or_a_function_is_each_bands_own(bands):
    radius = {"vis": dist.LogNormal(-1.0, 0.3), "nir": 0.4}
    profiles, values, priors = placed(bands, amp=nl.priors.amplitude, R_sersic=radius)
    assert list(values) == ["vis.source.amp", "nir.source.amp", "vis.source.R_sersic"]
    assert profiles["nir"].R_sersic == 0.4
    for name, band in bands.items():
        expected = nl.priors.amplitude(band).loc
        assert float(priors[f"{name}.source.amp"].loc) == pytest.approx(float(expected))


def test_linear_amplitudes_have_the_name_of_their_band(bands):
    profiles, values, _ = placed(bands, amp=nl.Linear(scale=3.0), R_sersic=0.3)
    assert not values
    assert [profile.amp.name for profile in profiles.values()] == [
        "vis.source.amp",
        "nir.source.amp",
    ]


def test_a_single_band_has_the_names_of_sample(bands):
    _, values, _ = placed({"vis": bands["vis"]}, amp=nl.priors.amplitude, R_sersic=0.3)
    assert list(values) == ["source.amp"]


def test_a_mass_is_shared(bands):
    def model():
        shears = nl.sample_bands(
            "shear", nl.mass.Shear, bands, gamma1=dist.Normal(0.0, 0.1), gamma2=0.0
        )
        assert shears["vis"].gamma1 is shears["nir"].gamma1

    assert list(traced(model)[0]) == ["shear.gamma1"]


def test_wrong_parameters_are_named(bands):
    with pytest.raises(ValueError, match=r"value for each: vis, nir; got vis\. Add one for 'nir'"):
        placed(bands, amp=1.0, R_sersic={"vis": 0.3})
    with pytest.raises(ValueError, match=r"unknown: radius; missing: R_sersic"):
        placed(bands, amp=1.0, radius=0.3)
    with pytest.raises(ValueError, match=r"Only `amp` of Sersic enters an image linearly"):
        placed(bands, amp=1.0, R_sersic={"vis": 0.3, "nir": nl.Linear()})


def test_all_bands_but_the_first_are_aligned(bands):
    at = {"nir.dx": 0.05, "nir.dy": -0.1, "nir.rotation": 0.01}
    out = {}
    values, priors = traced(lambda: out.update(nl.align(bands)), **at)
    assert list(values) == list(at)
    assert out["vis"] is bands["vis"]
    np.testing.assert_allclose(out["nir"].x, bands["nir"].moved(0.05, -0.1, 0.01).x, atol=1e-7)
    assert float(priors["nir.dx"].scale) == pytest.approx(0.15)
    assert list(traced(lambda: nl.align(bands, offset=dist.Normal(0, 1), rotation=0.0))[0]) == [
        "nir.dx",
        "nir.dy",
    ]


@pytest.mark.parametrize(
    ("model", "own"),
    [
        (nl.models.epl_shear_sersic, ["lens_light.amp", "source.amp"]),
        (nl.models.epl_shear_shapelets, []),
    ],
    ids=["sersic", "shapelets"],
)
def test_a_ready_model_of_two_bands(bands, model, own):
    one, two = Target.of(model, bands["vis"]), Target.of(model, bands)
    assert one.dim == {2: 22, 0: 17}[len(own)]
    expected = {*(set(one.names) - set(own)), *(f"{b}.{name}" for b in bands for name in own)}
    assert set(two.names) == expected | {"nir.dx", "nir.dy", "nir.rotation"}
    draws = prior_draws(two, jax.random.split(jax.random.key(0), 50))
    value, gradient = evaluate(two.log_density, draws)
    assert bool(jnp.all(jnp.isfinite(value)))
    assert bool(jnp.all(jnp.isfinite(gradient)))
    assert list(nl.models.observations(two.trace(draws[0]))) == ["vis", "nir"]


@pytest.mark.parametrize(
    "amp", [nl.Linear(scale=3.0), dist.LogNormal(0.0, 1.0)], ids=["own", "shared"]
)
def test_images_are_independent_given_what_they_share(bands, amp, double):
    """The marginal is a product over bands; exposures of one band may share an amplitude."""

    def model(images):
        lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(-0.5, 0.3))
        source = nl.sample("source", nl.light.Gaussian, amp=amp, sigma=0.2)
        for name, image in images.items():
            nl.observe(name, image, mass=lens, source=source)

    def log_density(*names):
        target = Target.of(model, {name: images[name] for name in names})
        return float(target.log_density(jnp.full(target.dim, 0.3)))

    images = bands | {"again": camera(seed=2).moved(0.05, -0.1)}
    alone = [log_density("nir", other) - log_density(other) for other in ("vis", "again")]
    assert alone[0] == pytest.approx(alone[1], rel=1e-9)


def test_a_second_lens_of_the_same_bands_compiles_nothing(bands):
    """Their data are arguments, and not part of what is compiled."""
    gradient = jax.jit(lambda target, z: jax.grad(target.log_density)(z))
    others = {name: band.with_image(band.image + 1.0) for name, band in bands.items()}
    found = []
    for data in (bands, others):
        target = Target.of(nl.models.epl_shear_sersic, data)
        found.append(gradient(target, jnp.zeros(target.dim)))
    assert gradient._cache_size() == 1
    assert not np.allclose(*found)


def test_two_sources_at_different_distances(bands, double):
    """The nearer one deflects the farther, by ratios that are sampled or given."""
    model = nl.models.double_source_plane
    one = Target.of(model, bands["vis"])
    assert one.dim == 31
    assert Target.of(model, bands).dim == 31 + 6
    given = Target.of(model, bands["vis"], nl.cosmology.scaling([0.222, 0.609, 2.3], Planck18))
    assert set(one.names) - set(given.names) == {"scaling"}
    draws = prior_draws(one, jax.random.split(jax.random.key(0), 50))
    value, gradient = evaluate(one.log_density, draws)
    assert bool(jnp.all(jnp.isfinite(value)))
    assert bool(jnp.all(jnp.isfinite(gradient)))
    assert float(jnp.abs(gradient[:, one.names.index("scaling")]).min()) > 0.0
    values = one.constrain(draws[0])
    scene = nl.models.scenes(one.trace(draws[0]))["image"]
    expected = [[0, values["scaling"], 1], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(scene.scaling, expected)
    halo = scene.planes[1].mass
    assert (halo.center_x, halo.center_y) == (values["near.center_x"], values["near.center_y"])
    assert float(halo.theta_E) == float(values["near_mass.theta_E"])


@pytest.mark.wrong_types
@pytest.mark.parametrize("data", [{}, {"vis": 1.0}, np.zeros((3, 3))], ids=str)
def test_a_ready_model_takes_observations(data):
    with pytest.raises(TypeError, match="takes an Observation, or a dict of them"):
        nl.models.epl_shear_sersic(data)
