"""Simulators, rate laws, networks and samplers of starts by name, each declared once, beside its definition.

    @simulator("heat")
    class Heat(ParabolicStepper):
        "diffusivity: κ in length²/time."

        def __init__(self, layout: Layout, diffusivity: Parameter, substeps: int = 1) -> None: ...

The signature is its settings. A `Parameter` is an unknown, `Parameter | None` one that may be missing, a tuple of
them a vector, a dict of them unknowns that the person names. bool, int, float, str, Literal, tuples of these and
classes of `Settings` are what they are. An argument of another type must have a default, and is no setting. Lines
`name: …` of the docstring say what a setting means. Where arguments do not suit a configuration, a function that
returns the object is declared instead.

Names are found without importing anything (`names.py`): Cotwin's own in its source, those of other packages by the
entry-point groups cotwin.simulators, cotwin.rate_laws, cotwin.networks and cotwin.samplers. `package.module:thing`
names what no package declares. What can be set is read from the signature and the docstring (`signature.py`).
"""

from cotwin.registry.names import Registry, network, rate_law, sampler, simulator
from cotwin.registry.signature import (
    Count,
    Few,
    PositiveFloat,
    RegistryError,
    Settings,
    Sizes,
    made_by,
    summary,
)

__all__ = [
    "Count",
    "Few",
    "PositiveFloat",
    "Registry",
    "RegistryError",
    "Settings",
    "Sizes",
    "made_by",
    "network",
    "rate_law",
    "sampler",
    "simulator",
    "summary",
]
