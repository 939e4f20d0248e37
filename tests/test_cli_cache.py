"""What the program compiles is kept for its next call, and never stands in the way of a fit."""

import os
import stat
import subprocess
import sys

import pytest

from numpyro_lens.cli import _cache

FOLDER, LEAST = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"

#: the program, with a command that compiles one function
PROGRAM = """
import typer
from numpyro_lens import cli
from numpyro_lens.cli._shared import CacheOption, start_jax

@cli.app.command()
def compile(cache: CacheOption = True):
    start_jax(x64=False, cache=cache)
    import jax
    hits = []
    jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
    jax.jit(lambda x: 2.0 * x + 1.0)(1.0)
    print(sum("cache_hits" in event for event in hits))

cli.main()
"""


def program(home, *options, **more):
    environment = {k: v for k, v in os.environ.items() if k not in (FOLDER, LEAST)}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}
    command = [sys.executable, "-W", "error", "-c", PROGRAM, "compile", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A home of its own, and whatever is set is forgotten afterwards."""
    for name in (FOLDER, LEAST):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def kept(home):
    return list(home.rglob("*-cache"))


def test_the_second_call_of_the_program_compiles_nothing(tmp_path):
    assert program(tmp_path, "--no-cache") == 0
    assert kept(tmp_path) == []
    assert program(tmp_path) == 0
    assert kept(tmp_path)
    assert program(tmp_path) >= 1


def test_an_entry_that_cannot_be_read_is_replaced(tmp_path):
    """Without a word: the programs here raise every warning."""
    assert program(tmp_path) == 0
    for path in kept(tmp_path):
        path.write_bytes(path.read_bytes()[:100])
    assert program(tmp_path) == 0
    assert all(path.stat().st_size > 100 for path in kept(tmp_path))
    assert program(tmp_path) >= 1


def test_a_library_decides_nothing(environment):
    code = "import os, numpyro_lens.cli; print('JAX_COMPILATION_CACHE_DIR' in os.environ)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_folder_is_the_users_own(environment):
    _cache.use_cache()
    folder = _cache.cache_folder()
    assert os.environ[FOLDER] == str(folder)
    assert environment in folder.parents
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ[LEAST] == "0"


def test_what_the_user_has_set_stays(environment, monkeypatch):
    monkeypatch.setenv(FOLDER, "/mine")
    monkeypatch.setenv(LEAST, "5")
    _cache.use_cache()
    assert (os.environ[FOLDER], os.environ[LEAST]) == ("/mine", "5")
    assert list(environment.iterdir()) == []


def test_no_cache_where_none_can_be_written(environment, monkeypatch):
    (environment / "cache").write_text("a file where the folder should be")
    _cache.use_cache()
    assert FOLDER not in os.environ
    monkeypatch.setenv("XDG_CACHE_HOME", str(environment / "other"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # read-only, also for root
    _cache.use_cache()
    assert FOLDER not in os.environ


def test_the_oldest_make_room(tmp_path):
    for age, name in enumerate("abcd"):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    _cache.make_room(tmp_path, 400)
    assert len(kept(tmp_path)) == 4
    _cache.make_room(tmp_path, 399)
    assert sorted(path.name for path in kept(tmp_path)) == ["a-cache"]
