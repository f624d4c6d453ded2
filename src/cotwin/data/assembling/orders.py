"""In which order the axes of a square array come, where its shape fits more than one: its values have to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.assembling.walls import contradictions
from cotwin.data.stored.contents import StoredField, setting
from cotwin.layout import Layout
from cotwin.pieces import Moments, pieces

# Of (N, T, C, *S): where each axis of a stored array goes.
PLACES = {"n": 0, "t": 1, "x": 3, "y": 4, "z": 5}
# Change from state to state, over that between states that have nothing to do with each other.
SMOOTH, ROUGH = 0.4, 0.7


def require_order(
    states: Float[Tensor, "N T C *S"],
    mask: Bool[Tensor, "N T C *S"] | None,
    layout: Layout,
    fields: Sequence[StoredField],
) -> None:
    """Raise ValueError for a field whose shape fits another order of axes too, unless its values rule that out.

    Times in place of a coordinate do not meet the boundary along it; trajectories in place of times do not follow
    from each other.
    """
    first = 0
    for stored, field in zip(fields, layout.fields, strict=True):
        channels, first = slice(first, first + field.components), first + field.components
        if not stored.other_orders or stored.static:
            continue
        own, seen = states[:, :, channels], None if mask is None else mask[:, :, channels]
        alone = replace(layout, fields=(field,))
        fits, follows = _meets(own, seen, alone), _roughness(own, seen)
        for order in stored.other_orders:
            places = _places(stored.order, order, own.dim())
            other, known = own.permute(*places), None if seen is None else seen.permute(*places)
            met = _meets(other, known, alone)
            strangers = (
                order.find("n") != stored.order.find("n") and follows < SMOOTH and _roughness(other, known) > ROUGH
            )
            if fits and (not met or strangers):
                continue
            hint = f" Its values meet the boundary as {order!r} only." if met and not fits else ""
            raise ValueError(
                f"array {stored.name!r} of shape {stored.shape} fits in the order {stored.order!r} and in the "
                f"order {order!r}; say which it is with {setting('axes')}.{hint}"
            )


def _places(read: str, order: str, dims: int) -> list[int]:
    """How states that were read in one order are turned into those of another."""
    turned = list(range(dims))
    for here, there in zip(read, order, strict=True):
        turned[PLACES[there]] = PLACES[here]
    return turned


def _meets(states: Tensor, mask: Tensor | None, layout: Layout) -> bool:
    return not any(contradictions(states, mask, layout))


def _roughness(states: Tensor, mask: Tensor | None) -> float:
    """1 where successive states are no more alike than any two, 0 where nothing changes."""
    every, changes = Moments(), Moments()
    for piece in pieces(states, before=1):
        values = piece.of(states).double()
        known = values.isfinite() if mask is None else values.isfinite() & piece.of(mask)
        every.add(values[:, piece.lead :][known[:, piece.lead :]])
        changes.add(values.diff(dim=1)[known[:, 1:] & known[:, :-1]])
    return changes.size / (2**0.5 * every.deviation) if every.deviation > 0 else 1.0
