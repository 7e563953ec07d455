"""Convolutional networks for image classification, as tables of layers.

Every layer has the role `block`: a pipeline may cut between any two.
"""

from models.convolutional.alexnet import alexnet
from models.convolutional.inception import inception_v3
from models.convolutional.resnet import resnet
from models.convolutional.vgg import vgg

__all__ = ["alexnet", "inception_v3", "resnet", "vgg"]
