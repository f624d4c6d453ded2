"""Whatever a setting is set to: it works, or a message says why not; no traceback, no hang, no memory without end."""

from __future__ import annotations

import math
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import SMALL
from typer import Exit

from cotwin.cli.errors import errors_explained
from cotwin.experiment import calibrate, train
from cotwin.experiment.load import load, validate

HOSTILE = [
    math.nan, math.inf, -math.inf, 0, -1, 1, 2, 0.5, 1e-300, 1e300, -1e300, 7, 10**7, 10**9, 2**63, 10**30,
    True, None, "", "full", "auto", "x" * 300, "\0", "../..", "wibble",
    [], {}, [0], [-1], [2], [1.5], [10**9], [4, 4], [[0, 1]], [[1, 0]], [[math.nan, 1]], [[-1e300, 1e300]],
    [None], ["u", "u"],
]  # fmt: skip
SECONDS, GB = 5, 2**30


def small(preset: str, *overrides: str) -> dict[str, Any]:
    return load(preset, overrides).model_dump(mode="json")


TINY = ["data.train=1", "data.test=1", "data.num_steps=6"]
BASES = {
    "burgers": small("burgers", *SMALL),
    "heat": small("heat", *TINY),
    "gray_scott": small("gray_scott", *TINY, "data.grid=[16,16]", "synthetic.width=4"),
    "smoke": small("smoke", *TINY, "data.grid=[8,8]", "data.refine=1", "synthetic.width=4"),
    "advection_diffusion": small("advection_diffusion", *TINY, "synthetic.network=unet", "synthetic.width=4"),
    "fisher": small("fisher", *TINY),
    "file": small(
        "burgers", *[word for word in SMALL if not word.startswith("data.")], "data={kind: file, path: mine.npz}"
    ),
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value, those of blocks too."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@contextmanager
def bounded() -> Iterator[None]:
    """Little time, and little more memory than now."""

    def stop(*_: object) -> None:
        raise AssertionError(f"not done after {SECONDS} s")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GB, hard))
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hostile")
    x, t = np.linspace(0, 2 * np.pi, 32, endpoint=False), 0.05 * np.arange(9)
    u = np.stack([np.exp(-0.1 * t)[:, None] * np.sin(x - 0.3 * n) for n in range(4)])
    np.savez(folder / "mine.npz", x=x, t=t, u=u, boundary="periodic")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for module in (train, calibrate):  # what torch imports when it is first needed shall not count below
            module.prepare(validate(BASES["burgers"]))
        yield folder


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_setting_works_or_is_explained(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(BASES)))
    values = BASES[name]
    for _ in range(data.draw(st.integers(1, 2))):
        values = changed(
            values, data.draw(st.sampled_from(list(leaves(values)))), data.draw(st.sampled_from(HOSTILE))
        )
    prepare = data.draw(st.sampled_from([train.prepare, calibrate.prepare]))
    with bounded():
        try:
            with errors_explained():
                prepare(validate(values))
        except Exit:
            pass


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=9223372036854775808", "seed: .*less than"),
        ("name=" + "x" * 300, "name: .*at most 100 characters"),
        ("threads=1000000000", "threads: .*less than or equal to 1024"),
        ("hybrid.alpha={kind: fixed, value: .inf}", r"hybrid\.alpha\.value: .*finite number"),
        ("hybrid.generated_per_real=1e5", r"generated_per_real: .*less than or equal to 1000"),
        ("hybrid.cycles=1000000000", r"hybrid\.cycles: .*less than or equal to 1000"),
        ("physical.viscosity.initial=.nan", r"viscosity\.initial: .*finite number"),
        ("physical.viscosity.grid=[-4]", r"viscosity\.grid\.0: .*greater than or equal to 2"),
        ("physical.viscosity.grid=[999]", r"physical\.viscosity: .* more coefficients than the solver has points"),
        ("physical.refine=1000", r"refine: .*less than or equal to 64"),
        ("physical.window=99", r"physical\.window: 99 steps need 100 frames, the training trajectories have 11"),
        ("synthetic.window=99", r"synthetic\.window: 99 steps need 100 frames"),
        ("synthetic.warmup_steps=10000000", r"synthetic\.warmup_steps: .*less than or equal to 1000000"),
        ("synthetic.width=100000", r"width: .*less than or equal to 1000"),
        ("synthetic.kernel_size=4", "must be odd"),
        ("synthetic={network: unet, levels: 9}", "levels"),
        ("data={points: 1024, num_steps: 1000000}", r"the simulation would make .* of at most 2\.1e\+09"),
        ("store.memory_budget_gb=1e300", r"memory_budget_gb: .*less than or equal to 1000000"),
    ],
)
def test_what_is_out_of_range_is_named(override: str, message: str) -> None:
    with bounded(), pytest.raises(ValueError, match=message):
        train.prepare(load("burgers", [*SMALL, override]))


@pytest.mark.parametrize(
    "error", [MemoryError("of numpy"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_said(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit), errors_explained():
        raise error
    assert "there is not enough memory" in capsys.readouterr().err
