"""AlexNet in the variant of "One weird trick" (one tower, no local normalisation).

Source: Krizhevsky, arXiv:1404.5997; dimensions from pytorch/vision alexnet.py.
"""

from __future__ import annotations

from models.convolutional.blocks import Maps, thinned
from models.convolutional.path import Path
from models.model import Layer, Model


def alexnet(image: int = 224, thinning: int = 1) -> Model:
    """Return AlexNet: five convolutions and three fully connected layers.

    Args:
        image: height and width of a sample [1].
        thinning: by what channels and hidden features are divided [1].
    """
    path = Path(Maps(3, image, image))
    layers: list[Layer] = []

    def end(name: str, ended: Path) -> Path:
        layers.append(ended.layer(name))
        return ended.fresh()

    path = path.conv(
        "conv1",
        thinned(64, thinning),
        11,
        stride=4,
        padding=2,
        bias=True,
        needs_input_gradient=False,
    )
    path = end("conv1", path.relu("relu1").max_pool("pool1", 3, stride=2))
    path = path.conv("conv2", thinned(192, thinning), 5, padding=2, bias=True)
    path = end("conv2", path.relu("relu2").max_pool("pool2", 3, stride=2))
    path = path.conv("conv3", thinned(384, thinning), 3, padding=1, bias=True)
    path = end("conv3", path.relu("relu3"))
    path = path.conv("conv4", thinned(256, thinning), 3, padding=1, bias=True)
    path = end("conv4", path.relu("relu4"))
    path = path.conv("conv5", thinned(256, thinning), 3, padding=1, bias=True)
    path = end("conv5", path.relu("relu5").max_pool("pool5", 3, stride=2))
    path = path.dropout("drop6", keeps_input=False)
    path = end("fc6", path.linear("fc6", thinned(4096, thinning)).relu("relu6"))
    path = end(
        "fc7",
        path.dropout("drop7").linear("fc7", thinned(4096, thinning)).relu("relu7"),
    )
    end("fc8", path.linear("fc8", 1000).loss())
    return Model("alexnet", tuple(layers), 1)
