"""NetCDF files and Zarr stores that are damaged, hostile, or lack what they declare: one message, nothing run."""

import contextlib
import json
import os
import shutil
import zipfile
import zlib
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_damage import damage, damaged, read_or_refused

from cotwin.data.read import open_trajectories

xr = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
zarr = pytest.importorskip("zarr")
X, T = np.linspace(0, 1, 16), np.arange(8.0)
U = np.exp(-T)[:, None] * np.cos(np.pi * X)


quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def small():
    return xr.Dataset({"u": (("t", "x"), U)}, coords={"t": T, "x": X})


def read(path, **options):
    return open_trajectories(path, boundary="neumann", precision="double", **options)


@pytest.fixture(params=["a4.nc", "a3.nc"])
def netcdf(request, tmp_path):
    path = tmp_path / request.param
    small().to_netcdf(path, engine="h5netcdf" if "4" in path.name else "scipy")
    return path


@pytest.fixture(params=[2, 3])
def store(request, tmp_path):
    path = tmp_path / f"v{request.param}.zarr"
    small().to_zarr(
        path, zarr_format=request.param, consolidated=False, encoding={"u": {"chunks": (2, 16), "_FillValue": None}}
    )
    return path


@pytest.mark.parametrize("kept", [0, 3, 30, 0.5, 0.95])
def test_truncated_netcdf_files_are_named(netcdf, kept):
    content = netcdf.read_bytes()
    netcdf.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(ValueError, match=rf"{netcdf.name}: .*copy it again"):
        read(netcdf)


def test_content_that_is_no_netcdf_is_named(tmp_path):
    path = tmp_path / "a.nc"
    for content in (b"CDF\x05" + bytes(40), b"CDF\x01" + b"\xff" * 400, b"no netCDF at all", bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.nc: "):
            read(path)


def test_a_netcdf_file_of_another_name_is_found_by_its_content(netcdf):
    for name in ("data", "data.bin", "data.npz.txt"):
        copy = netcdf.with_name(name)
        shutil.copy(netcdf, copy)
        assert np.array_equal(read(copy).states[0, :, 0].numpy(), U)


@pytest.fixture
def bent(tmp_path):
    """A file of version 4, to bend with h5py."""
    path = tmp_path / "bent.nc"
    small().to_netcdf(path, engine="h5netcdf")

    def change(do):
        with h5py.File(path, "a") as file:
            do(file)
        return path

    return change


def along(file, values):
    for axis, name in enumerate(("t", "x")):
        values.dims[axis].attach_scale(file[name])


def unwritten(file, **options):
    del file["u"]
    along(file, file.create_dataset("u", shape=U.shape, dtype=float, chunks=(2, 16), **options))


def partly(file, **options):
    unwritten(file, **options)
    file["u"][:4] = U[:4]
    file["u"][6:] = U[6:]


def test_values_that_were_never_written_are_refused_or_missing(bent):
    with pytest.raises(ValueError, match=r"u was never written"):
        read(bent(unwritten))
    with pytest.raises(ValueError, match=r"u was written in part only, 3 of 4 chunks"):
        read(bent(partly))
    # What the netCDF library fills in, and what a file says is missing, are.
    for fill, said in ((9.969209968386869e36, None), (-7.0, -7.0), (np.nan, None)):

        def do(file, fill=fill, said=said):
            partly(file, fillvalue=fill)
            if said is not None:
                file["u"].attrs["_FillValue"] = said

        path = bent(do)
        with pytest.raises(ValueError, match="not finite"):
            read(path)
        assert int((~read(path, missing="mask").mask).sum()) == 2 * 16


def test_links_that_lead_nowhere_are_refused(bent):
    def do(file):
        del file["u"]
        file["u"] = h5py.ExternalLink("gone.h5", "/u")

    with pytest.raises(ValueError, match=r"u is a link to what is not there"):
        read(bent(do))


def test_a_virtual_dataset_without_its_source_is_refused(bent):
    def do(file):
        del file["u"]
        layout = h5py.VirtualLayout(shape=U.shape, dtype=float)
        layout[:] = h5py.VirtualSource("gone.h5", "u", shape=U.shape)
        along(file, file.create_virtual_dataset("u", layout))

    with pytest.raises(ValueError, match=r"u takes values from gone\.h5, which is not there"):
        read(bent(do))


def test_more_than_the_memory_holds_is_refused_before_it_is_read(bent):
    def fields(file):
        del file["u"]
        # One chunk of 10¹³ values.
        along_t = file.create_dataset("more", shape=(10**12,), dtype=float, chunks=(1000,))
        along_t[:1] = 0
        along_t.make_scale("more")
        file.create_dataset("u", shape=(8, 10**12), dtype=float, chunks=(8, 1000), fillvalue=np.nan)[:, :1000] = 1.0
        file["u"].dims[0].attach_scale(file["t"])
        file["u"].dims[1].attach_scale(along_t)

    with pytest.raises(ValueError, match=r"bent\.nc: .*"):
        read(bent(fields), names={"x": "more"})


def test_chunks_of_hdf5_that_unpack_to_more_than_they_declare_are_refused(bent, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10**8))

    def do(file):
        del file["u"]
        along(file, file.create_dataset("u", data=U, chunks=U.shape, compression="gzip"))

    path = bent(do)
    assert np.array_equal(read(path).states[0, :, 0].numpy(), U)
    bent(lambda file: file["u"].id.write_direct_chunk((0, 0), zlib.compress(bytes(3 * 10**7))))
    with pytest.raises(ValueError, match=r"u has a chunk that would unpack to more than a chunk holds"):
        read(path)


def test_groups_are_not_read_and_said_so(bent):
    def do(file):
        file.create_group("forecast")["u"] = U

    assert "groups are not read: forecast" in read(bent(do)).notes


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_a_file_of_nothing_but_groups_says_how_one_is_read(tmp_path, name):
    path = tmp_path / name
    options = {"engine": "h5netcdf"} if name == "a.nc" else {"consolidated": False}
    write = xr.Dataset.to_netcdf if name == "a.nc" else xr.Dataset.to_zarr
    write(small(), path, group="forecast", **options)
    with pytest.raises(ValueError, match=r"its variables are in groups \(forecast\).*group='forecast'\)"):
        read(path)
    with xr.open_dataset(path, group="forecast", **({"engine": "zarr"} | options)) as data:
        assert np.array_equal(read(data).states[0, :, 0].numpy(), U)
    with pytest.raises(ValueError, match="no variable in it has a dimension"):
        read(xr.Dataset({"a": 1.0}))


@pytest.mark.parametrize("kept", [0, 10])
@pytest.mark.parametrize("part", ["u", "metadata", "coordinates"])
def test_damaged_zarr_stores_are_named(store, part, kept):
    old = store.name == "v2.zarr"
    name = {
        "u": "u/1.0" if old else "u/c/1/0",
        "metadata": "u/.zarray" if old else "u/zarr.json",
        "coordinates": "x/0" if old else "x/c/0",
    }[part]
    damaged = store / name
    damaged.write_bytes(damaged.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"{store.name}: .*copy"):
        read(store)


def metadata_of(store, name):
    path = store / name / (".zarray" if store.name == "v2.zarr" else "zarr.json")
    return path, json.loads(path.read_text())


def test_chunks_that_are_missing_are_told_or_refused(store):
    chunk = store / ("u/1.0" if store.name == "v2.zarr" else "u/c/1/0")
    chunk.unlink()
    path, metadata = metadata_of(store, "u")
    path.write_text(json.dumps(metadata | {"fill_value": 0.0}))
    data = read(store, walls="trusted")
    assert data.notes[0] == "1 of 4 chunks of u are not stored, which Zarr reads as 0.0"
    assert not data.states[0, 2:4].any()
    path.write_text(json.dumps(metadata | {"fill_value": "NaN"}))
    with pytest.raises(ValueError, match="not finite"):
        read(store)
    assert int((~read(store, missing="mask").mask).sum()) == 2 * 16
    for chunk in store.glob("u/[c0-9]*"):
        shutil.rmtree(chunk) if chunk.is_dir() else chunk.unlink()
    with pytest.raises(ValueError, match=r"u was never written, or hardly: 0 of its 4 chunks are stored"):
        read(store)


def test_zeros_of_version_2_are_values(tmp_path):
    group = zarr.open_group(tmp_path / "zeros.zarr", mode="w", zarr_format=2)
    for name, values, dims in (("t", T, ["t"]), ("x", X, ["x"]), ("u", np.round(U), ["t", "x"])):
        array = group.create_array(name, data=values, fill_value=0)
        array.attrs["_ARRAY_DIMENSIONS"] = dims
    assert np.array_equal(read(tmp_path / "zeros.zarr").states[0, :, 0].numpy(), np.round(U))


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "mine"])
@pytest.mark.parametrize("where", ["u", "root"])
def test_codecs_that_may_run_code_are_refused(store, tmp_path, codec, where):
    import pickle

    bomb = Bomb()
    bomb.path = str(tmp_path / "ran")
    for chunk in (*store.glob("u/[0-9]*"), *store.glob("u/c/*/0")):
        chunk.write_bytes(pickle.dumps(bomb))
    path, metadata = metadata_of(store, "u")
    old = store.name == "v2.zarr"
    bent = {"filters": [{"id": codec}]} if old else {"codecs": [{"name": codec}]}
    if where == "root":
        path = store / (".zmetadata" if old else "zarr.json")
        metadata = json.loads(path.read_text()) if path.exists() else {}
        bent = {"consolidated_metadata": {"metadata": {"u": bent}}}
    path.write_text(json.dumps(metadata | bent))
    with pytest.raises(ValueError, match=rf"{store.name}: .* names the codec '{codec}', which Cotwin does not run"):
        read(store)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("codec", ["zstd", "blosc", "gzip", "zlib", "lz4"])
def test_chunks_that_unpack_to_more_than_they_declare_are_refused(tmp_path, monkeypatch, codec):
    numcodecs = pytest.importorskip("numcodecs")
    packer = numcodecs.get_codec({"id": codec})
    path = tmp_path / "v2.zarr"
    small().to_zarr(path, zarr_format=2, consolidated=False, encoding={"u": {"compressors": (packer,)}})
    assert np.array_equal(read(path).states[0, :, 0].numpy(), U)
    bomb = packer.encode(np.zeros(3 * 10**7, "u1"))
    assert len(bomb) < 10**6
    (path / "u" / "0.0").write_bytes(bomb)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10**8))
    with pytest.raises(ValueError, match=r"v2\.zarr: u/0\.0 would unpack to more than \d+ bytes"):
        read(path)
    # Cut into frames, of which the first is small.
    if codec == "zstd":
        (path / "u" / "0.0").write_bytes(packer.encode(U) + bomb)
        with pytest.raises(ValueError, match="would unpack to more"):
            read(path)


def test_object_arrays_are_refused(tmp_path):
    store = tmp_path / "v2.zarr"
    small().to_zarr(store, zarr_format=2, consolidated=False)
    path, metadata = metadata_of(store, "u")
    path.write_text(json.dumps(metadata | {"dtype": "|O", "filters": [{"id": "vlen-bytes"}]}))
    with pytest.raises(ValueError, match=r"v2\.zarr: "):
        read(store)


def test_deep_and_huge_metadata_are_refused(store):
    name = ".zattrs" if store.name == "v2.zarr" else "zarr.json"
    (store / name).write_text("[" * 100_000)
    with pytest.raises(ValueError, match=rf"{store.name}: {name} is no JSON that can be read"):
        read(store)
    with (store / name).open("w") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=rf"{store.name}: more than 16 MB of metadata"):
        read(store)


def test_links_and_pipes_in_a_store_are_refused(store, tmp_path):
    chunk = store / ("u/1.0" if store.name == "v2.zarr" else "u/c/1/0")
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"is a link, or no file; put what it leads to in its place"):
        read(store)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(ValueError, match=r"is a link, or no file"):
        read(store)


@pytest.mark.parametrize("shape", [[10**15, 16], [8, 10**15]])
def test_declared_sizes_beyond_the_store_are_refused(store, shape):
    path, metadata = metadata_of(store, "u")
    path.write_text(json.dumps(metadata | {"shape": shape, "fill_value": "NaN"}))
    with pytest.raises(ValueError, match=rf"{store.name}: "):
        read(store)
    chunks = (
        {"chunks": shape} if store.name == "v2.zarr" else {"chunk_grid": {"configuration": {"chunk_shape": shape}}}
    )
    path.write_text(json.dumps(metadata | {"shape": shape} | chunks))
    with pytest.raises(ValueError, match=rf"{store.name}: a chunk of u has shape .* GB of memory"):
        read(store)


@pytest.mark.parametrize("content", [{}, {"node_type": "array"}, {"zarr_format": 3, "node_type": "group"}])
def test_a_folder_that_is_no_group_of_fields(tmp_path, content):
    store = tmp_path / "a.zarr"
    store.mkdir()
    (store / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a\.zarr: "):
        read(store)


def test_arrays_without_labels_are_read_by_their_shapes(tmp_path):
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=version)
        for name, values in (("time", T), ("x", X), ("u", U)):
            group.create_array(name, data=values)
        assert np.array_equal(read(path).states[0, :, 0].numpy(), U)


def test_a_damaged_zip_file_is_named(tmp_path, store):
    path = tmp_path / "a.zip"
    shutil.make_archive(path.with_suffix(""), "zip", store)
    content = bytearray(path.read_bytes())
    middle = content.find(b"x/zarr.json" if store.name == "v3.zarr" else b"x/.zarray")
    content[middle + 20 : middle + 60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.zip: "):
        read(path)


@pytest.mark.filterwarnings("ignore:Object at u")
def test_a_member_that_declares_more_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", json.dumps({"zarr_format": 3, "node_type": "group"}))
        archive.writestr("u/c/0/0", b"0")
    content = path.read_bytes()
    # The sizes before the last name, in the list at the end.
    at = content.rfind(b"u/c/0/0") - 22
    path.write_bytes(content[:at] + (2**32 - 2).to_bytes(4, "little") + content[at + 4 :])
    with pytest.raises(ValueError, match=r"a\.zip: "):
        read(path)


@quick
@given(change=damage)
def test_a_damaged_netcdf_file(netcdf, change):
    copy = netcdf.with_name(f"damaged{netcdf.name}")
    copy.write_bytes(damaged(netcdf.read_bytes(), *change))
    read_or_refused(copy)


@quick
@given(change=damage, which=st.integers(0, 30))
def test_a_damaged_zarr_store(store, change, which):
    copy = store.with_name(f"damaged{store.name}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(store, copy)
    files = sorted(one for one in copy.rglob("*") if one.is_file())
    one = files[which % len(files)]
    one.write_bytes(damaged(one.read_bytes(), *change))
    read_or_refused(copy)


ATTRIBUTES = [
    "units",
    "axis",
    "standard_name",
    "bounds",
    "domain",
    "step",
    "_FillValue",
    "scale_factor",
    "missing_value",
]
VALUES = ["", "t", "u", "seconds since", "degrees_north", 0, -1, np.nan, 1e308, np.array([1, 2, 3]), ["a", "b"]]


@quick
@given(
    where=st.sampled_from(["u", "t", "x", None]),
    name=st.sampled_from([*ATTRIBUTES, "boundary", "centring", "fields", "given"]),
    value=st.sampled_from(VALUES),
    dims=st.permutations(["t", "x", "y", "n", "component", "channel", "lon", "k"]),
)
def test_odd_attributes_and_dimensions_of_a_dataset(where, name, value, dims):
    data = xr.Dataset({"u": (dims[:3], np.ones((3, 4, 2)))}, {dims[0]: [0.0, 1.0, 2.0], dims[1]: np.arange(4) / 4})
    (data if where not in data.variables else data[where]).attrs[name] = value
    with contextlib.suppress(ValueError):
        read(data)
