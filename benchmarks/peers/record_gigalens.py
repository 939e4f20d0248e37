"""GIGA-Lens 2.0.1's own numbers for its demo, which ``tests/gigalens`` compares with.

    sh benchmarks/peers/setup.sh gigalens
    benchmarks/peers/envs/gigalens/bin/python benchmarks/peers/record_gigalens.py \
        demo.npy psf.npy tests/gigalens/reference_2_0_1.npz

``demo.npy`` and ``psf.npy`` come with the GIGA-Lens package (``gigalens/assets``). Of the pinned
environment only jax, tensorflow-probability (its JAX substrate; no TensorFlow), lenstronomy, objax,
tensorboard, optax and gigalens itself are needed. Takes three minutes on one core, most of them to
compile.
"""

import os
import subprocess
import sys
import tempfile

SINGLE = os.environ.get("RECORD_GIGALENS") == "single"
os.environ["JAX_ENABLE_X64"] = "0" if SINGLE else "1"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import lenstronomy  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow_probability.substrates.jax as tfp  # noqa: E402
from gigalens.jax.model import BackwardProbModel, ForwardProbModel  # noqa: E402
from gigalens.jax.profiles.light import sersic, shapelets  # noqa: E402
from gigalens.jax.profiles.mass import epl, shear  # noqa: E402
from gigalens.jax.simulator import LensSimulator  # noqa: E402
from gigalens.model import PhysicalModel  # noqa: E402
from gigalens.simulator import SimulatorConfig  # noqa: E402
from lenstronomy.Util.kernel_util import subgrid_kernel  # noqa: E402

tfd = tfp.distributions
F = np.float32 if SINGLE else np.float64
DRAWS, N_MAX, SUPERSAMPLING = 12, 3, (1, 2, 3)
BACKGROUND_RMS, EXP_TIME, DELTA_PIX = 0.2, 100.0, 0.065
PIXELS = np.array(
    [(30, 30), (29, 31), (20, 20), (40, 25), (12, 45), (50, 30), (30, 10), (5, 5)], dtype=np.int32
)

README = """GIGA-Lens {gigalens} (lenstronomy {lenstronomy}), its demo: EPL(50) + Shear, one
SersicEllipse for the lens, one for the source, 60x60 pixels of 0.065", 13x13 PSF, background_rms
0.2, exp_time 100. Written by benchmarks/peers/record_gigalens.py.

names            the 22 parameters in the order of the unconstrained vector: group.profile.parameter
x, z             (12, 22) prior draws, physical, and bij.inverse of them
unit             (5, 22) bij.forward of z = -2, -1, 0, 1, 2 in every entry
log_prior        prior.log_prob(x); log_det = bij.forward_log_det_jacobian(z)
s1_, s2_, s3_    at supersample 1, 2, 3:
  log_prob, chi2   what ForwardProbModel.log_prob(simulator, z) returns (chi2: mean over pixels)
  sum, sum2, peak  of the model images; at: their values at `pixels` (row, column)
  image            the whole image of draw 0
  kernel           subgrid_kernel(psf, supersample, odd=True), so num_iter=100 (2 and 3 only)
  single_*         the same from its float32 run, as published; float64 otherwise
solved_          BackwardProbModel, both Sersics with use_lstsq=True; solved_z (12, 20),
  solved_names, s?_solved_log_prob, _chi2, _coeffs (12, 2) in the order lens light, source, _sum
shapelets_       the same with Shapelets(3, use_lstsq=True, interpolate=False) as source:
  shapelets_z (12, 17), s?_shapelets_coeffs (12, 11). Prior of beta LogNormal(log 0.1, 0.15), of its
  centre Normal(0, 0.25). Drawn with its own key. A direction of the solve below 1e-6 of the
  largest singular value is cut (pinv), so compare images and log_prob before single coefficients.

In the float64 run the coordinates and background_rms, which GIGA-Lens rounds to float32, are set
to their float64 values; nothing else of it is touched.
"""


def log_normal(median, sigma):
    return tfd.LogNormal(F(np.log(median)), F(sigma))


def truncated(sigma, width, mean=0.0):
    return tfd.TruncatedNormal(F(mean), F(sigma), F(mean - width), F(mean + width))


def normal(sigma):
    return tfd.Normal(F(0), F(sigma))


def joint(**distributions):
    return tfd.JointDistributionNamed(distributions)


def light_prior(kind):
    """Priors of the demo for "lens" and "source"; without the amplitude."""
    lens = kind == "lens"
    sigma, width, centre = (0.1, 0.3, 0.05) if lens else (0.15, 0.5, 0.25)
    return {
        "R_sersic": log_normal(1.0 if lens else 0.25, 0.15),
        "n_sersic": tfd.Uniform(F(2), F(6)) if lens else tfd.Uniform(F(0.5), F(4)),
        "e1": truncated(sigma, width),
        "e2": truncated(sigma, width),
        "center_x": normal(centre),
        "center_y": normal(centre),
    }


def prior_of(lens, source):
    mass = [
        joint(
            theta_E=log_normal(1.25, 0.25),
            gamma=truncated(0.25, 1.0, mean=2.0),
            e1=normal(0.1),
            e2=normal(0.1),
            center_x=normal(0.05),
            center_y=normal(0.05),
        ),
        joint(gamma1=normal(0.05), gamma2=normal(0.05)),
    ]
    groups = mass, [joint(**lens)], [joint(**source)]
    return tfd.JointDistributionSequential(
        [tfd.JointDistributionSequential(group) for group in groups]
    )


def names_of(prob_model, prior):
    """Name of each entry of z, found by packing 0, 1, 2... as the code itself packs."""
    size = len(jax.tree.leaves(prior.sample(seed=jax.random.PRNGKey(0))))
    packed = prob_model.pack_bij.forward(list(range(size)))
    found = [""] * size
    for group, profiles in zip(("lenses", "lens_light", "source_light"), packed, strict=True):
        for i, profile in enumerate(profiles):
            for name, entry in profile.items():
                found[int(entry)] = f"{group}.{i}.{name}"
    return np.array(found)


def simulator_of(phys_model, kernel, supersample, num_pix):
    config = SimulatorConfig(F(DELTA_PIX), num_pix, supersample, kernel.astype(F))
    simulator = LensSimulator(phys_model, config, bs=DRAWS)
    if not SINGLE:
        n = num_pix * supersample
        line = (np.arange(n) - (n - 1) / 2) * DELTA_PIX / supersample
        grid = np.meshgrid(line, line)
        for name, values in zip(("img_X", "img_Y"), grid, strict=True):
            old = np.asarray(getattr(simulator, name))
            new = np.repeat(values[..., None], DRAWS, axis=-1)
            assert np.abs(new - old).max() < 1e-6
            setattr(simulator, name, jnp.asarray(new))
    return simulator


def summaries(images):
    images = np.asarray(images)
    return {
        "sum": images.sum((1, 2), dtype=np.float64),
        "sum2": (images.astype(np.float64) ** 2).sum((1, 2)),
        "peak": images.max((1, 2)),
        "at": images[:, PIXELS[:, 0], PIXELS[:, 1]],
    }


def solved(image, kernel, mass, lens, key, source, source_prior):
    """The backward model: z, names, and for each supersampling what it gives."""
    prior = prior_of(light_prior("lens"), source_prior)
    prob_model = BackwardProbModel(prior, jnp.asarray(image), F(BACKGROUND_RMS), F(EXP_TIME))
    x = prior.sample(DRAWS, seed=jax.random.PRNGKey(key))
    z = jnp.stack(prob_model.bij.inverse(x)).T
    found = {"z": z, "names": names_of(prob_model, prior)}
    for s in SUPERSAMPLING:
        simulator = simulator_of(PhysicalModel(mass, [lens], [source]), kernel, s, len(image))
        log_prob, chi2 = prob_model.log_prob(simulator, z)
        images, coeffs = simulator.lstsq_simulate(x, prob_model.observed_image, prob_model.err_map)
        found |= {f"s{s}_log_prob": log_prob, f"s{s}_chi2": chi2, f"s{s}_coeffs": coeffs}
        found[f"s{s}_sum"] = np.asarray(images).sum((1, 2), dtype=np.float64)
    return found


def record(image, kernel, z=None):
    """Everything; at given z, or at prior draws."""
    mass = [epl.EPL(50), shear.Shear()]
    prior = prior_of(
        {**light_prior("lens"), "Ie": log_normal(500, 0.3)},
        {**light_prior("source"), "Ie": log_normal(150, 0.5)},
    )
    prob_model = ForwardProbModel(prior, image.astype(F), BACKGROUND_RMS, EXP_TIME)
    prob_model.background_rms = jnp.asarray(BACKGROUND_RMS, F)
    prob_model.exp_time = jnp.asarray(EXP_TIME, F)
    if z is None:
        z = jnp.stack(prob_model.bij.inverse(prior.sample(DRAWS, seed=jax.random.PRNGKey(0)))).T
    z = jnp.asarray(z, F)
    x = prob_model.bij.forward(list(z.T))
    phys_model = PhysicalModel(mass, [sersic.SersicEllipse()], [sersic.SersicEllipse()])
    out = {
        "names": names_of(prob_model, prior),
        "z": z,
        "x": jnp.stack(prob_model.pack_bij.inverse(x)).T,
        "log_prior": prior.log_prob(x),
        "log_det": prob_model.bij.forward_log_det_jacobian(list(z.T)),
    }
    unit = [jnp.arange(-2, 3, dtype=F)] * z.shape[1]
    out["unit"] = jnp.stack(prob_model.pack_bij.inverse(prob_model.bij.forward(unit))).T
    for s in SUPERSAMPLING:
        simulator = simulator_of(phys_model, kernel, s, len(image))
        images = np.asarray(simulator.simulate(x))
        log_prob, chi2 = prob_model.log_prob(simulator, z)
        found = {"log_prob": log_prob, "chi2": chi2, "image": images[0], **summaries(images)}
        if s > 1:
            found["kernel"] = subgrid_kernel(kernel.astype(F), s, odd=True)
        out |= {f"s{s}_{name}": value for name, value in found.items()}
    if SINGLE:
        return out
    solve = sersic.SersicEllipse(use_lstsq=True)
    both = {
        "solved": solved(image, kernel, mass, solve, 1, solve, light_prior("source")),
        "shapelets": solved(
            image,
            kernel,
            mass,
            solve,
            2,
            shapelets.Shapelets(N_MAX, use_lstsq=True, interpolate=False),
            {"beta": log_normal(0.1, 0.15), "center_x": normal(0.25), "center_y": normal(0.25)},
        ),
    }
    for kind, found in both.items():
        for name, value in found.items():
            stage, _, rest = name.partition("_")
            out[f"{stage}_{kind}_{rest}" if rest else f"{kind}_{name}"] = value
    return out


def main(image_path, psf_path, out_path):
    image = np.load(image_path).astype(np.float64)
    kernel = np.load(psf_path).astype(np.float64)
    if SINGLE:
        np.savez(out_path, **record(image, kernel, np.load(out_path)["z"]))
        return
    out = record(image, kernel)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "single.npz")
        np.savez(path, z=out["z"])
        subprocess.run(
            [sys.executable, __file__, image_path, psf_path, path],
            env={**os.environ, "RECORD_GIGALENS": "single"},
            check=True,
        )
        with np.load(path) as single:
            for s in SUPERSAMPLING:
                for name in ("log_prob", "chi2", "sum", "sum2", "peak", "at"):
                    out[f"s{s}_single_{name}"] = single[f"s{s}_{name}"]
    import importlib.metadata

    versions = {"gigalens": importlib.metadata.version("gigalens")}
    out["README"] = README.format(lenstronomy=lenstronomy.__version__, **versions)
    out["pixels"] = PIXELS
    np.savez_compressed(out_path, **{name: np.asarray(value) for name, value in out.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
