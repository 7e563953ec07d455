"""LeNet-5 of 1998, with its trained subsampling and its sparse third layer.

A map of C3 reads three, four or all six maps of S2, which makes it three convolutions
over the same input: six groups of three maps, nine of four, and one of six. The output
compares 84 features with ten fixed codes, which are not trained.

Limits: multiply-adds of subsampling and of the comparison are element-wise, so that
their 8,720 connections are no FLOP.

Source: LeCun et al., Gradient-based learning applied to document recognition,
    Proceedings of the IEEE, 1998, section II.B (from memory; its counts of parameters
    and connections, layer by layer, are what the tests hold).
"""

from __future__ import annotations

from models.convolutional.blocks import Maps
from models.convolutional.path import Path
from models.functions import Activation, Distances, Pool
from models.model import Layer, Model
from models.operators import Convolution, Elementwise
from models.wiring import INPUT

IMAGE = Maps(1, 32, 32)
# Maps of C3 by how many maps of S2 each reads: table I.
_READS = ((6, 3), (9, 4), (1, 6))


def lenet5() -> Model:
    """Return LeNet-5: C1 with S2, C3 with S4, C5, F6 with the output."""
    layers: list[Layer] = []
    path = Path(IMAGE).conv("C1", 6, 5, bias=True, needs_input_gradient=False)
    path = _squash(_subsample(path, "S2"), "S2 tanh")
    layers.append(path.layer("C1 S2"))
    path = _squash(_subsample(_sparse(path.fresh()), "S4"), "S4 tanh")
    layers.append(path.layer("C3 S4"))
    path = _squash(path.fresh().conv("C5", 120, 5, bias=True), "C5 tanh")
    layers.append(path.layer("C5"))
    path = _squash(path.fresh().linear("F6", 84), "F6 tanh")
    layers.append(_compared(path, 10).layer("F6 output"))
    return Model("lenet-5", tuple(layers), 1)


def _sparse(path: Path) -> Path:
    """Return C3: 16 maps, of which none but the last reads all six.

    The first convolution keeps the input that all three read.
    """
    inputs = path.maps
    outputs = inputs.slide(5, 1, 0, 16)
    for number, (num_maps, num_read) in enumerate(_READS):
        convolution = Convolution(
            f"C3 of {num_read}",
            num_maps * num_read,
            num_maps,
            kernel=(5, 5),
            output=(outputs.height, outputs.width),
            inputs=inputs.elements,
            groups=num_maps,
            bias=True,
            keeps_input=number == 0,
        )
        path = path.then(convolution, outputs, (INPUT,))
    return path


def _subsample(path: Path, name: str) -> Path:
    """Return sums over 2x2 windows, with a trained factor and bias a map.

    Its input are the maps of all convolutions before it, side by side. Forward reads
    it and writes a quarter of it. Backward reads the sums (for
    the factor) and their gradient, and writes a gradient of the input's size.
    """
    outputs = path.maps.slide(2, 2, 0)
    operator = Elementwise(
        name,
        forward_bytes=2.0 * (path.maps.elements + outputs.elements),
        backward_bytes=2.0 * (path.maps.elements + 2 * outputs.elements),
        kept_bytes=2.0 * outputs.elements,
        parameters=2 * path.maps.channels,
        function=Pool("scaled", 2, 2, channels=path.maps.channels),
    )
    convolutions = tuple(each.name for each in path.operators)
    return path.then(operator, outputs, convolutions)


def _squash(path: Path, name: str) -> Path:
    """Return a tanh; its output is kept as the next layer's input."""
    elements = path.maps.elements
    tanh = Activation("tanh")
    operator = Elementwise(name, 4.0 * elements, 6.0 * elements, function=tanh)
    return path.then(operator)


def _compared(path: Path, classes: int) -> Path:
    """Return squared distances of the features to a fixed code a class.

    Forward reads features and codes; backward reads them again with one gradient a
    class, and writes a gradient a feature.
    """
    features = path.maps.elements
    codes = classes * features
    operator = Elementwise(
        "distances",
        forward_bytes=2.0 * (features + codes + classes),
        backward_bytes=2.0 * (2 * features + codes + classes),
        kept_bytes=2.0 * features,
        function=Distances(classes),
    )
    return path.then(operator, Maps(classes, 1, 1))
