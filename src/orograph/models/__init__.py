"""The networks of the papers, small and readable, and the way to bring your own.

``build("resnet20", data)`` makes one of the networks of :func:`known`, or calls your factory
(``"package.module:factory"``, ``"file.py:factory"`` or a function). One file holds one family; each is written so
that a reader can hold it against its paper, and so that ``torch.fx`` can trace it. ``translate`` writes what a
transformer answers, and ``bleu`` scores it.
"""

from orograph.models.bleu import bleu
from orograph.models.convnet import ConvNet
from orograph.models.decoding import translate
from orograph.models.densenet import DenseNet
from orograph.models.fixup_resnet import FixupResNet
from orograph.models.mlp import MLP
from orograph.models.named import known
from orograph.models.preresnet import PreResNet
from orograph.models.registry import build
from orograph.models.resnet18 import ResNet18
from orograph.models.resnet_cifar import CifarResNet
from orograph.models.transformer import Transformer
from orograph.models.vgg import VGG
from orograph.models.wide_resnet import WideResNet

__all__ = [
    "MLP",
    "VGG",
    "CifarResNet",
    "ConvNet",
    "DenseNet",
    "FixupResNet",
    "PreResNet",
    "ResNet18",
    "Transformer",
    "WideResNet",
    "bleu",
    "build",
    "known",
    "translate",
]
