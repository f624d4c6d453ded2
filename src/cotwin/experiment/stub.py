"""The text of a simulator that runs, with the place where a person's own equation goes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

STUB = '''"""A simulator to be made your own.

As it stands each field diffuses, with a coefficient that is estimated. Write yours where it says YOUR EQUATION.
Spectral schemes and conservation laws to begin with are in docs/models.md, programs and JAX in docs/adapters.md.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cotwin import Layout, Parameter
from cotwin.parameters import Walls
from cotwin.physics import ParabolicStepper
from cotwin.physics.channels import by_channel
from cotwin.physics.finite_volume import diffusion, diffusion_bound, face_diffusivities


class {class_name}(ParabolicStepper):
    """{equation}

{meanings}
    walls: what stands at the ends of the axes; without, zero.
    """

    # Each argument with the type Parameter is an unknown, and a setting of its name under physical in {name}.yaml.
    def __init__(
        self,
        layout: Layout,
{arguments}
        walls: Walls | None = None,
        substeps: int = 1,
    ) -> None:
        super().__init__(layout, substeps=substeps, walls=walls)
{kept}

    def diffusivities(self) -> Tensor:
        """One for each channel of the state."""
        return by_channel([{each}], self.layout.dims)

    def change(self, like: Tensor, interval: float) -> Callable[[Tensor], Tensor]:
        """What a state gains in an interval: ∂u/∂t times the interval. Called once a rollout."""
        faces = face_diffusivities(self.diffusivities().to(like.dtype), self.layout, interval)
        ends = self.ends(like, interval)

        def change(states: Tensor) -> Tensor:  # (batch, channels, *grid)
            ({unpacked}) = states.split([{sizes}], dim=1)
            # YOUR EQUATION: what each field gains over time beside diffusion, such as {example}
            gained = torch.cat([{zeros}], dim=1)
            return diffusion(states, faces, ends) + interval * gained

        return change

    def decay(self) -> float:
        """A bound on the rates, in 1/time, at which anything decays: add that of what you add."""
        return diffusion_bound(self.diffusivities(), self.layout)
'''


def identifier(name: str) -> str:
    """A field's name as Python and YAML take it."""
    plain = re.sub(r"\W", "_", name)
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def class_of(name: str) -> str:
    """A class's name from a module's."""
    return "".join(part.capitalize() for part in name.split("_")) or "Mine"


def stub_of(name: str, fields: Sequence[tuple[str, int]]) -> str:
    """The source of a module. fields: those that move, with their components, in the order of the data."""
    words = [identifier(field) for field, _ in fields]
    variables = [f"_{word}" if word[0].isdigit() else word for word in words]
    unknowns = [f"diffusivity_{word}" for word in words]
    counts = [count for _, count in fields]
    each = [f"self.{one}()" if n == 1 else f"*[self.{one}()] * {n}" for one, n in zip(unknowns, counts, strict=True)]
    return STUB.format(
        name=name,
        class_name=class_of(name),
        equation=", ".join(f"∂{word}/∂t = ∇·(D_{word} ∇{word})" for word in words) + ".",
        meanings="\n".join(
            f"    {one}: D_{word} in length²/time." for one, word in zip(unknowns, words, strict=True)
        ),
        arguments="\n".join(f"        {one}: Parameter," for one in unknowns),
        kept="\n".join(f"        self.{one} = {one}" for one in unknowns),
        each=", ".join(each),
        unpacked=", ".join(variables) + ("," if len(variables) == 1 else ""),
        sizes=", ".join(map(str, counts)),
        example=f"-0.1 * {variables[0]}",
        zeros=", ".join(f"0 * {one}" for one in variables),
    )
