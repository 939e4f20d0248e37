"""Tables, files and arrays as lenses, and errors that say what to type."""

import numpy as np
import pandas as pd
import pytest
from astropy import units
from astropy.table import Table

import numpyro_lens as nl
from numpyro_lens.fleet.table import Lens, columns_of, lenses

CSV = "name,file,redshift,ra,dec,psf\n0037,a.fits,0.5,10.5,-1.0,PSF\n0038,b.fits,0.6,,,psf.fits\n"


@pytest.mark.parametrize("ending", ["csv", "ecsv", "parquet"])
def test_a_table_of_any_kind(tmp_path, ending):
    (tmp_path / "made.csv").write_text(CSV)
    made = pd.read_csv(tmp_path / "made.csv", dtype={"name": str})
    path = tmp_path / f"lenses.{ending}"
    if ending == "csv":
        path.write_text(CSV)
    elif ending == "ecsv":
        table = Table.from_pandas(made)
        table["ra"].unit = units.deg
        table.write(path)
    else:
        made.to_parquet(path)
    first, second = lenses(path, {"noise": "RMS", "psf": "KERNEL"})
    assert (first.name, second.name) == ("0037", "0038")
    assert first.data == str(tmp_path / "a.fits")
    assert first.reading == {"noise": "RMS", "psf": "PSF", "center": "10.5d -1.0d"}
    assert second.reading == {"noise": "RMS", "psf": str(tmp_path / "psf.fits")}
    assert first.columns["redshift"] == 0.5


def test_tables_in_memory_name_files_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = {"file": ["a.fits[SCI]", "sub/b.fits.gz"], "z": [0.5, 0.6] * units.one}
    for table in (Table(rows), pd.DataFrame({"file": rows["file"], "z": [0.5, 0.6]})):
        first, second = lenses(table)
        assert (first.name, second.name) == ("a", "b")
        assert first.data == f"{tmp_path}/a.fits[SCI]"
        assert second.columns["z"] == 0.6


def test_a_table_need_not_name_lenses(tmp_path):
    (tmp_path / "lenses.csv").write_text("file\na.fits\nb.fits\n")
    assert [lens.name for lens in lenses(tmp_path / "lenses.csv")] == ["a", "b"]
    empty = pd.DataFrame({"file": ["a.fits"], "note": pd.array([pd.NA], dtype="Int64")})
    assert lenses(empty)[0].columns == {"file": "a.fits"}


def test_bands_are_in_one_file_or_in_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"name": ["a"], "file": ["a.fits"], "v": ["v.fits"], "h": ["h.fits"]})
    (one,) = lenses(table, bands=["VIS", "NIR_H"])
    assert (one.data, one.bands) == (f"{tmp_path}/a.fits", ("VIS", "NIR_H"))
    (several,) = lenses(table, bands={"VIS": "v", "NIR_H": "h"})
    assert several.data == {"VIS": f"{tmp_path}/v.fits", "NIR_H": f"{tmp_path}/h.fits"}


def test_arrays_become_observations():
    settings = {"pixel_scale": 0.1, "noise": nl.NoiseMap(1.0)}
    first, second = lenses(np.zeros((2, 9, 8)), settings)
    assert (first.name, second.name) == ("lens_000000", "lens_000001")
    made = first.read()
    assert made.shape == (9, 8)
    (given,) = lenses([made], settings)
    assert given.read() is made
    (bands,) = lenses([{"vis": made}])
    assert bands.read() == {"vis": made}


def test_files_are_read(files):
    settings = {"noise": "RMS", "pixel_scale": 0.1}
    found = lenses([files / "lens0.fits", str(files / "lens1.fits")], settings)
    assert [lens.name for lens in found] == ["lens0", "lens1"]
    assert [lens.read().shape for lens in found] == [(24, 24), (26, 26)]


WRONG = {
    "no file": (pd.DataFrame({"name": ["a"], "z": [1.0]}), "'file'; it has name, z"),
    "no row": (pd.DataFrame({"file": []}), "at least one lens"),
    "twice": (["a/x.fits", "b/X.fits"], "'X' occurs twice"),
    "a way out": (pd.DataFrame({"name": ["../up"], "file": ["a.fits"]}), "no slash"),
    "hidden": (pd.DataFrame({"name": [".a"], "file": ["a.fits"]}), "no point"),
    "one file": ("lens.fits", r"Write \['lens.fits'\]"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_table_is_an_error(given, words):
    with pytest.raises(ValueError, match=words):
        lenses(given)


def test_a_table_that_is_not_there_or_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"CSV, ECSV or Parquet"):
        lenses(tmp_path / "no.csv")
    (tmp_path / "no.ecsv").write_text("not a table")
    with pytest.raises(ValueError, match="no table that can be read"):
        lenses(tmp_path / "no.ecsv")


def test_columns_go_to_arguments_of_their_name():
    def model(file, redshift, note="none", psf=None):
        pass

    rows = [{"redshift": 0.5, "file": "a", "psf": "PSF"}, {"redshift": 0.6, "file": "b"}]
    found = [Lens(str(i), "x.fits", columns=row) for i, row in enumerate(rows)]
    assert columns_of(model, found) == ("redshift",)
    assert columns_of(lambda data, **columns: None, found) == ("redshift",)
    assert columns_of(lambda data: None, found) == ()
    del rows[1]["redshift"]
    with pytest.raises(ValueError, match=r"wants 'redshift' .* 1 have none, the first '1'"):
        columns_of(model, found)


def test_a_value_that_no_column_has_is_an_error_before_anything_runs():
    found = [Lens("a", "x.fits", columns={"z": 0.5})]
    with pytest.raises(ValueError, match="'redshift'"):
        columns_of(lambda data, *, redshift: None, found)
