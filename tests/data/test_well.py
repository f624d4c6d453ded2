"""HDF5 in The Well's layout: the same numbers as their own reader, and more patience with odd files."""

import re
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from well_files import add, add_field, write_well

from cotwin.data.inspection.inspect import inspect_file
from cotwin.data.read import is_self_contained, open_trajectories


@pytest.fixture
def path(tmp_path):
    return tmp_path / "small.hdf5"


def test_their_dummy_file_reads_as_in_their_own_reader(tmp_path):
    dummy = pytest.importorskip("the_well.utils.dummy_data")
    datasets = pytest.importorskip("the_well.data.datasets")
    dummy.write_dummy_data(str(tmp_path / "dummy.hdf5"))
    ours = open_trajectories(tmp_path / "dummy.hdf5")
    theirs = datasets.WellDataset(path=str(tmp_path), full_trajectory_mode=True, n_steps_input=1)
    assert len(theirs) == len(ours) == 2
    for index in range(2):
        sample = theirs[index]
        moving = torch.cat([sample["input_fields"], sample["output_fields"]]).movedim(-1, 1)
        assert torch.equal(ours.states[index, :, :2], moving)
        static = sample["constant_fields"].movedim(-1, 0).expand(10, 1, 32, 32)
        assert torch.equal(ours.states[index, :, 2:], static)
        numbers = torch.stack([ours.given.conditions[name][index] for name in "ab"])
        assert torch.equal(numbers, sample["constant_scalars"])
        varying = torch.cat([sample["input_scalars"], sample["output_scalars"]]).flatten()
        assert torch.equal(ours.given.inputs["time_varying_scalar"].values[index], varying.float())
        times = torch.cat([sample["input_time_grid"], sample["output_time_grid"]])
        assert torch.allclose(times, ours.layout.dt * torch.arange(10))
    grid = theirs[0]["space_grid"]
    assert torch.allclose(grid[:, 0, 0], torch.tensor(ours.layout.points(0)))
    assert torch.allclose(grid[0, :, 1], torch.tensor(ours.layout.points(1)))
    assert ours.layout.channel_names == ("field_x", "field_y", "constant_field")
    assert ours.layout.static_channels == (False, False, True)
    assert ours.layout.boundary == ("periodic", "periodic")


def test_their_repeated_ends_are_dropped_when_the_extent_says_so(path):
    values = write_well(path)
    with h5py.File(path, "r+") as file:
        file["dimensions/x"][...] = np.linspace(0, 1, 8)
        values[..., -1, :] = values[..., 0, :]
        file["t0_fields/u"][...] = values
    data = open_trajectories(path, extent=[(0, 1), (0, 1)])
    assert data.layout.grid == (7, 6)
    assert np.array_equal(data.states[:, :, 0].numpy(), values[:, :, :-1])


def test_all_kinds_of_field_and_scalar_together(path):
    u = write_well(path)
    rng = np.random.default_rng(1)
    v = rng.normal(size=(3, 5, 8, 6, 2)).astype(np.float32)
    k = rng.normal(size=(8, 6)).astype(np.float32)
    h = rng.normal(size=(3, 8, 6)).astype(np.float32)
    with h5py.File(path, "r+") as file:
        add_field(file, "t0_fields", "k", k, [True, True], sample_varying=False, time_varying=False)
        add_field(file, "t0_fields", "h", h, [True, True], time_varying=False)
        add_field(file, "t1_fields", "v", v, [True, True])
        add(file["scalars"], "nu", np.float32(0.25), sample_varying=False, time_varying=False)
        add(file["scalars"], "force", np.arange(3.0), sample_varying=True, time_varying=False)
        add(file["scalars"], "pump", np.ones((3, 5)), sample_varying=True, time_varying=True)
        add(file["scalars"], "tensor", np.ones((2, 2)), sample_varying=False, time_varying=False)
        file["scalars"].attrs["field_names"] = ["nu", "force", "pump", "tensor"]
        file["t1_fields/v"].attrs["unit"] = "m/s"
    data = open_trajectories(path)
    assert data.layout.channel_names == ("u", "v_x", "v_y", "k", "h")
    assert data.layout.static_channels == (False, False, False, True, True)
    assert data.layout.fields[1].unit == "m/s"
    assert np.array_equal(data.states[:, :, 0], u)
    assert np.array_equal(data.states[:, :, 1:3], np.moveaxis(v, -1, 2))
    assert np.array_equal(data.states[:, :, 3], np.broadcast_to(k, u.shape))
    assert np.array_equal(data.states[:, :, 4], np.broadcast_to(h[:, None], u.shape))
    assert (data.given.conditions["nu"] == 0.25).all()
    assert torch.equal(data.given.conditions["force"], torch.arange(3.0))
    assert "tensor" not in data.given.names
    assert any("scalar tensor has shape (2, 2)" in note for note in data.notes)
    with pytest.raises(
        ValueError, match=r"scalar tensor has shape \(2, 2\), .* sample_varying .* \(1, 1\) are needed"
    ):
        open_trajectories(path, given=["tensor"])
    assert open_trajectories(path, fields=["v", "h"]).layout.channel_names == ("v_x", "v_y", "h")


@pytest.mark.parametrize("shape", [(3, 5, 8), (3, 5, 8, 1)])
def test_an_axis_that_a_field_does_not_vary_along_may_be_absent_or_of_length_one(path, shape):
    write_well(path)
    w = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    with h5py.File(path, "r+") as file:
        add_field(file, "t0_fields", "w", w, [True, False])
    states = open_trajectories(path, fields=["w"]).states
    assert np.array_equal(states[:, :, 0], np.broadcast_to(w.reshape(3, 5, 8, 1), (3, 5, 8, 6)))


@pytest.mark.parametrize("axis", [0, (), (0, 3)])
def test_singleton_axes_may_be_absent(path, axis):
    u = write_well(path, sizes=(8, 1), trajectories=1)
    with h5py.File(path, "r+") as file:
        attributes = dict(file["t0_fields/u"].attrs)
        del file["t0_fields/u"]
        add(file["t0_fields"], "u", u.squeeze(axis), **attributes)
    data = open_trajectories(path)
    assert data.layout.grid == (8,)
    assert np.array_equal(data.states[:, :, 0], u[..., 0])
    assert "axis y has a single point and is left out of the grid" in data.notes


def test_a_vector_in_one_dimension_is_one_channel(path):
    write_well(path, sizes=(8,))
    v = np.random.default_rng(3).normal(size=(3, 5, 8, 1)).astype(np.float32)
    with h5py.File(path, "r+") as file:
        add_field(file, "t1_fields", "v", v, [True])
    assert np.array_equal(open_trajectories(path, fields=["v"]).states[:, :, 0], v[..., 0])


@pytest.mark.parametrize("kind", ["PERIODIC", "periodic", b"Periodic"])
def test_boundary_types_in_any_case(path, kind):
    write_well(path, kinds=(kind, kind))
    assert open_trajectories(path).layout.boundary == ("periodic", "periodic")


@pytest.mark.parametrize("kind", ["WALL", "open"])
def test_the_caller_says_what_holds_at_a_wall(path, kind):
    write_well(path, kinds=("PERIODIC", kind))
    with pytest.raises(ValueError, match=rf"boundary along y is '{kind.lower()}', which does not say"):
        open_trajectories(path)
    assert open_trajectories(path, boundary="neumann").layout.boundary == ("periodic", "neumann")
    assert open_trajectories(path, boundary=["periodic", "dirichlet"]).layout.boundary == ("periodic", "dirichlet")
    with pytest.raises(ValueError, match=r"along y .* 'periodic' in data.boundary"):
        open_trajectories(path, boundary="periodic")
    with pytest.raises(ValueError, match="along x is 'periodic' in the file and 'neumann'"):
        open_trajectories(path, boundary=["neumann", "neumann"])


def test_a_complex_parameter_is_not_cut_to_its_real_part(path):
    write_well(path)
    with h5py.File(path, "r+") as file:
        file.attrs["nu"] = 0.5 + 1j
    data = open_trajectories(path)
    assert not data.given.names
    assert "scalar nu has shape () and type complex128, no real number: not read" in data.notes


def test_a_parameter_that_is_named_and_missing_is_no_number(path):
    write_well(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["nu"]
    data = open_trajectories(path)
    assert not data.given.names
    assert "scalar nu is named, but has no value: not read" in data.notes


def test_values_on_a_wall_are_mentioned_and_not_needed(path):
    write_well(path, kinds=("PERIODIC", "WALL"))
    with h5py.File(path, "r+") as file:
        file["boundary_conditions/y_boundary"].create_dataset("values", data=np.ones(2))
    notes = open_trajectories(path, boundary="dirichlet").notes
    says = (
        "y_boundary has values other than zero, 1, which are not read; say them in the simulator, as physical.walls: "
    )
    assert any(f"{says}{{y_lower, y_upper" in note for note in notes)


def test_walls_inside_the_domain_are_mentioned(path):
    write_well(path, kinds=("WALL", "WALL"))
    with h5py.File(path, "r+") as file:
        file["boundary_conditions/x_boundary"].attrs["associated_dims"] = ["x", "y"]
    notes = open_trajectories(path, boundary="neumann").notes
    assert any("x_boundary (wall) may lie inside the domain" in note for note in notes)


def test_each_end_has_the_condition_whose_mask_is_there(path):
    write_well(path, kinds=("PERIODIC", "WALL"))
    with h5py.File(path, "r+") as file:
        conditions = file["boundary_conditions"]
        conditions["y_boundary/mask"][...] = np.arange(6) == 0
        file.copy(conditions["y_boundary"], conditions, "y_upper")
        conditions["y_upper"].attrs["bc_type"] = "OPEN"
        conditions["y_upper/mask"][...] = np.arange(6) == 5
    ends = ("dirichlet", "outflow")
    assert open_trajectories(path, boundary=["periodic", ends], walls="trusted").layout.boundary == ("periodic", ends)
    with pytest.raises(ValueError, match="along y is 'wall to open', which does not say what holds there"):
        open_trajectories(path)


@pytest.mark.parametrize(
    ("attributes", "entries"),
    [({}, ["xx", "xy", "yx", "yy"]), ({"symmetric": True}, ["xx", "xy", "yy"]), ({"antisymmetric": True}, ["xy"])],
)
@pytest.mark.parametrize("flat", [False, True])
def test_a_tensor_is_a_field_for_each_entry_that_no_other_repeats(path, attributes, entries, flat):
    write_well(path)
    stress = np.random.default_rng(1).normal(size=(3, 5, 8, 6, 2, 2)).astype(np.float32)
    with h5py.File(path, "r+") as file:
        add_field(file, "t2_fields", "stress", stress.reshape(3, 5, 8, 6, 4) if flat else stress, [True, True])
        file["t2_fields/stress"].attrs.update(attributes)
    data = open_trajectories(path, fields=[f"stress_{one}" for one in entries])
    for channel, (row, column) in enumerate(entries):
        expected = stress[..., "xy".index(row), "xy".index(column)]
        assert np.array_equal(data.states[:, :, channel].numpy(), expected)
    assert f"the tensor stress is read as the fields {', '.join(f'stress_{one}' for one in entries)}" in data.notes


def test_files_without_the_optional_groups_and_attributes(path):
    u = write_well(path)
    with h5py.File(path, "r+") as file:
        for group in ("t1_fields", "t2_fields", "scalars", "boundary_conditions"):
            del file[group]
        del file.attrs["simulation_parameters"]
        for name in ("dim_varying", "sample_varying", "time_varying"):
            del file["t0_fields/u"].attrs[name]
    data = open_trajectories(path, boundary="periodic")
    assert np.array_equal(data.states[:, :, 0], u)
    assert not data.given.names


def test_trajectories_may_start_at_times_of_their_own(path):
    write_well(path)
    with h5py.File(path, "r+") as file:
        del file["dimensions/time"]
        times = np.arange(3)[:, None] + np.linspace(0, 1, 5)
        add(file["dimensions"], "time", times, sample_varying=True)
    assert open_trajectories(path).layout.dt == pytest.approx(0.25)
    with h5py.File(path, "r+") as file:
        file["dimensions/time"][1] = 2 * times[1]
    both = open_trajectories(path)
    assert both.layout.dt == pytest.approx(0.25)
    assert both.mask is not None
    assert both.mask[:, :, 0, 0, 0].int().tolist() == [[1] * 5 + [0] * 4, [1, 0] * 4 + [1], [1] * 5 + [0] * 4]
    with h5py.File(path, "r+") as file:
        file["dimensions/time"][1] = 1.5 * times[1]
    # 0.25 and 0.375: all are at whole steps of 0.125.
    both = open_trajectories(path)
    assert (both.layout.dt, both.between) == (pytest.approx(0.125), None)
    assert both.mask is not None
    assert both.mask[:, :, 0, 0, 0].sum(dim=1).tolist() == [5, 5, 5]


def shifted_rows(file):
    del file["dimensions/x"]
    add(file["dimensions"], "x", np.arange(8) + np.arange(3.0)[:, None])


def unknown_place(file):
    file["dimensions/x"][3] = np.nan


def complex_times(file):
    del file["dimensions/time"]
    file["dimensions/time"] = np.linspace(0, 1, 5) * (1 + 1j)


def replace_times(file):
    file["dimensions/time"][...] = [0, 1, 3, 2, 5]


def spherical(file):
    file.attrs["grid_type"] = "spherical"


def moving_grid(file):
    file["dimensions/x"].attrs["time_varying"] = True


def wrong_shape(file):
    file["t0_fields/u"].attrs["time_varying"] = False


def text_field(file):
    add_field(file, "t0_fields", "words", np.array([b"a"]), [True, True])


def no_dimensions(file):
    del file["dimensions"]


def no_count(file):
    del file.attrs["n_trajectories"]


def missing_field(file):
    file["t0_fields"].attrs["field_names"] = ["u", "w"]


def not_finite(file):
    file["t0_fields/u"][2, 3, 1, 1] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_times, "times do not rise from 3.0 (index 2) to 2.0 (index 3)"),
        (spherical, "grid_type is 'spherical'"),
        (moving_grid, "coordinates x are time_varying"),
        (wrong_shape, "t0_fields/u has shape (3, 5, 8, 6); by its attributes it needs (3, 1, 8, 6, 1)"),
        (text_field, "t0_fields/words has type |S1"),
        (no_dimensions, "not in The Well's layout"),
        (no_count, "n_trajectories"),
        (missing_field, "not in The Well's layout"),
        (not_finite, "the first in trajectory 2, time step 3, field 'u'"),
        (shifted_rows, "coordinates x have shape (3, 8) and differ from row to row"),
        (unknown_place, "coordinates x are not equally spaced: the value at index 3 is nan"),
        (complex_times, "dimensions/time has type complex128, where real numbers are needed"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_reason(path, change, message):
    write_well(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=r"small\.hdf5.*" + re.escape(message)):
        open_trajectories(path)


def test_damage_that_shows_only_in_reading_is_named(path):
    u = write_well(path)
    with h5py.File(path, "r+") as file:
        del file["t0_fields/u"]
        stored = file["t0_fields"].create_dataset("u", data=u, chunks=(1, 5, 8, 6), fletcher32=True)
        offset = stored.id.get_chunk_info(2).byte_offset
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"small\.hdf5: not a whole HDF5 file"):
        open_trajectories(path)


def test_missing_values_can_be_masked(path):
    u = write_well(path)
    with h5py.File(path, "r+") as file:
        not_finite(file)
    data = open_trajectories(path, missing="mask")
    assert int((~data.mask).sum()) == 1
    assert not data.mask[2, 3, 0, 1, 1]
    assert np.array_equal(data.states[:, :, 0][data.mask[:, :, 0]], u[data.mask[:, :, 0].numpy()])


def lost_source(file, old):
    virtual = h5py.VirtualLayout(old.shape, old.dtype)
    virtual[...] = h5py.VirtualSource("gone.h5", "u", old.shape)
    file["t0_fields"].create_virtual_dataset("u", virtual, fillvalue=0)


def source_for_a_part(file, old):
    file["other"] = old
    virtual = h5py.VirtualLayout(old.shape, old.dtype)
    virtual[:2] = h5py.VirtualSource(file["other"])[:2]
    file["t0_fields"].create_virtual_dataset("u", virtual, fillvalue=0)


def unwritten_source(file, old):
    file.create_dataset("other", old.shape, old.dtype)
    virtual = h5py.VirtualLayout(old.shape, old.dtype)
    virtual[...] = h5py.VirtualSource(file["other"])
    file["t0_fields"].create_virtual_dataset("u", virtual)


def lost_storage(file, old):
    external = [(f"{file.filename}.gone", 0, old.nbytes)]
    file["t0_fields"].create_dataset("u", old.shape, old.dtype, external=external)


def short_storage(file, old):
    Path(f"{file.filename}.raw").write_bytes(old.tobytes()[:-4])
    external = [(f"{file.filename}.raw", 0, old.nbytes)]
    file["t0_fields"].create_dataset("u", old.shape, old.dtype, external=external)


def never_written(file, old):
    file["t0_fields"].create_dataset("u", old.shape, old.dtype)


def never_written_and_huge(file, old):
    file["t0_fields"].create_dataset("u", (3, 5, 10**12, 6), old.dtype, chunks=(1, 1, 64, 6), fillvalue=np.nan)


def written_in_part(file, old):
    file["t0_fields"].create_dataset("u", old.shape, old.dtype, chunks=(1, 5, 8, 6))[:2] = old[:2]


def lost_link(file, old):
    file["t0_fields"]["u"] = h5py.ExternalLink("gone.h5", "u")


def complex_values(file, old):
    file["t0_fields/u"] = old * (1 + 1j)


@pytest.mark.parametrize(
    ("replace", "says"),
    [
        (lost_source, r"t0_fields/u takes values from gone\.h5, which is not there; copy the file with all"),
        (source_for_a_part, "t0_fields/u has a source for 480 of its 720 values only"),
        (unwritten_source, r"t0_fields/u takes values from '/other' of \., which was never written"),
        (lost_storage, r"t0_fields/u keeps its values in .*\.gone, which is not there"),
        (short_storage, r"t0_fields/u keeps its values in .*\.raw, which ends before they do"),
        (never_written, "t0_fields/u was never written"),
        (never_written_and_huge, "t0_fields/u was never written"),
        (written_in_part, "t0_fields/u was written in part only, 2 of 3 chunks"),
        (lost_link, r"t0_fields/u is a link into gone\.h5, which is not there"),
        (complex_values, "t0_fields/u has type complex64; .* real and imaginary part as two fields"),
    ],
)
def test_values_that_are_not_all_in_the_file_are_refused_and_never_filled_in(path, replace, says):
    old = write_well(path)
    with h5py.File(path, "r+") as file:
        del file["t0_fields/u"]
        replace(file, old)
    with pytest.raises(ValueError, match=rf"small\.hdf5: {says}"):
        open_trajectories(path)
    assert re.search(says, "".join(inspect_file(path).refusals))


def test_a_virtual_dataset_with_all_its_sources_reads(path):
    old = write_well(path)
    with h5py.File(path.parent / "other.h5", "w") as other:
        other["u"] = old
    with h5py.File(path, "r+") as file:
        del file["t0_fields/u"]
        virtual = h5py.VirtualLayout(old.shape, old.dtype)
        virtual[...] = h5py.VirtualSource("other.h5", "u", old.shape)
        file["t0_fields"].create_virtual_dataset("u", virtual)
    assert np.array_equal(open_trajectories(path).states[:, :, 0], old)


def test_chunks_that_are_honestly_missing_can_be_masked(path):
    old = write_well(path)
    with h5py.File(path, "r+") as file:
        del file["t0_fields/u"]
        dataset = file["t0_fields"].create_dataset("u", old.shape, old.dtype, chunks=(1, 1, 8, 6), fillvalue=np.nan)
        dataset[:2], dataset[2, :4] = old[:2], old[2, :4]
    # The last state of the last trajectory: it ends before.
    assert "trajectories end before 5 states, nothing but NaN follows: trajectory 2 after 4" in (
        open_trajectories(path).notes
    )
    assert int((~open_trajectories(path, missing="mask").mask).sum()) == 48


def test_a_file_larger_than_the_free_memory_is_refused_before_any_of_it_is_read(path, monkeypatch):
    write_well(path)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(ValueError, match=r"has shape \(3, 5, 1, 8, 6\), which takes .* GB of memory"):
        open_trajectories(path)


@pytest.mark.parametrize("rows", [np.zeros((2, 8)) + np.arange(8), np.arange(8)[None]])
def test_coordinates_in_equal_rows_are_one_row(path, rows):
    write_well(path)
    with h5py.File(path, "r+") as file:
        del file["dimensions/x"]
        add(file["dimensions"], "x", rows, sample_varying=False)
    assert open_trajectories(path).layout.points(0) == pytest.approx(np.arange(8))


@pytest.mark.parametrize("kind", ["none", "external link", "virtual dataset", "external storage"])
def test_content_in_other_files_is_noticed(tmp_path, kind):
    path = tmp_path / "main.h5"
    values = write_well(path)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["u"] = values
    with h5py.File(path, "a") as file:
        fields = file["t0_fields"]
        if kind != "none":
            del fields["u"]
        if kind == "external link":
            fields["u"] = h5py.ExternalLink("other.h5", "u")
        elif kind == "virtual dataset":
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            layout[...] = h5py.VirtualSource("other.h5", "u", values.shape)
            fields.create_virtual_dataset("u", layout)
        elif kind == "external storage":
            fields.create_dataset(
                "u", values.shape, values.dtype, external=[(str(tmp_path / "raw"), 0, values.nbytes)]
            )
    assert is_self_contained(path) == (kind == "none")
