"""Exact statistics of ranks, against simulation, a library and posteriors that are known."""

import numpy as np
import pytest

from numpyro_lens.calibration.statistics import (
    band,
    contraction,
    coverage,
    ecdf_difference,
    joint_rank,
    rank_of,
    tail_ranks,
    uniformity,
)

NUM, DRAWS = 200, 99


def gaussian_ranks(num=NUM, *, width=1.0, shift=0.0, seed=0):
    """Ranks for a normal mean with a conjugate prior: N(0, 1), and one datum of unit noise.

    The posterior N(y/2, 1/2) may be given another width and be shifted.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=num)
    y = truth + rng.normal(size=num)
    sd = np.sqrt(0.5)
    draws = y / 2 + shift * sd + width * sd * rng.normal(size=(DRAWS, num))
    return rank_of(draws, truth, rng)


def leaves(ranks, probability=0.95):
    found, difference = band(len(ranks), DRAWS, probability), ecdf_difference(ranks, DRAWS)
    return bool(np.any((difference < found.lower) | (difference > found.upper)))


def test_the_exact_posterior_stays_inside_its_band():
    ranks = gaussian_ranks()
    assert not leaves(ranks)
    assert uniformity(ranks, DRAWS) > 0.05


@pytest.mark.parametrize("wrong", [{"width": 0.8}, {"width": 1.4}, {"shift": 0.3}], ids=str)
def test_a_wrong_posterior_leaves_its_band(wrong):
    ranks = gaussian_ranks(2 * NUM, **wrong)
    assert leaves(ranks)
    assert uniformity(ranks, DRAWS) < 0.05


def test_too_narrow_is_an_s_and_too_high_an_arch():
    narrow = ecdf_difference(gaussian_ranks(width=0.6), DRAWS)
    assert narrow[:30].mean() > 0 > narrow[-30:].mean()
    assert np.all(ecdf_difference(gaussian_ranks(shift=1.0), DRAWS)[10:-10] > 0)


@pytest.mark.parametrize(("num", "probability"), [(200, 0.95), (37, 0.8)])
def test_a_band_holds_uniform_ranks_as_often_as_it_says(num, probability):
    rng = np.random.default_rng(1)
    found, repeats = band(num, DRAWS, probability), 3000
    differences = np.array(
        [ecdf_difference(r, DRAWS) for r in rng.integers(0, DRAWS + 1, (repeats, num))]
    )
    inside = np.all((differences >= found.lower) & (differences <= found.upper), axis=1)
    error = np.sqrt(probability * (1 - probability) / repeats)
    assert probability - 3 * error < inside.mean() < probability + 3 * error + 0.01


def test_p_values_are_uniform_and_agree_with_the_band():
    rng = np.random.default_rng(2)
    many = rng.integers(0, DRAWS + 1, (1000, 60))
    p = np.array([uniformity(ranks, DRAWS) for ranks in many])
    for level in (0.05, 0.3, 0.7):
        error = np.sqrt(level * (1 - level) / len(p))
        assert level - 4 * error - 0.02 < np.mean(p <= level) < level + 3 * error
    assert [leaves(ranks) for ranks in many] == list(p <= 0.05)


def test_the_band_is_that_of_arviz():
    arviz = pytest.importorskip("arviz.stats.ecdf_utils", reason="of ArviZ 0.23")
    at = np.arange(1, 20) / 20
    lower, upper = arviz.ecdf_confidence_band(100, at, at, prob=0.95)
    found = band(100, 19)
    np.testing.assert_allclose(found.lower + at, lower, atol=1.001 / 100)
    np.testing.assert_allclose(found.upper + at, upper, atol=1.001 / 100)


@pytest.mark.parametrize("num", [1, 2, 5])
def test_few_fits_have_a_band(num):
    found = band(num, DRAWS)
    assert np.all(found.lower <= found.upper)
    assert uniformity([DRAWS // 2] * num, DRAWS) > 0.1


def tarp_ranks(width=1.0, rho=0.0, num=NUM, d=4):
    """Joint ranks for a normal of d dimensions; draws may be too narrow, or uncorrelated."""
    rng = np.random.default_rng(3)
    tril = np.linalg.cholesky((1 - rho) * np.eye(d) + rho * np.ones((d, d)))
    ranks = []
    for _ in range(num):
        truth, draws = tril @ rng.normal(size=d), width * rng.normal(size=(DRAWS, d))
        ranks.append(joint_rank(draws, truth, rng.normal(size=d), rng))
    return np.array(ranks)


def test_tarp_of_the_exact_posterior_is_the_diagonal():
    assert not leaves(tarp_ranks())


def test_tarp_sees_what_every_parameter_hides():
    """Correlated truths, and draws whose parameters are right one by one."""
    assert leaves(tarp_ranks(rho=0.8))
    assert leaves(tarp_ranks(width=0.8))


def test_a_truth_that_is_no_number_is_furthest_away():
    rng = np.random.default_rng(0)
    assert joint_rank(rng.normal(size=(9, 2)), np.array([np.nan, 0.0]), np.zeros(2), rng) == 9


def test_ties_are_broken_evenly():
    rng = np.random.default_rng(0)
    ranks = rank_of(np.ones((3, 4000)), np.ones(4000), rng)
    np.testing.assert_allclose(np.bincount(ranks) / 4000, 0.25, atol=0.03)


def test_coverage_of_the_exact_posterior():
    ranks, tail = gaussian_ranks(2000), tail_ranks(DRAWS, 0.68)
    share = coverage((ranks >= tail) & (ranks <= DRAWS - tail), 0.68)
    assert share.error == pytest.approx(np.sqrt(0.68 * 0.32 / 2000))
    assert abs(share.found - 0.68) < 3 * share.error


def test_contraction():
    np.testing.assert_allclose(contraction([0.5, 2.0], 2.0), [0.9375, 0.0])
