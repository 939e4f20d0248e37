"""What the documents say is true: every block of Python runs, every public name is described."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import numpyro
import pytest
from astropy.io import fits
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens import fitting, gigalens
from numpyro_lens.models import epl_shear_sersic

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]
NOTEBOOKS = sorted((ROOT / "examples").glob("[0-9]*.py"))
# a block may be excused by a comment that says why, in the line before it
BLOCK = re.compile(r"(?P<why><!-- not run: [^>]+-->\n)?^```python\n(?P<code>.*?)^```", re.M | re.S)


def blocks(page):
    """Line number and code of each block to run."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        if match["why"] is None:
            yield text.count("\n", 0, match.start("code")) + 1, match["code"]


def lens_file(path, sigma=0.1, shape=(120, 120)):
    """A FITS file with every extension that the pages name."""
    rng = np.random.default_rng(0)
    scale = 0.04 / 3600
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -scale, "CD2_2": scale}
    cards |= {"CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 60.5, "CRPIX2": 60.5, "BKGRMS": sigma}
    image = rng.normal(0.0, sigma, shape)
    image[58:62, 58:62] += 1.0
    names = {"VIS_FLUX": image, "VIS_RMS": np.full(shape, sigma), "EXPTIME": np.full(shape, 100.0)}
    layers = [fits.ImageHDU(layer, fits.Header(cards), name=name) for name, layer in names.items()]
    names = {"NIR_Y_FLUX": image, "NIR_Y_RMS": np.full(shape, 0.1)}
    layers += [fits.ImageHDU(layer, fits.Header(cards), name=name) for name, layer in names.items()]
    layers += [fits.ImageHDU(np.ones((5, 5)), name=f"{band}_PSF") for band in ("VIS", "NIR_Y")]
    fits.HDUList([fits.PrimaryHDU(), *layers]).writeto(path)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The reader's folder, and the names that a page takes for granted; fits cost nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)  # a page's setting stays on the page
    for name in ("lens.fits", "euclid_q1_102020532.fits"):
        lens_file(tmp_path / name)
    lens_file(tmp_path / "hst_f390w_ring.fits", sigma=0.00173)
    fits.PrimaryHDU(np.zeros((120, 120), np.int32)).writeto(tmp_path / "segmentation.fits")

    def fit_target(target, *_args, **_settings):
        return fitted(target.model, *target.args)

    for module in (fitting.pipeline, gigalens.inference):
        monkeypatch.setattr(module, "fit_target", fit_target)
    monkeypatch.setattr(nl, "fit_galaxy", lambda data, **_: fitted(epl_shear_sersic, data))
    for stage in ("MAP", "SVI", "HMC"):
        part = {"MAP": lambda r: r.map, "SVI": lambda r: r.svi, "HMC": lambda r: r}[stage]
        monkeypatch.setattr(
            nl.ModellingSequence,
            stage,
            lambda self, *_, part=part, **__: part(fit_target(self.target)),
        )
    kernel = np.ones((5, 5)) / 25
    observation = nl.Observation(
        np.ones((60, 60)), pixel_scale=0.065, noise=nl.NoiseMap(0.1), psf=nl.PSF(kernel)
    )
    return {
        "nl": nl,
        "numpyro": numpyro,
        "model": epl_shear_sersic,
        "observation": observation,
        "image": np.ones((60, 60)),
        "psf": kernel,
        "fit": fitted(epl_shear_sersic, observation),
        "__name__": "page",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_of_the_page_runs(page, reader, tmp_path):
    ran = 0
    for line, code in blocks(page):
        # the line numbers of an error are those of the page
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), reader)
        ran += 1
    assert ran == len(list(blocks(page)))


def test_pages_hold_python():
    assert sum(1 for page in PAGES for _ in blocks(page)) > 20


def test_every_public_name_is_described(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    public = importlib.import_module("public")
    assert list(public.undocumented()) == []
    pages = public.reference()
    assert {"EPL", "Shear"} <= set(pages["numpyro_lens.mass"])
    assert {"fit", "Observation", "load"} <= set(pages["numpyro_lens"])
    assert "plot_fit" in pages["numpyro_lens.plot"]


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+\.(?:md|png))[^)]*\)", page.read_text()):
            if (ROOT / "docs" / "about") in page.parents and not (page.parent / target).exists():
                continue  # included from the root of the repository
            assert (page.parent / target).exists(), f"{page}: {target}"


def lines_of(code):
    return sum(1 for line in code.splitlines() if line.strip())


def test_lines_of_code_are_those_of_the_table():
    page = ROOT / "docs" / "about" / "peers.md"
    table = dict(re.findall(r"^\| ([^|]+) \|[^|\n]*\| (\d+) \|$", page.read_text(), re.M))
    found = {code: int(count) for code, count in table.items()}
    ready, own = (lines_of(code) for _, code in blocks(page))
    gigalens, *_ = (lines_of(code) for _, code in blocks(ROOT / "docs" / "gigalens.md"))
    scripts = {
        path.stem.removeprefix("fit_"): lines_of(path.read_text()) - 1  # its docstring
        for path in (page.parent / "peer_scripts").glob("*.py")
    }
    assert list(found.values())[:3] == [ready, own, gigalens]
    assert own <= 25
    assert {code.lower(): n for code, n in list(found.items())[3:]} == {
        "lenstronomy": scripts["lenstronomy"],
        "giga-lens": scripts["gigalens"],
        "herculens": scripts["herculens"],
    }


SMALL = """
import runpy, sys
import numpyro_lens as nl
from numpyro_lens.fitting import pipeline

full = pipeline.fit_target
small = {
    "map": nl.infer.MAP(num_starts=4, num_screened=40, num_steps=20, num_polished=2),
    "svi": nl.infer.SVI(num_particles=4, num_steps=10, num_importance=32),
    "hmc": nl.infer.HMC(num_chains=4, num_burnin_steps=20, num_results=50, max_results=50),
}

def fit_target(target, seed=0, **settings):
    return full(target, seed, **(settings | small))

pipeline.fit_target = fit_target
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_small(notebook, tmp_path):
    """In a process of its own, as a kernel would; full size is the documentation's build."""
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SMALL, str(notebook)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_nb")
    pytest.importorskip("sphinx_copybutton")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-D", "nb_execution_mode=off"]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "plot_fit" in (tmp_path / "reference" / "numpyro_lens.plot.html").read_text()
