"""A run directory: nobody else's files are touched, and what is there is whole."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from children import die_at, finish, run, start
from safetensors.torch import load_file
from tiny import hybrid, same
from torch import nn

from cotwin.folder import Folder
from cotwin.run import KEPT_CHECKPOINTS, MARKER, Run, RunError
from cotwin.training.alpha import fixed

CONFIG = "physical:\n  steps: 10\nsynthetic:\n  steps: 20\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


def filled(path: Path, checkpoints: int = 3) -> None:
    """A finished run, closed."""
    with Run.create(path, CONFIG) as run:
        for number in range(checkpoints):
            run.save_checkpoint(number, {"number": number, "weights": torch.full((50,), float(number))})
        run.write_metrics([{"loss": 1.0}])
        run.write_text("result.json", "{}")
        for name in ("physical.safetensors", "synthetic.safetensors", "rollout.png"):
            (path / name).write_bytes(b"ours")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_was_saved_comes_back(path: Path) -> None:
    filled(path)
    with Run.reopen(path) as run:
        assert run.checkpoints() == [1, 2]
        assert run.load_checkpoint()["number"] == 2
        assert same(run.load_checkpoint(1), {"number": 1, "weights": torch.ones(50)})
        with pytest.raises(RunError, match="no checkpoint 7; it has 1, 2"):
            run.load_checkpoint(7)
    assert (path / "metrics.jsonl").read_text() == '{"loss": 1.0}\n'
    assert (path / "config.yaml").read_text() == CONFIG


def test_overwriting_leaves_nothing_that_an_estimate_was_asked(path: Path) -> None:
    filled(path)
    for name in ("estimate.safetensors", "next.json", "next.png"):
        (path / name).write_bytes(b"of what was here")
    Run.create(path, CONFIG, overwrite=True).close()
    assert sorted(file.name for file in path.iterdir() if file.is_file()) == ["config.yaml", MARKER, "lock"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_newest_checkpoints_are_kept(path: Path, count: int) -> None:
    filled(path, count)
    kept = range(count)[-KEPT_CHECKPOINTS:]
    expected = [f"{number:04d}.{kind}" for number in kept for kind in ("json", "pt")]
    assert sorted(file.name for file in (path / "checkpoints").iterdir()) == expected


def test_a_checkpoint_of_a_training_holds_no_pickled_code(path: Path) -> None:
    training = hybrid(alpha=fixed(1.0), steps=2, warmup_steps=2)
    with Run.create(path, CONFIG) as run:
        for number, phase in enumerate(training.phases(1)):
            training.advance(phase)
            run.save_checkpoint(number, training.state_dict())
        for file in (path / "checkpoints").glob("*.pt"):
            torch.load(file, weights_only=True)
        assert same(run.load_checkpoint(), training.state_dict())


def test_a_run_that_is_there_is_not_replaced_unasked(path: Path) -> None:
    filled(path)
    before = contents(path)
    with pytest.raises(RunError, match=r"--resume, replace it with --overwrite"):
        Run.create(path, CONFIG)
    assert contents(path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_a_run_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    (folder / "config.yaml").write_text("mine")
    file.write_text("mine")
    filled(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    before = contents(tmp_path)
    for path in (folder, file, link):
        with pytest.raises(RunError, match=r"not a run of Cotwin|not a directory that Cotwin made"):
            Run.create(path, CONFIG, overwrite=overwrite)
    assert contents(tmp_path) == before


def test_an_empty_directory_may_become_a_run(path: Path) -> None:
    path.mkdir(parents=True)
    Run.create(path, CONFIG).close()
    assert json.loads((path / MARKER).read_text())["made_by"] == "cotwin"


def test_overwriting_removes_what_a_run_wrote_and_nothing_else(path: Path) -> None:
    filled(path)
    ours = set(contents(path))
    theirs = [
        "notes.txt", "thesis.png", "mine.safetensors", ".draft.part", ".notes.json.part", "plots/rollout.png",
        "checkpoints/best.pt", "checkpoints/readme.json", "checkpoints/.mine.part", "checkpoints/old/0001.pt",
    ]  # fmt: skip
    for name in theirs:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("mine")
    (path / "checkpoints" / "0009.pt").mkdir()
    for left_over in (f".{'0' * 32}.part", f"checkpoints/.{'f' * 32}.part"):
        (path / left_over).write_text("half")
    Run.create(path, CONFIG, overwrite=True).close()
    assert set(contents(path)) == {*theirs, MARKER, "config.yaml", "lock"}
    assert ours > {MARKER, "config.yaml", "lock"}
    assert all((path / name).read_text() == "mine" for name in theirs)


def test_a_linked_checkpoint_folder_is_neither_emptied_nor_written_into(path: Path, tmp_path: Path) -> None:
    filled(path)
    (path / "checkpoints").rename(tmp_path / "precious")
    (path / "checkpoints").symlink_to(tmp_path / "precious")
    before = contents(tmp_path / "precious")
    with Run.create(path, CONFIG, overwrite=True) as run:
        for use in (lambda: run.save_checkpoint(9, {}), run.checkpoints, run.load_checkpoint):
            with pytest.raises(PermissionError, match=r"checkpoints is a symbolic link\. Move it away"):
                use()
    assert contents(tmp_path / "precious") == before


def test_links_in_the_place_of_files_are_replaced_not_followed(path: Path, tmp_path: Path) -> None:
    filled(path)
    (tmp_path / "thesis").write_text("years of work")
    for name in ("metrics.jsonl", "checkpoints/0003.pt", "checkpoints/0003.json", f"checkpoints/.{'0' * 32}.part"):
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(tmp_path / "thesis")
    with Run.reopen(path) as run:
        with pytest.raises(RunError, match=r"checkpoint 3 .* is damaged"):
            run.load_checkpoint(3)
        run.save_checkpoint(3, {"number": 3})
        run.write_metrics([{"loss": 2.0}])
        assert run.load_checkpoint() == {"number": 3}
    assert not (path / "metrics.jsonl").is_symlink()
    (path / "lock").unlink()
    (path / "lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(PermissionError, match="lock is a symbolic link"):
        Run.reopen(path)
    assert (tmp_path / "thesis").read_text() == "years of work"


def test_a_directory_put_in_the_place_of_the_run_is_not_written_into(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    with Run.create(path, CONFIG) as run:
        path.rename(tmp_path / "moved")
        path.symlink_to(tmp_path / "precious")
        run.write_text("result.json", "{}")
    assert (tmp_path / "moved" / "result.json").exists()
    assert not list((tmp_path / "precious").iterdir())


def test_overwriting_that_was_cut_short_can_be_done_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    remove, removed = Folder.remove, 0

    def killed(self: Folder, name: str) -> None:
        nonlocal removed
        removed += 1
        if removed > 3:
            raise KeyboardInterrupt
        remove(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            Run.create(path, CONFIG, overwrite=True)
    Run.create(path, CONFIG, overwrite=True).close()


def test_there_has_to_be_something_to_resume(path: Path) -> None:
    with pytest.raises(RunError, match="no run in"):
        Run.reopen(path)
    with Run.create(path, CONFIG) as run, pytest.raises(RunError, match="no checkpoint yet"):
        run.load_checkpoint()
    (path / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"lost its config.yaml"):
        Run.reopen(path)


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content) if how == "flipped" else bytes(content[:-7]) if how == "cut" else b"")


@pytest.mark.parametrize(("how", "named"), [("flipped", "checksum"), ("cut", "bytes of"), ("emptied", "0 bytes of")])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_offered(path: Path, how: str, named: str) -> None:
    filled(path)
    damage(path / "checkpoints" / "0002.pt", how)
    with Run.reopen(path) as run:
        with pytest.raises(RunError, match=rf"checkpoint 2 .* damaged \(.*{named}.*--resume --checkpoint 1"):
            run.load_checkpoint()
        assert run.load_checkpoint(1)["number"] == 1
        damage(path / "checkpoints" / "0001.pt", how)
        with pytest.raises(RunError, match=r"none before it: start again with --overwrite"):
            run.load_checkpoint()


@pytest.mark.parametrize("manifest", [None, "", "[]", '{"bytes": 3}'])
def test_a_checkpoint_without_its_manifest_is_not_trusted(path: Path, manifest: str | None) -> None:
    filled(path)
    file = path / "checkpoints" / "0002.json"
    file.unlink() if manifest is None else file.write_text(manifest)
    with Run.reopen(path) as run, pytest.raises(RunError, match=r"manifest cannot be read.*--checkpoint 1"):
        run.load_checkpoint()


def test_going_on_from_the_checkpoint_before_replaces_the_damaged_one(path: Path) -> None:
    filled(path)
    damage(path / "checkpoints" / "0002.pt", "cut")
    with Run.reopen(path) as run:
        run.save_checkpoint(2, {"number": 2})
        assert run.load_checkpoint() == {"number": 2}


@pytest.mark.parametrize("write", ["metrics", "checkpoint"])
def test_a_crash_before_the_renaming_leaves_the_old_file(
    path: Path, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    before = contents(path)

    def killed(self: Folder, name: str) -> Iterator[int]:
        """As a kill, it leaves what it has begun."""
        file = self.open(f".{'0' * 32}.part", os.O_RDWR | os.O_CREAT)
        file.write(b"half")
        raise KeyboardInterrupt

    with Run.reopen(path) as run:
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "anew", killed)
            with pytest.raises(KeyboardInterrupt):
                run.write_metrics([{"loss": 2.0}]) if write == "metrics" else run.save_checkpoint(3, {"number": 3})
        after = contents(path)
        assert {name: after[name] for name in before} == before
        assert [Path(name).suffix for name in after.keys() - before.keys()] == [".part"]
        assert run.load_checkpoint()["number"] == 2
    # And what is left over is in nobody's way.
    with Run.reopen(path) as run:
        run.write_metrics([{"loss": 2.0}])
        run.save_checkpoint(3, {"number": 3})
        assert run.load_checkpoint() == {"number": 3}
    assert not list(path.rglob("*.part"))


def test_a_crash_between_manifest_and_checkpoint_leaves_the_one_before(path: Path) -> None:
    filled(path)
    (path / "checkpoints" / "0003.json").write_text('{"bytes": 10, "sha256": "0"}')
    with Run.reopen(path) as run:
        assert run.load_checkpoint()["number"] == 2


def test_two_processes_cannot_hold_one_run(path: Path) -> None:
    script = "import sys; from pathlib import Path; from cotwin.run import Run; Run.reopen(Path(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(path)]
    with Run.create(path, CONFIG):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "another process is working in" in refused.stderr
        for overwrite in (False, True):
            with pytest.raises(RunError, match=r"another process|holds a run"):
                Run.create(path, CONFIG, overwrite=overwrite)
    Run.reopen(path).close()


def test_a_file_system_without_locks_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(RunError, match=r"has no locks \(No locks available\); choose another with --run-dir"):
        Run.create(path, CONFIG)


def write_and_die(path: Path, call: int, report: Path | None = None) -> None:
    """A short run, dead at a system call; or else a report of how many there were."""
    calls = die_at(path, call)
    write(path)
    if report is not None:
        report.write_text(str(calls()))


def write(path: Path) -> None:
    with Run.create(path, CONFIG, overwrite=True) as run:
        for number in range(KEPT_CHECKPOINTS + 1):
            run.save_checkpoint(number, {"number": number})
            run.write_metrics([{"number": number}])
        run.write_json("result.json", {"number": 4})


@pytest.mark.slow
@pytest.mark.parametrize("before", [False, True])
def test_a_kill_at_any_system_call_leaves_a_run_to_go_on_with_or_to_replace(swift_path: Path, before: bool) -> None:
    run(write_and_die, swift_path / "undisturbed", -1, swift_path / "calls")
    expected = contents(swift_path / "undisturbed").keys()
    calls = int((swift_path / "calls").read_text())
    assert calls > 60
    for call in range(calls):
        path = swift_path / str(call)
        if before:
            filled(path)
            for name in ("physical.safetensors", "synthetic.safetensors", "rollout.png"):
                (path / name).unlink()
        finish(start(write_and_die, path, call), -signal.SIGKILL)
        if (path / MARKER).is_file() and (path / "config.yaml").is_file():
            with Run.reopen(path) as reopened:
                for number in reopened.checkpoints():
                    assert reopened.load_checkpoint(number)["number"] == number
        write(path)
        assert contents(path).keys() == expected
        assert json.loads((path / "result.json").read_text()) == {"number": 4}


def test_weights_of_one_parameter_under_two_names_are_written(path: Path) -> None:
    model = nn.Linear(3, 3)
    model.again = model.weight
    with Run.create(path, CONFIG) as run:
        run.write_weights("physical.safetensors", model)
    found = load_file(path / "physical.safetensors")
    assert same(found, dict(model.state_dict()))
    assert torch.equal(found["again"], found["weight"])


def test_a_figure_that_cannot_be_drawn_is_a_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def draw() -> bytes:
        raise RuntimeError("no fonts")

    with Run.create(path, CONFIG) as run:
        run.write_figure("rollout.png", draw)
        assert "rollout.png could not be drawn: RuntimeError: no fonts" in caplog.text
        assert not (path / "rollout.png").exists()
        run.write_figure("rollout.png", lambda: b"png")
    assert (path / "rollout.png").read_bytes() == b"png"
