"""Small files in The Well's layout, to bend in one place at a time."""

import h5py
import numpy as np

SHAPE = (3, 5, 8, 6)  # trajectories, times, x, y


def write_well(path, *, sizes=(8, 6), trajectories=3, kinds=("PERIODIC", "PERIODIC")):
    """A file with one scalar field u, ready to be changed with h5py."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["dataset_name"] = "small"
        file.attrs["grid_type"] = "cartesian"
        file.attrs["n_spatial_dims"] = len(sizes)
        file.attrs["n_trajectories"] = trajectories
        file.attrs["simulation_parameters"] = ["nu"]
        file.attrs["nu"] = 0.5
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = list("xyz"[: len(sizes)])
        add(dimensions, "time", np.linspace(0, 1, 5, dtype=np.float32), sample_varying=False)
        conditions = file.create_group("boundary_conditions")
        for name, size, kind in zip("xyz", sizes, kinds, strict=False):
            add(dimensions, name, np.arange(size) / np.float32(size), sample_varying=False, time_varying=False)
            condition = conditions.create_group(f"{name}_boundary")
            condition.attrs["associated_dims"] = [name]
            condition.attrs["bc_type"] = kind
            condition.create_dataset("mask", data=np.isin(np.arange(size), (0, size - 1)))
        for rank in range(3):
            file.create_group(f"t{rank}_fields").attrs["field_names"] = []
        file.create_group("scalars").attrs["field_names"] = []
        values = rng.normal(size=(trajectories, 5, *sizes)).astype(np.float32)
        add_field(file, "t0_fields", "u", values, [True] * len(sizes))
    return values


def add(group, name, values, **attributes):
    dataset = group.create_dataset(name, data=values)
    for key, value in attributes.items():
        dataset.attrs[key] = value


def add_field(file, group, name, values, dim_varying, sample_varying=True, time_varying=True):
    add(
        file[group],
        name,
        values,
        dim_varying=dim_varying,
        sample_varying=sample_varying,
        time_varying=time_varying,
    )
    file[group].attrs["field_names"] = [*file[group].attrs["field_names"], name]
