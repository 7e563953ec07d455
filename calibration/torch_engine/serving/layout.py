"""What is pushed and pulled together, and the ways that it takes from a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.distributed as dist
from torch import nn

from calibration.modules import LayerModule, Part
from calibration.torch_engine.building import FORMATS
from calibration.torch_engine.collectives.peers import Peers
from calibration.torch_engine.serving.levels import Level, Way
from calibration.torch_engine.serving.pieces import (
    Piece,
    Pieces,
    by_owner,
    evenly,
    owners_of,
)
from calibration.torch_engine.serving.places import Places, places_of
from calibration.torch_engine.splits.filling import filled_by_tensors
from calibration.torch_engine.task import Assignment
from simulator.lowering.served import is_pulled_first
from simulator.plan import Plan
from topologies.units import Bytes, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A model as servers see it.

    Fields:
        parameters: tensors of the model, shared ones once, in forward order.
        buckets: tensors that are pushed together, in backward order.
        segments: layers whose tensors are pulled together before a forward, in its
            order; empty if what was pushed is pulled at once.
        pushed, pulled: formats of gradients and parameters in messages.
    """

    parameters: tuple[nn.Parameter, ...]
    buckets: tuple[tuple[nn.Parameter, ...], ...]
    segments: tuple[tuple[LayerModule, ...], ...]
    pushed: torch.dtype
    pulled: torch.dtype

    def pieces(self, tensors: Sequence[nn.Parameter]) -> Pieces:
        """Return whole tensors as pieces."""
        numbers = self.numbers
        return tuple(Piece(numbers[id(each)], 0, each.numel()) for each in tensors)

    @property
    def numbers(self) -> dict[int, int]:
        """The number of every tensor, by its `id`."""
        return {id(each): number for number, each in enumerate(self.parameters)}

    @property
    def pushes(self) -> list[Pieces]:
        """What is pushed together."""
        return [self.pieces(each) for each in self.buckets]

    @property
    def pulls(self) -> list[Pieces]:
        """What is pulled together before a forward."""
        seen: set[int] = set()
        found = []
        for layers in self.segments:
            own = [each for layer in layers for each in layer.parameters()]
            new = {id(each): each for each in own if id(each) not in seen}
            seen |= set(new)
            found.append(self.pieces(list(new.values())))
        return found


def layout_of(plan: Plan, part: Part) -> Layout:
    """Return how a plan's model is pushed and pulled; `part` is all of it."""
    sync, training = plan.synchronization, plan.training
    parameters = tuple(part.parameters())
    bucket = sync.bucket if sync.overlap else float("inf")
    segment = sync.bucket if sync.pull == "before-use" else float("inf")
    layers = [each for each in part.layers.values() if isinstance(each, LayerModule)]
    return Layout(
        parameters=parameters,
        buckets=tuple(map(tuple, filled_by_tensors(parameters[::-1], bucket))),
        segments=_segments(layers, segment) if is_pulled_first(plan) else (),
        pushed=FORMATS[training.gradient_precision],
        pulled=FORMATS[training.precision],
    )


def _segments(
    layers: list[LayerModule], size: Bytes
) -> tuple[tuple[LayerModule, ...], ...]:
    """Return layers in forward order, cut behind the layer that fills a segment."""
    found: list[list[LayerModule]] = [[]]
    seen: set[int] = set()
    filled = 0
    for layer in layers:
        if filled >= size:
            found.append([])
            filled = 0
        found[-1].append(layer)
        own = [each for each in layer.parameters() if id(each) not in seen]
        seen |= {id(each) for each in own}
        filled += sum(each.numel() * each.element_size() for each in own)
    return tuple(map(tuple, found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The ways of one process, each with the tensors that take it.

    Fields:
        places: of all processes.
        rank: this one's.
        group: of them all.
        patience: with one message [s].
        on_devices: who adds each tensor inside a node, where devices do; else None.
        on_servers: which server keeps each tensor whole; None if all are divided.
    """

    places: Places
    rank: int
    group: dist.ProcessGroup
    patience: Seconds
    on_devices: list[int] | None
    on_servers: list[int] | None

    def of_worker(self) -> Way:
        """Return the levels of a device."""
        places = self.places
        node, device = divmod(self.rank, places.devices)
        devices = [places.worker(node, each) for each in range(places.devices)]
        if self.on_devices is None:
            return (self._level([*devices, places.host(node)], places.devices, 1),)
        inside = self._level(devices, places.devices, places.devices, self.on_devices)
        return (inside, self._between(device)) if places.servers else (inside,)

    def of_host(self) -> list[tuple[Way, int | None]]:
        """Return the ways that lead to a host, and the device at which each begins.

        One of all tensors where hosts add; else one for each device of a node.
        """
        places = self.places
        if self.on_devices is not None:
            return [((self._between(each),), each) for each in range(places.devices)]
        node = self.rank - places.workers
        devices = [places.worker(node, each) for each in range(places.devices)]
        inside = self._level([*devices, self.rank], places.devices, 1)
        hosts = [places.host(each) for each in range(places.nodes)]
        between = self._level(hosts, places.nodes, places.servers, self.on_servers)
        return [((inside, between), None)]

    def pieces(self, pieces: Pieces, device: int | None) -> Pieces:
        """Return the pieces that take the way of a device."""
        if device is None or self.on_devices is None:
            return pieces
        return by_owner(pieces, self.on_devices, self.places.devices)[device]

    def _between(self, device: int) -> Level:
        """Return the level of one device of every node and all servers."""
        places = self.places
        members = [places.worker(node, device) for node in range(places.nodes)]
        members += [places.host(each) for each in range(places.servers)]
        return self._level(members, places.nodes, places.servers, self.on_servers)

    def _level(
        self,
        members: list[int],
        workers: int,
        servers: int,
        owners: list[int] | None = None,
    ) -> Level:
        place = members.index(self.rank)
        peers = Peers(
            members=members, place=place, group=self.group, patience=self.patience
        )
        split = partial(evenly, count=servers)
        if owners is not None:
            split = partial(by_owner, owners=owners, count=servers)
        return Level(peers, workers, servers, len(members) == workers, split)


def ways_of(
    task: Assignment, rank: int, layout: Layout, part: Part, group: dist.ProcessGroup
) -> Ways:
    """Return the ways of a process."""
    plan, places = task.plan, places_of(task.plan)
    sync, numbers = plan.synchronization, layout.numbers
    is_on_devices = sync.sum_on == "device"
    is_whole = sync.whole_variables and places.servers > 0
    return Ways(
        places=places,
        rank=rank,
        group=group,
        patience=task.patience,
        on_devices=owners_of(part, numbers, places.devices) if is_on_devices else None,
        on_servers=owners_of(part, numbers, places.servers) if is_whole else None,
    )
