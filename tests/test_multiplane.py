"""Several planes: lenstronomy's angles, images and delays; distances of astropy."""

import contextlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from astropy.cosmology import FlatLambdaCDM, Flatw0waCDM

import numpyro_lens as nl
from numpyro_lens import cosmology, images, lensing, mass
from numpyro_lens.cosmology import FlatwCDM
from numpyro_lens.scene import rays

ASTROPY = FlatLambdaCDM(H0=70.0, Om0=0.3)


@pytest.mark.parametrize("z", [0.01, 0.1, 0.5, 2.0, 10.0])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (FlatwCDM(67.4, 0.315), FlatLambdaCDM(67.4, 0.315)),
        (FlatwCDM(70.0, 0.25, w0=-0.7), Flatw0waCDM(70.0, 0.25, w0=-0.7, wa=0.0)),
        (FlatwCDM(73.0, 0.35, w0=-1.2, wa=0.4), Flatw0waCDM(73.0, 0.35, w0=-1.2, wa=0.4)),
    ],
    ids=["constant", "w0", "w0 and wa"],
)
def test_distances_are_those_of_astropy(double, ours, theirs, z):
    expected = theirs.comoving_distance(z).to_value("Mpc")
    assert float(ours.comoving_distance(z)) == pytest.approx(expected, rel=1e-8)
    near = theirs.comoving_distance(0.5 * z).to_value("Mpc")
    between = float(ours.angular_diameter_distance(0.5 * z, z))
    assert between == pytest.approx((expected - near) / (1 + z), rel=1e-8)
    density = theirs.critical_density(z).to_value("Msun / Mpc3")
    assert float(ours.critical_density(z)) == pytest.approx(density, rel=1e-6)


def test_distances_are_differentiable(double):
    def distance(parameters):
        return FlatwCDM(*parameters).angular_diameter_distance(2.0)

    at, step = jnp.array([70.0, 0.3, -0.9, 0.1]), 1e-5
    slope = jax.grad(distance)(at)
    for i in range(4):
        ends = [distance(at.at[i].add(sign * step)) for sign in (1, -1)]
        assert float(slope[i]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_both_kinds_of_cosmology_scale_alike(double):
    redshifts = [0.2, 0.6, 1.1, 2.3]
    ours = cosmology.scaling(redshifts, FlatwCDM(70.0, 0.3))
    np.testing.assert_allclose(ours, cosmology.scaling(redshifts, ASTROPY), rtol=1e-7)
    np.testing.assert_allclose(ours[:-1, -1], 1.0)
    assert np.all(np.asarray(ours)[np.tril_indices(4)] == 0.0)
    d = cosmology.distances(FlatwCDM(70.0, 0.3), 0.2, 0.6)
    for got, expected in zip(d, cosmology.distances(ASTROPY, 0.2, 0.6), strict=True):
        assert float(got) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("redshifts", [[0.5], [0.6, 0.5], [0.0, 1.0], [0.5, 0.5]])
def test_redshifts_increase(redshifts):
    with pytest.raises(ValueError, match="increasing redshifts"):
        cosmology.scaling(redshifts, ASTROPY)


def test_theta_e_of_another_plane(double):
    """A power law whose deflections are scaled is that of the scaled Einstein radius."""
    lens = mass.EPL(theta_E=1.2, gamma=2.3, e1=0.1)
    other = mass.EPL(cosmology.scaled_theta_E(1.2, 2.3, 0.6), 2.3, 0.1)
    scaled = [0.6 * a for a in lens.deflection(0.7, 0.4)]
    np.testing.assert_allclose(scaled, other.deflection(0.7, 0.4), rtol=1e-10)


def random_scene(seed):
    """Planes of mass, their redshifts, and the same as lenstronomy's lists."""
    rng = np.random.default_rng(seed)
    num = int(rng.integers(2, 5))
    redshifts = np.sort(rng.uniform(0.1, 2.5, num + 1)).tolist()
    names, kwargs, planes = [], [], []
    for _ in range(num):
        center = {"center_x": rng.normal(0, 0.1), "center_y": rng.normal(0, 0.1)}
        shape = dict(zip(("e1", "e2"), rng.normal(0, 0.1, 2), strict=True))
        values = {"theta_E": rng.uniform(0.2, 1.0), "gamma": rng.uniform(1.7, 2.3)}
        values |= shape | center
        planes.append(nl.Plane(mass=mass.EPL(**values)))
        names.append("EPL")
        kwargs.append(values)
    scale = cosmology.scaling(redshifts, ASTROPY)
    return nl.Scene.of(planes=[*planes, nl.Plane()], scaling=scale), redshifts, names, kwargs


@pytest.fixture(scope="module")
def multi_plane():
    pytest.importorskip("lenstronomy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenstronomy.LensModel.lens_model import LensModel

    def model(redshifts, names):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LensModel(
                names,
                z_source=redshifts[-1],
                lens_redshift_list=redshifts[:-1],
                multi_plane=True,
                cosmo=ASTROPY,
            )

    return model


def test_a_hundred_random_scenes_have_the_angles_of_lenstronomy(double, multi_plane):
    x, y = np.random.default_rng(1).normal(size=(2, 20))
    for seed in range(100):
        scene, redshifts, names, kwargs = random_scene(seed)
        theirs = multi_plane(redshifts, names).ray_shooting(x, y, kwargs)
        ours = nl.scene.ray_trace(scene, x, y)
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize(
    "seeds",
    [range(6), pytest.param(range(6, 100), marks=pytest.mark.slow)],
    ids=["six scenes", "the other 94"],
)
def test_random_scenes_have_the_images_and_delays_of_lenstronomy(double, multi_plane, seeds):
    """Its constants of nature are rounded: days are compared in units of its own."""
    from lenstronomy.Util import constants as theirs

    from numpyro_lens._constants import constants as ours

    unit = theirs.Mpc / theirs.c / theirs.day_s * theirs.arcsec**2
    day = ours().megaparsec / ours().light / ours().day * ours().arcsec ** 2
    found, source = 0, np.array([0.05, -0.03])
    for seed in seeds:
        scene, redshifts, names, kwargs = random_scene(seed)
        x, y = images.image_positions(scene, *source, half_width=4.0)
        lens = multi_plane(redshifts, names)
        back = np.array(lens.ray_shooting(x, y, kwargs))
        np.testing.assert_allclose(back, np.tile(source[:, None], len(x)), atol=1e-10)
        between = cosmology.time_delay_distances(redshifts, ASTROPY)
        days = images.time_delays(scene, x, y, *source, time_delay_distance=between)
        expected = lens.arrival_time(x, y, kwargs)
        size = np.ptp(expected)
        np.testing.assert_allclose(
            days / day, (expected - expected[0]) / unit, atol=1e-10 * size / unit
        )
        found += len(x)
    assert found >= 2 * len(seeds)


def test_lenstronomy_finds_no_other_images(double, multi_plane):
    """Its search by a grid finds fewer: one of twelve in the first scene."""
    from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

    settings = {"search_window": 6.0, "min_distance": 0.06, "precision_limit": 1e-12}
    for seed in range(3):
        scene, redshifts, names, kwargs = random_scene(seed)
        ours = np.array(images.image_positions(scene, 0.05, -0.03, half_width=4.0))
        solver = LensEquationSolver(multi_plane(redshifts, names))
        theirs = solver.image_position_from_source(0.05, -0.03, kwargs, **settings)
        gaps = np.hypot(*(np.array(theirs)[:, :, None] - ours[:, None, :]))
        assert len(gaps) >= 1
        np.testing.assert_allclose(gaps.min(axis=1), 0.0, atol=1e-10)


def test_delays_need_a_distance_for_each_pair():
    scene, *_ = random_scene(0)
    with pytest.raises(ValueError, match="between neighbouring ones"):
        images.time_delays(scene, np.ones(2), np.ones(2), 0.0, 0.0, time_delay_distance=1000.0)


def test_what_is_true_of_any_lens_is_true_of_a_scene(double):
    """Two planes are their mass; of three the magnification is that of the mapped area."""
    lens = mass.SIE(theta_E=1.1, e1=0.1, e2=0.05)
    scene = nl.Scene.of(mass=lens)
    assert lensing.einstein_radius(scene) == pytest.approx(lensing.einstein_radius(lens))
    three, *_ = random_scene(3)
    h, (x, y) = 1e-5, (1.3, 0.4)
    (xx, yx), (xy, yy) = (
        [
            (a - b) / (2 * h)
            for a, b in zip(
                nl.scene.ray_trace(three, x + dx, y + dy),
                nl.scene.ray_trace(three, x - dx, y - dy),
                strict=True,
            )
        ]
        for dx, dy in ((h, 0.0), (0.0, h))
    )
    assert float(lensing.magnification(three, x, y)) == pytest.approx(
        1.0 / float(xx * yy - xy * yx), rel=1e-6
    )


def test_light_in_every_plane_is_seen_where_its_rays_end(double):
    scaling = jnp.array([[0.0, 0.6, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    lights = [nl.light.Gaussian(amp=float(k), sigma=0.3) for k in (1, 2, 3)]
    masses = [mass.SIS(theta_E=0.8), mass.SIS(theta_E=0.3, center_x=0.1), None]
    planes = [nl.Plane(mass=m, light=s) for m, s in zip(masses, lights, strict=True)]
    instrument = nl.Observation.blank((12, 13), pixel_scale=0.2, noise=nl.NoiseMap(1.0))
    image = nl.render(instrument, planes=planes, scaling=scaling)
    met = rays(nl.Scene.of(planes=planes, scaling=scaling), instrument.sub_x, instrument.sub_y)
    expected = sum(s.brightness(*at) for s, at in zip(lights, met, strict=True))
    np.testing.assert_allclose(image, 0.04 * np.mean(expected, axis=(0, 1)), rtol=1e-12)


def test_a_moved_observation_sees_the_sky_elsewhere(double):
    """Turned and shifted pixels of a smooth image, and the same image turned back."""
    instrument = nl.Observation.blank((9, 11), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
    moved = instrument.moved(dx=0.03, dy=-0.02, rotation=0.2)
    c, s = np.cos(0.2), np.sin(0.2)
    np.testing.assert_allclose(moved.x, c * instrument.x - s * instrument.y + 0.03, atol=1e-12)
    np.testing.assert_allclose(moved.y, s * instrument.x + c * instrument.y - 0.02, atol=1e-12)
    blob = nl.light.Gaussian(amp=1.0, sigma=0.2, center_x=0.1)
    center = c * (0.1 - 0.03) + s * 0.02, -s * (0.1 - 0.03) + c * 0.02
    turned = nl.light.Gaussian(amp=1.0, sigma=0.2, center_x=center[0], center_y=center[1])
    np.testing.assert_allclose(
        nl.render(moved, lens_light=blob), nl.render(instrument, lens_light=turned), rtol=1e-10
    )


def test_an_offset_is_differentiable(double):
    instrument = nl.Observation.blank((9, 11), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
    blob = nl.light.Sersic(amp=1.0, R_sersic=0.2, n_sersic=1.0, e1=0.2)

    def total(offset):
        return jnp.sum(nl.render(instrument.moved(*offset), lens_light=blob) ** 2)

    at, step = jnp.array([0.03, -0.02, 0.1]), 1e-6
    slope = jax.grad(total)(at)
    for i in range(3):
        ends = [total(at.at[i].add(sign * step)) for sign in (1, -1)]
        assert float(slope[i]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize(("kind", "warns"), [("sampled", True), ("fixed", False), ("not", False)])
def test_a_model_whose_images_all_move_is_warned_about(kind, warns):
    """By parameters: a dither that is known is no freedom."""
    image = nl.Observation.blank((5, 6), pixel_scale=0.1, noise=nl.NoiseMap(1.0))

    def model(vis, nir):
        dx = numpyro.sample("dx", dist.Normal(0.0, 0.1))
        sky = nl.light.Uniform(amp=1.0)
        vis = {"sampled": vis.moved(dx=dx), "fixed": vis.moved(dx=0.05, rotation=0.1), "not": vis}
        nl.observe("vis", vis[kind], lens_light=sky)
        nl.observe("nir", nir.moved(dx=dx), lens_light=sky)

    def stop(stage, result):
        raise InterruptedError

    quick = nl.infer.MAP(num_starts=2, num_screened=None, num_steps=1, num_polished=0)
    settings = {"map": quick, "callback": stop, "progress": False}
    warned = pytest.warns(UserWarning, match=r"moved by its parameters \(vis, nir\)")
    with warned if warns else contextlib.nullcontext(), pytest.raises(InterruptedError):
        nl.fit(model, image, image, **settings)


def test_shear_along_the_line_of_sight_is_that_of_its_formula(double):
    r"""Planes of shear in front of a lens and behind it, without an approximation:

    beta = A_os theta - A_ds alpha(A_od theta); Fleury, Larena & Uzan 2021, JCAP 08, 024.
    """
    redshifts = [0.2, 0.5, 1.0, 2.0]
    scale = np.asarray(cosmology.scaling(redshifts, ASTROPY))
    lens = mass.SIE(theta_E=1.1, e1=0.1, e2=-0.2)
    front, back = mass.Shear(0.03, -0.02), mass.Shear(-0.01, 0.04)
    planes = [nl.Plane(mass=m) for m in (front, lens, back, None)]
    scene = nl.Scene.of(planes=planes, scaling=jnp.asarray(scale))
    near, far = (np.array([[s.gamma1, s.gamma2], [s.gamma2, -s.gamma1]]) for s in (front, back))
    one = np.eye(2)
    to_lens = one - scale[0, 1] * near
    to_source = one - near - far @ (one - scale[0, 2] * near)
    from_lens = one - scale[1, 2] * far
    theta = np.random.default_rng(0).normal(size=(2, 30))
    alpha = np.array(lens.deflection(*(to_lens @ theta)))
    expected = to_source @ theta - from_lens @ alpha
    np.testing.assert_allclose(nl.scene.ray_trace(scene, *theta), expected, rtol=1e-12, atol=1e-14)
