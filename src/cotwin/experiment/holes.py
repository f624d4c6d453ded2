"""States with holes, from which rollouts have to start: filled by interpolation in space."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import scipy.sparse
import scipy.sparse.linalg
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from cotwin.data.split import shown
from cotwin.data.trajectories import Trajectories
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.pieces import copied, pieces


def fill_holes(
    states: Float[Tensor, "N T C *S"], mask: Bool[Tensor, "N T C *S"], layout: Layout, length: float
) -> Float[Tensor, "N T C *S"]:
    """The same states; a hole holds what is likeliest there, given what its own frame shows of its channel.

    u_h = m − (A_hᵀA_h)⁻¹ A_hᵀA_k (u_k − m), with A = 1 − (length²/3) ∇² on the grid, h the holes, k the points that
    are seen and m their mean: the conditional mean of a Matérn field, in one dimension with ν = 3/2. It has no slope
    at walls; length 0 gives the mean. A frame that shows nothing of a channel stays as it is.
    Source: Lindgren, Rue & Lindström (2011), J. R. Statist. Soc. B 73.
    """
    filled, seen = states.clone(), mask.flatten(3)
    fields = filled.flatten(3)  # a view of them
    same: defaultdict[bytes, list[list[int]]] = defaultdict(list)
    for place in (seen.any(dim=3) & ~seen.all(dim=3)).nonzero().tolist():
        same[seen[tuple(place)].numpy().tobytes()].append(place)
    operator = _operator(layout, length)
    for places in same.values():
        known = seen[tuple(places[0])]
        at = torch.tensor(places).unbind(dim=1)
        values = fields[at].double()
        mean = values[:, known].mean(dim=1)
        holes, rest = operator[:, (~known).numpy()], operator[:, known.numpy()]
        right = holes.T @ (rest @ (values[:, known] - mean[:, None]).T.numpy())
        found = mean - torch.from_numpy(scipy.sparse.linalg.splu((holes.T @ holes).tocsc()).solve(right))
        values[:, ~known] = found.T
        fields[at] = values.to(states)
    return filled


FEW = 0.5
"""Of a field's values in a frame, below which they are not interpolated in space unless that is asked for."""


def shows_after(mask: Shaped[Tensor, "N T C *S"], layout: Layout, steps: int) -> Bool[Tensor, "N T"]:
    """Frames of which one of the next so many shows something that moves: a rollout from others is not scored.

    mask: True where observed, or how sure each state is.
    """
    seen = shown(mask, layout)
    later = torch.nn.functional.pad(seen, (0, steps))
    return torch.stack([later[:, step : step + seen.shape[1]] for step in range(1, steps + 1)]).any(dim=0)


def shows_all(mask: Bool[Tensor, "N T C *S"], layout: Layout, part: float = 0.0) -> Bool[Tensor, "N T"]:
    """The frames that show something of every channel that moves, at least this part of each."""
    moving = [channel for channel, static in enumerate(layout.static_channels) if not static]
    whole = torch.zeros(mask.shape[:2], dtype=torch.bool)
    for piece in pieces(mask):
        seen = piece.of(mask)[:, :, moving].flatten(3).double().mean(dim=3)
        piece.of(whole).copy_(((seen > 0) & (seen >= part)).all(dim=2))
    return whole


def without_holes(trajectories: Trajectories, length: float) -> Trajectories:
    """The same states with their holes filled, those of each frame by itself; see `fill_holes`."""
    states, mask, layout = trajectories.states, trajectories.mask, trajectories.layout
    assert mask is not None
    if not any(_partly(piece.of(mask)) for piece in pieces(states)):
        return trajectories
    filled = trajectories.room.zeros(states.shape, states.dtype, f"{trajectories.source}: states without holes")
    for piece in pieces(states):
        piece.of(filled).copy_(fill_holes(piece.of(states), piece.of(mask), layout, length))
    return replace(trajectories, states=filled)


def _partly(mask: Bool[Tensor, "N T C *S"]) -> bool:
    """Whether some frame shows a part of a channel."""
    seen = mask.flatten(3)
    return bool((seen.any(dim=3) & ~seen.all(dim=3)).any())


def begin_whole(
    trajectories: Trajectories, scored_from: int, length: float, part: float = 0.0
) -> tuple[Trajectories, int, str]:
    """Trajectories whose first state is whole, the most frames that one of them lost, and what was done, in words.

    Each begins with the first frame that shows at least this part of every channel that moves (`shows_all`); its
    holes are filled from that frame alone. It keeps its length: frames that are then missing at its end are masked.
    scored_from: the first frame that is scored, and that the start has to come before; 1 where every frame but the
    start is scored.

    Raises ValueError where no frame can begin a rollout.
    """
    layout, room, what = trajectories.layout, trajectories.room, f"{trajectories.source}: held-out trajectories"
    assert trajectories.mask is not None
    states, mask = (
        copied(one, room.zeros(one.shape, one.dtype, what)) for one in (trajectories.states, trajectories.mask)
    )
    able = shows_all(mask, layout, part)
    frames = able.shape[1] - 1 if scored_from == 1 else scored_from
    numbers, given = trajectories.given.trajectory, trajectories.given
    never = numbers[~able[:, :frames].any(dim=1)].tolist()
    if never:
        raise ValueError(
            f"{trajectories.source}: no rollout can start in held-out trajectories {never}, since no frame before "
            "the scored ones shows something of every field; hold others out, or say with data.fields which to read."
        )
    skipped = able.int().argmax(dim=1).tolist()
    for n, count in enumerate(skipped):
        if count:
            states[n], mask[n] = states[n].roll(-count, 0), mask[n].roll(-count, 0)
            mask[n, mask.shape[1] - count :] = False
    about = _about(given, skipped, ~mask[:, 0])
    states[:, :1] = fill_holes(states[:, :1], mask[:, :1], layout, length)
    mask[:, 0] = True
    given = given.begun_at(torch.tensor(skipped))
    between = trajectories.between
    if between is not None:
        between = replace(between, steps=between.steps - torch.tensor(skipped)[between.row])
        between = between.some(between.steps.round() > 0)
    begun = replace(trajectories, states=states, mask=mask, given=given, between=between)
    return begun, max(skipped) if scored_from > 1 else 0, about


def _about(given: Given, skipped: list[int], holes: Bool[Tensor, "N C *S"]) -> str:
    """Where rollouts start, by the file's numbers."""
    numbers = given.trajectory.tolist()
    holed = [numbers[n] for n in holes.flatten(1).any(dim=1).nonzero().flatten().tolist()]
    words = []
    if holed:
        words.append(
            f"Held-out trajectories {holed} start from a frame with holes: {int(holes.sum())} of "
            f"{holes[0].numel() * len(holed)} values are interpolated in space from that frame alone, "
            "and that 1 frame is not scored."
        )
    words += [
        f"Held-out trajectory {number} starts from frame {begun + count}, the first in which something of every "
        f"field is seen; the {count} before it are not scored."
        for number, begun, count in zip(numbers, given.frame.tolist(), skipped, strict=True)
        if count
    ]
    return " ".join(words)


def _operator(layout: Layout, length: float) -> Any:
    """1 − (length²/3) ∇², walls mirrored."""
    laplacian: Any = scipy.sparse.csc_array((1, 1))
    for axis, (points, spacing) in enumerate(zip(layout.grid, layout.spacing, strict=True)):
        second = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(points, points)).tolil()
        for end, inward in ((0, 1), (points - 1, -1)):
            mirrored = end + inward * layout.has_nodes(axis)
            second[end, points - 1 - end if layout.is_periodic(axis) else mirrored] += 1.0
        laplacian = scipy.sparse.kronsum(second / spacing**2, laplacian)
    return scipy.sparse.csc_array(scipy.sparse.eye_array(laplacian.shape[0]) - length**2 / 3 * laplacian)
