"""Simulate, fit, rank: with an exact posterior in the place of the fit, and one real small lens."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import numpyro_lens as nl
from numpyro_lens.calibration import ranking, run
from numpyro_lens.calibration.simulate import WithData, mock_data
from numpyro_lens.density import Target
from numpyro_lens.infer import Verdict

Y = np.zeros(2, np.float32)


def conjugate(y, noise=1.0):
    """Two normal means, whose posterior is N(y/2, 1/2) where the noise is one."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.sample("y", dist.Normal(mu, noise).to_event(1), obs=y)


def doubled(y):
    """The same with twice the noise."""
    conjugate(y, 2.0)


class Gaussian:
    """The exact posterior, which VI would find."""

    pareto_k = 0.1

    def __init__(self, mean, sd):
        self.mean, self.scale_tril = mean, sd * np.eye(len(mean))

    def sample(self, key, shape):
        white = np.asarray(jax.random.normal(key, (*shape, len(self.mean))))
        return (self.mean + white @ self.scale_tril.T).astype(np.float32)


@pytest.fixture
def exact_fit(monkeypatch):
    """A fit of `conjugate` that knows its posterior, or one of another width."""
    behaviour = SimpleNamespace(width=1.0, unconverged=(), failing=(), seeds=[])

    def fit(model, data, *args, seed, **settings):
        behaviour.seeds.append(seed)
        if seed in behaviour.failing:
            raise ValueError("no start reached a finite log density")
        sd = behaviour.width * np.sqrt(0.5)
        target = Target.of(model, data, *args)
        mean = np.resize(np.asarray(data["y"], float) / 2, target.dim)
        svi, rng = Gaussian(mean, sd), np.random.default_rng(seed)
        z = (mean + sd * rng.normal(size=(4, 100, target.dim))).astype(np.float32)
        verdict = Verdict(seed not in behaviour.unconverged, (1.001, "a"), (390.0, "a"), 0, ())
        return SimpleNamespace(
            target=target, z=z, svi=svi, verdict=verdict, num_gradients={"hmc": 1}
        )

    monkeypatch.setattr(ranking, "fit", fit)
    return behaviour


def calibrate(model=conjugate, *args, **settings):
    return nl.calibrate(model, *(args or (Y,)), progress=False, **settings)


def test_the_exact_posterior_is_calibrated(exact_fit):
    found = calibrate(num=60)
    assert found.calibrated, str(found)
    assert list(found.table.index) == ["mu[0]", "mu[1]", "log density", "joint"]
    assert all(r.min() >= 0 and r.max() <= 99 and len(r) == 60 for r in found.ranks.values())
    np.testing.assert_allclose(found.table["contraction"][:2], 0.5, atol=0.1)
    np.testing.assert_allclose(found.table["z_sd"][:2], 1.0, atol=0.25)
    assert str(found).startswith("Calibrated, as far as 60 fits can tell")
    assert "60 fits: 60 good; all with draws count above." in str(found)
    assert found.vi.calibrated
    assert repr(found.vi).startswith("Calibration of the VI Gaussian")
    share = found.coverage([0.68]).loc[("mu[0]", 0.68)]
    assert abs(share["found"] - 0.68) < 4 * share["error"]


def test_a_posterior_that_is_too_narrow_is_caught(exact_fit):
    exact_fit.width = 0.5
    found = calibrate(num=40)
    assert not found.calibrated
    assert str(found).startswith("NOT calibrated")
    assert found.table.loc["log density", "p_value"] < 0.01
    assert found.coverage([0.9]).loc[("mu[1]", 0.9), "found"] < 0.8


def test_data_of_another_model_are_caught(exact_fit):
    found = calibrate(num=40, simulate_with=doubled)
    assert not found.calibrated
    same = calibrate(num=2, simulate_with=(conjugate, Y, 2.0))
    for line, other in zip(same.lines, found.lines, strict=False):
        assert line["truth"] == other["truth"]
        assert line["hmc"] == other["hmc"]


def test_only_what_both_models_have_is_ranked(exact_fit):
    def other(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        wide = numpyro.sample("wide", dist.LogNormal(0.0, 0.1))
        numpyro.sample("y", dist.Normal(mu, wide).to_event(1), obs=y)

    assert set(calibrate(num=1, simulate_with=other).ranks) == {
        *("mu[0]", "mu[1]", "log density", "joint")
    }
    assert set(calibrate(other, num=1, simulate_with=conjugate).ranks) == {"mu[0]", "mu[1]"}


def test_fits_that_did_not_go_well_are_counted(exact_fit):
    exact_fit.unconverged, exact_fit.failing = (1,), (2,)
    found = calibrate(num=4)
    assert found.not_converged == [1]
    assert found.num_failed == 1
    assert "finite log density" in found.lines[2]["error"]
    assert len(found.ranks["mu[0]"]) == 3
    assert not found.calibrated
    assert "4 fits: 2 good, 1 NOT converged, 1 failed, without draws" in str(found)
    _, axes = nl.plot.plot_calibration(found)
    assert axes[2].get_title() == "z-scores, 1 failed"
    assert {text.get_text() for text in axes[2].get_legend().get_texts()} == {
        *("2 converged", "1 did not")
    }


def test_a_file_without_fits_is_not_calibrated(exact_fit, tmp_path):
    calibrate(num=1, out=tmp_path / "fits.jsonl")
    (tmp_path / "fits.jsonl").write_text(
        (tmp_path / "fits.jsonl").read_text().splitlines(keepends=True)[0]
    )
    empty = nl.load_calibration(tmp_path / "fits.jsonl")
    assert not empty.calibrated
    assert "no fit has draws" in str(empty)


def test_without_draws_there_is_an_answer_and_no_picture(exact_fit):
    exact_fit.failing = (0,)
    found = calibrate(num=1)
    assert str(found).startswith("NOT calibrated: no fit has draws.")
    assert not found.calibrated
    assert len(found.table) == 0
    with pytest.raises(ValueError, match="nothing to draw"):
        found.plot()


def test_a_file_is_resumed(exact_fit, tmp_path):
    path = tmp_path / "new" / "fits.jsonl"
    calibrate(num=3, out=path)
    with path.open("a") as file:
        file.write('{"fit": 3, "tru')  # killed while it wrote
    exact_fit.seeds.clear()
    found = calibrate(num=5, out=path)
    assert exact_fit.seeds == [3, 4]
    whole = calibrate(num=5)
    for line, other in zip(found.lines, whole.lines, strict=True):
        assert line | {"seconds": 0} == other | {"seconds": 0}
    loaded = nl.load_calibration(path)
    assert str(loaded) == str(found)
    assert [line["fit"] for line in loaded.lines] == [0, 1, 2, 3, 4]
    assert len(path.read_text().splitlines()) == 6
    assert len(calibrate(num=2, out=path).lines) == 2


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"num_draws": 49}, {"simulate_with": doubled}, {"target_ess": 100}]
)
def test_a_file_is_of_one_calibration(exact_fit, tmp_path, change):
    calibrate(num=1, out=tmp_path / "fits.jsonl")
    with pytest.raises(ValueError, match=r"belongs to another run"):
        calibrate(num=1, out=tmp_path / "fits.jsonl", **change)


@pytest.mark.parametrize("text", ["", "3\n", "{}\n", "nonsense\n", '{"file": "other"}\n{}\n'])
def test_a_file_of_something_else_is_left_alone(exact_fit, tmp_path, text):
    path = tmp_path / "fits.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="must hold the lines of a calibration"):
        calibrate(num=1, out=path)
    assert path.read_text() == text


def improper(y):
    mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("y", dist.Normal(mu, 1.0).expand([2]).to_event(1), obs=y)


def factored(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.factor("y", -jnp.sum((y - mu) ** 2))


def renamed(y):
    nu = numpyro.sample("nu", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.sample("y", dist.Normal(nu, 1.0).to_event(1), obs=y)


@pytest.mark.parametrize(
    ("model", "settings", "error"),
    [
        (improper, {}, r"improper one has no draws: mu\. Give proper priors"),
        (factored, {}, "a factor predicts none: y"),
        (conjugate, {"simulate_with": renamed}, "shares no parameter"),
        (conjugate, {"simulate_with": (conjugate, np.zeros((3, 2)))}, r"\(3, 2\)"),
        (conjugate, {"num": 0}, "num is a whole number above zero; got 0"),
        (conjugate, {"workers": 0}, "workers is a whole number"),
    ],
)
def test_errors_teach(exact_fit, model, settings, error):
    with pytest.raises(ValueError, match=error):
        calibrate(model, **settings)
    assert exact_fit.seeds == []


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"noise": 2.0}, "arguments of the model follow it"),
        ({"checkpoint": "here"}, "what is resumed is the whole, by out="),
        ({"steps": 3}, "got steps. They are callback, hmc"),
        ({"simulate_with": 3}, "simulate_with is a model, or a tuple"),
    ],
)
def test_settings_are_checked(exact_fit, settings, error):
    with pytest.raises(TypeError, match=error):
        calibrate(**settings)


def test_workers_need_a_model_that_can_be_imported():
    with pytest.raises(TypeError, match="take workers=1"):
        calibrate(lambda y: conjugate(y), num=2, workers=2)


# --- mocks of lenses -----------------------------------------------------------------------------


def lens_model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.LogNormal(-0.7, 0.1))
    source = nl.sample(
        "source",
        nl.light.Gaussian,
        amp=nl.Linear(loc=20.0, scale=5.0),
        sigma=dist.LogNormal(-1, 0.2),
    )
    nl.observe("image", observation, mass=lens, source=source)


def photons(observation):
    amp = numpyro.sample("amp", nl.priors.amplitude(observation, sigma=0.1))
    sky = nl.light.Uniform(amp=amp)
    nl.observe_image("image", nl.render(observation, lens_light=sky), observation)


def camera(shape=(12, 12), noise=None, **settings):
    noise = noise or nl.NoiseMap(0.05)
    return nl.Observation.blank(shape, pixel_scale=0.15, noise=noise, **settings)


def test_linear_amplitudes_have_a_truth():
    mock = mock_data(Target.of(lens_model, camera()), jax.random.key(1))
    assert set(mock.truth) == {"lens.theta_E", "source.amp", "source.sigma"}
    source = nl.light.Gaussian(mock.truth["source.amp"], sigma=mock.truth["source.sigma"])
    mass = nl.mass.SIS(mock.truth["lens.theta_E"])
    residual = mock.data["image"] - np.asarray(nl.render(camera(), mass=mass, source=source))
    assert residual.std() == pytest.approx(0.05, rel=0.2)


def test_noise_is_that_of_the_site():
    mask = np.ones((40, 40), bool)
    mask[:, :5] = False
    noise = nl.PoissonNoise(0.1, 50.0)
    observation = camera((40, 40), noise, mask=mask).with_image(np.full((40, 40), 4.0))
    mock = mock_data(Target.of(photons, observation), jax.random.key(0))
    level = float(mock.truth["amp"]) * 0.15**2
    sigma = np.sqrt(0.01 + level / 50.0)
    assert mock.data["image"][mask].std() == pytest.approx(sigma, rel=0.1)
    assert np.all(mock.data["image"][~mask] == 0.0)


def test_the_data_are_replaced_and_the_prior_stays():
    observation = camera().with_image(np.full((12, 12), 4.0))
    data = {"image": np.full((12, 12), 9.0, np.float32)}
    trace = Target.of(WithData(photons), data, observation).trace(jnp.zeros(1))
    seen = nl.models.observations(trace)["image"]
    assert float(seen.image[0, 0]) == float(trace["image"]["value"][0, 0]) == 9.0
    expected = nl.priors.amplitude(observation).loc
    assert float(trace["amp"]["fn"].loc) == pytest.approx(float(expected))


# --- real fits -----------------------------------------------------------------------------------

SHORT = {
    "map": nl.infer.MAP(num_starts=8, num_screened=100, num_steps=100, max_searches=1),
    "svi": nl.infer.SVI(num_steps=50),
    "hmc": nl.infer.HMC(num_chains=4, num_burnin_steps=100, num_results=150, max_results=150),
}


@pytest.mark.slow
def test_two_processes_find_the_posteriors_of_their_mocks(tmp_path):
    path = tmp_path / "fits.jsonl"
    found = calibrate(num=2, workers=2, out=path, **SHORT)
    assert found.num_failed == 0, found.lines
    header, *lines = map(json.loads, path.read_text().splitlines())
    assert header["model"].endswith("conjugate")
    assert sorted(line["fit"] for line in lines) == [0, 1]
    for line in found.lines:
        key = jax.random.fold_in(jax.random.key(0), line["fit"])
        mean = mock_data(Target.of(conjugate, Y), key).data["y"] / 2
        for posterior in ("hmc", "vi"):
            for index, own in enumerate(line[posterior]["parameters"].values()):
                assert own["mean"] == pytest.approx(mean[index], abs=0.2)
                assert own["sd"] == pytest.approx(np.sqrt(0.5), rel=0.2)


@pytest.mark.slow
def test_a_small_lens_from_end_to_end(monkeypatch):
    """Three fits, of which the first compiles for all."""
    compiled, counts = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    line_of = run.line_of

    def counted(*problem):
        before = len(compiled)
        line = line_of(*problem)
        counts.append(len(compiled) - before)
        return line

    monkeypatch.setattr(run, "line_of", counted)
    found = nl.calibrate(lens_model, camera(), num=3, progress=False, **SHORT)
    assert found.num_failed == 0, found.lines
    assert set(found.ranks) == {
        *("lens.theta_E", "source.amp", "source.sigma", "log density", "joint")
    }
    assert all(abs(z).max() < 5 for z in found.z_scores.values())
    assert all(c.min() > 0.5 for c in found.contractions.values())
    assert counts[0] > 20
    assert max(counts[1:]) <= 2, counts
