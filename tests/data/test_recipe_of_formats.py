"""Of every format in docs/data.md: the block that is printed reads what the page's line reads."""

import numpy as np
import pytest
from test_data_page import MADE
from test_recipe import pasted

from cotwin.data.inspection.inspect import inspect_file

TABLES = ["logger.csv"]  # which have no states to compare: test_inspect_table.py
SAID = {"wave.mat": {"axes": "xtn"}}  # else two trajectories are taken as two components, as where nothing is said


@pytest.mark.parametrize("name", [name for name in MADE if name not in TABLES])
def test_the_block_reads_what_the_writer_wrote(tmp_path, name):
    expected = MADE[name](tmp_path / name)
    data, left = pasted(tmp_path / name, walls="trusted", **SAID.get(name, {}))
    assert set(left) <= {"boundary", "extent", "dt", "axes"}
    moving = [not static for static in data.layout.static_channels]
    assert np.array_equal(data.states.numpy()[:, :, moving].astype(np.float32), expected.astype(np.float32))


def test_of_several_files_the_first_is_looked_at(tmp_path):
    MADE["runs/*.npz"](tmp_path / "runs/*.npz")
    for several in (tmp_path / "runs", tmp_path / "runs/*.npz"):
        found = inspect_file(several)
        assert found.source == f"{tmp_path / 'runs/0.npz'}, the first of 2 files"
        assert {one.name: one.value for one in found.recipe}["path"] == str(several)
