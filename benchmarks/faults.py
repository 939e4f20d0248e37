"""What faults do to the command line, and what sixty fits leave behind in one process.

    python benchmarks/faults.py kill        # SIGKILL at 20 random moments, with `resume` after each
    python benchmarks/faults.py interrupt   # Ctrl-C at 20 random moments, with `resume` after each
    python benchmarks/faults.py full        # a disk with too little room (Linux, as root)
    python benchmarks/faults.py shapes      # memory, memory maps and open files of 60 fits
    python benchmarks/faults.py table       # the counts so far

The lens has 15x15 pixels and two parameters, the stages are short, and what is compiled is kept
from one run to the next. Each trial is a line of faults.jsonl; trials that it holds are not made
again. A moment is drawn evenly from the seconds of the CPU that an undisturbed run takes, imports
included. A run is broken off and resumed up to four times before it may finish; then its draws are
compared with those of the undisturbed run, bit for bit.
"""

import argparse
import collections
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import jax
import numpy as np
import psutil
import records
from astropy.io import fits

import numpyro_lens as nl

RESULTS = Path(__file__).with_suffix(".jsonl")
#: a model file is code: this one asks for short stages as well
MODEL = """
import functools

import numpyro.distributions as dist

import numpyro_lens as nl

nl.fit = functools.partial(
    nl.fit,
    map=nl.infer.MAP(num_starts=4, num_screened=40, num_steps=50, num_polished=1),
    svi=nl.infer.SVI(num_particles=4, num_steps=20, num_importance=32),
    hmc=nl.infer.HMC(
        num_chains=2, num_burnin_steps=100, num_results=400, max_results=400, block=25
    ),
)


def model(observation):
    lens = nl.sample("lens", nl.mass.SIS, theta_E=dist.Normal(0.5, 0.1))
    amp = dist.LogNormal(0.0, 0.5)
    source = nl.sample("source", nl.light.Gaussian, amp=amp, sigma=0.1)
    nl.observe("image", observation, mass=lens, source=source)
"""
#: in the order in which they are written; the draws are removed once the posterior is whole
WRITTEN = (
    *("map.npz", "svi.npz", "draws.npz", "posterior.nc", "summary.csv"),
    *("fit.png", "corner.png", "corner.pdf", "derived.csv", "manifest.json"),
)
FULL_AT = ("draws.npz", "posterior.nc", "corner.pdf", "manifest.json")
PAGE = 4096


def mock(shape):
    """A small lens with noise."""
    noise = nl.NoiseMap(0.05)
    blank = nl.Observation.blank(shape, pixel_scale=0.1, noise=noise, psf=nl.GaussianPSF(0.1))
    source = nl.light.Gaussian(amp=1.0, sigma=0.1)
    return nl.mock(blank, jax.random.key(0), mass=nl.mass.SIS(theta_E=0.45), source=source)


class Bench:
    """A folder with a model, an image and an undisturbed run."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True, parents=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(self.folder / "compiled")
        # a program in the background ignores Ctrl-C, and so would those that it starts
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ["TMPDIR"] = str(self.folder)  # of the draws that find no room elsewhere
        (self.folder / "short.py").write_text(MODEL)
        image = np.asarray(mock((15, 15)).image)
        sigma = fits.ImageHDU(np.full(image.shape, 0.05), name="RMS")
        hdus = fits.HDUList([fits.PrimaryHDU(image), sigma])
        hdus.writeto(self.folder / "lens.fits", overwrite=True)
        if not (self.folder / "compiled").exists():
            self.begin("compiling").wait()
        self.forget("whole")
        self.seconds, _ = until(self.begin("whole"), float("inf"))
        print(f"an undisturbed run: {self.seconds:.1f} s of the CPU", flush=True)
        self.draws = contents(self.folder / "whole" / "posterior.nc")

    def forget(self, name):
        for folder in (name, f"{name}_run"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)

    def begin(self, name, out=None):
        """`fit` with a checkpoint, in a process of its own."""
        folder = self.folder
        read = ("--noise", "RMS", "--pixel-scale", "0.1", "--supersampling", "1")
        keep = ("--out", str(out or folder / name), "--checkpoint", str(folder / f"{name}_run"))
        files = (f"{folder}/short.py:model", f"{folder}/lens.fits")
        return self.run(name, "fit", *files, *read, *keep, "--overwrite")

    def go_on(self, name):
        """`resume` of a run that was broken off, or `fit` again where there is none."""
        if (self.folder / f"{name}_run" / "command.json").exists():
            return self.run(name, "resume", str(self.folder / f"{name}_run"))
        return self.begin(name)

    def run(self, name, *arguments):
        command = [sys.executable, "-m", "numpyro_lens", *arguments]
        with open(self.folder / f"{name}.err", "w") as error:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=error)

    def said(self, name):
        """What the program said itself."""
        lines = (self.folder / f"{name}.err").read_text().splitlines()
        return [line for line in lines if line.startswith("numpyro-lens: ")]

    def has_traceback(self, name):
        return "Traceback" in (self.folder / f"{name}.err").read_text()

    def progress(self, name):
        """How far a run is, by its files."""
        run, out = self.folder / f"{name}_run", self.folder / name
        stages = {
            "finished": (out / "manifest.json").exists(),
            "tables and pictures": (out / "posterior.nc").exists(),
            "HMC, draws": any(run.glob("block_*")),
            "HMC, burn-in": (run / "state.npz").exists(),
            "HMC, compiling": (run / "svi.nc").exists(),
            "SVI": (run / "map.nc").exists(),
            "MAP": (run / "command.json").exists(),
            "start-up": True,
        }
        return next(name for name, reached in stages.items() if reached)

    def finished(self, name):
        """Let it finish, and compare its draws."""
        code = self.go_on(name).wait()
        path = self.folder / name / "posterior.nc"
        if code not in (0, 1, 3) or not path.exists():
            return f"failed with {code}: {self.said(name)}"
        return "the same" if same_draws(self.draws, contents(path)) else "other draws"


def until(process, seconds):
    """Wait until a process has used so much of the CPU; what it has, and whether it goes on."""
    watched, used = psutil.Process(process.pid), 0.0
    while used < seconds and process.poll() is None:
        with suppress(psutil.Error):
            used = sum(watched.cpu_times()[:2]) or used
        time.sleep(0.01)
    return used, process.poll() is None


def contents(path):
    """Every array of the draws and their statistics."""
    groups = ("posterior", "sample_stats", "numpyro_lens_hmc")
    with h5py.File(path) as file:
        return {
            f"{group}/{name}": file[group][name][()] for group in groups for name in file[group]
        }


def same_draws(one, other):
    """Whether two files hold the same, bit for bit."""
    return one.keys() == other.keys() and all(
        np.asarray(one[name]).tobytes() == np.asarray(other[name]).tobytes() for name in one
    )


def kept():
    """Trials of the file, by command."""
    found = collections.defaultdict(list)
    for trial in records.read(RESULTS):
        found[trial["command"]].append(trial)
    return found


def keep(command, **values):
    """Add a line to the file."""
    records.append(RESULTS, {"command": command} | values)


def missing(command, num):
    """Numbers of the trials that the file lacks."""
    made = {trial["trial"] for trial in kept()[command]}
    return [number for number in range(num) if number not in made]


def chains(command, sent, num, bench, length=4):
    """Runs that a signal breaks off so many times each, and then their end."""
    draw = np.random.default_rng([num, sent])
    while numbers := missing(command, num)[:length]:
        name, trials = f"{command}{numbers[0]}", []
        bench.forget(name)
        for number in numbers:
            trial = broken_off(name, sent, draw.uniform(0.0, bench.seconds), bench)
            if trial is None:
                break
            trials.append({"trial": number} | trial)
        then = bench.finished(name)
        for trial in trials:
            keep(command, **trial, then=then)
        bench.forget(name)


def broken_off(name, sent, moment, bench):
    """Begin a run or go on with it, and break it off; None where it was done before."""
    found, process = bench.progress(name), bench.go_on(name)
    _, goes_on = until(process, moment)
    if not goes_on and process.wait() in (0, 1, 3):
        return None
    process.send_signal(sent)
    began = time.monotonic()
    code = process.wait()
    return {
        "part": round(moment / bench.seconds, 3),
        "from": found,
        "to": bench.progress(name),
        "code": code,
        "seconds": round(time.monotonic() - began, 2),
        "traceback": bench.has_traceback(name),
        "said": bench.said(name),
    }


def kill(bench, num):
    chains("kill", signal.SIGKILL, num, bench)


def interrupt(bench, num):
    chains("interrupt", signal.SIGINT, num, bench)


@contextmanager
def small_disk(folder, size):
    """A file system of so many bytes."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(folder)]
    subprocess.run(options, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def pages(path):
    return -(-path.stat().st_size // PAGE) * PAGE


def room_until(whole, name):
    """Bytes that the files take that are written before this one, and three quarters of it."""
    size = {path.name: pages(path) for path in whole.iterdir()}
    size["draws.npz"] = PAGE * 2
    at = WRITTEN.index(name)
    before = sum(
        size[each] for each in WRITTEN[:at] if each != "draws.npz" or name == "posterior.nc"
    )
    return max(PAGE, before + size[name] * 3 // 4 // PAGE * PAGE)


def full(bench, num):
    del num
    for number in missing("full", len(FULL_AT)):
        fill(number, bench)
    if missing("full checkpoint", 1):
        fill_checkpoint(bench)


def fill(number, bench):
    """A fit whose folder of results has no room for one of its files."""
    name, at = f"full{number}", FULL_AT[number]
    bench.forget(name)
    size = room_until(bench.folder / "whole", at)
    with small_disk(bench.folder / name, size) as out:
        code = bench.go_on(name).wait()
        left = sorted(path.name for path in out.iterdir())
        words = [word.strip(",.") for line in bench.said(name) for word in line.split()]
        paths = [Path(word) for word in words if word.endswith("draws.npz")]
        has_draws = any(path.exists() for path in paths)
        whole = "posterior.nc" in left and same_draws(bench.draws, contents(out / "posterior.nc"))
    keep(
        "full",
        trial=number,
        at=at,
        bytes=size,
        code=code,
        left=left,
        draws_kept=whole or has_draws,
        traceback=bench.has_traceback(name),
        said=bench.said(name),
    )


def fill_checkpoint(bench):
    """A checkpoint without room for its blocks; then one with room, and `resume`."""
    name = "full_checkpoint"
    bench.forget(name)
    size = sum(pages(path) for path in (bench.folder / "whole_run").iterdir()) * 2 // 3
    with small_disk(bench.folder / f"{name}_run", size) as run:
        code = bench.begin(name).wait()
        values = {"traceback": bench.has_traceback(name), "said": bench.said(name)}
        left = len(list(run.iterdir()))
        subprocess.run(["mount", "-o", "remount,size=64m", str(run)], check=True)
        then = bench.finished(name)
    keep("full checkpoint", trial=0, bytes=size, code=code, files_left=left, **values, then=then)


def shapes(_bench, num):
    """Fits of images, a third as many shapes as fits, one after the other."""
    from numpyro_lens.models import load_model

    process, image = psutil.Process(), np.asarray(mock((24, 24)).image)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "short.py").write_text(MODEL)
        model = load_model(f"{folder}/short.py:model")
        for number in range(num):
            size, longer = divmod(number % (num // 3), 2)
            shape = (12 + size, 12 + size + longer)
            part = image[: shape[0], : shape[1]]
            noise, psf = nl.NoiseMap(0.05), nl.GaussianPSF(0.1)
            observation = nl.Observation(part, pixel_scale=0.1, noise=noise, psf=psf)
            nl.fit(model, observation, progress=False).save(Path(folder) / "posterior.nc")
            keep(
                "shapes",
                trial=number,
                shape=shape,
                cpu=sum(process.cpu_times()[:2]),
                mib=process.memory_info().rss / 2**20,
                maps=len(Path("/proc/self/maps").read_text().splitlines()),
                files=process.num_fds(),
            )


def table(_bench, _num):
    """Counts of what came of the trials."""
    found = kept()
    for command in ("kill", "interrupt"):
        trials = found[command]
        counts = collections.Counter(f"{t['to']}: {t['code']}, {t['then']}" for t in trials)
        print(f"{command}: {len(trials)}, with a traceback {sum(t['traceback'] for t in trials)}")
        for what, count in sorted(counts.items()):
            print(f"  {count} x {what}")
        for at in sorted({t["to"] for t in trials}):
            print(f"  {at}: ended within {max(t['seconds'] for t in trials if t['to'] == at)} s")
    for trial in found["full"] + found["full checkpoint"]:
        print("full", trial)
    for trial in found["shapes"]:
        print({name: trial[name] for name in ("trial", "shape", "mib", "maps", "files")})


def main():
    commands = {each.__name__: each for each in (kill, interrupt, full, shapes, table)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="+", choices=commands)
    parser.add_argument("--num", type=int, help="trials: 20, and 60 fits, by default")
    parser.add_argument("--folder", help="of the runs; by default one for temporary files")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alone = {"shapes", "table"}
        bench = None if alone.issuperset(given.commands) else Bench(given.folder or folder)
        for name in given.commands:
            commands[name](bench, given.num or (60 if name == "shapes" else 20))


if __name__ == "__main__":
    main()
