"""What it costs that something is given: rollouts with a condition and with an input, against plain ones, in one run.

    python benchmarks/physics/given.py     # a minute, on a quiet machine

16 samples, 20 intervals of the data, forward, process time on one thread. The three take turns; shown is the median
of the ratios within a turn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from cotwin import Field, Known, Layout, rollout
from cotwin.given import Course, Given
from cotwin.parameters import Condition, Input, Parameter, Wall, Walls
from cotwin.physics.burgers import Burgers
from cotwin.physics.heat import Heat
from cotwin.physics.navier_stokes import NavierStokes
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import Stepper

SAMPLES, STEPS, TURNS = 16, 20, 60
Make = Callable[[Layout, Parameter, Parameter], Stepper]
CASES: dict[str, tuple[tuple[int, ...], str, Make]] = {
    "heat 128, source": ((128,), "neumann", lambda layout, nu, f: Heat(layout, nu, source=f)),
    "heat 64², source": ((64, 64), "periodic", lambda layout, nu, f: Heat(layout, nu, source=f)),
    "heat 128, value at a wall": (
        (128,),
        "dirichlet",
        lambda layout, nu, f: Heat(layout, nu, walls=Walls(x_lower=Wall(value=f))),
    ),
    "Burgers 128, source": ((128,), "periodic", lambda layout, nu, f: Burgers(layout, nu, 2.0, source=(f,))),
    "spectral Burgers 128, source": (
        (128,),
        "periodic",
        lambda layout, nu, f: SpectralBurgers(layout, nu, substeps=2, source=f),
    ),
    "Navier-Stokes 64², source": (
        (64, 64),
        "periodic",
        lambda layout, nu, f: NavierStokes(layout, nu, substeps=2, source=f),
    ),
}


def main() -> None:
    """A row for each case."""
    torch.set_num_threads(1)
    given = Given.of(SAMPLES, {"nu": torch.full((SAMPLES,), 0.05)}, {"f": Course(torch.rand(SAMPLES, STEPS + 1))})
    for name, (grid, boundary, make) in CASES.items():
        layout = Layout.box([Field("u")], grid=grid, extent=[(0, 6.3)] * len(grid), boundary=boundary, dt=0.05)
        start = 0.3 * torch.randn(SAMPLES, *layout.state_shape)
        forms = [
            make(layout, Known(0.05), Known(0.3)),
            make(layout, Condition("nu", 0.05), Known(0.3)),
            make(layout, Known(0.05), Input("f", 1.0)),
        ]
        turns = []
        with torch.no_grad():
            for _ in range(TURNS):
                turn = []
                for stepper in forms:
                    begin = time.process_time()
                    rollout(stepper, start, STEPS, given)
                    turn.append(time.process_time() - begin)
                turns.append(turn)
        plain = statistics.median(turn[0] for turn in turns)
        ratios = [statistics.median(turn[form] / turn[0] for turn in turns) for form in (1, 2)]
        print(
            f"{name}: plain {1e3 * plain:.2f} ms; condition {ratios[0]:.2f}, input {ratios[1]:.2f} times", flush=True
        )


if __name__ == "__main__":
    main()
