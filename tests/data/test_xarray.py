"""NetCDF, Zarr and xarray.Dataset: files written by xarray itself, of the heat equation as it is solved by hand."""

import shutil

import numpy as np
import pytest
import torch

from cotwin.data.formats.known import open_contents
from cotwin.data.inspection.inspect import inspect_file
from cotwin.data.read import open_trajectories

xr = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
pytest.importorskip("zarr")

LENGTH, WIDTH, KAPPA = 2.0, 1.0, np.array([0.05, 0.1, 0.2])  # km, km, km²/h
X, Y = np.linspace(0, LENGTH, 9), np.linspace(0, WIDTH, 6)
HOURS = 0.25 * np.arange(5)


def temperature(kappa, t, x, y):
    """∂T/∂t = κ ∇²T with no flux through the walls: 10 + cos(πx/L) cos(πy/W) exp(−κ π² (1/L² + 1/W²) t)."""
    rate = kappa * np.pi**2 * (1 / LENGTH**2 + 1 / WIDTH**2)
    return 10 + np.exp(-rate * t) * np.cos(np.pi * x / LENGTH) * np.cos(np.pi * y / WIDTH)


EXACT = temperature(KAPPA[:, None, None, None], HOURS[:, None, None], X[:, None], Y)
"""[member, time, x, y]"""


def heat():
    """As a climate model might leave it: members, dates, rows of y before those of x, from north to south."""
    return xr.Dataset(
        {
            "temperature": (
                ("member", "time", "y", "x"),
                EXACT.transpose(0, 1, 3, 2)[:, :, ::-1],
                {"units": "degC", "long_name": "temperature of the plate"},
            ),
            "kappa": (("member",), KAPPA, {"units": "km2 h-1"}),
        },
        coords={
            "member": ("member", [11, 12, 13], {"standard_name": "realization"}),
            "time": ("time", 12.0 + HOURS, {"units": "hours since 2020-01-01", "calendar": "noleap"}),
            "x": ("x", X, {"units": "km", "axis": "X", "standard_name": "projection_x_coordinate"}),
            "y": ("y", Y[::-1], {"units": "km", "axis": "Y", "standard_name": "projection_y_coordinate"}),
            "thickness": ((), 0.01, {"units": "m"}),
        },
        attrs={"Conventions": "CF-1.11"},
    )


WRITERS = {
    "heat4.nc": lambda data, path: data.to_netcdf(path, engine="h5netcdf"),
    "heat3.nc": lambda data, path: data.to_netcdf(path, engine="scipy"),
    "heat2.zarr": lambda data, path: data.to_zarr(path, zarr_format=2),
    "heat3.zarr": lambda data, path: data.to_zarr(path, zarr_format=3, consolidated=False),
    "heat.zip": lambda data, path: zipped(data, path, root_dir=path.with_suffix("")),
    "folder.zip": lambda data, path: zipped(data, path, root_dir=path.parent, base_dir=path.stem),
}


def zipped(data, path, **places):
    data.to_zarr(path.with_suffix(""), consolidated=False)
    shutil.make_archive(path.with_suffix(""), "zip", **places)


@pytest.fixture(params=WRITERS)
def foreign(request, tmp_path):
    """The heat equation in each format."""
    path = tmp_path / request.param
    WRITERS[request.param](heat(), path)
    return path


def test_a_foreign_file_needs_no_more_than_what_stands_at_its_walls(foreign):
    data = open_trajectories(foreign, boundary="neumann", extent=[(0, LENGTH), (0, WIDTH)], precision="double")
    assert np.array_equal(data.states[:, :, 0].numpy(), EXACT)
    layout = data.layout
    assert [(field.name, field.unit) for field in layout.fields] == [("temperature", "degC")]
    assert (layout.lower, layout.upper, layout.centring) == ((0, 0), (LENGTH, WIDTH), ("nodes", "nodes"))
    assert (layout.dt, layout.time_unit, layout.space_unit) == (0.25, "hours", "km")
    assert data.given.conditions["kappa"].tolist() == KAPPA.tolist()
    assert data.notes[:2] == (
        "time holds dates, counted from the first one, 12 hours since 2020-01-01, read in hours",
        "coordinates y fall, and were reversed together with the fields",
    )


def test_it_is_inspected(foreign):
    summary = inspect_file(foreign).summary
    assert [axis.name for axis in summary.axes] == ["x", "y"]
    assert summary.format.startswith(("NetCDF", "Zarr"))
    assert len(summary.refusals) == 2
    assert all("boundary along" in one for one in summary.refusals)


def test_a_dataset_is_taken_as_it_is_and_as_xarray_decodes_it():
    data = heat()
    del data["time"].attrs["calendar"]
    for given in (data, xr.decode_cf(data)):
        read = open_trajectories(given, boundary="neumann", precision="double")
        assert np.array_equal(read.states[:, :, 0].numpy(), EXACT)
        assert (read.layout.dt, read.layout.time_unit) == (0.25, "hours")


def test_only_what_is_asked_for_is_read(monkeypatch, tmp_path):
    path = tmp_path / "heat.nc"
    heat().to_netcdf(path, engine="h5netcdf")
    asked = []
    wrapper = pytest.importorskip("xarray.backends.h5netcdf_").H5NetCDFArrayWrapper
    get = wrapper._getitem
    monkeypatch.setattr(wrapper, "_getitem", lambda self, key: asked.append(key) or get(self, key))
    with open_contents(path) as contents:
        asked.clear()
        values = contents.fields[0].read(1, slice(2, 4))
    assert np.array_equal(values[:, 0], EXACT[1, 2:4])
    (key,) = asked
    assert np.ravel(key[0]).tolist() == [1]
    assert key[1] == slice(2, 4)


def line(values=None, dims=("t", "x"), **coords):
    """u along x and t, to bend in one place at a time."""
    values = np.cos(np.pi * X / LENGTH)[None, :] * np.exp(-HOURS)[:, None] if values is None else values
    known = {"t": HOURS, "x": X} | coords
    return xr.Dataset(
        {"u": (dims, values)}, coords={name: value for name, value in known.items() if value is not None}
    )


U = line().u.values


def read(data, **options):
    return open_trajectories(data, **({"boundary": "neumann", "walls": "trusted", "precision": "double"} | options))


@pytest.mark.parametrize(
    "dims",
    [("tt", "xc"), ("Time", "X"), ("nt", "nx"), ("times", "x-coordinate"), ("t_coordinate", "grid_x"), ("T", "xx")],
)
def test_times_and_coordinates_are_found_by_their_names(dims):
    data = line().rename(t=dims[0], x=dims[1])
    assert np.array_equal(read(data).states[0, :, 0].numpy(), U)


@pytest.mark.parametrize("name", ["trajectory", "sample", "batch", "run", "member", "ensemble", "realization", "n"])
def test_trajectories_are_found_by_their_names(name):
    data = xr.concat([line(), 2 * line()], name).transpose("t", "x", name)
    assert np.array_equal(read(data).states[:, :, 0].numpy(), np.stack([U, 2 * U]))


@pytest.mark.parametrize(
    ("dims", "attributes"),
    [
        (("a", "b"), {"a": {"axis": "T"}, "b": {"axis": "X"}}),
        (("a", "b"), {"a": {"standard_name": "time"}, "b": {"standard_name": "projection_x_coordinate"}}),
        (("a", "b"), {"a": {"units": "seconds since 1970-01-01"}, "b": {"standard_name": "depth"}}),
    ],
)
def test_times_and_coordinates_are_found_by_attributes(dims, attributes):
    data = line().rename(t=dims[0], x=dims[1])
    for name, own in attributes.items():
        data[name].attrs |= own
    assert np.array_equal(read(data).states[0, :, 0].numpy(), U)


def test_coordinates_may_have_another_name_than_their_dimension():
    data = line().rename_dims(t="step", x="cell").drop_indexes(("t", "x"), errors="ignore")
    assert np.array_equal(read(data).states[0, :, 0].numpy(), U)


def test_meshes_of_coordinates_are_rows():
    x, y = np.meshgrid(X, Y, indexing="ij")
    data = xr.Dataset({"u": (("t", "i", "j"), EXACT[0])}, {"t": HOURS, "x": (("i", "j"), x), "y": (("i", "j"), y)})
    assert np.array_equal(read(data).states[0, :, 0].numpy(), EXACT[0])
    with pytest.raises(ValueError, match=r"coordinates x vary along i and j, .*interpolate"):
        read(data.assign_coords(x=data.x + 0.1 * data.y))
    # A field of such a name is none of them.
    plane = xr.Dataset({"z": (("t", "x", "y"), EXACT[0])}, {"t": HOURS, "x": X, "y": Y})
    assert read(plane).layout.channel_names == ("z",)
    assert read(plane.drop_vars(["x", "y"]), extent=[(0, 2), (0, 1)]).layout.channel_names == ("z",)


def test_what_stays_undecided_is_said_by_names():
    data = line().rename(t="a", x="b")
    with pytest.raises(ValueError, match=r"which is t and which x|a \(5\), b \(9\).*data\.names.*\{t: a, x: b\}"):
        read(data)
    assert np.array_equal(read(data, names={"t": "a", "x": "b"}).states[0, :, 0].numpy(), U)
    with pytest.raises(ValueError, match="says that t is 'c', and nothing is called so; it has a, b, u"):
        read(data, names={"t": "c"})
    renamed = read(data, names={"t": "a", "x": "b", "v": "u"})
    assert renamed.layout.channel_names == ("v",)


def test_one_more_dimension_is_refused_until_it_is_said():
    data = xr.concat([line(), 2 * line()], "case_of_mine")
    with pytest.raises(
        ValueError, match=r"u has the dimension case_of_mine \(2\).*\{n: case_of_mine\}.*isel\(case_of"
    ):
        read(data)
    assert np.array_equal(read(data, names={"n": "case_of_mine"}).states[1, :, 0].numpy(), 2 * U)
    # Of length one it says nothing.
    single = read(data.isel(case_of_mine=[0]))
    assert single.notes[0] == "case_of_mine has a single point and is left out"


def test_what_tells_trajectories_apart_may_be_a_parameter():
    data = xr.concat([line(), 2 * line()], xr.Variable("nu", [0.1, 0.2]))
    assert read(data, names={"n": "nu"}).given.conditions["nu"].tolist() == [0.1, 0.2]


def test_what_has_a_unit_of_length_is_one():
    data = line(x=None, dims=("t", "lon"), lon=("lon", X, {"units": "km", "axis": "X"}))
    assert read(data).layout.space_unit == "km"


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_of_zarr_without_labels_are_unpacked_too(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    counts = np.arange(45).reshape(5, 9)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    for name, values in {"t": np.arange(5), "x": np.arange(9), "u": np.where(counts == 7, -1, counts)}.items():
        group[name] = values
    group["u"].attrs.update({"scale_factor": 0.5, "_FillValue": -1})
    data = read(tmp_path / "a.zarr", missing="mask")
    assert data.mask[0, :, 0].flatten().logical_not().nonzero().tolist() == [[7]]
    assert np.array_equal(data.states[0, 1:, 0].numpy(), 0.5 * counts[1:])
    group["u"].attrs["scale_factor"] = "two"
    with pytest.raises(ValueError, match=r"a\.zarr: u has the attribute scale_factor = two, which is no number"):
        read(tmp_path / "a.zarr")


def test_a_valid_range_is_said_and_not_applied():
    data = line()
    data["u"].attrs["valid_range"] = [0, 1]
    assert "u has valid_range = [0, 1]; values outside it are read as they are" in read(data).notes
    assert np.array_equal(read(data).states[0, :, 0].numpy(), U)


def test_a_state_without_times_is_told_how_to_keep_them():
    with pytest.raises(ValueError, match=r'none of its dimensions, x, is time.*expand_dims\("time"\)'):
        read(line().isel(t=0))


def test_two_dimensions_of_one_meaning_are_refused():
    data = line().assign(flux=(("t", "xf"), np.zeros((5, 10)), {}), xf=("xf", np.arange(10.0), {"axis": "X"}))
    with pytest.raises(ValueError, match=r"x and xf may both be x; say which with data\.names.*\{x: x\}"):
        read(data)
    assert np.array_equal(read(data, names={"x": "x"}, fields=["u"]).states[0, :, 0].numpy(), U)


def test_degrees_are_no_lengths_unless_that_is_said():
    data = line(x=None, dims=("t", "lon"), lon=("lon", X, {"units": "degrees_east"}))
    with pytest.raises(ValueError, match=r"lon are angles.*project.*\{x: lon\}"):
        read(data)
    taken = read(data, names={"x": "lon"})
    assert taken.notes[0] == "lon is in degrees_east and taken as a length"
    assert taken.layout.space_unit == "degrees_east"
    plane = data.expand_dims(lat=6, axis=1).assign_coords(lat=("lat", Y, {"units": "degrees_north"}))
    for dims in (("t", "lat", "lon"), ("t", "lon", "lat")):
        with pytest.raises(ValueError, match=r"are angles.*\{x: lon, y: lat\}"):
            read(plane.transpose(*dims)[["u"]])
    with pytest.raises(ValueError, match=r"along lat, which is an angle.*\{y: lat\}"):
        read(plane, names={"x": "lon"})


@pytest.mark.parametrize("name", ["T", "n", "z", "time_of_arrival"])
def test_a_variable_along_a_dimension_of_known_meaning_does_not_change_it(name):
    along_x = line().drop_vars("x").assign({name: ("x", X**2)})
    data = read(along_x, extent=[(0, 1)])
    assert [field.name for field in data.layout.fields] == ["u", name]
    assert np.array_equal(data.states[0, :, 0].numpy(), U)


def test_a_temperature_of_each_member_is_no_time():
    data = read(heat().drop_vars("member").assign(T=("member", [3.0, 1.0, 2.0])))
    assert data.states.shape == (3, 5, 1, 9, 6)
    assert data.given.conditions["T"].tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("times", "dt", "unit"),
    [
        (np.datetime64("2021-03-01T00:00", "ns") + np.arange(5) * np.timedelta64(90, "m"), 5400.0, "seconds"),
        (np.arange(5) * np.timedelta64(1, "D"), 86400.0, "seconds"),
        (np.arange(5, dtype=">i4"), 1.0, "1"),
        (("t", np.arange(5) * 3, {"units": "ms"}), 3.0, "ms"),
        (("t", np.arange(5), {"units": "months since 2000-01-15", "calendar": "360_day"}), 1.0, "months"),
    ],
)
def test_dates_and_intervals_become_numbers(times, dt, unit):
    found = read(line(t=times)).layout
    assert (found.dt, found.time_unit) == (dt, unit)


@pytest.mark.parametrize("name", ["dates.nc", "dates.zarr"])
def test_dates_of_a_file_are_counted_in_its_own_unit(tmp_path, name):
    data = line(t=np.datetime64("2021-03-01", "ns") + np.arange(5) * np.timedelta64(6, "h"))
    data.t.encoding["units"] = "hours since 1900-01-01"
    path = tmp_path / name
    data.to_netcdf(path, engine="h5netcdf") if name.endswith("nc") else data.to_zarr(path, consolidated=False)
    found = read(path)
    assert (found.layout.dt, found.layout.time_unit) == (6.0, "hours")
    assert np.array_equal(found.states[0, :, 0].numpy(), U)


@pytest.mark.parametrize(
    "times", [np.array([f"2020-01-0{day}" for day in range(1, 6)]), np.array([object()] * 5, dtype=object)]
)
def test_times_that_are_neither_numbers_nor_dates_are_refused(times):
    with pytest.raises(ValueError, match=r"the dataset: t has type .*no dates that numpy knows.*decode_times=False"):
        read(line(t=times))


def test_each_trajectory_may_have_times_of_its_own():
    data = xr.concat([line(), line()], "member").drop_vars("t")
    data = data.assign_coords(time=(("member", "t"), np.stack([HOURS, HOURS + 1])))
    assert read(data).layout.dt == 0.25


def test_without_coordinates_extent_and_dt_give_them():
    data = line(t=None, x=None)
    with pytest.raises(ValueError, match=r"x has no coordinates; give the ends of the domain with data\.extent"):
        read(data)
    with pytest.raises(ValueError, match=r"t has no times; give the step with data\.dt"):
        read(data, extent=[(0, 2)], points="nodes")
    found = read(data, extent=[(0, 2)], points="nodes", dt=0.25)
    assert found.layout == read(line(), extent=[(0, 2)]).layout


@pytest.mark.parametrize("name", ["packed.nc", "packed.zarr"])
def test_packed_values_and_missing_ones_are_unpacked(tmp_path, name):
    values = np.round(U, 2)
    values[3, 4] = np.nan
    data = line(values)
    data.u.encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 0.5, "_FillValue": -9999}
    path = tmp_path / name
    data.to_netcdf(path, engine="h5netcdf") if name.endswith("nc") else data.to_zarr(path, zarr_format=2)
    with pytest.raises(ValueError, match=r"1 values are not finite.*data\.missing=mask"):
        read(path)
    found = read(path, missing="mask")
    assert int((~found.mask).sum()) == 1
    assert not found.mask[0, 3, 0, 4]
    np.testing.assert_allclose(found.states[found.mask], values[np.isfinite(values)], atol=1e-6)


def test_integers_and_big_endian_values_are_read(tmp_path):
    for dtype in (">i2", ">f4", "<u1"):
        values = np.round(10 + 5 * U).astype(dtype)
        path = tmp_path / f"{dtype[1:]}.nc"
        line(values).to_netcdf(path, engine="h5netcdf")
        assert np.array_equal(read(path).states[0, :, 0].numpy(), values.astype(float))


def test_complex_values_become_two_fields():
    found = read(line(U * np.exp(1j)))
    assert found.layout.channel_names == ("u_re", "u_im")
    assert np.array_equal(found.states[0, :, 1].numpy(), (U * np.exp(1j)).imag)
    assert "u is complex and read as two fields, u_re and u_im" in found.notes


def test_components_and_channels():
    plane = EXACT[0]
    coords = {"t": HOURS, "x": X, "y": Y}
    vector = xr.Dataset({"v": (("component", "t", "x", "y"), np.stack([plane, -plane]))}, coords=coords)
    (field,) = read(vector).layout.fields
    assert field.components == 2
    channels = xr.Dataset(
        {"v": (("t", "channel", "x", "y"), np.stack([plane, -plane], 1))}, coords | {"channel": ["a", "b"]}
    )
    found = read(channels)
    assert found.layout.channel_names == ("a", "b")
    assert "v has 2 channels, read as the fields a, b" in found.notes
    assert np.array_equal(found.states[0, :, 1].numpy(), -plane)


def test_static_fields_numbers_and_courses():
    data = xr.concat([line(), 2 * line()], "run")
    data = data.assign(
        k=(("x",), X + 1),
        g=((), 9.81),
        nu=(("run",), [0.1, 0.2]),
        inflow=(("t",), HOURS),
        rain=(("rain_time",), 2.0 * np.arange(3)),
        rain_time=("rain_time", [0.0, 0.5, 1.0], {"axis": "T"}),
        label=(("run",), ["first", "second"]),
    )
    found = read(data)
    assert [(field.name, field.static) for field in found.layout.fields] == [("u", False), ("k", True)]
    assert {name: value.tolist() for name, value in found.given.conditions.items()} == {
        "g": [9.81, 9.81],
        "nu": [0.1, 0.2],
    }
    inputs = found.given.inputs
    np.testing.assert_allclose(inputs["inflow"].means(np.array([[1.0, 1.0]]))[0], 0.25)
    np.testing.assert_allclose(inputs["rain"].means(np.array([[1.0, 1.0]]))[0], 1.0)
    assert any("label has type" in note for note in found.notes)


def test_a_variable_without_an_axis_is_the_same_along_it():
    plane = xr.Dataset({"u": (("t", "y", "x"), EXACT[0].transpose(0, 2, 1))}, {"t": HOURS, "x": X, "y": Y})
    found = read(plane.assign(depth=("y", Y + 1)))
    assert "depth is the same along x" in found.notes
    assert np.array_equal(found.states[0, 0, 1].numpy(), np.tile(Y + 1, (len(X), 1)))


def test_what_xarray_selects_lazily_is_read(tmp_path):
    xr.concat([line(), 2 * line()], "level").to_netcdf(tmp_path / "ocean.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "ocean.nc") as ocean:
        found = read(ocean.isel(level=1))
    assert np.array_equal(found.states[0, :, 0].numpy(), 2 * U)
    assert found.source.endswith("ocean.nc")


def test_bounds_of_cells_are_the_ends_of_the_domain():
    edges = np.linspace(0.05, 2.13, 10)
    data = line(x=("x", (edges[1:] + edges[:-1]) / 2, {"bounds": "x_bnds"}))
    data = data.assign(x_bnds=(("x", "nv"), np.stack([edges[:-1], edges[1:]], 1)))
    found = read(data)
    assert (found.layout.lower, found.layout.upper, found.layout.centring) == ((0.05,), (2.13,), ("cells",))
    assert found.layout.channel_names == ("u",)
    assert not any("taken as" in note for note in found.notes)


def test_trajectories_of_two_dimensions_are_stacked():
    data = xr.concat([xr.concat([line(), 2 * line()], "member")] * 3, "run")
    with pytest.raises(ValueError, match=r"run and member may both be n; .*dataset\.stack\(n=\['run', 'member'\]\)"):
        read(data)
    assert len(read(data.stack(n=["run", "member"]))) == 6


def test_names_that_are_no_text_are_refused():
    with pytest.raises(ValueError, match=r"the dataset: 1 is no name"):
        read(line().rename_vars(u=1))


def test_masks_say_where_a_field_was_observed():
    mask = np.ones(U.shape, dtype=bool)
    mask[2, 3] = False
    found = read(line().assign(u_mask=(("t", "x"), mask)))
    assert np.array_equal(found.mask[0, :, 0].numpy(), mask)
    with pytest.raises(ValueError, match=r"u_mask has type int64 .*expected bool"):
        read(line().assign(u_mask=(("t", "x"), mask.astype(int))))


def test_boundaries_may_stand_in_the_file():
    data = line().assign_attrs(boundary="dirichlet to neumann", centring="nodes")
    layout = read(data, boundary=None).layout
    assert layout.boundary == (("dirichlet", "neumann"),)
    with pytest.raises(ValueError, match=r"the attribute boundary holds .* for the axes"):
        read(line().assign_attrs(boundary="periodic, neumann"))


def test_anything_else_than_a_path_or_a_dataset_is_refused():
    with pytest.raises(TypeError, match=r"a path or an xarray\.Dataset is needed, not ndarray"):
        open_trajectories(U)


def test_states_are_those_of_the_same_values_in_memory(foreign):
    data = read(foreign)
    assert torch.equal(data.states, torch.from_numpy(EXACT.copy())[:, :, None])
