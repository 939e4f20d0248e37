"""Damages a file, and reads it."""

import traceback
import warnings
from pathlib import Path

from hypothesis import currently_in_test_context, event
from hypothesis import strategies as st

import numpyro_lens

ROOT = str(Path(numpyro_lens.__file__).parent)
VALUES = ["T", "F", "-1", "0", "3", "999999", "99999999999999", "1E400", "NaN", "'x'", "''", ""]
KEYS = ["NAXIS", "NAXIS1", "BITPIX", "PCOUNT", "TFIELDS", "CD1_1", "CTYPE1", "CUNIT1", "BSCALE"]


@st.composite
def damaged(draw, content, width=None):
    """Bytes of a file of which some are flipped, cut off, left out, or replaced.

    ``width`` is that of the lines of a header, which are replaced whole.
    """
    kinds = ["flip", "cut", "leave out", "repeat", *(["line"] * 3 if width else [])]
    content = bytearray(content)
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "flip" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place:]
        elif kind == "leave out":
            del content[place : place + draw(st.integers(1, 3000))]
        elif kind == "repeat":
            content[place:place] = content[place : place + draw(st.integers(1, 3000))]
        elif kind == "line":
            at = place // width * width
            content[at : at + width] = _card(draw).ljust(width)[:width]
    return bytes(content)


def _card(draw):
    return f"{draw(st.sampled_from(KEYS)):8}= {draw(st.sampled_from(VALUES)):>20}".encode()


def tried(read, path):
    """What a reader gives, or the message of its own error; any other exception fails the test.

    ``--hypothesis-show-statistics`` prints how often each came.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = read(path)
            _count("a result")
            return result
        except (ValueError, FileNotFoundError) as error:
            _count(type(error).__name__)
            place = traceback.extract_tb(error.__traceback__)[-1].filename
            if not place.startswith(ROOT):
                raise AssertionError(f"an error of {place}") from error
            return str(error)


def _count(kind):
    if currently_in_test_context():
        event(kind)
