"""A chain of operators on feature maps that keeps track of their dimensions.

    path = Path(Maps(3, 224, 224)).conv("conv1", 64, 11, stride=4).relu("relu1")

Every method returns a new path that is one operator longer. Strides and paddings end
here: an operator states only the dimensions that follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.classification import cross_entropy
from models.convolutional import blocks
from models.convolutional.blocks import Maps
from models.functions import Pool
from models.model import Layer
from models.operators import Convolution, Linear, Operator
from models.wiring import CHAIN, INPUT, Reads

Pair = int | tuple[int, int]


@dataclass(frozen=True, slots=True)
class Path:
    """Feature maps, and the operators that made them since the path began.

    Fields:
        maps: dimensions of what the last operator puts out.
        operators: in forward order.
        reads: what those read that do not read the one before.
    """

    maps: Maps
    operators: tuple[Operator, ...] = ()
    reads: Reads = field(default_factory=lambda: CHAIN)

    def then(
        self,
        operator: Operator,
        maps: Maps | None = None,
        reads: tuple[str, ...] | None = None,
    ) -> Path:
        """Return the path with `operator` at its end, putting out `maps`.

        Args:
            operator: the new end.
            maps: that it puts out; those of the path, if not given.
            reads: what it reads; the end of the path, if not given.
        """
        wires = {operator.name: reads} if reads else {}
        return Path(
            maps or self.maps, (*self.operators, operator), {**self.reads, **wires}
        )

    def beside(self, branch: Path, start: str) -> Path:
        """Return the path with another behind it that reads not its end but `start`."""
        first, wires = branch.operators[0].name, branch.reads
        return Path(
            branch.maps,
            self.operators + branch.operators,
            {**self.reads, first: (start,), **wires},
        )

    @property
    def end(self) -> str:
        """What the last operator puts out, by the name that a later one reads."""
        return self.operators[-1].name if self.operators else INPUT

    def conv(  # noqa: PLR0913 - a convolution has that many dimensions
        self,
        name: str,
        channels: int,
        kernel: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        groups: int = 1,
        bias: bool = False,
        keeps_input: bool = True,
        needs_input_gradient: bool = True,
    ) -> Path:
        """Return the path with a convolution to `channels` maps."""
        outputs = self.maps.slide(kernel, stride, padding, channels)
        operator = Convolution(
            name,
            self.maps.channels,
            channels,
            kernel=blocks.pair(kernel),
            output=(outputs.height, outputs.width),
            inputs=self.maps.elements,
            groups=groups,
            bias=bias,
            keeps_input=keeps_input,
            needs_input_gradient=needs_input_gradient,
            padding=blocks.pair(padding),
        )
        return self.then(operator, outputs)

    def norm(self, name: str) -> Path:
        """Return the path with a batch normalisation."""
        return self.then(blocks.batch_norm(name, self.maps))

    def relu(self, name: str) -> Path:
        """Return the path with a ReLU in place."""
        return self.then(blocks.relu(name, self.maps))

    def max_pool(  # noqa: PLR0913 - how a window slides, and what it keeps
        self,
        name: str,
        kernel: int,
        *,
        stride: int,
        padding: int = 0,
        is_ceiled: bool = False,
        keeps_input: bool = True,
    ) -> Path:
        """Return the path with a maximum over windows."""
        outputs = self.maps.slide(kernel, stride, padding, is_ceiled=is_ceiled)
        function = Pool("max", kernel, stride, padding, is_ceiled)
        operator = blocks.max_pool(
            name, self.maps, outputs, function, keeps_input=keeps_input
        )
        return self.then(operator, outputs)

    def average_pool(
        self,
        name: str,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        keeps_input: bool = False,
    ) -> Path:
        """Return the path with a mean over windows."""
        outputs = self.maps.slide(kernel, stride, padding)
        function = Pool("average", kernel, stride, padding)
        operator = blocks.average_pool(
            name, self.maps, outputs, function, keeps_input=keeps_input
        )
        return self.then(operator, outputs)

    def dropout(self, name: str, *, keeps_input: bool = True) -> Path:
        """Return the path with a dropout."""
        return self.then(blocks.dropout(name, self.maps, keeps_input=keeps_input))

    def linear(self, name: str, features: int) -> Path:
        """Return the path with a matrix applied to all maps at once."""
        operator = Linear(name, 1, self.maps.elements, features)
        return self.then(operator, Maps(features, 1, 1))

    def loss(self, name: str = "cross entropy") -> Path:
        """Return the path with softmax and cross-entropy over its classes."""
        return self.then(cross_entropy(name, self.maps.elements))

    def layer(self, name: str) -> Layer:
        """Return the operators so far as one layer."""
        return Layer(name, self.operators, self.maps.elements, reads=self.reads)

    def fresh(self) -> Path:
        """Return an empty path that begins at the present maps."""
        return Path(self.maps)
