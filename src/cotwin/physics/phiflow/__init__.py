"""Models written with PhiFlow as Cotwin steppers. Needs the extra: pip install "cotwin[phiflow]"."""

try:
    import phi  # noqa: F401
    import phiml  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'cotwin.physics.phiflow needs PhiFlow, which is not installed: pip install "cotwin[phiflow]"',
        name=missing.name,
    ) from missing

from cotwin.physics.phiflow.backend import phiflow_context
from cotwin.physics.phiflow.burgers import PhiFlowBurgers
from cotwin.physics.phiflow.fields import from_fields, to_fields, to_phi
from cotwin.physics.phiflow.smoke import PhiFlowSmoke
from cotwin.physics.phiflow.stepper import PhiFlowStepper

__all__ = [
    "PhiFlowBurgers",
    "PhiFlowSmoke",
    "PhiFlowStepper",
    "from_fields",
    "phiflow_context",
    "to_fields",
    "to_phi",
]
