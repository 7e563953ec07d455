"""Networks of published dimensions: what builds each, and where they were read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from models.autoencoder import COATES, coates2013, le2012
from models.convolutional import (
    alexnet,
    amoebanet_d,
    googlenet,
    inception_v3,
    lenet5,
    overfeat,
    resnet,
    resnext,
    unet,
    vgg,
)
from models.lstm import LstmShape, lstm
from models.model import Model
from models.recommendation import CRITEO_KAGGLE, CRITEO_TERABYTE, dlrm

IMAGE_KEYS = ("image", "thinning")

_VGG = "Simonyan and Zisserman, arXiv:1409.1556, as in torchvision"
_RESNET = "He et al., arXiv:1512.03385, as in torchvision"
_RESNEXT = "Xie et al., arXiv:1611.05431, as in torchvision"
_GOOGLENET = "Szegedy et al., arXiv:1409.4842, as in torchvision"
_INCEPTION = "Szegedy et al., arXiv:1512.00567, as in torchvision"
_NO_AUXILIARY = "without the auxiliary heads"
_UNET = "kakaobrain/torchgpipe benchmarks/models/unet, images of 192 x 192"
_AMOEBANET = "kakaobrain/torchgpipe benchmarks/models/amoebanet, after arXiv:1802.01548"
_COATES = "Coates et al., ICML 2013: weights and GPUs from memory, geometry ours"
_ZAREMBA = "Zaremba et al., arXiv:1409.2329 (from memory), two biases as in PyTorch"
_PADDLE = "PaddlePaddle benchmark/paddle/rnn/rnn.py; biases as in PyTorch"

# U-Net (B, C) and AmoebaNet-D (L, D) of torchgpipe's docs/benchmarks.rst; (18, 128) is
# of GPipe's table 3.
_UNETS = ((5, 64), (6, 72), (11, 128), (24, 128), (24, 160), (48, 160))
_AMOEBANETS = (
    (18, 128),
    (18, 208),
    (18, 256),
    (18, 416),
    (18, 544),
    (36, 544),
    (72, 512),
)
_LSTMS = {
    "lstm-ptb-medium": (LstmShape(2, 650, 35, 10_000), _ZAREMBA),
    "lstm-ptb-large": (LstmShape(2, 1500, 35, 10_000), _ZAREMBA),
} | {
    f"lstm-imdb-{hidden}": (
        LstmShape(2, hidden, 100, 30_000, 128, classes=2, has_dropout=False),
        _PADDLE,
    )
    for hidden in (256, 512, 1280)
}


class Network(NamedTuple):
    """A network of published dimensions, few of which a plan may change.

    Fields:
        build: returns it.
        source: where its dimensions were read.
        overrides: keys that a plan may change, by the names of `build`'s arguments.
    """

    build: Callable[..., Model]
    source: str
    overrides: tuple[str, ...] = ()


NETWORKS: Mapping[str, Network] = {
    "lenet-5": Network(lenet5, "LeCun et al., Proceedings of the IEEE, 1998 (memory)"),
    "alexnet": Network(
        alexnet, "Krizhevsky, arXiv:1404.5997, as in torchvision", IMAGE_KEYS
    ),
    "overfeat-fast": Network(
        overfeat, "Sermanet et al., arXiv:1312.6229, as in soumith/convnet-benchmarks"
    ),
    **{
        f"vgg{depth}": Network(partial(vgg, depth), _VGG, IMAGE_KEYS)
        for depth in (11, 16, 19)
    },
    "googlenet": Network(googlenet, _GOOGLENET),
    "googlenet-no-aux": Network(
        partial(googlenet, has_auxiliary=False), f"{_GOOGLENET}; {_NO_AUXILIARY}"
    ),
    "inception-v3": Network(inception_v3, _INCEPTION),
    "inception-v3-no-aux": Network(
        partial(inception_v3, has_auxiliary=False), f"{_INCEPTION}; {_NO_AUXILIARY}"
    ),
    **{
        f"resnet{depth}": Network(partial(resnet, depth), _RESNET, IMAGE_KEYS)
        for depth in (18, 34, 50, 101, 152)
    },
    **{
        f"resnext{depth}-{groups}x{width}d": Network(
            partial(resnext, depth, groups, width), _RESNEXT
        )
        for depth, groups, width in ((50, 32, 4), (101, 32, 8), (101, 64, 4))
    },
    **{
        f"unet-{convs}-{channels}": Network(partial(unet, convs, channels), _UNET)
        for convs, channels in _UNETS
    },
    **{
        f"amoebanet-d-{layers}-{filters}": Network(
            partial(amoebanet_d, layers, filters), _AMOEBANET
        )
        for layers, filters in _AMOEBANETS
    },
    "le2012": Network(
        le2012, "Le et al., arXiv:1112.6209: fields and maps from memory, strides ours"
    ),
    **{name: Network(partial(coates2013, name), _COATES) for name in COATES},
    **{
        name: Network(partial(lstm, name, shape), source)
        for name, (shape, source) in _LSTMS.items()
    },
    "dlrm-criteo-kaggle": Network(
        partial(dlrm, "dlrm-criteo-kaggle", CRITEO_KAGGLE),
        "facebookresearch/dlrm bench/dlrm_s_criteo_kaggle.sh; its tables' sizes as"
        " copied in public configurations",
    ),
    "dlrm-criteo-terabyte": Network(
        partial(dlrm, "dlrm-criteo-terabyte", CRITEO_TERABYTE),
        "MLPerf's DLRM with one look-up a table: widths and tables as in public"
        " torchrec_dlrm scripts",
    ),
}
