"""Processes to kill, forked from one that has imported everything, so that each costs milliseconds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["cotwin.cli", "cotwin.experiment.train", "cotwin.report.table"])


def start(act: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process that calls a function of some module."""
    process = CONTEXT.Process(target=_alone, args=(act, *arguments), daemon=True)
    process.start()
    return process


def finish(process: ForkServerProcess, exit_code: int = 0) -> None:
    """Wait for a process, and for how it should end."""
    process.join(timeout=60)
    assert process.exitcode == exit_code


def run(act: Callable[..., None], *arguments: Any) -> None:
    """Call a function in a process of its own; an exception there is one here."""
    finish(start(act, *arguments))


def die_at(root: Path, call: int) -> Callable[[], int]:
    """Kill this process in the middle of its so-manyth system call that changes, locks or lists files of a root.

    What is written is written by half first; other calls do not happen at all. Says how many there
    were so far, which with a `call` below zero is all of them.
    """
    done = 0

    def step(half: Callable[[], object] = lambda: None) -> None:
        nonlocal done
        if done == call:
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "fcntl.flock") or (
            # A name alone is relative to an open directory.
            event == "open" and str(arguments[0]).startswith((str(root), "."))
        ):
            step()

    def halved(name: str, half: Callable[..., object]) -> None:
        whole = getattr(os, name)

        def call_or_die(*arguments: Any) -> Any:
            step(lambda: half(*arguments))
            return whole(*arguments)

        setattr(os, name, call_or_die)

    pwrite, write, fallocate = os.pwrite, os.write, os.posix_fallocate
    halved("pwrite", lambda file, content, offset: pwrite(file, content[: len(content) // 2], offset))
    halved("write", lambda file, content: write(file, content[: len(content) // 2]))
    halved("posix_fallocate", lambda file, offset, size: fallocate(file, offset, size // 2))
    halved("fsync", lambda file: None)
    sys.addaudithook(heard)
    return lambda: done


def _alone(act: Callable[..., None], *arguments: Any) -> None:
    import torch

    torch.set_num_threads(1)
    act(*arguments)
