"""The report: one page that needs nothing else, true about what converged."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import numpyro.distributions as dist
import pytest
from matplotlib.image import imread
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens.report import write_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Reader(HTMLParser):
    """Counts tags, checks that they close, and collects what the page loads."""

    def __init__(self):
        super().__init__()
        self.open, self.count, self.sources, self.text = [], {}, [], ""

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.sources += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def result():
    return fitted()


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(result, path) == []
    return path


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader.open
    return reader


def test_page_is_whole_and_loads_nothing(page):
    reader = read(page)
    assert reader.count["img"] == 7
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert "script" not in reader.count
    assert "$" not in re.sub(r"<img[^>]*>", "", page.read_text())


def test_page_says_what_did_not_converge_and_what_to_do(page, result):
    text = read(page).text
    assert "NOT converged" in text
    assert f"largest {result.verdict.max_r_hat[0]:.4f}" in text
    assert "Draw more" in text
    assert "lens.theta_E" in text
    assert "sampling: 7" in text
    assert "image.einstein_radius" in text


def test_picture_without_a_model_is_left_out_and_said(result, tmp_path):
    result.save(tmp_path / "posterior.nc")
    missing = write_report(nl.load(tmp_path / "posterior.nc"), tmp_path / "report.html")
    assert len(missing) == 5
    assert "model=your_function" in missing[0]
    reader = read(tmp_path / "report.html")
    assert reader.count["img"] == 3
    assert "Fit was not drawn" in reader.text


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")
def test_browser_shows_the_page(page, tmp_path):
    picture = tmp_path / "page.png"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,1200"]
    command += [
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--screenshot={picture}",
        f"file://{page}",
    ]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    shown = imread(picture)[..., :3]
    assert shown.shape == (1200, 900, 3)
    orange = np.array([0xD5, 0x5E, 0x00]) / 255  # the mark of a verdict that is no
    assert np.mean(np.all(np.abs(shown - orange) < 0.02, axis=-1)) > 1e-4
    ink = shown.mean(axis=-1) < 0.5
    assert 0.01 < ink.mean() < 0.7


def test_bands_of_one_shape_are_shown_in_colour(tmp_path):
    def model(bands):
        sky = nl.sample("sky", nl.light.Uniform, amp=dist.Normal(0.0, 1.0))
        for name, band in bands.items():
            nl.observe(name, band, lens_light=sky)

    def camera(number):
        return nl.Observation.blank(
            (6, 7 + number), pixel_scale=0.1, noise=nl.NoiseMap(0.1), supersampling=1
        )

    for names, last, shown in (("grz", 0, True), ("grz", 1, False), ("griz", 0, True)):
        bands = {name: camera(0) for name in names} | {"z": camera(last)}
        write_report(fitted(model, bands), tmp_path / "report.html")
        assert ("Colours" in read(tmp_path / "report.html").text) == shown


def test_no_text_of_a_file_becomes_markup(tmp_path):
    """Names of sites, of stages and of packages are whatever a file says."""

    def model(observation):
        sky = nl.sample("<script>a", nl.light.Uniform, amp=dist.Normal(0.0, 1.0))
        nl.observe("<video src='x'>", observation, lens_light=sky)

    camera = nl.Observation.blank((6, 7), pixel_scale=0.1, noise=nl.NoiseMap(0.1), supersampling=1)
    result = fitted(model, camera)
    result.__dict__["versions"] = {"<script>": "<script>"}
    result.own_gradients["<script>"] = 3
    result.timing["<script>"] = 3.0
    result.settings["</pre><script>"] = "<script>"
    write_report(result, tmp_path / "report.html")
    reader = read(tmp_path / "report.html")
    assert not {"script", "video"} & set(reader.count)
    assert "<video src='x'>" in reader.text
    assert "&lt;" not in reader.text
