"""A real Einstein ring: one Sersic source against 28 shapelets with amplitudes integrated out.

    python examples/shapelet_source.py hst_f390w_ring.fits

Both fits see the same noise, that of the data, so that their evidence-like numbers compare: the
Laplace approximation at the MAP, and the leave-one-out prediction of single pixels by ArviZ.
"""

import sys

import arviz as az
import equinox as eqx
import numpy as np

import numpyro_lens as nl

MODELS = {
    "one Sersic": nl.models.epl_shear_sersic,
    "shapelets": nl.models.epl_shear_shapelets,
}


def read(path):
    """The ring with a noise that does not depend on the model."""
    observation = nl.read_fits(
        path,
        psf_ext="PSF",
        exposure_ext="EXPTIME",
        background_rms=0.00173,
        cutout=100,
        mask_radius=2.0,
    )
    sigma = nl.NoiseMap(observation.noise.sigma(observation.image))
    return eqx.tree_at(lambda o: o.noise, observation, sigma)


def laplace_evidence(result):
    """Log evidence if the posterior were the Gaussian at its mode; linear amplitudes are exact."""
    hessian = np.asarray(result.hessian, dtype=float)
    log_det = np.linalg.slogdet(hessian)[1]
    return float(np.max(result.log_density) + 0.5 * (len(hessian) * np.log(2 * np.pi) - log_det))


def reduced_chi2(fit):
    """Of the mean prediction, per pixel inside the mask."""
    observation = fit.observation
    image = fit.predict(100)["image"].mean(axis=0)
    residual = (observation.image - image) / observation.noise.sigma_map
    return float(np.mean(np.square(residual)[observation.mask]))


def main(path, **settings):
    observation = read(path)
    pixels = {}
    for name, model in MODELS.items():
        fit = nl.fit(model, observation, seed=0, **settings)
        print(
            f"{name}: reduced chi-square {reduced_chi2(fit):.4f}, "
            f"log evidence (Laplace) {laplace_evidence(fit.map):.1f}\n{fit.verdict}"
        )
        pixels[name] = fit.to_arviz(log_likelihood=True, num=400)
    print(az.compare(pixels, var_name="image"))
    return pixels


if __name__ == "__main__":
    main(*sys.argv[1:])
