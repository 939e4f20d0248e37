"""What a worker runs instead of a fit, where only the time that it takes matters."""

import os
import time
from pathlib import Path


def row_of(lens, _stored, out, *_how):
    """A good row at once, or never for the lens of this name, which leaves the process's number."""
    if lens.name == "sleeps":
        (Path(out) / lens.name).write_text(str(os.getpid()))
        time.sleep(600)
    return {"name": lens.name, "verdict": "good", "reason": "", "worker": str(os.getpid())}
