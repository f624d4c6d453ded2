"""What an experiment will take, before it runs."""

from __future__ import annotations

from cotwin.experiment.settings import FileData
from cotwin.experiment.train import Session
from cotwin.plan import Plan, RealData, plan


def plan_session(session: Session) -> Plan:
    """Sizes and times of a session that has not begun; it should not be trained afterwards."""
    data = session.data
    parts = {
        "training": (data.train.states, data.train.mask),
        "validation": (data.validation.states, data.validation.mask),
        **({} if data.test is None else {"test": (data.test.states, data.test.mask)}),
    }
    real = [
        RealData(name, tuple(states.shape), states.nbytes + (0 if mask is None else mask.nbytes))
        for name, (states, mask) in parts.items()
    ]
    # Rollouts of four models, two trained together and two alone; and what a file was converted to.
    kept = 4 * sum(states.nbytes for name, (states, _) in parts.items() if name != "training")
    if isinstance(session.experiment.data, FileData):
        kept += sum(states.nbytes for states, _ in parts.values())
    return plan([*session.trainings.items()], session.experiment.hybrid.cycles, real, kept)
