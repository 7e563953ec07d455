"""The parts of a device's memory, and which sums of them people measure.

==========================  =======================================================
allocated                   all tensors: `torch.cuda.max_memory_allocated`
reserved                    with what the allocator holds between them:
                            `torch.cuda.max_memory_reserved`
total                       with the context and the libraries: what `nvidia-smi`
                            shows, and what has to fit
==========================  =======================================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from topologies.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Parts of one device's memory at its fullest moment [B each].

    Fields:
        weights, gradients, optimizer: states, there all the time.
        activations: kept for backward passes, or computed again for one.
        working: gradients of activations, fresh ones of weights, copies of logits,
            keys and rows of other devices: what only a pass needs.
        workspace: what the algorithm of a convolution sets aside.
        buffers: of messages beside states: buckets, gathered parameters.
        allocator: held, but in none of the others.
        overhead: of context and libraries.
    """

    weights: Bytes
    gradients: Bytes
    optimizer: Bytes
    activations: Bytes
    working: Bytes
    workspace: Bytes
    buffers: Bytes
    allocator: Bytes
    overhead: Bytes

    @property
    def states(self) -> Bytes:
        """Weights, gradients and optimizer [B]."""
        return self.weights + self.gradients + self.optimizer

    @property
    def allocated(self) -> Bytes:
        """All tensors [B]."""
        passing = self.activations + self.working + self.workspace + self.buffers
        return self.states + passing

    @property
    def reserved(self) -> Bytes:
        """What the allocator has of the device [B]."""
        return self.allocated + self.allocator

    @property
    def total(self) -> Bytes:
        """The sum of all parts [B]."""
        return float(sum(asdict(self).values()))


class Peak(NamedTuple):
    """The fullest device.

    Fields:
        parts: of its memory.
        rank: of the pipeline.
        when: the moment, in words.
    """

    parts: Memory
    rank: int
    when: str
