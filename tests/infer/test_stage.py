"""What a stage says while it runs: a bar on a terminal, lines in a file, nothing when asked."""

import io
import sys

import jax
import numpyro
import numpyro.distributions as dist
import pytest

from numpyro_lens.infer import MAP, Target, stage
from numpyro_lens.infer.stage import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_of_a_stage_in_a_file(capsys):
    def model(y):
        x = numpyro.sample("x", dist.Normal())
        numpyro.sample("y", dist.Normal(x), obs=y)

    target = Target.of(model, 1.0)
    settings = MAP(num_screened=None, num_starts=2, num_steps=20, max_searches=1, num_polished=0)
    settings.run(target, jax.random.key(0), progress=True)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "MAP: compiling"
    assert last.startswith("MAP: done, 20 of 20 steps, ")
    assert "best log density " in last


def test_a_long_stage_says_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(stage, "_LINE_EVERY", 0.0)
    with progress_bar("HMC", 100, True) as bar:
        bar.set_postfix_str("burn-in")
        bar.update(50)
    assert "HMC: 50 of 100 steps, 0 s, burn-in" in capsys.readouterr().err.splitlines()


def test_a_stage_that_fails_is_not_done(capsys):
    with pytest.raises(ValueError, match="broken"), progress_bar("SVI", 10, True):
        raise ValueError("broken")
    assert capsys.readouterr().err == "SVI: compiling\n"


def test_a_terminal_has_a_bar_that_says_compiling(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar("MAP", 10, True) as bar:
        assert "compiling" in str(bar)
        bar.set_postfix_str("best loss 3.00")
        bar.update(10)
    assert "MAP: 100%" in sys.stderr.getvalue()
    assert "best loss 3.00" in sys.stderr.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_when_asked(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    with progress_bar("MAP", 10, False) as bar:
        bar.update(10)
    assert sys.stderr.getvalue() == ""
