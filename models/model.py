"""A neural network as a table of layers: the one description that all engines read.

Identical layers are the same object, so whatever prices a layer prices it once.

Limits: a model is a chain of layers. Branches (residual blocks, inception modules)
live inside one layer, which is therefore the finest place to cut a pipeline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from models.mixture import ExpertLinear
from models.operators import Elementwise, LocallyConnected, Operator, Split
from models.wiring import CHAIN, PREVIOUS, Reads
from models.work import Share

LayerRole = Literal["embedding", "block", "head"]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Consecutive operators that are never cut apart by a pipeline.

    Fields:
        name: such as `block` or `conv1`.
        operators: in forward order.
        output_elements: elements a sample handed to the next layer [1].
        passed_by: elements among those that are an earlier layer's, which this one
            neither reads nor makes [1].
        role: `embedding` and `head` layers are not counted when a pipeline
            divides the `block` layers; they stick to the first and last stage.
        tied_to: name of the layer whose weight this one shares, if any.
        reads: what operators read that do not read the one before them.
        takes: values taken from those that earlier layers left [1].
        leaves: names of the values left for later layers.
        puts_out: name of the value handed to the next layer.
        choices: numbers of the choices that a plan makes for this block and not for
            all of its name.
    """

    name: str
    operators: tuple[Operator, ...]
    output_elements: int
    role: LayerRole = "block"
    tied_to: str | None = None
    reads: Reads = field(default_factory=lambda: CHAIN)
    takes: int = 0
    leaves: tuple[str, ...] = ()
    puts_out: str = PREVIOUS
    choices: tuple[int, ...] = ()
    passed_by: int = 0

    @property
    def parameters(self) -> int:
        """Trainable parameters that the layer owns [1]."""
        return sum(operator.parameters for operator in self.operators)

    @property
    def active_parameters(self) -> int:
        """Parameters that one token meets: of experts only those it uses [1]."""
        return sum(
            operator.active_parameters
            if isinstance(operator, ExpertLinear)
            else operator.parameters
            for operator in self.operators
        )

    @property
    def expert_parameters(self) -> int:
        """Parameters that expert parallelism divides [1]."""
        experts = (op for op in self.operators if isinstance(op, ExpertLinear))
        return sum(operator.parameters for operator in experts)

    def forward_flop(self) -> float:
        """Return the FLOP of the forward pass of one sample [FLOP]."""
        share = Share(samples=1)
        return sum(w.flop for op in self.operators for w in op.forward(share))

    def backward_flop(self) -> float:
        """Return the FLOP of the whole backward pass of one sample [FLOP]."""
        share = Share(samples=1)
        works = (
            w
            for op in self.operators
            for w in (*op.backward_input(share), *op.backward_weight(share))
        )
        return sum(w.flop for w in works)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network and the sample it is trained on.

    Fields:
        name: the published name, or the family for free dimensions.
        layers: in forward order; identical layers are one object.
        tokens_per_sample: sequence length, or 1 where a sample is an image [1].
        attention: `causal`, `full` or `none`: the FLOP convention printed
            beside MFU. FLOP are counted over the full matrix in either case.
        family: which kind of network (`gpt`, `llama with flash attention`,
            `convolutional`, …); what was measured of one says little of another.
    """

    name: str
    layers: tuple[Layer, ...]
    tokens_per_sample: int
    attention: Literal["causal", "full", "none"] = "none"
    family: str = "convolutional"

    @property
    def parameters(self) -> int:
        """Trainable parameters, tied weights once [1]."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def active_parameters(self) -> int:
        """Parameters that one token meets, the whole embedding included [1]."""
        return sum(layer.active_parameters for layer in self.layers)

    @property
    def num_blocks(self) -> int:
        """Layers that a pipeline may divide [1]."""
        return sum(layer.role == "block" for layer in self.layers)

    @property
    def can_split_tensors(self) -> bool:
        """Whether any operator is divided by tensor parallelism."""
        return any(
            operator.split is not Split.NONE
            for layer in self.layers
            for operator in layer.operators
        )

    @property
    def smallest_grid(self) -> tuple[str, tuple[int, int]] | None:
        """The layer with the fewest places, and how many high and wide they are.

        None where tensor parallelism divides no places.
        """
        grids = [
            (layer.name, operator.sliding.outputs)
            for layer in self.layers
            for operator in layer.operators
            if isinstance(operator, LocallyConnected | Elementwise)
            and operator.split is Split.PLACES
            and operator.sliding is not None
        ]
        return min(grids, key=lambda named: min(named[1]), default=None)

    def forward_flop(self) -> float:
        """Return the FLOP of the forward pass of one sample [FLOP]."""
        return self._summed(Layer.forward_flop)

    def backward_flop(self) -> float:
        """Return the FLOP of the backward pass of one sample [FLOP]."""
        return self._summed(Layer.backward_flop)

    def _summed(self, flop: Callable[[Layer], float]) -> float:
        """Return the sum over layers, equal ones computed once."""
        counts = Counter(self.layers)
        return sum(count * flop(layer) for layer, count in counts.items())
