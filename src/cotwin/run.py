"""A run directory: resolved configuration, metrics, checkpoints, figures. Stable path, resumable.

    runs/burgers/
        cotwin-run.json         says that Cotwin made this directory
        config.yaml             the resolved configuration
        metrics.jsonl           one line for each finished phase
        checkpoints/0007.pt     everything the rest of the run depends on, after seven phases or stages
        checkpoints/0007.json   its size and SHA-256
        physical.safetensors    the final models' weights; synthetic.safetensors likewise
        models.json             what else it takes to build both models again, without the data
        result.json             the table at the end
        rollout.png …           figures
        filled.safetensors      states that nobody has seen, as the calibrated simulator gives them
        generated/0000-physical.npy   what the physical model learned from in cycle 0, if store.keep_generated is on
        estimation.json, fit.png       of `cotwin estimate`
        check.json, check.png          of `cotwin estimate --check`
        posterior.nc, posterior.png    draws from the posterior, if asked for
        cells/…json                    of `cotwin compare`, what came of each arm with each seed
        comparison.json, comparison.png, origin.json: hashes of data and code

Whatever is written here is written aside, synced and renamed: it is whole or not there. No link here is followed.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from cotwin.folder import PART, Folder, NotOursError

logger = logging.getLogger(__name__)

MARKER, LOCK = "cotwin-run.json", "lock"
# By their full names: a figure that somebody else put here is not ours.
OURS = re.compile(
    r"config\.yaml|metrics\.jsonl|(models|result|estimation|check|next|comparison|origin)\.json"
    r"|(physical|synthetic|estimate|filled)\.safetensors"
    r"|(rollout|fit|check|posterior|next|comparison)\.png|posterior\.nc"
)
CHECKPOINTS, GENERATED, CELLS, FILLED = "checkpoints", "generated", "cells", "filled.safetensors"
ORIGIN = "origin.json"
CHECKPOINT = re.compile(r"(\d{4,})\.pt")
PART_OF_CHECKPOINT = re.compile(r"(\d{4,})\.(?:pt|json)")
WINDOWS = re.compile(r"\d{4,}-(?:physical|synthetic)\.npy")
CELL = re.compile(r"[0-9a-f]{32}\.json")
KEPT_CHECKPOINTS = 2


class RunError(RuntimeError):
    """A run directory that cannot be used as asked; the message says why and what to do."""


class Run:
    """One run's directory, held by this process until `close`.

    Made by `Run.create` or `Run.reopen`.
    """

    def __init__(self, path: Path, folder: Folder, lock: BinaryIO) -> None:
        self.path, self._folder, self._lock = path, folder, lock

    @classmethod
    def create(cls, path: Path, config: str, *, overwrite: bool = False) -> Run:
        """A fresh run. Raises RunError if there is one already, unless `overwrite`; or a directory of others.

        Overwriting removes the files that a run writes, and nothing else.
        """
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise RunError(f"{path} is not a directory that Cotwin made; choose another with --run-dir.")
        path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            folder = stack.enter_context(Folder(path))
            # A lock and parts alone are left by a process killed before it had marked the directory.
            if any(name != LOCK and not PART.fullmatch(name) for name in folder.names()):
                if folder.status(MARKER) is None:
                    raise RunError(f"{path} exists and is not a run of Cotwin; choose another with --run-dir.")
                if not overwrite:
                    raise RunError(
                        f"{path} holds a run already; continue it with --resume, replace it with --overwrite, "
                        "or choose another directory with --run-dir."
                    )
            run = cls(path, folder, _locked(folder))
            stack.pop_all()
        run._clear()
        run.write_text(MARKER, json.dumps({"made_by": "cotwin", "format": 1}) + "\n")
        run.write_text("config.yaml", config)
        return run

    @classmethod
    def reopen(cls, path: Path) -> Run:
        """The run at `path`, to go on with it; whether it is the same experiment, `experiment.resume` compares.

        Raises RunError if there is none.
        """
        with ExitStack() as stack:
            if not path.is_dir():
                raise RunError(f"there is no run in {path} to resume; start it without --resume.")
            # A link to a run is the user's layout, and followed once, here.
            folder = stack.enter_context(Folder(path.resolve()))
            if folder.status(MARKER) is None:
                raise RunError(f"there is no run in {path} to resume; start it without --resume.")
            if folder.status("config.yaml") is None:
                raise RunError(f"the run in {path} has lost its config.yaml; start again with --overwrite.")
            run = cls(path, folder, _locked(folder))
            stack.pop_all()
        folder.sweep()
        return run

    def close(self) -> None:
        """Let another process use the directory."""
        self._lock.close()
        self._folder.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        self._folder.write(name, data)

    def write_weights(self, name: str, model: nn.Module) -> str:
        """Write a model's weights as safetensors; the SHA-256 of the file."""
        return self.write_tensors(name, model.state_dict())

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> str:
        """Write tensors as safetensors; the SHA-256 of the file."""
        # Copies: safetensors refuses tensors that share memory, as one parameter under two names does.
        data = save({key: value.contiguous().clone() for key, value in tensors.items()})
        self.write_bytes(name, data)
        return hashlib.sha256(data).hexdigest()

    def read_tensors(self, name: str, digest: str) -> dict[str, Tensor]:
        """What was written. Raises RunError where the file is not the one of this SHA-256."""
        try:
            data = self._folder.read(name)
        except OSError as error:
            raise RunError(f"{self.path / name} cannot be read ({error.strerror or error}).") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise RunError(f"{self.path / name} is damaged; start again with --overwrite.")
        return load(data)

    def write_json(self, name: str, value: Any) -> None:
        """Write nested plain values as JSON; a number that is not finite becomes null, which JSON has."""
        self.write_text(name, json.dumps(_finite(value), indent=1) + "\n")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """What was written; None where nothing was. Raises RunError where it is damaged."""
        if self._folder.status(name) is None:
            return None
        try:
            value: dict[str, Any] = json.loads(self._folder.read(name))
        except ValueError:
            raise RunError(f"{self.path / name} is damaged; start again with --overwrite.") from None
        return value

    def write_result(self, name: str, value: Any, besides: Sequence[str]) -> None:
        """`write_json`, and where another result was there, without the files besides that spoke of that one."""
        text = json.dumps(_finite(value), indent=1) + "\n"
        if self._folder.status(name) is not None and self._folder.read(name) == text.encode():
            return
        for stale in besides:
            with suppress(FileNotFoundError):
                self._folder.remove(stale)
        self.write_text(name, text)

    def write_figure(self, name: str, draw: Callable[[], bytes]) -> None:
        """Write a picture; if that fails there is none, and a warning: everything that counts is written already."""
        try:
            self.write_bytes(name, draw())
        except Exception as error:  # fonts, memory, disk: whatever it is, the results are there
            logger.warning("%s could not be drawn: %s: %s", self.path / name, type(error).__name__, error)

    def write_metrics(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Replace metrics.jsonl by these lines.

        The lines are kept in the checkpoint and written anew after each phase, so that a kill between the
        two cannot leave a phase out, or in twice.
        """
        self.write_text("metrics.jsonl", "".join(json.dumps(_finite(line)) + "\n" for line in lines))

    def save_checkpoint(self, number: int, state: Mapping[str, Any]) -> None:
        """Keep the state after `number` phases, and the one before it; older ones go."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        data = buffer.getvalue()
        manifest = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        with self._folder.folder(CHECKPOINTS, make=True) as folder:
            # The manifest first: a checkpoint without one would look damaged.
            folder.write(f"{number:04d}.json", json.dumps(manifest).encode())
            folder.write(f"{number:04d}.pt", data)
            kept = _checkpoints(folder)[-KEPT_CHECKPOINTS:]
            folder.sweep()
            # Manifests too that have lost their checkpoint, or never got one, in a process that was killed.
            _remove(folder, PART_OF_CHECKPOINT, lambda match: int(match[1]) not in kept)

    def keep_cell(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep what came of a cell of a comparison, by its name of 32 hexadecimal digits."""
        text = json.dumps(_finite(value)) + "\n"
        with self._folder.folder(CELLS, make=True) as folder:
            folder.write(f"{name}.json", text.encode())

    def cell(self, name: str) -> dict[str, Any] | None:
        """What was kept; None where nothing was, or it is damaged."""
        with suppress(FileNotFoundError, ValueError), self._folder.folder(CELLS) as folder:
            value: dict[str, Any] = json.loads(folder.read(f"{name}.json"))
            return value
        return None

    def checkpoints(self) -> list[int]:
        """Numbers of the checkpoints that are there, oldest first."""
        with suppress(FileNotFoundError), self._folder.folder(CHECKPOINTS) as folder:
            return _checkpoints(folder)
        return []

    def load_checkpoint(self, number: int | None = None) -> dict[str, Any]:
        """The state of a checkpoint, the newest if no number is given.

        Raises RunError if it is damaged, offering the one before it.
        """
        there = self.checkpoints()
        if not there:
            raise RunError(f"{self.path} has no checkpoint yet; start again with --overwrite.")
        number = there[-1] if number is None else number
        if number not in there:
            raise RunError(f"{self.path} has no checkpoint {number}; it has {', '.join(map(str, there))}.")
        problem = self._damage(number)
        if problem is None:
            with self._folder.folder(CHECKPOINTS) as folder, folder.open(f"{number:04d}.pt") as file:
                state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return state
        whole = [other for other in there if other < number and self._damage(other) is None]
        cure = (
            f"checkpoint {whole[-1]} before it is whole: resume from it with --resume --checkpoint {whole[-1]}."
            if whole
            else "there is none before it: start again with --overwrite."
        )
        raise RunError(f"checkpoint {number} of {self.path} is damaged ({problem}); {cure}")

    def _damage(self, number: int) -> str | None:
        try:
            with self._folder.folder(CHECKPOINTS) as folder:
                data = folder.read(f"{number:04d}.pt")
                manifest = json.loads(folder.read(f"{number:04d}.json"))
            expected_bytes, expected_sha = int(manifest["bytes"]), str(manifest["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return "its manifest cannot be read"
        if len(data) != expected_bytes:
            return f"{len(data)} bytes of {expected_bytes}"
        if hashlib.sha256(data).hexdigest() != expected_sha:
            return "its checksum is wrong"
        return None

    def _clear(self) -> None:
        # The marker stays: without it, a run cut short here could not be overwritten again.
        self._folder.sweep()
        _remove(self._folder, OURS)
        for name, ours in ((CHECKPOINTS, PART_OF_CHECKPOINT), (GENERATED, WINDOWS), (CELLS, CELL)):
            # A link in the place of such a folder stays, and so does what it leads to.
            with suppress(FileNotFoundError, NotOursError), self._folder.folder(name) as folder:
                folder.sweep()
                _remove(folder, ours)


def _checkpoints(folder: Folder) -> list[int]:
    return sorted(int(match[1]) for match in map(CHECKPOINT.fullmatch, folder.names()) if match)


def _remove(
    folder: Folder, ours: re.Pattern[str], also: Callable[[re.Match[str]], bool] = lambda match: True
) -> None:
    """Delete regular files by their full names."""
    # A checkpoint before its manifest, without which it would look damaged.
    for match in map(ours.fullmatch, reversed(folder.names())):
        if match and also(match) and folder.status(match[0]) is not None:
            folder.remove(match[0])


def _locked(folder: Folder) -> BinaryIO:
    lock = folder.open(LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise RunError(
            f"another process is working in {folder.path}; wait for it, or choose another --run-dir."
        ) from None
    except OSError as error:
        lock.close()
        raise RunError(
            f"the file system of {folder.path} has no locks ({error.strerror}); choose another with --run-dir."
        ) from error
    return lock


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
