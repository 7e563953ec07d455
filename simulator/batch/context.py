"""Everything that the closed forms of a batch read, gathered once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.model import Model
from simulator.batch.layers import Layers, price_layers
from simulator.batch.splits import Splits
from simulator.costs.elementwise import where
from simulator.job import make_pricer, plan_profile
from simulator.lowering.formats import element_bytes
from simulator.lowering.stages import tied_parameters
from simulator.mesh import Degrees
from simulator.plan import Plan
from simulator.pricing.pricer import Pricer
from simulator.workload import Axis, Message
from topologies.profile import Profile
from topologies.units import Bytes, Count, Seconds


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """A batch and what its plans share.

    Fields:
        plan: what the plans share.
        model: the network.
        splits: how they differ.
        pricer: with the degrees of every plan.
        layers: priced and sized, per plan.
    """

    plan: Plan
    model: Model
    splits: Splits
    pricer: Pricer
    layers: Layers

    @classmethod
    def of(cls, plan: Plan, splits: Splits, profile: Profile | None) -> Context:
        """Return the context of a batch."""
        model, cluster = plan.build_model(), plan.build_cluster()
        chosen = profile or plan_profile(plan, cluster)
        own = make_pricer(plan, cluster, chosen)
        degrees = Degrees(splits.tensor, splits.data, splits.pipeline)
        layers = price_layers(plan, model, splits, own)
        return cls(plan, model, splits, replace(own, degrees=degrees), layers)

    @property
    def microbatches(self) -> Count:
        """Micro-batches of a replica, m [1]."""
        return self.plan.batch.global_ / (self.splits.micro * self.splits.data)

    @property
    def gradient_element(self) -> Bytes:
        """Bytes of one summed gradient [B]."""
        return element_bytes(self.plan.training.gradient_precision)

    @property
    def tied(self) -> Count:
        """Parameters of a table shared by first and last stage [1]."""
        tied = (tied_parameters(lay, 1.0) for lay in self.model.layers if lay.tied_to)
        return sum(tied, 0.0)

    def parameters(self) -> tuple[Count, Count]:
        """Return the parameters of the first and of the last rank [1]."""
        embedding, block, head = self.layers.parameters
        splits = self.splits
        blocks = block * self.model.num_blocks / splits.pipeline
        is_single = splits.pipeline == 1
        first = blocks + embedding + where(is_single, head, 0.0)
        copied = where(is_single, embedding, self.tied / splits.tensor)
        return first, blocks + head + copied

    def all_reduce_time(self, axis: Axis, size: Bytes) -> Seconds:
        """Return the time of an all-reduce over an axis, host included [s]."""
        message = Message("gradients", "all-reduce", axis, size)
        return self.pricer.item(message, "message").issued
