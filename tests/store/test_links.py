"""A precious directory in the place of ours is never changed."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from children import run
from victims import (
    COUNT,
    Interrupted,
    assert_close,
    expected,
    fill_one,
    leftovers,
    set_below,
    store,
    windows,
)

from cotwin.store.ownership import claim_root
from cotwin.store.placement import Placement


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """Somebody's data, with names like ours."""
    thesis = tmp_path / "thesis"
    for name in ("data.npy", "generated/1/data.npy", f"generated/.staged-{'0' * 32}/data.npy", "chapter/one.tex"):
        (thesis / name).parent.mkdir(parents=True, exist_ok=True)
        (thesis / name).write_text("years of work")
    return thesis


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def replace(path: Path, other: Path) -> None:
    if path.exists():
        path.rename(path.with_name(f"moved-{path.name}"))
    path.symlink_to(other)


@pytest.mark.parametrize("placement", ["memory", "cache", "on_the_fly"])
@pytest.mark.parametrize("what", ["", "generated"])
def test_a_link_in_the_place_of_root_or_shelf_is_not_followed(
    tmp_path: Path, precious: Path, what: str, placement: Placement
) -> None:
    root = tmp_path / "cache"
    kept_store = store(root, placement)
    run(fill_one, root)
    before = state_of(precious)
    replace(root / what if what else root, precious)
    refused = pytest.raises(PermissionError, match="a symbolic link") if placement == "cache" else nullcontext()
    with refused, kept_store.keep(windows()) as kept:
        assert_close(kept.windows.__getitems__(range(COUNT)).states, expected())
    if not what:
        with pytest.raises(PermissionError, match="a symbolic link"):
            store(root, placement)
    assert state_of(precious) == before


@pytest.mark.parametrize("marked", [False, True])
def test_a_link_in_the_place_of_a_set_is_not_followed(left: Path, precious: Path, marked: bool) -> None:
    if marked:
        claim_root(precious / "empty")
        precious = precious / "empty"
    before = state_of(precious)
    replace(set_below(left), precious)
    with pytest.raises(PermissionError, match="a symbolic link"), store(left).keep(windows()):
        pass
    (left / "generated" / f".staged-{'1' * 32}").symlink_to(precious)
    with store(left, "memory").keep(windows()):
        pass
    assert state_of(precious) == before


@pytest.mark.parametrize(
    ("what", "when"),
    [("root", "filling"), ("shelf", "filling"), ("root", "reading"), ("shelf", "reading"), ("set", "reading")],
)
def test_a_link_put_there_meanwhile_is_not_followed(tmp_path: Path, precious: Path, what: str, when: str) -> None:
    root = tmp_path / "cache"
    before = state_of(precious)

    def put() -> None:
        here = {"root": root, "shelf": root / "generated"}
        replace(here[what] if what in here else set_below(root), precious)

    made = windows(teacher=Interrupted(5, put) if when == "filling" else None)

    def use() -> None:
        with store(root).keep(made) as kept:
            put()
            assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())

    with pytest.raises(OSError, match=r"symbolic link|\.json"):
        use()
    assert state_of(precious) == before


def test_a_link_in_the_place_of_a_file_is_removed_not_followed(left: Path, precious: Path) -> None:
    before = state_of(precious)
    for name in ("data.npy", "manifest.json"):
        (set_below(left) / name).unlink()
        (set_below(left) / name).symlink_to(precious / "data.npy")
    with store(left).keep(windows()) as kept:
        assert torch.equal(kept.windows.__getitems__(range(COUNT)).states, expected())
    assert leftovers(left) == []
    assert state_of(precious) == before
