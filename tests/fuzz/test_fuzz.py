"""Damaged files: a valid result, or an error of ours; never another one, and never a hang."""

import gzip
import io
import json
import tracemalloc

import h5py
import numpy as np
import pytest
from astropy.io import fits
from damage import damaged, tried
from hypothesis import given
from hypothesis import strategies as st
from synthetic import fitted

import numpyro_lens as nl
from numpyro_lens import exchange
from numpyro_lens.infer.checkpoint import Checkpoint, Progress

SHAPE = (20, 24)
WCS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRPIX1": 12.5,
    "CRPIX2": 10.5,
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CD1_1": -1.4e-5,
    "CD2_2": 1.4e-5,
    "CUNIT1": "deg",
    "CUNIT2": "deg",
}


def fits_bytes(compressed=False):
    image = np.random.default_rng(0).normal(size=SHAPE).astype(">f4")
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    hdus = [fits.PrimaryHDU(), kind(image, fits.Header(WCS), name="SCI")]
    hdus.append(fits.ImageHDU(np.ones(SHAPE), name="RMS"))
    hdus.append(fits.ImageHDU(np.ones((5, 5)), name="PSF"))
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.ones(3))]))
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


def hdf5_bytes():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["image_data"], file["noise_map"] = np.zeros(SHAPE), np.ones(SHAPE)
        file["transform_pix2angle"] = 0.1 * np.eye(2)
        file["ra_at_xy_0"], file["dec_at_xy_0"] = -1.0, 1.0
        file.create_dataset("zipped", data=np.zeros(SHAPE), compression="gzip")
    return buffer.getvalue()


def read_fits(path):
    return nl.read_fits(path, noise="RMS", psf="PSF")


def is_sound(result):
    """An error of ours, or an observation without holes in it."""
    if isinstance(result, str):
        return True
    sigma = np.asarray(result.noise.sigma(result.image))
    matrix = np.asarray(result.transform_pix2angle)
    used = np.asarray(result.mask)
    return bool(np.isfinite(np.asarray(result.image)[used]).all()) and bool(
        (sigma[used] > 0).all() and np.isfinite(matrix).all() and np.linalg.det(matrix) != 0
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(content=damaged(fits_bytes(), width=80))
def test_fits(folder, content):
    (folder / "lens.fits").write_bytes(content)
    assert is_sound(tried(read_fits, folder / "lens.fits"))


@given(content=damaged(fits_bytes(compressed=True), width=80))
def test_compressed_image(folder, content):
    (folder / "tiles.fits").write_bytes(content)
    assert is_sound(tried(read_fits, folder / "tiles.fits"))


@given(content=damaged(gzip.compress(fits_bytes())))
def test_compressed_file(folder, content):
    (folder / "lens.fits.gz").write_bytes(content)
    assert is_sound(tried(read_fits, folder / "lens.fits.gz"))


@given(content=damaged(hdf5_bytes()))
def test_hdf5_of_lenstronomy(folder, content):
    (folder / "lens.h5").write_bytes(content)
    assert is_sound(tried(exchange.read_lenstronomy, folder / "lens.h5"))


# --- COOLEST -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def template(folder):
    """The text of a template, whose making compiles: no example waits for that."""
    observation = nl.Observation.blank((8, 8), pixel_scale=0.1, noise=nl.NoiseMap(1.0))
    source = nl.light.Sersic(amp=2.0, R_sersic=0.1, n_sersic=1.0)
    source = source + nl.light.Shapelets(amp=np.ones(3), beta=0.1)
    scene = nl.Scene.of(mass=nl.mass.SIE(theta_E=1.2, e1=0.1, e2=0.0), source=source)
    exchange.write_coolest(folder / "lens.json", scene, observation)
    exchange.read_coolest(folder / "lens.json")
    return (folder / "lens.json").read_text()


def places(part, path=()):
    """Every place of a JSON value."""
    yield path
    children = part.items() if isinstance(part, dict) else ()
    children = enumerate(part) if isinstance(part, list) else children
    for key, value in children:
        yield from places(value, (*path, key))


@given(data=st.data())
def test_coolest(folder, template, data):
    whole = {"": json.loads(template)["lensing_entities"]}
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from([p for p in places(whole) if p]))
        part = whole
        for key in path:
            part = part[key]
        other = st.sampled_from([None, True, -1.0, 1e400, float("nan"), "x", [], {}, [{}], 10**400])
        part[last] = data.draw(other)
    (folder / "lens.json").write_text(json.dumps({"lensing_entities": whole[""]}))
    result = tried(exchange.read_coolest, folder / "lens.json")
    assert isinstance(result, str | nl.Scene)


@given(content=st.binary(max_size=200) | st.just(b"[" * 100_000))
def test_any_bytes_as_coolest(folder, content):
    (folder / "any.json").write_bytes(content)
    assert isinstance(tried(exchange.read_coolest, folder / "any.json"), str)


# --- our own files -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(folder):
    fitted().save(folder / "posterior.nc")
    return (folder / "posterior.nc").read_bytes()


@given(data=st.data())
def test_posterior(folder, saved, data):
    content = data.draw(damaged(saved))
    (folder / "changed.nc").write_bytes(content)
    result = tried(nl.load, folder / "changed.nc")
    assert isinstance(result, str) or content == saved


@given(data=st.data())
def test_checkpoint(folder, data):
    start = Progress(np.zeros(50), 0, {})
    Checkpoint(folder).write(Progress(np.ones(50), 3, {"burn_in": 7}), {"key": 1})
    whole = (folder / "state.npz").read_bytes()
    content = data.draw(damaged(whole))
    (folder / "state.npz").write_bytes(content)
    result = tried(lambda folder: Checkpoint(folder).read(start, {"key": 1}), folder)
    assert isinstance(result, str) or content == whole


# --- what a file cannot hold ---------------------------------------------------------------------


def claiming(**cards):
    """A FITS file of which cards claim something else."""
    header, *rest = fits_bytes().partition(b"XTENSION")
    text = b"".join(rest)
    for name, value in cards.items():
        card = next(
            text[i : i + 80] for i in range(0, len(text), 80) if text[i:].startswith(name.encode())
        )
        text = text.replace(card, f"{name:8}= {value:>20}".encode().ljust(80), 1)
    return header + text


CLAIMS = {
    "pixels.fits": claiming(NAXIS1=10**6, NAXIS2=10**6),
    "axes.fits": claiming(NAXIS=10**9),
    "columns.fits": claiming(TFIELDS=10**9),
    "heap.fits": claiming(PCOUNT=10**12),
    "pixels.fits.gz": gzip.compress(claiming(NAXIS1=10**6, NAXIS2=10**6)),
    "bomb.fits.gz": gzip.compress(fits_bytes() + bytes(10**8), 1),
    "end.fits": claiming(NAXIS1=10**6, NAXIS2=10**6).replace(b"END ", b"END?"),
    "no_end.fits": fits_bytes().replace(b"END" + b" " * 77, b"XXX".ljust(80)) + bytes(10**7),
}


@pytest.fixture(scope="module")
def imported(folder):
    """What is imported at the first reading is none of a file's memory."""
    (folder / "sound.fits").write_bytes(fits_bytes())
    read_fits(folder / "sound.fits")


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("name", CLAIMS)
def test_more_than_a_file_can_hold_is_refused_from_the_header(tmp_path, name):
    (tmp_path / name).write_bytes(CLAIMS[name])
    tracemalloc.start()
    message = tried(read_fits, tmp_path / name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(message, str)
    assert name in message
    assert peak < 2e6 + 4 * len(CLAIMS[name])


def test_chunks_that_were_never_written_are_refused(tmp_path):
    with h5py.File(tmp_path / "lens.h5", "w") as file:
        file.create_dataset("image_data", (10**6, 10**6), "f4", chunks=(100, 100))
    with pytest.raises(ValueError, match=r"'image_data' of .*claims the shape"):
        exchange.read_lenstronomy(tmp_path / "lens.h5")
