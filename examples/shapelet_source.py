"""A real Einstein ring: one Sersic source against 28 shapelets, all amplitudes integrated out.

    python examples/shapelet_source.py hst_f390w_ring.fits

Both models have the same lens, the same lens light and the noise of the data, so that two numbers
can be compared: the Laplace approximation at the MAP, and the leave-one-out
prediction of single pixels by ArviZ. Both fits converge with the defaults, and both numbers prefer
the shapelets: by 94 in log evidence, by 199 +- 26 in elpd. The lens changes with the source, by
more than its intervals say: theta_E from 1.210 +- 0.003 to 1.220 +- 0.002, the slope from 2.88 to
2.34. Figures and times are in docs/linear.md.
"""

import os
import sys

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import numpyro_lens as nl


def one_sersic(observation):
    """The lens and lens light of ``nl.models.epl_shear_shapelets``, and one Sersic source."""
    position = dist.Normal(0.0, 0.1)
    ellipticity = dist.TruncatedNormal(0.0, 0.2, low=-0.8, high=0.8)
    lens = nl.sample(
        "lens",
        nl.mass.EPL,
        theta_E=dist.LogNormal(0.1, 0.4),
        gamma=dist.TruncatedNormal(2.0, 0.3, low=1.0, high=3.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    tide = dist.Normal(0.0, 0.06)
    shear = nl.sample("shear", nl.mass.Shear, gamma1=tide, gamma2=tide)
    amplitude = nl.Linear(scale=jnp.exp(nl.priors.amplitude(observation, fraction=1.0).loc))
    lens_light = nl.sample(
        "lens_light",
        nl.light.Sersic,
        amp=amplitude,
        R_sersic=dist.LogNormal(-0.2, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=ellipticity,
        e2=ellipticity,
        center_x=position,
        center_y=position,
    )
    source = nl.sample(
        "source",
        nl.light.Sersic,
        amp=amplitude,
        R_sersic=dist.LogNormal(-1.5, 0.7),
        n_sersic=dist.Uniform(0.2, 10.0),
        e1=dist.TruncatedNormal(0.0, 0.3, low=-0.8, high=0.8),
        e2=dist.TruncatedNormal(0.0, 0.3, low=-0.8, high=0.8),
        center_x=dist.Normal(0.0, 0.3),
        center_y=dist.Normal(0.0, 0.3),
    )
    nl.observe("image", observation, mass=lens + shear, source=source, lens_light=lens_light)


MODELS = {"one Sersic": one_sersic, "shapelets": nl.models.epl_shear_shapelets}


def read(path):
    return nl.read_fits(
        path, psf="PSF", exposure="EXPTIME", background_rms=0.00173, mask_radius=2.0
    )


def laplace_evidence(result):
    """Log evidence if the posterior were the Gaussian at its mode; linear amplitudes are exact."""
    hessian = np.asarray(result.hessian, dtype=float)
    log_det = np.linalg.slogdet(hessian)[1]
    return float(np.max(result.log_density) + 0.5 * (len(hessian) * np.log(2 * np.pi) - log_det))


def reduced_chi2(fit):
    """Of the mean prediction, per pixel inside the mask, with the noise of the data."""
    observation = fit.observations["image"]
    image = fit.predict(100)["image"].mean(axis=0)
    residual = (observation.image - image) / observation.noise.sigma(observation.image)
    return float(np.mean(np.square(residual)[observation.mask]))


def leave_one_out(fit):
    """ArviZ's estimate of how well each pixel in use is predicted by the others."""
    pixels = fit.to_arviz(log_likelihood=True, num=2000)
    # Thinned, the draws are nearly independent; ArviZ would count all those of the chains.
    return az.loo(pixels, var_name="image", reff=1.0, pointwise=True)


def main(path, **settings):
    observation = read(path)
    fits, elpd = {}, {}
    for name, model in MODELS.items():
        fits[name] = fit = nl.fit(model, observation, seed=0, **settings)
        print(f"{name}: {fit}\nreduced chi-square {reduced_chi2(fit):.4f}")
        print(f"log evidence (Laplace) {laplace_evidence(fit.map):.1f}")
        elpd[name] = leave_one_out(fit)
        print(elpd[name])
    print(az.compare(elpd).to_string())
    return fits


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    main(*sys.argv[1:])
