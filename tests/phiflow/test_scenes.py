"""Scenes as PhiFlow writes them."""

import json

import numpy as np
import pytest
import torch
from phi.flow import Box, CenteredGrid, Scene, StaggeredGrid, extrapolation
from phi.math import dual, spatial, stack, tensor

from cotwin import open_trajectories

CELLS = (8, 6)
X, Y = np.meshgrid((np.arange(8) + 0.5) / 2, (np.arange(6) + 0.5) / 2, indexing="ij")


def centred(frame, trajectory):
    return np.cos(X + frame) * np.sin(Y + trajectory)


def faces(frame, trajectory):
    """(x, y) of the velocity on the faces between cells, none through walls."""
    return tensor(0.1 * (1 + frame + trajectory) * np.ones((7, 6)), spatial("x,y")), tensor(
        0.2 * (1 + frame) * np.ones((8, 5)), spatial("x,y")
    )


@pytest.fixture
def scenes(tmp_path):

    box = Box(x=4, y=3)
    for trajectory in range(2):
        scene = Scene.create(str(tmp_path / "runs"))
        for frame in range(3):
            smoke = CenteredGrid(
                tensor(centred(frame, trajectory), spatial("x,y")), extrapolation.BOUNDARY, bounds=box
            )
            components = dict(zip("xy", faces(frame, trajectory), strict=True))
            velocity = StaggeredGrid(stack(components, dual("vector")), 0, bounds=box)
            scene.write({"smoke": smoke, "velocity": velocity}, frame=frame)
        scene.put_property("dt", 0.25)
    return tmp_path / "runs"


def test_a_folder_of_scenes_is_a_set_of_trajectories(scenes):
    data = open_trajectories(scenes, boundary="dirichlet", walls="trusted")
    smoke, velocity = data.states[:, :, 0], data.states[:, :, 1:]
    expected = np.array([[centred(frame, trajectory) for frame in range(3)] for trajectory in range(2)])
    assert torch.allclose(smoke, torch.from_numpy(expected).float())
    # The face below the first cell is the wall.
    assert (velocity[:, :, 0, 0] == 0).all()
    assert (velocity[:, :, 1, :, 0] == 0).all()
    assert torch.allclose(velocity[1, 2, 0, 1:], torch.tensor(0.4))
    assert torch.allclose(velocity[1, 2, 1, :, 1:], torch.tensor(0.6))
    assert (data.layout.lower, data.layout.upper, data.layout.dt) == ((0.0, 0.0), (4.0, 3.0), 0.25)
    assert "velocity lies on faces: a component at index i is on the face below cell i" in data.notes


def test_one_scene_and_a_step_that_is_said(scenes):
    (scenes / "sim_000000" / "description.json").unlink()
    with pytest.raises(ValueError, match=r"the time between frames is not known; give it as data\.dt"):
        open_trajectories(scenes / "sim_000000", boundary="dirichlet", walls="trusted")
    data = open_trajectories(scenes / "sim_000000", boundary="dirichlet", walls="trusted", dt=0.5, fields=["smoke"])
    assert data.states.shape == (1, 3, 1, *CELLS)
    assert data.layout.dt == 0.5


@pytest.mark.parametrize("text", ["[" * 100_000, "{", json.dumps({"dt": "a tenth"})])
def test_a_description_that_says_nothing(scenes, text):
    (scenes / "sim_000000" / "description.json").write_text(text)
    with pytest.raises(ValueError, match=r"data\.dt"):
        open_trajectories(scenes, boundary="dirichlet", walls="trusted")


def test_scenes_that_do_not_belong_together(scenes):
    (scenes / "sim_000001" / "smoke_000002.npz").unlink()
    with pytest.raises(ValueError, match=r"sim_000001 and .*sim_000000 have other fields or frames"):
        open_trajectories(scenes, boundary="dirichlet")
