"""Populations: the reweighted likelihood is the exact one, and says when not to trust it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.scipy.stats import norm
from numpyro import handlers
from numpyro.infer.util import log_density
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.population import Draws, Injections, check, collect, reweight, reweighted

SITE = "lens.gamma"
PRIOR = dist.Normal(2.1, 0.4)  # of the fits
MEAN, WIDTH = 2.05, 0.12


def population(mean, width):
    return lambda lens: dist.Normal(mean, width).log_prob(lens[SITE])


def measured(num, seed=0):
    """A measurement of the slope of each lens, and its error."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.04, 0.1, num)
    return rng.normal(rng.normal(MEAN, WIDTH, num), sigma), sigma


def gaussian_lenses(value, sigma, num_draws=2000):
    """Their posteriors under PRIOR: products of two Gaussians; draws at equal quantiles."""
    variance = 1 / (1 / sigma**2 + 1 / PRIOR.scale**2)
    mean = variance * (value / sigma**2 + PRIOR.loc / PRIOR.scale**2)
    steps = np.asarray(dist.Normal().icdf((jnp.arange(num_draws) + 0.5) / num_draws))
    slopes = mean[:, None] + np.sqrt(variance)[:, None] * steps
    return Draws({SITE: slopes}, log_prior=PRIOR.log_prob(jnp.asarray(slopes)))


def exact(value, sigma, mean, width):
    """Log evidence of each measurement under a population, up to a constant of the lens."""
    under = norm.logpdf(value, PRIOR.loc, np.hypot(sigma, PRIOR.scale))
    return norm.logpdf(value, mean, np.hypot(sigma, width)) - under


@pytest.mark.parametrize(("mean", "width"), [(2.05, 0.12), (2.0, 0.2)])
def test_gaussian_lenses_have_the_exact_likelihood(double, mean, width):
    value, sigma = measured(40)
    found = reweighted(gaussian_lenses(value, sigma), population(mean, width))
    np.testing.assert_allclose(found.log_likelihood, exact(value, sigma, mean, width), atol=0.02)


def test_errors_of_random_draws_are_those_that_the_effective_sizes_say(double):
    """The variance of the log likelihood of a lens is 1/ESS - 1/K."""
    value, sigma = (np.repeat(x, 500) for x in (2.0, 0.1))
    exactly = gaussian_lenses(value, sigma).values[SITE]
    num = 100
    draws = np.random.default_rng(1).choice(np.asarray(exactly[0]), (500, num))
    lenses = Draws({SITE: draws}, log_prior=PRIOR.log_prob(jnp.asarray(draws)))
    found = reweighted(lenses, population(2.1, 0.1))
    expected = float(np.mean(1 / found.ess - 1 / num))
    assert float(np.var(found.log_likelihood)) == pytest.approx(expected, rel=0.3)
    assert 20 < np.mean(found.ess) < 80


def slopes(draws, injections=None, cut=None):
    mean = numpyro.sample("mean", dist.Normal(2.0, 0.5))
    width = numpyro.sample("width", dist.HalfNormal(0.3))
    fraction = None if cut is None else norm.logcdf((mean - cut) / jnp.hypot(width, 0.1))
    of = population(mean, width)
    reweight("lenses", draws, of, log_detectable=fraction, injections=injections)


def posterior(*args, **kwargs):
    """Mean and standard deviation of (mean, width), on a grid."""
    grid = np.meshgrid(np.linspace(1.8, 2.3, 40), np.linspace(0.04, 0.3, 30))
    mean, width = (jnp.asarray(axis.ravel()) for axis in grid)

    def one(point):
        values = dict(zip(("mean", "width"), point, strict=True))
        return log_density(slopes, args, kwargs, values)[0]

    density = jax.lax.map(one, (mean, width))
    weights = np.exp(density - density.max())
    return [moments(np.asarray(axis), weights) for axis in (mean, width)]


def moments(values, weights):
    mean = np.average(values, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=weights))


def test_the_population_of_mocks_is_found(double):
    (mean, mean_sd), (width, width_sd) = posterior(gaussian_lenses(*measured(100), 300))
    assert abs(mean - MEAN) < 2 * mean_sd
    assert abs(width - WIDTH) < 2 * width_sd
    assert mean_sd == pytest.approx(np.hypot(WIDTH, 0.07) / 10, rel=0.2)


@pytest.fixture(scope="module")
def selected():
    """Lenses that were measured to be steep, and the cut."""
    rng, cut = np.random.default_rng(3), 2.05
    value = rng.normal(rng.normal(MEAN, WIDTH, 400), 0.1)
    return value[value > cut], cut


def test_a_selection_function_removes_the_bias(double, selected):
    value, cut = selected
    lenses = gaussian_lenses(value, np.full(value.size, 0.1), 300)
    (biased, sd), _ = posterior(lenses)
    assert biased > MEAN + 5 * sd
    (mean, mean_sd), (width, width_sd) = posterior(lenses, cut=cut)
    assert abs(mean - MEAN) < 2 * mean_sd
    assert abs(width - WIDTH) < 2 * width_sd


def test_injections_tell_the_detected_fraction(double, selected):
    """As probabilities of all of them, or as those that were found."""
    _, cut = selected
    rng = np.random.default_rng(4)
    drawn = rng.normal(2.0, 0.3, 40_000)
    density = norm.logpdf(drawn, 2.0, 0.3)
    found = rng.normal(drawn, 0.1) > cut
    lenses = gaussian_lenses(*measured(5), 50)
    at = {"mean": jnp.asarray(2.1), "width": jnp.asarray(0.15)}
    closed = density_and_gradient(at, lenses, cut=cut)[0]
    for injections in (
        Injections({SITE: drawn}, density, norm.logcdf((drawn - cut) / 0.1)),
        Injections({SITE: drawn}, density, np.where(found, 0.0, -np.inf)),
        Injections({SITE: drawn[found]}, density[found], num_drawn=drawn.size),
    ):
        estimated, gradient = density_and_gradient(at, lenses, injections)
        assert float(estimated - closed) == pytest.approx(0.0, abs=5 * 0.02)
        assert all(map(np.isfinite, gradient.values()))


@jax.jit
def density_and_gradient(values, *args, **kwargs):
    return jax.value_and_grad(lambda v: log_density(slopes, args, kwargs, v)[0])(values)


def test_a_closed_form_and_injections_exclude_each_other():
    lenses = gaussian_lenses(*measured(3), 10)
    injections = Injections({SITE: np.ones(4)}, np.zeros(4))
    with handlers.seed(rng_seed=0), pytest.raises(ValueError, match="got both"):
        slopes(lenses, injections, cut=2.0)


def traced(draws, mean, width, injections=None):
    @jax.jit
    def sites(draws, injections):
        fixed = handlers.substitute(slopes, data={"mean": mean, "width": width})
        trace = handlers.trace(handlers.seed(fixed, 0)).get_trace(draws, injections)
        return {name: site["value"] for name, site in trace.items() if name != "lenses"}

    return {name: np.repeat(value, 50) for name, value in sites(draws, injections).items()}


def problems(samples):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check(samples, "lenses")
    return " ".join(str(each.message) for each in found)


def test_a_good_sample_warns_of_nothing():
    check(traced(gaussian_lenses(*measured(20)), MEAN, WIDTH), "lenses")


def test_few_effective_draws_warn():
    """A lens four sigma from a narrow population."""
    lenses = gaussian_lenses(np.array([1.6, 2.0]), np.array([0.1, 0.1]))
    assert np.argmin(reweighted(lenses, population(2.05, 0.02)).ess) == 0
    with pytest.warns(UserWarning, match="a lens rests on"):
        check(traced(lenses, 2.05, 0.02), "lenses")


def test_many_lenses_with_few_draws_each_warn():
    """No lens is badly off, and their errors add up."""
    lenses = gaussian_lenses(np.full(300, 2.0), np.full(300, 0.1), num_draws=60)
    found = problems(traced(lenses, MEAN, 0.5 * WIDTH))
    assert "Monte-Carlo error" in found
    assert "rests on" not in found


def test_few_injections_warn():
    drawn = np.linspace(1.5, 2.5, 100)
    injections = Injections({SITE: drawn}, np.zeros(100), np.where(drawn > 2.4, 0.0, -np.inf))
    found = problems(traced(gaussian_lenses(*measured(20)), MEAN, WIDTH, injections))
    assert "effective injections for each lens, fewer than 4" in found


def test_a_lens_outside_of_the_population_is_impossible():
    """No draw has any weight: a log likelihood of -inf, not NaN."""
    lenses = gaussian_lenses(*measured(2), 20)
    found = reweighted(lenses, lambda lens: jnp.full_like(lens[SITE], -jnp.inf))
    assert np.all(np.isneginf(found.log_likelihood))
    assert np.all(found.ess == 0)


def test_check_needs_the_site_of_the_model():
    with pytest.raises(ValueError, match=r"got lenses\.ess"):
        check({"lenses.ess": 1.0}, "slopes")


# --- from fits -------------------------------------------------------------------------------


def conditional(observation):
    """A slope whose prior depends on the Einstein radius."""
    radius = numpyro.sample("lens.theta_E", dist.LogNormal(0.0, 0.3))
    slope = numpyro.sample(SITE, dist.TruncatedNormal(1.8 + 0.2 * radius, 0.3, low=1.0, high=3.0))
    numpyro.deterministic("twice", 2.0 * slope)
    lens = nl.mass.EPL(theta_E=radius, gamma=slope)
    nl.observe("image", observation, mass=lens, source=nl.light.Gaussian(amp=1.0, sigma=0.1))


@pytest.fixture(scope="module")
def conditional_fit():
    camera = nl.Observation.blank((6, 6), pixel_scale=0.2, noise=nl.NoiseMap(0.1))
    return fitted(conditional, camera)


def test_a_prior_is_evaluated_at_the_other_values_of_each_draw(conditional_fit):
    draws = collect([conditional_fit, conditional_fit], SITE, given=["twice"], num=50)
    samples = {k: v.reshape(-1) for k, v in conditional_fit.samples.items()}
    chosen = np.linspace(0, 119, 50).astype(int)
    radius, slope = samples["lens.theta_E"][chosen], samples[SITE][chosen]
    center = 1.8 + 0.2 * radius
    inside = norm.cdf((3.0 - center) / 0.3) - norm.cdf((1.0 - center) / 0.3)
    prior = norm.logpdf(slope, center, 0.3) - np.log(inside)
    np.testing.assert_allclose(draws.values[SITE][1], slope, rtol=1e-5)
    np.testing.assert_allclose(draws.values["twice"][0], 2 * slope, rtol=1e-5)
    np.testing.assert_allclose(draws.log_prior[0], prior, rtol=1e-4, atol=1e-5)


def test_priors_of_several_sites_multiply(conditional_fit):
    one, other = (collect([conditional_fit], s, num=20) for s in (SITE, "lens.theta_E"))
    both = collect([conditional_fit], [SITE, "lens.theta_E"], num=20)
    np.testing.assert_allclose(both.log_prior, one.log_prior + other.log_prior, rtol=1e-5)


def test_fits_are_read_from_files_and_folders(conditional_fit, tmp_path):
    conditional_fit.save(tmp_path / "posterior.nc")
    read = collect([tmp_path, tmp_path / "posterior.nc"], SITE, num=30, model=conditional)
    given = collect([conditional_fit, conditional_fit], SITE, num=30)
    np.testing.assert_array_equal(read.log_prior, given.log_prior)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sites": "lens.slope"}, r"which the model samples: lens.theta_E, lens.gamma; got lens.s"),
        ({"sites": "twice"}, "density of your own"),
        ({"sites": SITE, "num": 500}, "Write num=120"),
        ({"sites": SITE, "num": 10, "given": ["thrice"]}, "names sites of the model"),
    ],
)
def test_what_cannot_be_collected_is_an_error(conditional_fit, settings, message):
    with pytest.raises(ValueError, match=message):
        collect([conditional_fit], **settings)


@pytest.mark.parametrize(("fits", "got"), [([], "none"), ("results/", "one")])
def test_a_population_is_of_several_fits(fits, got):
    with pytest.raises(ValueError, match=f"got {got}"):
        collect(fits, SITE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Draws({SITE: np.ones(4)}, np.ones(4)), "a row for each lens"),
        (lambda: Draws({SITE: np.ones((2, 3))}, np.ones((2, 4))), r"got lens.gamma \(2, 3\)"),
        (lambda: Draws({}, np.ones((2, 4))), "no site"),
        (lambda: Draws({SITE: np.ones((1, 2))}, [[0.0, -np.inf]]), r"got -inf at \(0, 1\)"),
        (lambda: Injections({SITE: np.ones(4)}, np.ones(4), np.ones(3)), "one for each of"),
        (lambda: Injections({SITE: np.ones(4)}, np.ones(4), num_drawn=3), "not found too; got 3"),
    ],
)
def test_shapes_and_densities_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_population_of_another_shape_is_an_error():
    lenses = gaussian_lenses(*measured(3), 10)
    with pytest.raises(ValueError, match=r"shape \(3, 10\); got \(3,\)"):
        reweighted(lenses, lambda lens: lens[SITE].sum(axis=1))
