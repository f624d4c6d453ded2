"""A network as a stepper: it predicts the change over one interval, in units of the data's own changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cotwin.layout import Layout
from cotwin.networks.ensemble import Ensemble
from cotwin.networks.told import Told
from cotwin.pieces import Moments, chosen, pieces
from cotwin.stepper import Stepper


class Statistics(NamedTuple):
    """What a surrogate knows of its data's units.

    mean, scale: (C,), mean and standard deviation of each channel.
    increment_scale: (D,), root mean square change over one interval of each dynamic channel. Not the standard
        deviation: a steady drift is part of what the network has to predict.

    A channel that does not vary has scale 1, so it is given to the network as zeros. A dynamic channel
    that never changes in time has its scale as increment_scale.
    """

    mean: Tensor
    scale: Tensor
    increment_scale: Tensor


def measure(
    layout: Layout,
    trajectories: Float[Tensor, "N T C *S"],
    mask: Bool[Tensor, "N T C *S"] | None = None,
) -> Statistics:
    """Statistics of trajectories or windows, over observed entries only; the others may hold anything.

    Raises ValueError for a channel that is never observed, or a dynamic one never twice in a row.
    """
    layout.require_state(tuple(trajectories.shape[1:]))
    every, changes = ([Moments() for _ in layout.channel_names] for _ in range(2))
    for piece in pieces(trajectories, before=1):
        for channel, static in enumerate(layout.static_channels):
            # In double precision: exact enough for long data.
            values = piece.of(trajectories)[:, :, channel].double()
            seen = torch.ones_like(values, dtype=torch.bool) if mask is None else piece.of(mask)[:, :, channel]
            every[channel].add(chosen(values[:, piece.lead :], seen[:, piece.lead :]))
            if not static:
                changes[channel].add(chosen(values.diff(dim=1), seen[:, 1:] & seen[:, :-1]))
    scale, increment_scale = [], []
    for name, static, own, change in zip(layout.channel_names, layout.static_channels, every, changes, strict=True):
        if not own.count:
            raise ValueError(
                f"channel {name!r} is never observed; fit the surrogate on simulated trajectories instead."
            )
        rounding = torch.finfo(trajectories.dtype).eps * own.largest
        scale.append(_or_else(own.deviation, rounding, 1.0))
        if static:
            continue
        if not change.count:
            raise ValueError(
                f"channel {name!r} is never observed at two successive times; "
                "fit the surrogate on simulated trajectories instead."
            )
        increment_scale.append(_or_else(change.size, rounding, scale[-1]))
    return Statistics(
        *(trajectories.new_tensor(rows) for rows in ([one.mean for one in every], scale, increment_scale))
    )


class Surrogate(Stepper):
    """u(t + dt) = u + σ_Δ f((u − μ) / σ) on dynamic channels; static ones inform f and pass unchanged.

    network: f, from all channels (B, C, *S) to the dynamic ones (B, D, *S), any module.
    statistics: μ, σ and σ_Δ, kept as buffers, so in the state_dict. None means 0, 1 and 1: data already in
        natural units, or a state_dict about to be loaded.
    told: what comes from outside; the network then takes further channels behind the state's, and numbers beside
        it, (B, K), as `Told` says.
    conserved: channels whose mean over the domain, by control volumes, no step changes: f loses its mean there.

    With statistics of the data, rescaling the units of the data rescales the predictions and nothing else.

    >>> from cotwin.layout import Field
    >>> from cotwin.networks.convolution import ResidualConvNet
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> surrogate = Surrogate.fitted(ResidualConvNet(layout), layout, torch.randn(2, 10, 1, 64))
    >>> surrogate(torch.randn(5, 1, 64)).shape
    torch.Size([5, 1, 64])
    """

    batched = True
    mean: Tensor
    scale: Tensor
    increment_scale: Tensor
    dynamic: Tensor
    places: Tensor
    volumes: Tensor

    def __init__(
        self,
        network: nn.Module,
        layout: Layout,
        statistics: Statistics | None = None,
        told: Told | None = None,
        conserved: Collection[int] = (),
    ) -> None:
        super().__init__(layout)
        self.told = told
        dynamic = [channel for channel, static in enumerate(layout.static_channels) if not static]
        if statistics is None:
            size = layout.channels
            statistics = Statistics(torch.zeros(size), torch.ones(size), torch.ones(len(dynamic)))
        self.network = network
        self.register_buffer("mean", statistics.mean.clone())
        self.register_buffer("scale", statistics.scale.clone())
        self.register_buffer("increment_scale", statistics.increment_scale.clone())
        self.register_buffer("dynamic", torch.tensor(dynamic), persistent=False)
        # Of each channel the place of its increment; static ones find a zero behind them.
        places = torch.full((layout.channels,), len(dynamic))
        places[dynamic] = torch.arange(len(dynamic))
        self.register_buffer("places", places, persistent=False)
        # Of each point its share of the domain, in channels that are conserved.
        kept = torch.tensor([channel in conserved for channel in dynamic]).view(-1, *(1,) * layout.dims)
        self.register_buffer("volumes", kept * volumes(layout) if conserved else torch.empty(0), persistent=False)

    @classmethod
    def fitted(
        cls,
        network: nn.Module,
        layout: Layout,
        trajectories: Float[Tensor, "N T C *S"],
        mask: Bool[Tensor, "N T C *S"] | None = None,
        told: Told | None = None,
        conserved: Collection[int] = (),
    ) -> Surrogate:
        """A surrogate with the statistics of real trajectories or windows; the network is not trained.

        mask: True where observed.
        """
        return cls(network, layout, measure(layout, trajectories, mask), told, conserved)

    def made_of(self) -> Iterator[nn.Module]:
        return iter(() if self.told is None else (*self.told.numbers, *self.told.fields))

    @property
    def members(self) -> tuple[Surrogate, ...]:
        """Of an `Ensemble` the surrogates of one network each, which share all else; how far apart they are tells how
        sure the mean is. They take their own states from step to step, together one state: the mean's.
        """
        network = self.network
        return tuple(map(self._of, network.networks)) if isinstance(network, Ensemble) else (self,)

    def _of(self, network: nn.Module) -> Surrogate:
        twin = Surrogate.__new__(Surrogate)
        twin.__dict__.update(self.__dict__, _modules={**self._modules, "network": network})
        return twin

    @property
    def dtype(self) -> torch.dtype:
        """That of its weights."""
        return self.mean.dtype

    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        over_grid = (-1, *(1 for _ in self.layout.grid))
        normalised = (state - self.mean.view(over_grid)) / self.scale.view(over_grid)
        output = self._output(normalised)
        if output.shape[1] != len(self.dynamic):
            raise ValueError(
                f"{type(self.network).__name__} gives {output.shape[1]} channels, layout "
                f"{self.layout.channel_names} has {len(self.dynamic)} dynamic; build both from one Layout."
            )
        if self.volumes.numel():
            grid = tuple(range(2, output.dim()))
            output = output - (self.volumes.to(output) * output).sum(dim=grid, keepdim=True)
        increment = output * self.increment_scale.view(over_grid)
        # Not index_add, which torch.onnx turns into something else without a word.
        if any(self.layout.static_channels):
            with_zero = torch.cat([increment, torch.zeros_like(increment[:, :1])], dim=1)
            increment = with_zero.index_select(1, self.places)
        return state + increment

    def _output(self, normalised: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *S"]:
        if self.told is None:
            output: Tensor = self.network(normalised)
            return output
        numbers, channels = self.told(normalised)
        seen = torch.cat([normalised, *channels], dim=1)
        told: Tensor = self.network(seen) if numbers is None else self.network(seen, numbers)
        return told


def volumes(layout: Layout) -> Float[Tensor, "*S"]:
    """Of each point the share of the domain that its control volume has."""
    share = torch.ones(layout.grid, dtype=torch.float64)
    for axis in range(layout.dims):
        widths = torch.tensor(layout.widths(axis), dtype=torch.float64)
        share = share * (widths / widths.sum()).view(-1, *(1,) * (layout.dims - 1 - axis))
    return share.float()


def _or_else(value: float, rounding: float, otherwise: float) -> float:
    # A spread below the rounding of the values is no spread.
    return value if value > rounding else otherwise
