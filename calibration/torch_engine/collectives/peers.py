"""The other participants of a collective, and what was sent to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from topologies.units import Bytes, Seconds


@dataclass(slots=True, kw_only=True, eq=False)
class Peers:
    """A way to send tensors to the other participants, which counts what it sends.

    A send waits for its receiver at every size, so receives are posted first.

    Fields:
        members: rank of each participant in the process group.
        place: of this process among the participants.
        group: of processes; torch's default one if left out.
        tag: that sets these messages apart from others of the same group.
        patience: with one message [s].
        sent: bytes by receiving participant [B].
        num_sent: messages [1].
    """

    members: Sequence[int]
    place: int
    group: ProcessGroup | None = None
    tag: int = 0
    patience: Seconds = 300.0
    sent: Counter[int] = field(default_factory=Counter)
    num_sent: int = 0

    @property
    def wire_bytes(self) -> Bytes:
        """All that was sent from here [B]."""
        return self.sent.total()

    def receive(self, peer: int, tensor: Tensor) -> Any:
        """Begin to receive a tensor; return what to wait for."""
        return self._group.recv([tensor], self.members[peer], self.tag)

    def send(self, peer: int, tensor: Tensor) -> Any:
        """Begin to send a tensor; return what to wait for."""
        self.sent[peer] += tensor.numel() * tensor.element_size()
        self.num_sent += 1
        return self._group.send([tensor], self.members[peer], self.tag)

    def wait(self, works: Sequence[Any]) -> None:
        """Wait until all have been sent or received.

        Raises:
            RuntimeError: a peer is gone, or did not answer in time.
        """
        patience = timedelta(seconds=self.patience)
        for work in works:
            work.wait(patience)

    @property
    def _group(self) -> ProcessGroup:
        group = self.group or distributed.group.WORLD
        assert group is not None, "a group is initialised before anything is sent"
        return group
