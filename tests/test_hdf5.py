"""HDF5 files that point elsewhere are not followed."""

import h5py
import numpy as np
import pytest

from numpyro_lens._hdf5 import check_self_contained


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(4.0)
    return path


def link(file, outside):
    file["group/b"] = h5py.ExternalLink(str(outside), "/a")


def storage(file, outside):
    file.create_dataset("group/b", (4,), dtype="f8", external=[(str(outside), 0, 32)])


def virtual(file, outside):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(outside), "a", shape=(4,))
    file.create_virtual_dataset("group/b", layout)


@pytest.mark.parametrize("point", [link, storage, virtual])
def test_data_of_another_file_are_refused(tmp_path, outside, point):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["a"] = 1.0
        point(file, outside)
    with (
        h5py.File(tmp_path / "file.h5") as file,
        pytest.raises(ValueError, match=r"'group/b' of '.*file\.h5' points into another file"),
    ):
        check_self_contained(file, tmp_path / "file.h5")


def test_a_circle_within_a_file_is_no_trap(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["group/a"] = 1.0
        file["group/again"] = file["group"]
        file["soft"] = h5py.SoftLink("/group/a")
        check_self_contained(file, tmp_path / "file.h5")
