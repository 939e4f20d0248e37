"""A fleet against one process after another, the memory of its workers, and what faults do to it.

    python benchmarks/fleet.py rate --num 64      # lenses an hour, overhead of the queue
    python benchmarks/fleet.py memory --num 200   # resident memory of one worker, lens by lens
    python benchmarks/fleet.py faults --num 40    # ten workers killed, three bad files
    python benchmarks/fleet.py full --num 12      # a full disk, then room (Linux, as root)

Lenses are mocks of the demo: 60x60 pixels, supersampling 2, its PSF, the ready model of 22
parameters. `memory`, `faults` and `full` fit smaller ones in shorter stages, and `--tiny` does so
in `rate`: they are about the fleet, not about the fits. Every command needs the extra `fleet`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
import psutil
import typer
from astropy.io import fits
from demo import demo_data

import numpyro_lens as nl
from numpyro_lens.fleet.cluster import available_cores
from numpyro_lens.fleet.table import lenses
from numpyro_lens.fleet.worker import CORES, Recipe, Stored, fit_lens, store

SIGMA, EXPOSURE = 0.2, 100.0
READ = {"pixel_scale": 0.065, "background_rms": SIGMA, "exposure_time": EXPOSURE, "psf": "PSF"}
MODEL = "epl-shear-sersic"
SHORT = {
    "map": nl.infer.MAP(
        num_starts=4, num_screened=40, num_steps=30, num_polished=0, max_searches=1
    ),
    "svi": nl.infer.SVI(num_particles=4, num_steps=20, num_importance=32),
    "hmc": nl.infer.HMC(num_chains=2, num_burnin_steps=20, num_results=50, max_results=50),
}
app = typer.Typer(add_completion=False)


def mock(number, size):
    """The lens of the demo with other numbers, drawn from about its prior."""
    draw = np.random.default_rng(number)
    kernel = demo_data()[1]
    camera = nl.Observation.blank(
        (size, size),
        pixel_scale=READ["pixel_scale"],
        noise=nl.PoissonNoise(SIGMA, EXPOSURE),
        psf=nl.PSF(kernel),
        supersampling=2,
    )
    e1, e2, *shear = draw.normal(0.0, (0.1, 0.1, 0.03, 0.03))
    x, y = draw.normal(0.0, 0.1, 2)
    theta_E = draw.uniform(0.25, 0.3) * size * READ["pixel_scale"]
    return nl.mock(
        camera,
        jax.random.key(number),
        mass=nl.mass.EPL(theta_E=theta_E, gamma=2.0, e1=e1, e2=e2)
        + nl.mass.Shear(gamma1=shear[0], gamma2=shear[1]),
        source=nl.light.Sersic(amp=150.0, R_sersic=0.2, n_sersic=1.5, center_x=x, center_y=y),
        lens_light=nl.light.Sersic(amp=200.0, R_sersic=0.6, n_sersic=2.5, e1=e1, e2=e2),
    )


def write_mocks(folder, num, size, bad=0):
    """A table of ``num`` mocks, of which the last ``bad`` are no FITS files."""
    rows = ["name,file"]
    for number in range(num):
        path = folder / f"mock{number:04d}.fits"
        if number >= num - bad:
            path.write_text("SIMPLE  = what comes of a broken transfer")
        else:
            image = fits.PrimaryHDU(np.asarray(mock(number, size).image))
            fits.HDUList([image, fits.ImageHDU(demo_data()[1], name="PSF")]).writeto(path)
        rows.append(f"{path.stem},{path.name}")
    (folder / "lenses.csv").write_text("\n".join(rows) + "\n")
    return folder / "lenses.csv"


def report(**values):
    """One JSON object a line."""
    print(json.dumps(values | {"cores": len(available_cores())}), flush=True)


@app.command()
def rate(num: int = 64, size: int = 60, tiny: bool = False):
    """Lenses an hour of a fleet and of one process on all cores, the same files written."""
    settings = SHORT if tiny else {}
    with tempfile.TemporaryDirectory() as folder:
        table = write_mocks(Path(folder), num, size)
        start = time.perf_counter()
        found = nl.fit_many(MODEL, table, Path(folder) / "fleet", read=READ, **settings)
        fleet_s = time.perf_counter() - start
        stored = store(Recipe(MODEL, (), settings), Path(folder) / "recipe.pkl")
        command = [sys.executable, __file__, "alone", str(table), stored.path, stored.sha256]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        alone_s = time.perf_counter() - start
    per_worker = found.groupby("worker")["seconds"].sum()
    report(
        command="rate",
        num=num,
        verdicts=found["verdict"].value_counts().to_dict(),
        fleet_an_hour=3600 * num / fleet_s,
        alone_an_hour=3600 * num / alone_s,
        ratio=alone_s / fleet_s,
        # of the time until the last worker was done, what was not spent on a lens: start included
        overhead_with_start=1.0 - float(per_worker.max()) / fleet_s,
        seconds_of_a_lens=found["seconds"].median(),
        compile_s=found["compile_seconds"].sum(),
    )


@app.command(hidden=True)
def alone(table: Path, recipe: str, sha256: str):
    """Fit one lens after the other in this process, with all cores."""
    os.environ[CORES] = ",".join(map(str, available_cores()))
    for lens in lenses(table, READ):
        fit_lens(lens, Stored(recipe, sha256), str(table.parent / "alone"))


@app.command()
def memory(num: int = 200, size: int = 30):
    """Resident memory of one worker after each lens."""
    with tempfile.TemporaryDirectory() as folder:
        table = write_mocks(Path(folder), num, size)
        out = Path(folder) / "fleet"
        began = time.perf_counter()
        found = nl.fit_many(MODEL, table, out, workers=1, read=READ, **SHORT)
        wall = time.perf_counter() - began
    used = found["memory_bytes"].to_numpy() / 2**20
    report(
        command="memory",
        num=num,
        mib={str(n): used[n - 1] for n in (1, 2, 10, 50, 100, 200, num) if n <= num},
        slope_mib_per_lens=float(np.polyfit(np.arange(num), used, 1)[0]) if num > 1 else None,
        overhead_with_start=1.0 - float(found["seconds"].sum()) / wall,
    )


@app.command()
def faults(num: int = 40, size: int = 30, kills: int = 10, bad: int = 3, seconds: float = 60.0):
    """SIGKILL of a worker at random moments, ``seconds`` apart on average, and bad files."""
    with tempfile.TemporaryDirectory() as folder:
        table = write_mocks(Path(folder), num, size, bad)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/compiled"
        killed, stop = [], threading.Event()
        killer = threading.Thread(target=_kill, args=(killed, kills, seconds, stop), daemon=True)
        killer.start()
        out = Path(folder) / "fleet"
        settings = {"read": READ, "attempts": kills + 1, **SHORT}
        found = nl.fit_many(MODEL, table, out, **settings)
        stop.set()
        killer.join()
        again = nl.fit_many(MODEL, table, out, **settings)
    report(
        command="faults",
        num=num,
        killed=len(killed),
        kept_whole=int((found["verdict"] != "failed").sum()),
        begun_again=int((found["attempts"] > 1).sum()),
        reasons=found.loc[found["verdict"] == "failed", "reason"].str[:80].to_list(),
        second_run_fitted=int((again["verdict"] != "failed").sum()),
    )


def _kill(killed, kills, seconds, stop):
    """Kill processes that this one has spawned, one at a time."""
    draw = np.random.default_rng(0)
    while len(killed) < kills and not stop.wait(draw.exponential(seconds)):
        children = psutil.Process().children(recursive=True)
        workers = [p for p in children if "spawn_main" in " ".join(p.cmdline())]
        if workers:
            chosen = workers[draw.integers(len(workers))]
            chosen.kill()
            killed.append(chosen.pid)


@app.command()
def full(num: int = 12, size: int = 30, mib: int = 22):
    """A disk that fills up after some lenses, and a second run with room."""
    with tempfile.TemporaryDirectory() as folder:
        table = write_mocks(Path(folder), num, size)
        out = Path(folder) / "fleet"
        out.mkdir()
        kind = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "fleet", str(out)]
        if shutil.which("mount") is None or subprocess.run(kind, check=False).returncode:
            raise typer.Exit("a small disk needs the rights to mount one")
        try:
            found = nl.fit_many(MODEL, table, out, read=READ, **SHORT)
            subprocess.run(["mount", "-o", "remount,size=1g", str(out)], check=True)
            again = nl.fit_many(MODEL, table, out, read=READ, **SHORT)
        finally:
            subprocess.run(["umount", str(out)], check=True)
    report(
        command="full",
        num=num,
        kept_whole=int((found["verdict"] != "failed").sum()),
        reasons=sorted(set(found.loc[found["verdict"] == "failed", "reason"].str[:60])),
        second_run_fitted=int((again["verdict"] != "failed").sum()),
    )


if __name__ == "__main__":
    app()
