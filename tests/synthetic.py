"""Results with the shape of real ones, without the fitting."""

import jax
import numpy as np
import numpyro.distributions as dist
from scipy.stats import norm

import numpyro_lens as nl
from numpyro_lens.fitting import LensFit
from numpyro_lens.infer import Basin, MAPResult, SVIResult, Target


def model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Uniform(0.2, 0.8))
    sky = nl.sample("sky", nl.light.Uniform, amp=dist.Normal(0, 1))
    source = nl.light.Gaussian(amp=1.0, sigma=0.1)
    nl.observe("image", observation, mass=lens, source=source, lens_light=sky)


def observation():
    mask = np.ones((12, 14), dtype=bool)
    mask[0] = False
    empty = nl.Observation.blank(
        (12, 14),
        transform_pix2angle=[[-0.1, 0.0], [0.0, 0.1]],
        noise=nl.PoissonNoise(0.01, np.full((12, 14), 500.0)),
        psf=nl.GaussianPSF(0.2),
        mask=mask,
        sky_position=(150.1, 2.2),
    )
    return nl.mock(empty, jax.random.key(0), mass=nl.mass.SIS(theta_E=0.5))


def fitted(model=model, *args, kind=LensFit):
    """A result with the shape of a real one, without the fitting."""
    args, rng = args or (observation(),), np.random.default_rng(0)
    target = Target.of(model, *args)
    shared = {"target": target, "timing": {"trace_s": 0.5, "compile_s": 1.0, "run_s": 2.0}}
    start = MAPResult(
        params=rng.normal(size=(3, target.dim)),
        log_density=np.array([1.0, 2.0, np.nan]),
        losses=np.arange(4.0),
        num_nonfinite={"log_density": 1, "gradient": 0},
        basins=(Basin(2.0, 2, 1),),
        hessian=np.eye(target.dim),
        num_gradients={"screening": 3, "map": 4},
        **shared,
    )
    svi = SVIResult(
        mean=np.zeros(target.dim),
        scale_tril=np.eye(target.dim),
        losses=np.arange(5.0),
        pareto_k=0.25,
        num_gradients={"svi": 5},
        **shared,
    )
    shape = (4, 30)
    return kind(
        z=rng.normal(size=(*shape, target.dim)).astype(np.float32),
        statistics={"lp": rng.normal(size=shape), "diverging": np.zeros(shape, dtype=bool)},
        svi=svi,
        map=start,
        own_gradients={"burn_in": 6, "sampling": 7},
        hmc_settings=None,
        seed=3,
        settings={"hmc": {"num_chains": 4}},
        **shared,
    )


def calibrated(num=100):
    """A calibration whose ranks are as even as they can be."""
    lines = []
    for number, rank in enumerate(np.linspace(0, 99, num).round().astype(int).tolist()):
        z = norm.ppf((rank + 0.5) / 100)
        own = {"lens.theta_E": {"rank": rank, "mean": 0.5 - 0.01 * z, "sd": 0.01}}
        ranks = {"parameters": own, "log density": rank, "joint": (7 * rank) % 100}
        how = {"converged": True, "explained": True, "other_modes": 0, "min_ess": 500.0}
        truth = {"lens.theta_E": 0.5}
        lines.append({"fit": number, "truth": truth, **how, "hmc": ranks, "vi": ranks})
    return nl.Calibration(tuple(lines), 99, {"lens.theta_E": 0.1})
