"""Convolutional networks for images, as tables of layers.

Every layer has the role `block`: a pipeline may cut between any two.
"""

from models.convolutional.alexnet import alexnet
from models.convolutional.amoebanet import amoebanet_d
from models.convolutional.googlenet import googlenet
from models.convolutional.inception import inception_v3
from models.convolutional.lenet import lenet5
from models.convolutional.overfeat import overfeat
from models.convolutional.resnet import resnet, resnext
from models.convolutional.unet import unet
from models.convolutional.vgg import vgg

__all__ = [
    "alexnet",
    "amoebanet_d",
    "googlenet",
    "inception_v3",
    "lenet5",
    "overfeat",
    "resnet",
    "resnext",
    "unet",
    "vgg",
]
