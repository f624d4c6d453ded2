"""Whatever a file holds, it is read right or refused with a message: no other error, no hang, no huge allocation."""

import io
import re
import resource
import zipfile

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet  # noqa: F401 (not to be counted with what a file takes)
import pytest
import scipy.io
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from well_files import write_well

from cotwin.data.inspection.inspect import inspect_file, render
from cotwin.data.read import open_trajectories

X, T = np.linspace(0, 1, 6, endpoint=False), np.linspace(0, 1, 5)
U = np.sin(2 * np.pi * (X - 0.2 * T[:, None])).astype(np.float32)
DTYPES = ["f2", "f4", ">f4", "f8", ">f8", "g", "i1", "<i8", "u4", "?", "c8", "U3", "S2", "M8[s]", "O", "V4"]
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_refused(path, **options):
    """The states, or None where the file is refused; any other error is the test's failure."""
    used, found, refusals = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, None, []
    try:
        render(inspect_file(path))
    except (ValueError, OSError) as error:
        refusals.append(str(error))
    try:
        found = open_trajectories(path, boundary="neumann", walls="trusted", **options)
    except (ValueError, OSError) as error:
        refusals.append(str(error))
    assert all(path.name in refusal for refusal in refusals)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 200_000  # KiB
    return found


damage = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
    st.tuples(st.just("overwrite"), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
)


def damaged(content, how, place, what):
    at = int(place * len(content))
    if how == "cut":
        return content[:at]
    return content[:at] + what + content[at + (len(what) if how == "overwrite" else 0) :]


@pytest.fixture(scope="module")
def whole_npz():
    stream = io.BytesIO()
    np.savez_compressed(stream, x=X, t=T, u=U)
    return stream.getvalue()


@pytest.fixture(scope="module")
def whole_well(tmp_path_factory):
    path = tmp_path_factory.mktemp("well") / "data.h5"
    write_well(path)
    return path.read_bytes()


@quick
@given(change=damage)
@example(change=("overwrite", 0.75, b"\x00\x00@"))  # a version of zip that is none
def test_a_damaged_npz(tmp_path, whole_npz, change):
    path = tmp_path / "data.npz"
    path.write_bytes(damaged(whole_npz, *change))
    found = read_or_refused(path)
    if found is not None:
        # What is packed carries a checksum.
        assert np.array_equal(found.states[0, :, 0].numpy(), U)


def places_of_lengths(content):
    """Of strings in HDF5 attributes: four bytes each, before the address of the heap that holds the string."""
    heaps = (heap.start().to_bytes(8, "little") for heap in re.finditer(b"GCOL", content))
    places = [found.start() - 4 for heap in heaps for found in re.finditer(re.escape(heap), content)]
    return [place for place in places if place % 8 == 0]


@quick
@given(change=damage)
def test_a_damaged_well_file(tmp_path, whole_well, change):
    """But for a length that says a string is huge: libhdf5 makes room for it before it looks whether it is there."""
    path, content = tmp_path / "data.h5", damaged(whole_well, *change)
    places = places_of_lengths(whole_well)
    assert len(places) == 10
    assume(all(int.from_bytes(content[place : place + 4], "little") < 2**26 for place in places))
    path.write_bytes(content)
    read_or_refused(path)


def write_pdebench(path):
    with h5py.File(path, "w") as file:
        for number in range(2):
            file[f"{number:04d}/data"], file[f"{number:04d}/grid/x"] = U[..., None], X
            file[f"{number:04d}/grid/t"] = T


def write_plain(path):
    with h5py.File(path, "w") as file:
        file["u"], file["x"], file["time"] = U, X, T


def write_matlab(path, packed):
    scipy.io.savemat(path, {"u": U.T, "x": X, "t": T, "about": {"by": "hand"}}, do_compression=packed)


MADE = {
    "groups.hdf5": write_pdebench,
    "plain.hdf5": write_plain,
    "packed.mat": lambda path: write_matlab(path, True),
    "open.mat": lambda path: write_matlab(path, False),
    "one.npy": lambda path: np.save(path, U),
    "log.csv": lambda path: READINGS.to_csv(path, index=False),
    "log.parquet": lambda path: READINGS.to_parquet(path),
}
READINGS = pd.DataFrame({"run": ["a"] * 30, "time": T.repeat(6), "x": np.tile(X, 5), "u": U.ravel()})

TABLE = {"grid": [6], "extent": [(-1 / 12, 11 / 12)]}
OPTIONS = {
    ".mat": {"fields": ["u"]},
    ".npy": {"extent": [(0, 1)], "dt": 0.2},
    ".csv": TABLE,
    ".parquet": TABLE,
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_damaged_next_is_read(tmp_path, name):
    path = tmp_path / name
    MADE[name](path)
    found = read_or_refused(path, **OPTIONS.get(path.suffix, {}))
    assert np.array_equal(found.states[0, :, 0].numpy(), U)


@pytest.mark.parametrize("name", MADE)
@quick
@given(change=damage)
def test_a_damaged_file_of_another_format(tmp_path, name, change):
    path = tmp_path / name
    MADE[name](path)
    path.write_bytes(damaged(path.read_bytes(), *change))
    read_or_refused(path, **OPTIONS.get(path.suffix, {}))


shapes = st.lists(st.integers(0, 7), max_size=4).map(tuple)


@quick
@given(
    arrays=st.dictionaries(
        st.sampled_from(["x", "y", "t", "u", "v", "u_mask", "mask", "boundary", "u_unit", "nu"]),
        st.tuples(st.sampled_from(DTYPES), st.one_of(shapes, st.sampled_from([(5, 6), (6, 5), (2, 5, 6), (6,)]))),
    ),
    sound=st.booleans(),
)
def test_odd_types_and_shapes_in_npz(tmp_path, arrays, sound):
    path = tmp_path / "data.npz"
    base = {"x": X, "t": T, "u": U} if sound else {}
    np.savez(path, **base | {name: np.zeros(shape, dtype=dtype) for name, (dtype, shape) in arrays.items()})
    read_or_refused(path)


@quick
@given(
    member=st.sampled_from(["x", "t", "u"]),
    header=st.one_of(
        st.tuples(st.sampled_from(["<f4", "<f8", "|O", "<c16", "|V3", "?", "nonsense"]), shapes),
        st.tuples(st.just("<f4"), st.tuples(st.integers(-3, 2**70), st.integers(0, 2**70))),
    ),
    tail=st.binary(max_size=20),
)
def test_headers_that_declare_anything(tmp_path, member, header, tail):
    path = tmp_path / "data.npz"
    np.savez(path, **{name: array for name, array in {"x": X, "t": T, "u": U}.items() if name != member})
    text = f"{{'descr': '{header[0]}', 'fortran_order': False, 'shape': {header[1]}}}\n".encode()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{member}.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + tail)
    read_or_refused(path)


@quick
@given(
    name=st.sampled_from(["dimensions/x", "dimensions/time", "t0_fields/u", "boundary_conditions/x_boundary/mask"]),
    dtype=st.sampled_from([dtype for dtype in DTYPES if dtype not in ("U3", "M8[s]", "O", "g")]),
    shape=st.one_of(shapes, st.just((3, 5, 8, 6)), st.just((10**6, 10**5, 8))),
    written=st.booleans(),
)
def test_odd_types_and_shapes_in_hdf5(tmp_path, whole_well, name, dtype, shape, written):
    path = tmp_path / "data.h5"
    path.write_bytes(whole_well)
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        chunks = tuple(min(size, 64) for size in shape) if shape and 0 not in shape else None
        dataset = file.create_dataset(name, shape, dtype, chunks=chunks)
        if written and dataset.size < 10**6:
            dataset[()] = np.zeros(shape, dtype)
        dataset.attrs.update(attributes)
    read_or_refused(path)


@quick
@example(where="", name="n_trajectories", value=1 + 1j)
@example(where="", name="n_trajectories", value=2.5)
@given(
    where=st.sampled_from(["", "dimensions", "t0_fields", "t0_fields/u", "boundary_conditions/x_boundary"]),
    name=st.sampled_from(["spatial_dims", "n_trajectories", "field_names", "time_varying", "dim_varying", "bc_type"]),
    value=st.sampled_from([-1, 10**15, 2.5, np.nan, "x", b"\xff", ["x", "y", "z"], [], [True], [[1.0, 2.0]], 1 + 1j]),
)
def test_odd_attributes_in_hdf5(tmp_path, whole_well, where, name, value):
    path = tmp_path / "data.h5"
    path.write_bytes(whole_well)
    with h5py.File(path, "r+") as file:
        (file[where] if where else file).attrs[name] = value
    read_or_refused(path)
