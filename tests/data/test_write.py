"""What is written is read back as it was, whatever the format, and by the formats' own libraries."""

import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from cotwin.data.formats.known import open_contents
from cotwin.data.initial import read_initial
from cotwin.data.read import open_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.data.writing.write import WRITERS, write_trajectories
from cotwin.given import Course, Given
from cotwin.layout import Field, Layout

xr = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
pytest.importorskip("zarr")
LABELLED = (".nc", ".zarr", ".h5")
ENDINGS = pytest.mark.parametrize("ending", WRITERS)


def plane(*fields, **options):
    """No number in it is round."""
    box = {
        "grid": (5, 7),
        "extent": [(-0.1, 1.0), (1 / 3, 2.7)],
        "boundary": ("periodic", ("neumann", "dirichlet")),
        "dt": 0.1 / 3,
        "space_unit": "m",
        "time_unit": "s",
        "centring": ("cells", "nodes"),
    }
    return Layout.box(fields or [Field("c", unit="kg"), Field("v", 2), Field("k", static=True)], **(box | options))


def trajectories(layout, count=3, frames=4, dtype=torch.float32, **parts):
    states = torch.randn(count, frames, *layout.state_shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    static = torch.tensor(layout.static_channels)
    states[:, :, static] = states[:1, :1, static]
    return Trajectories(states, layout, **parts)


def written(data, folder, ending):
    path = folder / f"data{ending}"
    write_trajectories(path, data)
    assert [one.name for one in folder.iterdir()] == [path.name]
    return path


def read(path, **options):
    return open_trajectories(path, **({"walls": "trusted"} | options))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ending", LABELLED)
def test_all_of_it_is_read_back_exactly_and_nothing_has_to_be_decided(tmp_path, ending, dtype):
    layout = plane(Field("k", static=True, unit="W"), Field("v", 2), Field("a", unit="kg"), Field("B"))
    data = trajectories(layout, dtype=dtype)
    back = read(written(data, tmp_path, ending), precision="single" if dtype == torch.float32 else "double")
    assert back.layout == layout
    assert torch.equal(back.states, data.states)
    assert back.states.dtype == dtype
    assert back.mask is None
    assert back.notes == ()


@pytest.mark.parametrize(
    "layout",
    [
        Layout.box([Field("u")], grid=(9,), extent=[(0, 0.7)], boundary="dirichlet", dt=0.3, centring="nodes"),
        Layout.box([Field("u"), Field("w", 3)], grid=(9,), extent=[(0, 0.7)], boundary="robin", dt=1e-7),
        Layout.box([Field("v", 3)], grid=(3, 4, 5), extent=[(0, 1)] * 3, boundary="outflow", dt=1 / 7),
        plane(time_unit="hours", dt=np.float64(0.1) + 1e-16),
    ],
)
@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_every_layout_is_read_back(tmp_path, ending, layout):
    data = trajectories(layout, count=1, frames=11)
    back = read(written(data, tmp_path, ending), precision="single")
    assert back.layout == layout
    assert torch.equal(back.states, data.states)
    assert back.notes == ()


@ENDINGS
def test_states_and_layout_are_read_back(tmp_path, ending):
    layout = plane()
    data = trajectories(layout)
    path = written(data, tmp_path, ending)
    back = read(path, precision="single")
    assert torch.equal(back.states, data.states)
    assert back.layout.upper == pytest.approx(layout.upper)
    assert back.layout.dt == pytest.approx(layout.dt)
    assert replace(back.layout, upper=layout.upper, lower=layout.lower, dt=layout.dt) == layout
    assert read_initial(path, layout, frame=3)[0].float().equal(data.states[:, 3])


@ENDINGS
def test_what_was_not_observed_is_no_number_and_read_so(tmp_path, ending):
    layout = plane()
    mask = torch.rand(3, 4, 4, 5, 7, generator=torch.Generator().manual_seed(1)) < 0.7
    mask[:, :, 3] = True
    # Nothing of one field in one trajectory: no chunk of it holds a number.
    mask[1, :, 0] = False
    data = trajectories(layout)
    data = replace(data, states=data.states * mask, mask=mask)
    path = written(data, tmp_path, ending)
    back = read(path, precision="single", missing="mask" if ending in (".h5", ".hdf5") else "error")
    assert torch.equal(back.mask, mask)
    assert torch.equal(back.states, data.states)
    if ending == ".nc":
        with xr.open_dataset(path) as dataset:
            assert np.array_equal(np.isnan(dataset.c.values), ~mask[:, :, 0].numpy())
            assert np.array_equal(dataset.v_mask.values, mask[:, :, 1:3].numpy())


@ENDINGS
def test_what_is_given_is_written_too(tmp_path, ending):
    conditions = {"nu": torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64), "g": torch.full((3,), 9.81)}
    inputs = {"flow": Course(torch.rand(3, 4, generator=torch.Generator().manual_seed(2)).double())}
    data = trajectories(plane(), dtype=torch.float64, given=Given.of(3, conditions, inputs))
    given = read(written(data, tmp_path, ending), precision="double").given
    assert torch.equal(given.conditions["nu"], conditions["nu"])
    assert torch.equal(given.conditions["g"], conditions["g"].double())
    at = np.stack([np.arange(4.0)] * 2, 1)
    torch.testing.assert_close(given.inputs["flow"].means(at), inputs["flow"].means(at))


@pytest.mark.parametrize("ending", [".npz", *LABELLED])
def test_courses_with_times_of_their_own(tmp_path, ending):
    rain = Course(torch.tensor([[0.0, 1.0, 0.5, 2.0, 0.0, 3.0, 0.25]]).double(), per_step=2.0)
    data = trajectories(plane(), count=1, dtype=torch.float64, given=Given.of(1, inputs={"rain": rain}))
    course = read(written(data, tmp_path, ending), precision="double").given.inputs["rain"]
    at = np.stack([np.arange(4.0)] * 2, 1)
    torch.testing.assert_close(course.means(at), rain.means(at))
    if ending != ".h5":
        assert torch.equal(course.values, rain.values)


@ENDINGS
def test_times_are_those_of_the_trajectories_that_states_are_cut_from(tmp_path, ending):
    layout = plane(dt=0.25)
    rain = Course(torch.arange(13.0, dtype=torch.float64)[None] ** 2, per_step=2.0)
    late = trajectories(layout, count=1, frames=7, dtype=torch.float64, given=Given.of(1, inputs={"rain": rain}))
    path = written(late.frames(3, 7), tmp_path, ending)
    back = read(path, precision="double")
    assert torch.equal(back.states, late.states[:, 3:])
    at = np.stack([np.arange(4.0)] * 2, 1)
    torch.testing.assert_close(back.given.inputs["rain"].means(at), rain.means(at + 3))
    with open_contents(path) as contents:
        assert contents.times.tolist() == [[0.75, 1.0, 1.25, 1.5]]
    # Cut at different places, each begins at zero, and when that is is a number.
    cut = replace(late.given, trajectory=torch.tensor([0, 0]), frame=torch.tensor([0, 8]), inputs={})
    path.rename(tmp_path.parent / f"{tmp_path.name}{ending}")
    back = read(written(trajectories(layout, count=2, given=cut), tmp_path, ending))
    assert back.given.conditions["first_time"].tolist() == [0.0, 2.0]


@pytest.mark.parametrize("ending", LABELLED)
def test_fields_that_are_given_are_no_part_of_the_state(tmp_path, ending):
    forcing = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(3)).double()
    data = trajectories(plane(), dtype=torch.float64, given=Given.of(3, {"forcing": forcing}))
    back = read(written(data, tmp_path, ending), precision="double")
    assert back.layout == data.layout
    assert torch.equal(back.given.conditions["forcing"], forcing)


def test_a_dataset_has_what_xarray_users_look_for():
    data = trajectories(plane(), given=Given.of(3, {"nu": torch.tensor([0.1, 0.2, 0.4])}))
    dataset = data.to_xarray()
    assert dataset.c.dims == ("trajectory", "time", "x", "y")
    assert dataset.v.dims == ("trajectory", "time", "component", "x", "y")
    assert dataset.k.dims == ("x", "y")
    assert dataset.nu.dims == ("trajectory",)
    assert (dataset.c.units, dataset.time.units, dataset.x.units) == ("kg", "s", "m")
    assert dataset.attrs["boundary"] == "periodic, neumann to dirichlet"
    assert np.array_equal(dataset.c.values, data.states[:, :, 0].numpy())
    assert np.allclose(dataset.c.sel(time=0.1, method="nearest"), data.states[:, 3, 0])
    back = open_trajectories(dataset, walls="trusted", precision="single")
    assert torch.equal(back.states, data.states)
    assert back.layout == data.layout


@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
def test_the_well_reads_the_same_numbers(tmp_path, ending):
    datasets = pytest.importorskip("the_well.data.datasets")
    layout = plane(Field("c", unit="kg"), Field("v", 2), Field("k", static=True), Field("q"))
    given = Given.of(
        3, {"g": torch.full((3,), 9.81), "nu": torch.tensor([0.1, 0.2, 0.4])}, {"flow": Course(torch.rand(3, 6))}
    )
    data = trajectories(layout, frames=6, given=given)
    written(data, tmp_path, ending)
    theirs = datasets.WellDataset(path=str(tmp_path), full_trajectory_mode=True, n_steps_input=1)
    assert len(theirs) == 3
    assert theirs.metadata.field_names == {0: ["c", "q"], 1: ["v_x", "v_y"], 2: []}
    assert theirs.metadata.constant_field_names[0] == ["k"]
    assert theirs.metadata.scalar_names == ["flow"]
    assert theirs.metadata.constant_scalar_names == ["g", "nu"]
    order = [layout.channel_names.index(name) for name in ("c", "q", "v_x", "v_y")]
    for index in range(3):
        sample = theirs[index]
        moving = torch.cat([sample["input_fields"], sample["output_fields"]]).movedim(-1, 1)
        assert torch.equal(moving, data.states[index][:, order])
        assert torch.equal(sample["constant_fields"][..., 0], data.states[index, 0, 3])
        assert torch.equal(
            sample["constant_scalars"], torch.stack([values[index] for values in given.conditions.values()])
        )
        varying = torch.cat([sample["input_scalars"], sample["output_scalars"]]).flatten()
        assert torch.allclose(varying, given.inputs["flow"].values[index])
        times = torch.cat([sample["input_time_grid"], sample["output_time_grid"]])
        assert torch.allclose(times.double(), layout.dt * torch.arange(6).double())
        for axis in range(2):
            row = sample["space_grid"].select(1 - axis, 0)[:, axis]
            assert torch.allclose(row.double(), torch.tensor(layout.points(axis)).double())
        # 2: periodic, 0: a wall.
        assert sample["boundary_conditions"].tolist() == [[2, 2], [0, 0]]


def test_the_well_is_told_which_end_a_condition_holds_at(tmp_path):
    layout = plane(boundary=(("outflow", "dirichlet"), "robin"))
    path = written(trajectories(layout), tmp_path, ".hdf5")
    with h5py.File(path) as file:
        conditions = file["boundary_conditions"]
        masks = {name: one["mask"][()].nonzero()[0].tolist() for name, one in conditions.items()}
        assert masks == {"x_lower_outflow": [0], "x_upper_dirichlet": [4], "y_robin": [0, 6]}
        assert [one.attrs["bc_type"] for one in conditions.values()] == ["OPEN", "WALL", "WALL"]
        assert {
            name: list(group.attrs["field_names"]) for name, group in file.items() if name.endswith("fields")
        } == {
            "t0_fields": ["c", "k"],
            "t1_fields": ["v"],
            "t2_fields": [],
        }
    assert read(path).layout.boundary == layout.boundary


@ENDINGS
def test_nothing_is_left_of_what_could_not_be_written(tmp_path, ending):
    layout = plane(Field("t"), Field("time"), Field("v", 2))
    data = trajectories(layout)
    if ending not in (".h5", ".hdf5"):
        with pytest.raises(ValueError, match=rf"data{ending}: in .* are no fields.*rename it"):
            write_trajectories(tmp_path / f"data{ending}", data)
    twice = trajectories(plane(), given=Given.of(3, {"c": torch.ones(3, 5, 7)}))
    with pytest.raises(ValueError, match=rf"data{ending}: .*'c'.* twice"):
        write_trajectories(tmp_path / f"data{ending}", twice)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(tmp_path):
    path = tmp_path / "data.zarr"
    path.mkdir()
    with pytest.raises(FileExistsError, match=r"data\.zarr exists; choose another name"):
        write_trajectories(path, trajectories(plane()))
    with pytest.raises(ValueError, match=r"let the name end in \.npz, \.nc, \.zarr, \.h5, \.hdf5"):
        write_trajectories(tmp_path / "data.mat", trajectories(plane()))
    with pytest.raises(ValueError, match=r"there is no folder .*make it first"):
        write_trajectories(tmp_path / "no" / "data.nc", trajectories(plane()))


@pytest.mark.parametrize(("ending", "package"), [(".nc", "h5netcdf"), (".zarr", "zarr"), (".nc", "xarray")])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, ending, package):
    data = trajectories(plane())
    path = written(data, tmp_path, ending)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"data{ending}: it needs {package}, which is missing: pip install cotwin\[xarray\]"
    with pytest.raises(ValueError, match=message):
        read(path)
    with pytest.raises(ValueError, match=message.replace("data", "other")):
        write_trajectories(tmp_path / f"other{ending}", data)


def test_states_beside_the_frames_are_refused(tmp_path):
    times = np.array([0.0, 1.0, 2.0, 2.4, 3.0, 4.0])
    np.savez(tmp_path / "a.npz", t=times, x=np.arange(8.0), u=np.random.default_rng(0).normal(size=(6, 8)))
    data = read(tmp_path / "a.npz", boundary="periodic", dt=1.0)
    assert data.between is not None
    with pytest.raises(ValueError, match=r"1 states lie beside the frames"):
        write_trajectories(tmp_path / "b.nc", data)
    with pytest.raises(ValueError, match=r"a\.npz: 1 states lie beside the frames"):
        data.to_xarray()
