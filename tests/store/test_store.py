"""Placement never changes the windows, and nothing stays behind."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import resource
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import victims
from children import run

from cotwin.stepper import Stepper
from cotwin.store.placement import Placement
from cotwin.store.root import MARKER, claim_root
from cotwin.store.store import Store
from cotwin.windows import RolloutWindows
from cotwin.windows.starts import simulated

MB = 1_000_000
PLACEMENTS: tuple[Placement, ...] = ("memory", "cache", "on_the_fly")
Make = Callable[..., RolloutWindows]


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture(params=PLACEMENTS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", 10 * MB, 10 * MB, request.param)


def test_windows_are_kept_in_the_precision_of_their_starts(generated: Make, store: Store) -> None:
    windows = generated(3)
    starts = windows.starts.every().double() + 101_325
    doubled = RolloutWindows(windows.teacher.double(), starts, windows.num_steps)
    assert doubled.num_bytes == 2 * windows.num_bytes
    with store.keep(doubled) as kept:
        states = kept.windows.__getitems__(range(3)).states
    assert states.dtype == torch.float64
    assert torch.equal(states[:, 0], starts)


def test_kept_windows_follow_the_teacher(generated: Make, store: Store) -> None:
    windows = generated(9)
    with store.keep(windows) as kept:
        states = kept.windows.__getitems__(range(9)).states
        assert torch.equal(states[:, 0], windows.starts.every())
        for before, after in pairwise(states.unbind(dim=1)):
            torch.testing.assert_close(windows.teacher(before), after)


def test_automatic_choice_is_recorded_and_logged(
    generated: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # One window of three steps takes 512 bytes.
    store = Store(tmp_path / "cache", memory_budget=51_200, disk_budget=102_400)
    with caplog.at_level(logging.INFO, logger="cotwin"):
        for count, placement in ((49, "memory"), (50, "cache"), (201, "on_the_fly")):
            with store.keep(generated(count)) as kept:
                assert (kept.choice.placement, kept.choice.num_bytes) == (placement, count * 512)
                assert kept.choice.reason in caplog.text


def test_chunks_stay_below_the_budget(generated: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    generate = RolloutWindows.generate

    def watched(windows: RolloutWindows, indices: range) -> torch.Tensor:
        sizes.append(len(indices) * windows.window_bytes)
        return generate(windows, indices)

    monkeypatch.setattr(RolloutWindows, "generate", watched)
    with Store(None, 64 * 1024, 0, "memory").keep(generated(100)):
        pass
    assert sum(sizes) == 100 * 512
    assert max(sizes) <= 64 * 1024 // 64


def full(*_: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, None])
def test_nothing_stays_behind(
    generated: Make, store: Store, tmp_path: Path, error: type[BaseException] | None
) -> None:
    def use() -> None:
        with store.keep(generated(5)) as kept:
            kept.windows.__getitems__([0])
            if error is not None:
                raise error

    if error is None:
        use()
    else:
        with pytest.raises(error):
            use()
    assert all(name.endswith(MARKER) for name in files_below(tmp_path))


def test_teacher_is_in_eval_mode_meanwhile(generated: Make, store: Store) -> None:
    windows = generated(5)
    modules = list(windows.teacher.modules())
    modules[3].eval()
    before = [module.training for module in modules]
    assert len(set(before)) == 2
    with store.keep(windows):
        assert not any(module.training for module in modules)
    assert [module.training for module in modules] == before


def test_two_stores_share_a_root(generated: Make, tmp_path: Path) -> None:
    stores = [Store(tmp_path / "cache", 10 * MB, 10 * MB, "cache") for _ in range(2)]
    with stores[0].keep(generated(5)) as outer:
        with stores[1].keep(generated(6)) as inner:
            assert (len(outer.windows), len(inner.windows)) == (5, 6)
        assert torch.isfinite(outer.windows.__getitems__(range(5)).states).all()


@pytest.mark.parametrize("index", [-1, 5])
def test_indices_are_checked(generated: Make, store: Store, index: int) -> None:
    with store.keep(generated(5)) as kept, pytest.raises(IndexError, match="of 5 windows"):
        kept.windows.__getitems__([0, index])


def test_nothing_is_made_before_something_is_kept(generated: Make, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", 10 * MB, 10 * MB)
    store.choose(generated(5))
    assert not list(tmp_path.iterdir())
    with store.keep(generated(5)) as kept:
        assert kept.choice.placement == "memory"
    assert not list(tmp_path.iterdir())


def test_no_root_means_no_file(generated: Make) -> None:
    with pytest.raises(ValueError, match="needs a root directory"):
        Store(None, 10 * MB, 10 * MB, "cache")
    store = Store(None, memory_budget=51_200, disk_budget=10 * MB)
    with store.keep(generated(100)) as kept:
        assert kept.choice.placement == "on_the_fly"


def test_a_window_beyond_the_budget_is_refused(generated: Make) -> None:
    with pytest.raises(ValueError, match="one window takes 512 B"), Store(None, 500, 0).keep(generated(1)):
        pass


def harmed(root: Path) -> None:
    (root / MARKER).write_text("garbage")
    (root / "thesis.tex").write_text("years of work")


def linked(root: Path) -> None:
    root.rename(root.with_name("moved"))
    root.symlink_to(claim_root(root.with_name("precious")))


@pytest.mark.parametrize(("happens", "reason"), [(harmed, "no valid"), (linked, "a symbolic link")])
def test_a_cache_that_is_harmed_meanwhile_costs_the_cache_and_no_more(
    generated: Make, tmp_path: Path, happens: Callable[[Path], None], reason: str
) -> None:
    store = Store(claim_root(tmp_path / "cache"), 10 * MB, 10 * MB, "cache")
    with store.keep(generated(5)) as kept:
        happens(tmp_path / "cache")
        before = kept.windows.__getitems__(range(5)).states
    with store.keep(generated(5)) as kept:
        assert kept.choice.placement == "on_the_fly"
        assert reason in kept.choice.reason
        torch.testing.assert_close(kept.windows.__getitems__(range(5)).states, before)
    assert set(files_below(tmp_path)) <= {f"{name}/{MARKER}" for name in ("cache", "moved", "precious")} | {
        "cache/thesis.tex"
    }


@pytest.mark.parametrize(
    ("call", "number", "reason"),
    [
        ("posix_fallocate", errno.ENOSPC, "No space left"),
        ("posix_fallocate", errno.EDQUOT, "quota"),
        ("pwrite", errno.ENOSPC, "No space left"),
        ("pwrite", errno.EIO, "Input/output error"),
        ("fsync", errno.EIO, "Input/output error"),
        ("open", errno.EMFILE, "Too many open files"),
    ],
)
def test_a_disk_that_refuses_costs_the_cache_and_is_named(
    generated: Make,
    root: Path,
    call: str,
    number: int,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    kept_store = Store(root, 10 * MB, 10 * MB, "cache")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with kept_store.keep(generated(5)) as kept:
            assert isinstance(kept.windows, RolloutWindows)
            assert torch.isfinite(kept.windows.__getitems__(range(5)).states).all()
    assert kept.choice.placement == "on_the_fly"
    assert reason in kept.choice.reason
    assert reason in caplog.text
    assert "generated as they are read" in caplog.text
    assert files_below(root) == [MARKER]
    with kept_store.keep(generated(5)) as kept:
        assert kept.choice.placement == "cache"


def fill_beyond_a_limit(root: Path) -> None:
    """RLIMIT_FSIZE stands in for the full disk, with space that can be reserved and space that cannot."""

    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
    for reserve in (os.posix_fallocate, unsupported):
        os.posix_fallocate = reserve
        with victims.store(root).keep(victims.windows()) as kept:
            assert kept.choice.placement == "on_the_fly"
            victims.assert_close(kept.windows.__getitems__(range(20)).states, victims.expected())


def test_a_disk_that_fills_without_reservation_falls_back_too(root: Path) -> None:
    run(fill_beyond_a_limit, root)
    assert files_below(root) == [MARKER]


def test_no_lock_is_needed(generated: Make, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that somebody holds, or a file system without any, keeps nobody waiting."""

    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    with (root / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr("fcntl.flock", no_locks)
        with Store(root, 10 * MB, 10 * MB, "cache").keep(generated(5)) as kept:
            assert kept.choice.placement == "cache"


@pytest.mark.parametrize("placement", ["memory", "cache"])
def test_generated_windows_are_put_where_one_can_look_at_them(
    generated: Make, root: Path, tmp_path: Path, placement: Placement
) -> None:
    store = Store(root, 10 * MB, 10 * MB, placement, chunk_bytes=2048, keep_generated=tmp_path / "run" / "generated")
    (tmp_path / "run").mkdir()
    for _ in range(2):  # a resumed run makes them again
        with store.keep(generated(11), "0003-physical") as kept:
            states = kept.windows.__getitems__(range(11)).states
    (path,) = (tmp_path / "run" / "generated").iterdir()
    assert path.name == "0003-physical.npy"
    assert np.array_equal(np.load(path, allow_pickle=False), states.numpy())


def test_what_is_not_kept_is_not_there_to_look_at_and_that_is_said(
    generated: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(None, 10 * MB, 0, "on_the_fly", keep_generated=tmp_path).keep(generated(5), "0003-physical"):
        assert "0003-physical.npy is not written: the windows are generated as they are read" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["folder", "file", "full"])
def test_what_is_put_there_to_look_at_follows_no_link_and_costs_nothing(
    generated: Make, tmp_path: Path, precious: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = tmp_path / "generated"
    if what == "folder":
        looked_at.symlink_to(precious)
    else:
        looked_at.mkdir()
        (looked_at / "windows.npy").symlink_to(precious / "chapter" / "one.tex")
    if what == "full":
        monkeypatch.setattr("cotwin.store.show.write_at", full)
    with Store(None, 10 * MB, 0, "memory", keep_generated=looked_at).keep(generated(5)) as kept:
        assert torch.isfinite(kept.windows.__getitems__(range(5)).states).all()
    assert (looked_at / "windows.npy").is_file() or what == "folder"


def test_a_full_disk_goes_on_though_the_starts_do_not_fit_in_memory(
    teacher: Stepper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    teacher.eval()
    draw = simulated(torch.randn(2, 2, 16), teacher.layout, horizon=15)
    starts = draw(400, teacher, torch.Generator().manual_seed(0))
    windows = RolloutWindows(teacher, starts, 3)
    expected = windows.generate([5, 399])
    store = Store(tmp_path / "cache", 64_000, 10 * MB)
    assert store.choose(windows).placement == "cache"
    monkeypatch.setattr(os, "posix_fallocate", full)
    with store.keep(windows) as kept:
        assert torch.allclose(kept.windows.__getitems__([5, 399]).states, expected, atol=1e-6)
    assert "Starts are drawn as they are read" in caplog.text


@pytest.mark.parametrize("budget", [100_001, 700_000, 1_000_000_000])
def test_a_little_more_memory_cuts_no_set_into_other_rollouts(generated: Make, budget: int) -> None:
    windows = generated(3)
    rows = {Store(None, int(budget * share)).rows_at_once(windows) for share in (1.0, 1.01, 1.02)}
    assert len(rows) == 1
