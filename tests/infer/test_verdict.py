"""The verdict: chains, residuals, other modes."""

import dataclasses

import numpy as np
import pytest
from synthetic import fitted

from numpyro_lens.infer import Basin, Residuals, Verdict
from numpyro_lens.infer.verdict import judge, residuals_of

RNG = np.random.default_rng(0)


def noise(shape=(60, 70), scale=1.0):
    return scale * RNG.normal(size=shape)


def everything(shape):
    return np.ones(shape, dtype=bool)


def test_white_noise_is_explained_and_white():
    found = residuals_of("image", noise(), everything((60, 70)))
    assert found.mean_square == pytest.approx(1.0, abs=5 * found.spread)
    assert abs(found.correlation) < 5 / np.sqrt(2 * found.num)
    assert (found.explained, found.white, found.num) == (True, True, 4200)
    assert "far below" not in str(found)


@pytest.mark.parametrize(
    ("scale", "explained"), [(1.02, True), (1.1, False), (np.sqrt(2.4), False)]
)
def test_large_residuals_are_not_explained(scale, explained):
    found = residuals_of("image", noise((200, 200), scale), everything((200, 200)))
    assert found.explained is explained


def test_overstated_noise_is_said():
    found = residuals_of("image", noise(scale=0.8), everything((60, 70)))
    assert found.explained
    assert "the noise is overstated" in str(found)


def test_correlated_residuals_are_named():
    """Of a running mean of two neighbours along one axis: 1/2 there, and 0 along the other."""
    rough = noise((300, 301))
    smooth = (rough[:, 1:] + rough[:, :-1]) / np.sqrt(2.0)
    found = residuals_of("image", smooth, everything((300, 300)))
    assert found.correlation == pytest.approx(0.25, abs=0.02)
    assert not found.white
    assert "neighbours correlated by 0.2" in str(found)


def test_a_few_large_residuals_are_named_where_the_noise_is_overstated():
    values = noise(scale=0.8)
    values[10, 10:13] = 5.1, -6.0, 9.0
    found = residuals_of("image", values, everything((60, 70)))
    assert (found.num_outlying, found.explained) == (3, True)
    assert "3 beyond 5 standard deviations" in str(found)
    assert "beyond" not in str(residuals_of("image", noise(scale=0.8), everything((60, 70))))


def test_some_of_a_million_lie_far_out_by_chance():
    """0.57 of a million normal numbers lie beyond five standard deviations."""
    found = Residuals("image", 10**6, 1.0, 0.0, 4)
    assert not found.outlying
    assert dataclasses.replace(found, num=10**4).outlying


def test_what_is_masked_does_not_count():
    values, used = noise(), everything((60, 70))
    used[:20] = False
    bad = np.where(used, values, 1e6)
    assert residuals_of("image", np.where(used, bad, 0.0), used) == residuals_of(
        "image", np.where(used, values, 0.0), used
    )


GOOD = Verdict(True, (1.001, "a"), (900.0, "b"), 0, ())
WRONG = dataclasses.replace(GOOD, residuals=(Residuals("image", 900, 2.4, 0.3),))


def test_three_questions_decide_the_exit_code():
    assert (GOOD.good, GOOD.exit_code) == (True, 0)
    assert (WRONG.converged, WRONG.good, WRONG.exit_code) == (True, False, 3)
    apart = dataclasses.replace(WRONG, converged=False)
    assert apart.exit_code == 1
    assert "Data NOT explained: image: mean square 2.40" in str(WRONG)
    assert "a component is missing" in str(WRONG)


def search_of(fit, point, deficit):
    """A MAP result with a second basin."""
    best = fit.z.reshape(-1, fit.target.dim).mean(axis=0)
    basins = (Basin(0.0, 5, 0), Basin(-deficit, 2, 1))
    return dataclasses.replace(fit.map, params=np.stack([best, point]), basins=basins)


@pytest.mark.parametrize(
    ("place", "deficit", "found"),
    [(30.0, 2.0, 1), (0.5, 2.0, 0), (30.0, 40.0, 0)],
    ids=["unvisited", "visited", "out of reach"],
)
def test_a_basin_that_no_chain_visited_is_another_mode(place, deficit, found):
    fit = fitted()
    search = search_of(fit, np.full(fit.target.dim, place), deficit)
    verdict = judge(fit.names, fit.z, fit.statistics["diverging"], search=search)
    assert len(verdict.other_modes) == found
    assert verdict.num_basins == 2
    if found:
        assert verdict.other_modes[0].deficit == 2.0
        assert "basin 1, 2.0 nats below the best, 2 starts" in str(verdict)
    else:
        assert "No other mode: 2 basins" in str(verdict)


def test_the_verdict_of_a_fit_knows_its_images():
    fit = fitted()
    view, found = fit.views["image"], fit.verdict.residuals[0]
    assert found.name == "image"
    assert found.mean_square == pytest.approx(float(view.observation.mean_square(view.image)))
    assert found.num == int(np.sum(view.observation.mask))
