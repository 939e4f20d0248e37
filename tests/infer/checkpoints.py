"""How far the run in a folder came, and runs that are broken."""

import json

import numpy as np

from numpyro_lens.infer.checkpoint import Checkpoint


def counts(folder):
    """How far the chains of a checkpoint came."""
    with np.load(folder / "state.npz") as file:
        return json.loads(str(file["json"]))["counts"]


def break_after(monkeypatch, number, action):
    """Let ``action`` happen once ``number`` blocks of the chains have been written."""
    write, written = Checkpoint.write, []

    def write_and_break(self, progress, manifest):
        write(self, progress, manifest)
        written.append(progress)
        if len(written) == number:
            action()

    monkeypatch.setattr(Checkpoint, "write", write_and_break)


def interrupt():
    raise KeyboardInterrupt
