"""A file that was changed is refused, and named."""

import re

import pytest

from numpyro_lens.infer.checksum import add_checksum, check_checksum, checked_bytes, has_checksum


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 9000)  # more than is read at once
    add_checksum(path)
    return path


def test_what_was_written_is_read(path):
    assert has_checksum(path)
    assert checked_bytes(path) == bytes(range(256)) * 9000


@pytest.mark.parametrize("place", [0, 1_200_000, -1, -2, -60, -80, -86])
def test_a_flipped_bit_is_named(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))}' is damaged"):
        checked_bytes(path)


@pytest.mark.parametrize("size", [0, 1, 84, 1000, -1])
def test_a_file_that_is_cut_is_refused(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="is damaged"):
        check_checksum(path)
    path.write_bytes(b"more" + path.read_bytes())
    assert not has_checksum(path)
