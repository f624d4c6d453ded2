"""What docs/problems.md says finds the truth of data that another solver made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.special
import yaml

from cotwin.experiment import calibrate
from cotwin.experiment.load import validate

PAGE = Path(__file__).parents[1] / "docs" / "problems.md"
NOISE = 0.002
Arrays = dict[str, Any]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def lines(starts: Any, x: Any, t: Any, rate: Callable[[float, Any, int], Any], noise: float = NOISE) -> Any:
    """By the method of lines, u_t = rate(t, u, trajectory), and noise."""
    rows = []
    for index, start in enumerate(starts):
        solved = scipy.integrate.solve_ivp(
            lambda time, u, index=index: rate(time, u, index), (t[0], t[-1]), start, "LSODA", t, rtol=1e-8, atol=1e-9
        )
        rows.append(solved.y.T)
    return np.array(rows) + noise * np.random.default_rng(1).normal(size=(len(starts), len(t), len(x)))


def on_finer(x: Any, left: Callable[[float], float] | None, diffusivity: float, t: Any, starts: Any) -> Any:
    """u_t = κ u_xx, a value at the left or no flux, no flux at the right: on nodes four times as fine."""
    fine = np.linspace(x[0], x[-1], 4 * (len(x) - 1) + 1)
    h = fine[1] - fine[0]

    def rate(time: float, u: Any, _: int) -> Any:
        whole = u if left is None else np.concatenate([[left(time)], u[1:]])
        change = np.empty_like(whole)
        change[1:-1] = np.diff(whole, 2)
        change[0] = 2 * (whole[1] - whole[0]) if left is None else 0.0
        change[-1] = 2 * (whole[-2] - whole[-1])
        return diffusivity * change / h**2

    states = lines([start(fine) for start in starts], fine, t, rate)
    if left is not None:
        states[:, :, 0] = [left(time) for time in t]
    return states[:, :, ::4]


def rod() -> Arrays:
    x, t = np.linspace(0, 0.3, 31), np.arange(21) * 0.05
    starts = [lambda x, a=a: 1 - a * np.sin(np.pi * x / 0.6) for a in (1.0, 0.6, 0.8)]
    return {"x": x, "t": t, "u": on_finer(x, lambda time: 1.0, 0.01, t, starts)}


def heater() -> Arrays:
    """On cells, 0.5 entering at the left of three rods."""
    x, t = (np.arange(32) + 0.5) / 32, np.arange(21) * 0.05
    fine = (np.arange(128) + 0.5) / 128

    def rate(_: float, u: Any, __: int) -> Any:
        flux = np.concatenate([[0.5], -0.1 * np.diff(u) * 128, [0.0]])
        return -np.diff(flux) * 128

    starts = [a * np.exp(-(((fine - 0.5) / 0.2) ** 2)) for a in (1.0, 0.5, 0.8)]
    return {"x": x, "t": t, "u": lines(starts, fine, t, rate).reshape(3, 21, 32, 4).mean(axis=3)}


def bath() -> Arrays:
    x, t = np.linspace(0, 1, 25), np.arange(31) * 0.05
    starts = [lambda x, a=a: a * np.sin(np.pi * x / 2) for a in (0.5, 1.0, 0.2)]
    states = on_finer(x, lambda time: float(np.sin(2 * time)), 0.1, t, starts)
    return {"x": x, "t": t, "u": states, "bath": np.sin(2 * t)}


def waves() -> Arrays:
    """D'Alembert on an endless string: pulses that part and leave."""
    x, t, rng = (np.arange(64) + 0.5) / 64, np.arange(31) * 0.032, np.random.default_rng(8)

    def bump(place: float, away: Any) -> Any:
        return np.exp(-(((away - place) / 0.15) ** 2))

    def slope(place: float, away: Any) -> Any:
        return -2 * (away - place) / 0.15**2 * bump(place, away)

    left, right = x + 0.8 * t[:, None], x - 0.8 * t[:, None]
    u = np.array([(bump(place, right) + bump(place, left)) / 2 for place in (0.3, 0.5, 0.65)])
    v = np.array([0.4 * (slope(place, left) - slope(place, right)) for place in (0.3, 0.5, 0.65)])
    return {
        "x": x, "t": t,
        "u": u + 0.02 * rng.normal(size=u.shape), "v": v + 0.2 * rng.normal(size=v.shape),
    }  # fmt: skip


def forced() -> Arrays:
    """On cells, zero at the ends, forced by 5 sin(2πt) sin(πx)."""
    x, t = (np.arange(32) + 0.5) / 32, np.arange(31) * 0.05
    fine = (np.arange(128) + 0.5) / 128

    def rate(time: float, u: Any, _: int) -> Any:
        around = np.concatenate([[-u[0]], u, [-u[-1]]])
        return 0.05 * np.diff(around, 2) * 128**2 + 5 * np.sin(2 * np.pi * time) * np.sin(np.pi * fine)

    starts = [a * np.sin(np.pi * fine) + b * np.sin(2 * np.pi * fine) for a, b in ((1, 0.5), (0, 1), (-1, 0.3))]
    states = lines(starts, fine, t, rate).reshape(3, 31, 32, 4).mean(axis=3)
    forcing = 5 * np.multiply.outer(np.sin(2 * np.pi * t), np.sin(np.pi * x))
    return {"x": x, "t": t, "u": states, "forcing": np.broadcast_to(forcing, states.shape)}


def known() -> Arrays:
    """u_t + c u_x = κ u_xx, periodic: waves that are carried and decay, exactly."""
    x, t, speeds = np.arange(32) * 2 * np.pi / 32, np.arange(16) * 0.1, np.array([0.3, 1.0, -0.5, 0.7])
    waves = [np.exp(-0.03 * k**2 * t)[:, None] * np.cos(k * (x - c * t[:, None]) + k) for c in speeds for k in (1, 2)]
    states = np.array(waves).reshape(4, 2, 16, 32).sum(axis=1)
    noise = NOISE * np.random.default_rng(2).normal(size=states.shape)
    return {"x": x, "t": t, "u": states + noise, "speed": speeds}


def each() -> Arrays:
    x, t, rates = (np.arange(24) + 0.5) / 24, np.arange(16) * 0.05, (0.05, 0.1, 0.2, 0.1)
    waves = [
        a * np.exp(-rate * (j * np.pi) ** 2 * t)[:, None] * np.cos(j * np.pi * x)
        for rate in rates
        for j, a in ((1, 1), (2, 0.5))
    ]
    states = np.array(waves).reshape(4, 2, 16, 24).sum(axis=1)
    return {"x": x, "t": t, "u": states + NOISE * np.random.default_rng(3).normal(size=states.shape)}


def decays(times: Any, amplitudes: Any, seed: int) -> Arrays:
    """Cells of an insulated rod, κ = 0.1: waves that decay, exactly."""
    x = (np.arange(24) + 0.5) / 24
    waves = [
        a * np.exp(-0.1 * (j * np.pi) ** 2 * times)[:, None] * np.cos(j * np.pi * x) for j, a in ((1, 1), (2, 0.5))
    ]
    states = np.multiply.outer(amplitudes, sum(waves))
    return {"x": x, "t": times, "u": states + NOISE * np.random.default_rng(seed).normal(size=states.shape)}


def uneven() -> Arrays:
    return decays(np.sort(np.random.default_rng(4).uniform(0, 1, 25)), [0.6, 1.0, 1.4], 5)


def gaps() -> Arrays:
    times = np.concatenate([np.arange(12) * 0.04, 0.9 + np.arange(9) * 0.04, 30 + np.arange(4) * 0.04])
    return decays(times, [0.9], 6)


def early() -> Arrays:
    arrays = decays(np.arange(30) * 0.04, [1.0, 0.7, 1.3, 0.9], 7)
    for trajectory, end in ((1, 20), (3, 12)):
        arrays["u"][trajectory, end:] = np.nan
    return arrays


def species(seen: bool = True) -> Arrays:
    """Gray-Scott, periodic, by Fourier series of twice the points: u with noise, or v, which is never seen."""
    x, t = np.arange(32) / 32, np.arange(21) * 5.0
    fine, rng = np.arange(64) / 64, np.random.default_rng(1)
    decay = -((2 * np.pi * np.fft.rfftfreq(64, 1 / 64)) ** 2)

    def rate(_: float, state: Any, __: int) -> Any:
        u, v = state.reshape(2, -1)
        spread = np.fft.irfft(decay * np.fft.rfft([u, v]))
        made = u * v**2
        return np.concatenate([2e-4 * spread[0] - made + 0.037 * (1 - u), 1e-4 * spread[1] + made - 0.097 * v])

    bumps = [np.exp(-(((fine - rng.uniform(0.3, 0.7)) / rng.uniform(0.08, 0.12)) ** 2)) for _ in range(4)]
    starts = [np.concatenate([1 - 0.5 * bump, 0.05 + 0.25 * bump]) for bump in bumps]
    states = lines(starts, np.arange(128), t, rate, noise=0.0)
    u, v = states.reshape(4, 21, 2, 64)[:, :, :, ::2].transpose(2, 0, 1, 3)
    return {"x": x, "t": t, "u": u + NOISE * rng.normal(size=u.shape)} if seen else {"v": v}


def sensors(late: float = 0.0) -> Arrays:
    """Six of 48 cells between insulating walls, exactly."""
    x, t, rng = (np.arange(48) + 0.5) / 48, np.arange(31) * 0.02 + late, np.random.default_rng(0)
    j = np.arange(6)
    decays = np.exp(-0.1 * (j * np.pi) ** 2 * t[:, None])
    states = np.einsum("ij,tj,jx->itx", rng.normal(size=(4, 6)), decays, np.cos(np.pi * np.outer(j, x)))
    states += NOISE * rng.normal(size=states.shape)
    seen = np.full_like(states, np.nan)
    seen[:, :, 4::8] = states[:, :, 4::8]
    return {"x": x, "t": t, "u": seen}


def columns(*parts: Arrays) -> Arrays:
    """A table's, each part below the one before."""
    names = {name: [np.broadcast_to(part[name], np.shape(part["time"])) for part in parts] for name in parts[0]}
    return {name: np.concatenate(own) for name, own in names.items()}


def logger() -> Arrays:
    """Eight sensors at places of no pattern on insulated rods, exactly; each is read at other times."""
    rng, parts = np.random.default_rng(10), []
    places, j = rng.uniform(0, 1, 8), np.arange(1, 6)
    for rod in range(4):
        sizes = rng.normal(size=5)
        for x in places:
            t = np.sort(rng.uniform(0, 0.6, 25))
            u = (np.exp(-0.1 * (j * np.pi) ** 2 * t[:, None]) * np.cos(j * np.pi * x)) @ sizes
            parts.append({"rod": rod, "time": t, "x": x, "u": u + NOISE * rng.normal(size=25)})
    return columns(*parts)


def flights() -> Arrays:
    """Heat in an insulated square, exactly, along the flights of two drones."""
    rng, t, parts = np.random.default_rng(0), np.arange(41) * 0.02, []
    j, k = np.divmod(np.arange(9), 3)
    for flight in range(3):
        sizes = rng.normal(size=9)
        for drone in range(2):
            x = 0.5 + 0.45 * np.sin(9 * t + 2 * drone + flight)
            y = 0.5 + 0.45 * np.cos(7 * t + drone)
            waves = np.cos(np.pi * np.outer(x, j)) * np.cos(np.pi * np.outer(y, k))
            u = (np.exp(-0.05 * np.pi**2 * np.outer(t, j**2 + k**2)) * waves) @ sizes
            parts.append({"flight": flight, "time": t, "x": x, "y": y, "reading": u + 0.005 * rng.normal(size=41)})
    return columns(*parts)


def sections() -> Arrays:
    """Of insulated rods the means over four sections, exactly; the noise of two is five times as large."""
    rng, t, parts = np.random.default_rng(9), np.arange(31) * 0.02, []
    j = np.arange(1, 5)
    for run in range(3):
        sizes = rng.normal(size=4)
        for low, high, noise in ((0, 0.2, 0.002), (0.2, 0.5, 0.01), (0.5, 0.7, 0.002), (0.7, 1, 0.01)):
            means = (np.sin(j * np.pi * high) - np.sin(j * np.pi * low)) / (j * np.pi * (high - low))
            u = (np.exp(-0.1 * (j * np.pi) ** 2 * t[:, None]) * means) @ sizes + noise * rng.normal(size=31)
            parts.append({"run": run, "time": t, "x_lower": low, "x_upper": high, "u": u, "u_sigma": noise})
    return columns(*parts)


def pumped() -> Arrays:
    """Drawdowns of Theis' solution at four wells, read at other times each. Theis (1935), Eos 16."""
    rng, parts = np.random.default_rng(0), []
    for x, y in ((1.7, 0.1), (-0.2, 1.5), (-1.4, -1.1), (1.3, 1.4)):
        t = np.sort(rng.uniform(0.02, 1, 30))
        squared = (x - 0.13) ** 2 + (y + 0.21) ** 2
        head = -2 / (4 * np.pi * 0.8) * scipy.special.exp1(squared * 0.5 / (4 * 0.8 * t))
        parts.append({"time": t, "x": x, "y": y, "head": head + 0.001 * rng.normal(size=30)})
    return columns(*parts)


MADE = {
    "pumped": pumped,
    "logger": logger,
    "flights": flights,
    "sections": sections,
    "rod": rod,
    "heater": heater,
    "bath": bath,
    "waves": waves,
    "forced": forced,
    "known": known,
    "each": each,
    "uneven": uneven,
    "gaps": gaps,
    "early": early,
    "species": species,
    "sensors": sensors,
}
TRUTH: dict[str, dict[str, Any]] = {
    "rod": {"diffusivity": 0.01},
    "heater": {"diffusivity": 0.1, "walls.x_lower.flux": 0.5},
    "bath": {"diffusivity": 0.1},
    # Straight lines are above the course where it bends: 0.02 of its 1, at most.
    "waves": {"speed": 0.8},
    "unknown": {"walls.x_lower.value": (np.sin(0.5 * np.arange(7)), 0.04)},
    "forced": {"diffusivity": 0.05},
    "known": {"diffusivity": 0.03},
    "each": {"diffusivity": [0.05, 0.1, 0.2, 0.1]},
    "uneven": {"diffusivity": 0.1},
    "gaps": {"diffusivity": 0.1},
    "early": {"diffusivity": 0.1},
    "pooled": {"diffusivity": [0.05, 0.1, 0.2, 0.1]},
    "species": {"feed": 0.037, "kill": 0.06},
    "sensors": {"diffusivity": 0.1},
    "logger": {"diffusivity": 0.1},
    "flights": {"diffusivity": 0.05},
    "sections": {"diffusivity": 0.1},
    "pumped": {"transmissivity": 0.8, "storativity": 0.5},
}


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: yaml.safe_load(block)["name"])
def test_the_words_find_the_truth(block: str, tmp_path: Path) -> None:
    values = yaml.safe_load(block)
    path = tmp_path / values["data"]["path"]
    values["data"]["path"] = str(path)
    arrays = MADE[path.stem]()
    match path.suffix:
        case ".csv":
            pd.DataFrame(arrays).to_csv(path, index=False)
        case ".parquet":
            pd.DataFrame(arrays).to_parquet(path)
        case _:
            np.savez(path, **arrays)
    found = calibrate.run(calibrate.prepare(validate(values | {"store": {"cache_dir": str(tmp_path / "cache")}})))
    for name, truth in TRUTH[values["name"]].items():
        own = found.intervals[name]
        half = (own.high - own.low) / 2
        if isinstance(truth, tuple):
            assert np.abs(own.value.numpy() - truth[0]).max() < truth[1]
            continue
        # Two and a half half widths of 90 %: four standard deviations.
        assert np.all(np.abs(own.value.numpy() - truth) < 2.5 * half.numpy()), (name, own)
        assert np.all(half.numpy() < 0.2 * np.array(truth)), (name, own)


def test_the_script_runs() -> None:
    scope: dict[str, Any] = {}
    (example,) = blocks("python")
    exec(compile(example, str(PAGE), "exec"), scope)
    assert scope["states"].shape == (2, 6, 1, 16)
