import jax.numpy as jnp
import numpy as np
import pytest

from numpyro_lens import light, mass
from numpyro_lens.gigalens import profile
from numpyro_lens.gigalens.model import PhysicalModel
from numpyro_lens.gigalens.profiles.light import sersic, shapelets
from numpyro_lens.gigalens.profiles.mass import epl, nfw, shear, sie, sis, tnfw
from numpyro_lens.gigalens.simulator import LensSimulator, SimulatorConfig

CENTRE = {"center_x": 0.1, "center_y": -0.05}
SHAPE = {"e1": 0.1, "e2": -0.05}
MASSES = [
    (epl.EPL(50), mass.EPL, {"theta_E": 1.1, "gamma": 2.1, **SHAPE, **CENTRE}),
    (shear.Shear(), mass.Shear, {"gamma1": 0.02, "gamma2": -0.03}),
    (sie.SIE(), mass.SIE, {"theta_E": 1.1, **SHAPE, **CENTRE}),
    (sis.SIS(), mass.SIS, {"theta_E": 1.1, **CENTRE}),
    (nfw.NFW(), mass.NFW, {"Rs": 2.0, "alpha_Rs": 1.0, **CENTRE}),
    (tnfw.TNFW(), mass.TNFW, {"Rs": 2.0, "alpha_Rs": 1.0, "r_trunc": 5.0, **CENTRE}),
]
SERSIC = {"R_sersic": 0.5, "n_sersic": 2.0, **CENTRE}
CORE = {**SERSIC, **SHAPE, "Rb": 0.1, "alpha": 3.0, "gamma": 0.2}
LIGHTS = [
    (sersic.Sersic, light.Sersic, SERSIC),
    (sersic.SersicEllipse, light.Sersic, {**SERSIC, **SHAPE}),
    (sersic.CoreSersic, light.CoreSersic, CORE),
]
X, Y = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 3))


def several(values, num):
    """Values of a batch, of which the first are the values themselves."""
    return {name: np.asarray(v) * np.linspace(1.0, 1.1, num) for name, v in values.items()}


@pytest.mark.parametrize(("ours", "cls", "values"), MASSES)
def test_deflectors_are_ours(ours, cls, values):
    assert set(values) <= set(ours.params)
    expected = cls(**values).deflection(jnp.asarray(X), jnp.asarray(Y))
    np.testing.assert_allclose(ours.deriv(X, Y, **values), expected, rtol=1e-5)
    batch = ours.deriv(X[..., None], Y[..., None], **several(values, 2))
    assert batch[0].shape == (3, 4, 2)
    np.testing.assert_allclose(np.asarray(batch)[..., 0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("ours", "cls", "values"), LIGHTS)
def test_lights_are_ours(ours, cls, values):
    expected = cls(amp=3.0, **values).brightness(jnp.asarray(X), jnp.asarray(Y))
    np.testing.assert_allclose(ours().light(X, Y, Ie=3.0, **values), expected, rtol=1e-5)
    batch = ours(use_lstsq=True).light(X[..., None], Y[..., None], **several(values, 2))
    assert batch.shape == (1, 3, 4, 2)
    np.testing.assert_allclose(3.0 * batch[0, ..., 0], expected, rtol=1e-4)


def test_the_point_of_a_branch_is_a_spot_with_an_edge():
    radius = jnp.array([0.0, 0.001, 0.002, 0.003, 1.0])
    values = {"center_x": 0.0, "center_y": 0.0}
    b = 1.9992 * 0.165 - 0.3271
    expected = 300.0**2 * np.exp(-b * ((np.asarray(radius, float) / 0.001) ** (1 / 0.165) - 1))
    found = sersic.Point().light(radius, 0.0 * radius, Ie=300.0, **values)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    unit = sersic.Point(use_lstsq=True).light(radius, 0.0 * radius, **values)
    np.testing.assert_allclose(300.0**2 * unit[0], found, rtol=1e-5)


def test_names_and_parameters():
    assert str(epl.EPL(50)) == "EPL"
    assert sersic.SersicEllipse().name == "SERSIC_ELLIPSE"
    assert sersic.SersicEllipse().params[-1] == "Ie"
    assert "Ie" not in sersic.SersicEllipse(use_lstsq=True).params
    shp = shapelets.Shapelets(n_max=3)
    assert shp.depth == shp.n_layers == 10
    assert shp._amp_names[:2] == ["amp00", "amp01"]
    assert shp.N1[:4] == [0, 1, 0, 2]


def test_shapelets_take_numbered_amplitudes():
    shp = shapelets.Shapelets(1, interpolate=False)
    amplitudes = {"amp0": 1.0, "amp1": 2.0, "amp2": 3.0}
    expected = light.Shapelets(amp=jnp.array([1.0, 2.0, 3.0]), beta=0.3, **CENTRE)
    found = shp.light(X, Y, beta=0.3, **CENTRE, **amplitudes)
    np.testing.assert_allclose(found, expected.brightness(X, Y), rtol=1e-5)
    found = shp.light(X, Y, beta=0.3, **CENTRE, amp000=1.0, amp001=2.0, amp002=3.0)
    np.testing.assert_allclose(found, expected.brightness(X, Y), rtol=1e-5)
    with pytest.raises(ValueError, match="amp0 to amp2; got 1 of them"):
        shp.light(X, Y, beta=0.3, amp0=1.0)


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match=r"EPL takes: theta_E, .* Got: theta_E"):
        epl.EPL().deriv(X, Y, theta_E=1.0)
    with pytest.raises(TypeError, match="holds profiles"):
        PhysicalModel(["EPL"], [], []).profiles("lenses")


class Sheet(profile.MassProfile):
    """A deflector of a user's own."""

    _name = "SHEET"
    _params = ("kappa",)

    def deriv(self, x, y, kappa):
        return kappa * x, kappa * y


class Disc(profile.LightProfile):
    """A light of a user's own."""

    _params = ("width", "Ie")

    def light(self, x, y, width, Ie=None):
        shape = jnp.exp(-(x**2 + y**2) / width**2)
        return shape[None] if self.use_lstsq else Ie * shape


def test_profiles_of_a_users_own():
    config = SimulatorConfig(0.1, 8)
    own = PhysicalModel([Sheet()], [], [Disc()])
    values = [[{"kappa": 0.2}], [{"width": 0.3, "Ie": 2.0}]]
    image = LensSimulator(own, config).simulate(values)
    ours = PhysicalModel([mass.ConvergenceSheet], [], [light.Gaussian])
    norm = 2.0 * np.pi * 0.3**2
    same = [[{"kappa": 0.2}], [{"sigma": 0.3 / np.sqrt(2), "amp": norm}]]
    np.testing.assert_allclose(image, LensSimulator(ours, config).simulate(same), rtol=1e-4)
    solved = PhysicalModel([Sheet()], [], [Disc(use_lstsq=True)])
    values = [[{"kappa": 0.2}], [{"width": 0.3}]]
    found = LensSimulator(solved, config).lstsq_simulate(values, image, np.ones((8, 8)))
    np.testing.assert_allclose(found.amplitudes, [2.0], rtol=1e-4)
