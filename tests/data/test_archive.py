"""What an npz file declares is believed only as far as the file holds it, and only what is wanted is unpacked."""

import io
import tracemalloc
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from cotwin.data.read import open_trajectories

X, T = np.linspace(0, 1, 16, endpoint=False), np.linspace(0, 1, 5)
U = np.random.default_rng(0).normal(size=(5, 16))


def npy(array, shape=None):
    """An array as npy, its header bent to another shape."""
    stream = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape if shape is None else shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


@pytest.fixture
def save(tmp_path):
    def write(**members):
        path = tmp_path / "data.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in ({"x": npy(X), "t": npy(T)} | members).items():
                archive.writestr(f"{name}.npy", content)
        return path

    return write


def test_an_array_that_is_not_wanted_is_not_unpacked(save):
    path = save(u=npy(U), bomb=npy(np.zeros(50_000_000, dtype=np.int8)))
    tracemalloc.start()
    open_trajectories(path, fields=["u"], boundary="periodic")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2_000_000


@pytest.mark.parametrize("shape", [(5, 17), (10**9, 16), (2**62, 2**62), (5, 15), (-5, 16)])
def test_a_header_that_declares_another_size_than_the_file_holds_is_refused(save, shape):
    with pytest.raises(ValueError, match=r"data\.npz: array 'u' cannot be read: its header declares|'shape'"):
        open_trajectories(save(u=npy(U, shape)), boundary="periodic")


def test_a_size_beyond_what_packing_can_hide_is_refused(save):
    shape = (2**24, 16)
    path, held = save(u=npy(U, shape)), len(npy(U, shape))
    claimed = held - U.nbytes + 2**31
    path.write_bytes(path.read_bytes().replace(held.to_bytes(4, "little"), claimed.to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"its header declares \(16777216, 16\) float64, 2147483776 bytes"):
        open_trajectories(path, boundary="periodic")


def test_an_array_larger_than_the_free_memory_is_refused(save, monkeypatch):
    path = save(u=npy(U))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=600))
    with pytest.raises(ValueError, match=r"data\.npz: .*has shape .*, which takes .* GB of memory"):
        open_trajectories(path, boundary="periodic")


@pytest.mark.parametrize("dtype", [object, "U3", "M8[s]", [("a", "f8"), ("b", "f8")], "V8"])
def test_arrays_of_no_numbers_are_refused_with_their_type(tmp_path, dtype):
    np.savez(tmp_path / "data.npz", x=X, t=T, u=np.zeros((5, 16), dtype=dtype))
    with pytest.raises(
        ValueError, match=r"data\.npz: array 'u' (has type .*holds real numbers|cannot be read: Object)"
    ):
        open_trajectories(tmp_path / "data.npz", boundary="periodic")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_numpy_does_not_write_is_refused(save, method):
    path = save()
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("u.npy", npy(U))
    with pytest.raises(ValueError, match="'u' is packed in a way that numpy does not write"):
        open_trajectories(path, boundary="periodic")
