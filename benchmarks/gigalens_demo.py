"""GIGA-Lens's demo as its users run it, on numpyro_lens.gigalens or on GIGA-Lens itself.

    python benchmarks/gigalens_demo.py                  # at the sizes of the demo, about 20 minutes
    python benchmarks/gigalens_demo.py --small          # a few steps, which both codes finish soon
    sh benchmarks/peers/setup.sh gigalens
    benchmarks/peers/envs/gigalens/bin/python benchmarks/gigalens_demo.py --small \
        --package gigalens

One JSON object for each stage: seconds on the wall and of all threads, those of them in which JAX
traced and compiled, and the highest memory of the process so far. All cores are devices, unless
XLA_FLAGS says another number. The image is in the folder named by NUMPYRO_LENS_DATA.
"""

import argparse
import importlib
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path

CORES = len(os.sched_getaffinity(0))
os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={CORES}")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NUMPYRO_LENS_DATA", ROOT / ".." / "shared" / "data"))
# starts, their steps; particles, their steps; chains, burn-in, draws
FULL = (500, 350), (1000, 1500), (50, 250, 750)
SMALL = (16, 20), (8, 20), (4, 5, 5)


def module(package, name):
    """``inference`` of the JAX side of GIGA-Lens or of our package, and so on."""
    sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"{package}.{name}")


def tfp_of(package):
    """TFP, or what stands for it."""
    if package == "gigalens":
        for name in ("shard_map", "multihost_utils"):  # which it takes to be imported
            importlib.import_module(f"jax.experimental.{name}")
        return importlib.import_module("tensorflow_probability.substrates.jax")
    return module(package, "tfp")


def prior_of(tfd):
    """The prior of the demo, 22 parameters."""

    def joint(*profiles):
        return tfd.JointDistributionSequential([tfd.JointDistributionNamed(p) for p in profiles])

    def light(radius, spread, index, ellipticity, centre, brightness):
        e = tfd.TruncatedNormal(0.0, ellipticity, *spread)
        xy = tfd.Normal(0.0, centre)
        return joint(
            {
                "R_sersic": tfd.LogNormal(jnp.log(radius), 0.15),
                "n_sersic": tfd.Uniform(*index),
                "Ie": tfd.LogNormal(jnp.log(brightness[0]), brightness[1]),
                "e1": e,
                "e2": e,
                "center_x": xy,
                "center_y": xy,
            }
        )

    lens = {
        "theta_E": tfd.LogNormal(jnp.log(1.25), 0.25),
        "gamma": tfd.TruncatedNormal(2.0, 0.25, 1.0, 3.0),
        **{name: tfd.Normal(0.0, 0.1) for name in ("e1", "e2")},
        **{name: tfd.Normal(0.0, 0.05) for name in ("center_x", "center_y")},
    }
    shear = {name: tfd.Normal(0.0, 0.05) for name in ("gamma1", "gamma2")}
    lens_light = light(1.0, (-0.3, 0.3), (2.0, 6.0), 0.1, 0.05, (500.0, 0.3))
    source = light(0.25, (-0.5, 0.5), (0.5, 4.0), 0.15, 0.25, (150.0, 0.5))
    return tfd.JointDistributionSequential([joint(lens, shear), lens_light, source])


def problem(package, image, kernel):
    """Its three objects: what is in the sky, prior and data, pixels and PSF."""
    epl, shear = (module(package, f"jax.profiles.mass.{name}") for name in ("epl", "shear"))
    sersic = module(package, "jax.profiles.light.sersic")
    phys_model = module(package, "model").PhysicalModel(
        [epl.EPL(50), shear.Shear()], [sersic.SersicEllipse()], [sersic.SersicEllipse()]
    )
    prior = prior_of(tfp_of(package).distributions)
    prob_model = module(package, "jax.model").ForwardProbModel(
        prior, image, background_rms=0.2, exp_time=100
    )
    sim_config = module(package, "simulator").SimulatorConfig(
        delta_pix=0.065, num_pix=60, supersample=2, kernel=kernel
    )
    return phys_model, prob_model, sim_config


def optimizer(first, last, power, steps):
    """Adam with the schedule of the demo."""
    schedule = optax.polynomial_schedule(first, last, power=power, transition_steps=steps)
    return optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(schedule))


# --- time ----------------------------------------------------------------------------------------

COMPILING: list[tuple[float, float]] = []  # when JAX traced or compiled
CLOCKS: list[tuple[float, float]] = []  # wall clock and seconds of all threads


def note_compilation(event, duration, **_):
    """Keep when JAX traced or compiled."""
    if event.startswith("/jax/core/compile"):
        now = time.perf_counter()
        COMPILING.append((now - duration, now))


def read_clocks():
    """Keep both clocks, for ever."""
    while True:
        CLOCKS.append((time.perf_counter(), time.process_time()))
        time.sleep(0.02)


def union(intervals):
    """Disjoint intervals of the same union: what is traced inside another tracing overlaps."""
    merged = []
    for start, stop in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return np.reshape(merged, (-1, 2))


def stage(name, run, **figures):
    """Run a stage of the fit and print what it took."""
    COMPILING.clear()
    start, threads = time.perf_counter(), time.process_time()
    result = jax.block_until_ready(run())
    wall, cpu = time.perf_counter() - start, time.process_time() - threads
    compiling = union(COMPILING)
    compile_cpu = np.sum(np.diff(np.interp(compiling, *np.transpose(CLOCKS))))
    report(
        stage=name,
        wall_s=round(wall, 1),
        compile_wall_s=round(float(np.sum(np.diff(compiling))), 1),
        cpu_s=round(cpu, 1),
        compile_cpu_s=round(float(compile_cpu), 1),
        run_cpu_s=round(float(cpu - compile_cpu), 2),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10,
        **figures,
    )
    return result


def report(**record):
    """Print one JSON object."""
    print(json.dumps(record), flush=True)


# --- the fit -------------------------------------------------------------------------------------


def main():
    """MAP, SVI and HMC, and what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", default="numpyro_lens.gigalens", help="or gigalens")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    folder = DATA / "gigalens_demo"
    if not folder.is_dir():
        raise SystemExit(f"The demo's demo.npy and psf.npy are not in {folder}: nothing is run.")
    image, kernel = np.load(folder / "demo.npy"), np.load(folder / "psf.npy")
    threading.Thread(target=read_clocks, daemon=True).start()
    jax.monitoring.register_event_duration_secs_listener(note_compilation)
    fit(options.package, SMALL if options.small else FULL, image, kernel)


def fit(package, sizes, image, kernel):
    """The three steps, as the demo takes them."""
    (starts, map_steps), (particles, svi_steps), (chains, burn_in, draws) = sizes
    phys_model, prob_model, sim_config = problem(package, image, kernel)
    sequence = module(package, "jax.inference").ModellingSequence(
        phys_model, prob_model, sim_config
    )
    report(package=package, sizes=sizes, devices=jax.local_device_count(), jax=jax.__version__)
    best, log_density, chi_square = stage(
        "MAP",
        lambda: tuple(
            sequence.MAP(
                optimizer(-1e-2, -1e-2 / 3, 0.5, 500),
                n_samples=starts,
                num_steps=map_steps,
                seed=0,
                output_type="best",
                pbar_interval=0,
            )
        ),
        gradients=starts * map_steps,
    )
    report(log_density=round(float(log_density), 2), reduced_chi2=round(float(chi_square), 4))
    q_z, losses = stage(
        "SVI",
        lambda: tuple(
            sequence.SVI(
                best,
                optimizer(-1e-6, -3e-3, 2, 300),
                n_vi=particles,
                num_steps=svi_steps,
                pbar_interval=0,
            )
        ),
        gradients=particles * svi_steps,
    )
    report(last_loss=round(float(np.mean(np.asarray(losses)[-10:])), 2))
    samples = stage(
        "HMC",
        lambda: sequence.HMC(
            q_z, n_hmc=chains, num_burnin_steps=burn_in, num_results=draws, pbar_interval=0
        ),
    )
    diagnose(tfp_of(package).mcmc, prob_model, samples)


def diagnose(mcmc, prob_model, samples):
    """What the demo prints of its chains (num_results, n_dev, n_hmc / n_dev, d)."""
    r_hat = mcmc.potential_scale_reduction(jnp.asarray(samples), independent_chain_ndims=2)
    ess = mcmc.effective_sample_size(jnp.asarray(samples), cross_chain_dims=[1, 2])
    mean = np.asarray(samples).reshape(-1, samples.shape[-1]).mean(0)
    theta_E = prob_model.bij.forward(list(jnp.asarray(mean)))[0][0]["theta_E"]
    figures = {"r_hat": float(np.max(r_hat)), "ess": float(np.min(ess)), "theta_E": float(theta_E)}
    if hasattr(samples, "num_gradients"):
        figures["gradients"] = samples.num_gradients
    report(shape=samples.shape, **figures)


if __name__ == "__main__":
    main()
