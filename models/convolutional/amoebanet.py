"""AmoebaNet-D for ImageNet as torchgpipe built it after GPipe: cells of two inputs.

`amoebanet_d(18, 256)` is its AmoebaNet-D (L, D) = (18, 256): three groups of L / 3
normal cells with a reduction cell between them, behind a stem of one convolution and
two reduction cells.

A cell reads the outputs of the two cells before it, so a cut behind it carries its
output and the one before: `output_elements` counts both, as torchgpipe sends both.

Source: Real et al., arXiv:1802.01548; cells from kakaobrain/torchgpipe
    benchmarks/models/amoebanet, where a pooling named maximum of 3x3 is a mean and the
    normal cell joins states 0, 3, 4 and 6; parameters and FLOP equal those of that
    code, which the tests hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from models.convolutional.amoebanet_operations import (
    CONV_1X1,
    CONV_1X7_7X1,
    CONV_3X3,
    IDENTITY,
    MAX_POOL,
    MEAN_POOL,
    POOLS,
    factorized_reduce,
    operation,
    relu_conv_norm,
)
from models.convolutional.blocks import Maps
from models.convolutional.path import Path
from models.functions import Addition, Concatenation
from models.model import Layer, Model
from models.operators import Elementwise
from models.wiring import INPUT, carried

IMAGE = Maps(3, 224, 224)
_CLASSES = 1000


class Genotype(NamedTuple):
    """What a cell computes.

    States 0 and 1 are its two inputs, narrowed; every pair of steps adds one state, the
    sum of both.

    Fields:
        steps: (state read, operation), in pairs.
        joined: states that the output puts side by side.
        stride: of steps that read a state below 2 [1].
    """

    steps: tuple[tuple[int, str], ...]
    joined: tuple[int, ...]
    stride: int

    def num_readers(self, state: int) -> int:
        """Return how often `state` is read [1]."""
        return sum(read == state for read, _ in self.steps) + (state in self.joined)

    def is_kept_by(self, step: int) -> bool:
        """Return whether `step` is the first pooling that reads its state."""
        pooled = [state for state, kind in self.steps[:step] if kind in POOLS]
        return self.steps[step][0] not in pooled


NORMAL = Genotype(
    (
        (1, CONV_1X1),
        (1, MEAN_POOL),
        (1, IDENTITY),
        (0, CONV_1X7_7X1),
        (0, CONV_1X1),
        (0, CONV_1X7_7X1),
        (2, MEAN_POOL),
        (2, IDENTITY),
        (1, MEAN_POOL),
        (5, CONV_1X1),
    ),
    joined=(0, 3, 4, 6),
    stride=1,
)
REDUCTION = Genotype(
    (
        (0, MAX_POOL),
        (0, MEAN_POOL),
        (2, IDENTITY),
        (1, CONV_3X3),
        (2, CONV_1X7_7X1),
        (2, MEAN_POOL),
        (3, IDENTITY),
        (1, MAX_POOL),
        (2, MEAN_POOL),
        (3, CONV_1X1),
    ),
    joined=(4, 5, 6),
    stride=2,
)


class Inputs(NamedTuple):
    """What a cell reads.

    Fields:
        last: output of the layer before.
        before: output of the layer before that.
        is_reduced: whether `last` is half as high and wide as `before`.
        is_stem: whether both are the one output of the stem.
    """

    last: Maps
    before: Maps
    is_reduced: bool
    is_stem: bool = False


def amoebanet_d(num_layers: int, num_filters: int) -> Model:
    """Return the AmoebaNet-D (L, D) over images of 224 x 224.

    Args:
        num_layers: L, normal cells, a multiple of three [1].
        num_filters: D, four times the channels of the first convolution [1].
    """
    if num_layers % 3:
        raise ValueError(f"layers: {num_layers} is no multiple of three")
    channels = num_filters // 4
    stem = Path(IMAGE).relu("relu")
    stem = stem.conv(
        "conv", channels, 3, stride=2, padding=1, needs_input_gradient=False
    )
    stem = stem.norm("norm")
    layers = [stem.layer("stem 1")]
    inputs = Inputs(stem.maps, stem.maps, is_reduced=False, is_stem=True)
    built: dict[tuple[Inputs, bool, int], tuple[Layer, Inputs]] = {}
    for name, is_reduction in _cells(num_layers // 3):
        channels *= 2 if is_reduction else 1
        key = (inputs, is_reduction, channels)
        if key not in built:
            built[key] = _cell(name, inputs, channels, is_reduction=is_reduction)
        layer, inputs = built[key]
        layers.append(layer)
    head = Path(inputs.last).average_pool(
        "average", inputs.last.height, keeps_input=True
    )
    classify = head.linear("fc", _CLASSES).loss().layer("classify")
    layers.append(replace(classify, takes=1))
    return Model(f"amoebanet-d-{num_layers}-{num_filters}", tuple(layers), 1)


def _cells(num_normal: int) -> list[tuple[str, bool]]:
    """Return names of the cells behind the stem, and whether each is a reduction."""
    cells = [("stem 2", True), ("stem 3", True)]
    for group in (1, 3, 5):
        cells += [(f"cells {group} normal", False)] * num_normal
        if group < 5:
            cells.append((f"cell {group + 1} reduction", True))
    return cells


def _cell(
    name: str, inputs: Inputs, channels: int, *, is_reduction: bool
) -> tuple[Layer, Inputs]:
    """Return a cell as one layer, and what the next cell reads."""
    genotype = REDUCTION if is_reduction else NORMAL
    first = relu_conv_norm(Path(inputs.last), "narrow 1", channels)
    second = _second(inputs, channels)
    before = INPUT if inputs.is_stem else carried(1)
    path = Path(inputs.last).beside(first, INPUT)
    ends = [path.end]
    if second.operators:
        path = path.beside(second, before)
    ends.append(path.end if second.operators else before)
    states = [first.maps, second.maps]
    steps = iter(genotype.steps)
    for number, pair in enumerate(zip(steps, steps, strict=True), start=2):
        sides = [
            operation(
                f"state {number} {side} {kind}",
                states[state],
                kind,
                genotype.stride if state < 2 else 1,
                keeps_input=genotype.is_kept_by(2 * (number - 2) + side - 1),
            )
            for side, (state, kind) in enumerate(pair, start=1)
        ]
        summed: list[str] = []
        for side, (state, _) in zip(sides, pair, strict=True):
            path = path.beside(side, ends[state]) if side.operators else path
            summed.append(path.end if side.operators else ends[state])
        outputs = sides[0].maps
        total = Elementwise(
            f"state {number} sum",
            6.0 * outputs.elements,
            0.0,
            launches=(1, 0),
            function=Addition(),
        )
        path = path.then(total, outputs, tuple(summed))
        states.append(outputs)
        ends.append(path.end)
    joined = states[genotype.joined[-1]]
    output = Maps(len(genotype.joined) * channels, joined.height, joined.width)
    join = _join(output, genotype, states, inputs)
    path = path.then(join, output, tuple(ends[each] for each in genotype.joined))
    layer = replace(
        path.layer(name),
        output_elements=output.elements + inputs.last.elements,
        passed_by=inputs.last.elements,
        takes=0 if inputs.is_stem else 1,
        leaves=(INPUT,),
    )
    return layer, Inputs(output, inputs.last, is_reduced=is_reduction)


def _second(inputs: Inputs, channels: int) -> Path:
    """Return the input of two cells ago, brought to the size of the other one."""
    path = Path(inputs.before)
    if inputs.is_reduced:
        return factorized_reduce(path, "narrow 2", channels)
    if inputs.before.channels != channels:
        return relu_conv_norm(path, "narrow 2", channels)
    return path


def _join(
    output: Maps, genotype: Genotype, states: list[Maps], inputs: Inputs
) -> Elementwise:
    """Return the concatenation, and all sums of gradients in the cell.

    Forward reads the joined states and writes them side by side. Backward takes views,
    but a tensor read n times costs n - 1 additions, each reading two and writing one:
    of every state, and of the cell's last input, which the next cell reads too (and
    this one twice, where it is both inputs).
    """
    added = [
        (genotype.num_readers(number) - 1, maps) for number, maps in enumerate(states)
    ]
    added = [(count, maps) for count, maps in added if count > 0]
    added.append((2 if inputs.is_stem else 1, inputs.last))
    return Elementwise(
        "concatenation",
        forward_bytes=4.0 * output.elements,
        backward_bytes=6.0 * sum(count * maps.elements for count, maps in added),
        launches=(1, sum(count for count, _ in added)),
        function=Concatenation(),
    )
