"""The format is found by content, then by ending; a damaged file is said to be one."""

import shutil

import numpy as np
import pytest
from well_files import write_well

from cotwin.data.read import read_trajectories

X, T = np.linspace(0, 1, 16, endpoint=False), np.linspace(0, 1, 5)
U = np.random.default_rng(0).normal(size=(2, 5, 16))


@pytest.fixture
def npz(tmp_path):
    np.savez_compressed(tmp_path / "data.npz", x=X, t=T, u=U)
    return tmp_path / "data.npz"


@pytest.fixture
def well(tmp_path):
    write_well(tmp_path / "data.h5")
    return tmp_path / "data.h5"


def test_the_content_decides_whatever_the_ending(npz, well, tmp_path):
    for source in (npz, well):
        for ending in (source.suffix, ".dat", ""):
            copy = tmp_path / f"copy{ending}"
            shutil.copy(source, copy)
            assert len(read_trajectories(copy, boundary="periodic")) == len(
                read_trajectories(source, boundary="periodic")
            )


def test_an_unknown_format_lists_the_known(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,t,u\n")
    with pytest.raises(ValueError, match=r"ending '\.csv'.*\.npz, \.h5, \.hdf5"):
        read_trajectories(path)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.95])
def test_truncated_files_are_named(npz, well, kept):
    for path in (npz, well):
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(ValueError, match=rf"{path.name}: not a whole .* file.*truncated"):
            read_trajectories(path, boundary="periodic")


def test_a_damaged_member_is_named(npz):
    content = bytearray(npz.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    npz.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole npz file"):
        read_trajectories(npz, boundary="periodic")


def test_a_file_that_is_not_there(tmp_path):
    for name in ("none.npz", "none.h5", "none"):
        with pytest.raises(FileNotFoundError, match=name):
            read_trajectories(tmp_path / name)
