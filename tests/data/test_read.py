"""The format is found by content, then by ending; a damaged file is said to be one."""

import os
import shutil

import numpy as np
import pytest
import torch
from well_files import write_well

from cotwin.data.read import open_trajectories

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
            assert len(open_trajectories(copy, boundary="periodic")) == len(
                open_trajectories(source, boundary="periodic")
            )


def test_an_unknown_format_is_refused(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(bytes(range(20)))
    with pytest.raises(ValueError, match=r"ending '\.bin'.*docs/data\.md lists them"):
        open_trajectories(path)


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("a.txt", lambda path: np.savetxt(path, U[0]), r"text\. If .*np\.loadtxt"),
        ("a.pt", lambda path: torch.save({"u": torch.zeros(3)}, path), "a PyTorch file.*weights_only=True"),
        ("a.npz", lambda path: torch.save({"u": torch.zeros(3)}, path), "a PyTorch file.*weights_only=True"),
        ("a.pkl", lambda path: path.write_bytes(b"\x80\x04]."), "a Python pickle"),
        ("a", lambda path: path.mkdir(), "a folder without data files"),
    ],
)
def test_a_file_of_another_kind_is_named_with_the_way_to_read_it(tmp_path, name, write, says):
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=f"{name}: .*{says}") as error:
        open_trajectories(path)
    assert "np.savez" in str(error.value) or "folder" in str(error.value)


def test_a_pipe_is_no_file_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match=r"pipe\.npz: neither a file nor a folder"):
        open_trajectories(tmp_path / "pipe.npz")


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.95])
def test_truncated_files_are_named(npz, well, kept):
    for path in (npz, well):
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(ValueError, match=rf"{path.name}: not a whole .* file.*truncated"):
            open_trajectories(path, boundary="periodic")


def test_a_damaged_member_is_named(npz):
    content = bytearray(npz.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    npz.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole npz file"):
        open_trajectories(npz, boundary="periodic")


def test_a_file_that_is_not_there(tmp_path):
    for name in ("none.npz", "none.h5", "none"):
        with pytest.raises(FileNotFoundError, match=name):
            open_trajectories(tmp_path / name)
