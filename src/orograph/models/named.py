"""The table of orograph's own networks: what each name stands for, and how large it is on the data it was made for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import nn

from orograph.models.convnet import ConvNet
from orograph.models.densenet import DenseNet
from orograph.models.fixup_resnet import FixupResNet
from orograph.models.mlp import MLP
from orograph.models.preresnet import PreResNet
from orograph.models.resnet18 import ResNet18
from orograph.models.resnet_cifar import CifarResNet
from orograph.models.transformer import Transformer
from orograph.models.vgg import VGG
from orograph.models.wide_resnet import WideResNet

# What the data decide of a network.
_IMAGE_SIZES = ("classes", "channels", "image_size")
TEXT_SIZES = ("source_words", "target_words")


@dataclass(frozen=True)
class _Use:
    """A data set on which a network's size is quoted."""

    name: str
    sizes: Mapping[str, int]


_DIGITS = _Use("8x8 digits", {"classes": 10, "channels": 1, "image_size": 8})
_CIFAR10 = _Use("CIFAR-10", {"classes": 10, "channels": 3, "image_size": 32})
_IMAGENET = _Use("224x224 ImageNet", {"classes": 1000, "channels": 3, "image_size": 224})
_MULTI30K = _Use("Multi30k", {"source_words": 7857, "target_words": 5977})


@dataclass(frozen=True)
class Network:
    """One name of the table: a class, where it comes from, and the arguments the name stands for.

    ``fixed`` arguments are the name itself; ``preset`` ones are options that this name sets otherwise than the class.
    """

    factory: Callable[..., nn.Module]
    source: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    uses: tuple[_Use, ...] = (_CIFAR10,)

    @property
    def takes_text(self) -> bool:
        """Whether it is for sentences rather than images."""
        return "source_words" in inspect.signature(self.factory).parameters

    def options(self) -> list[str]:
        """Names of the options that a caller may still choose."""
        taken = {*_IMAGE_SIZES, *self.fixed}
        return [name for name in inspect.signature(self.factory).parameters if name not in taken]

    def arguments(self) -> dict[str, Any]:
        """What the factory is called with where the caller says nothing else."""
        return {**self.fixed, **self.preset}


def _table() -> dict[str, Network]:
    table = {
        "mlp": Network(MLP, "multilayer perceptron, hidden layers of 64 and 64", uses=(_DIGITS,)),
        "convnet": Network(ConvNet, "small network of three convolutions and a linear layer", uses=(_DIGITS,)),
    }
    for letter in "ABCDE":
        source = f"Simonyan & Zisserman 2015, configuration {letter}"
        uses = (_IMAGENET, _CIFAR10)
        # The plain name keeps batch_norm as an option; the suffixed one has chosen.
        table[f"vgg-{letter.lower()}"] = Network(VGG, source, {"configuration": letter}, uses=uses)
        normalised = {"configuration": letter, "batch_norm": True}
        table[f"vgg-{letter.lower()}-bn"] = Network(VGG, f"{source}, batch norm", normalised, uses=uses)
    for depth in (8, 20, 32, 56, 110):
        source = "He et al. 2016, for CIFAR"
        table[f"resnet{depth}"] = Network(CifarResNet, source, {"depth": depth})
        without = {"depth": depth, "batch_norm": False}
        table[f"resnet{depth}-nobn"] = Network(CifarResNet, f"{source}, no batch norm", without)
        fixup = "Zhang et al. 2019, that network with Fixup in place of batch norm"
        table[f"resnet{depth}-fixup"] = Network(FixupResNet, fixup, {"depth": depth})
    # The paper's deepest, of which the networks without batch norm are not in use.
    table["resnet1202"] = Network(CifarResNet, "He et al. 2016, for CIFAR", {"depth": 1202})
    table["resnet18"] = Network(ResNet18, "He et al. 2016, ResNet-18 with a 3x3 stem for CIFAR")
    # 34 by the count of that paper, 6n + 4, is what the table of snapshot ensembles calls Wide-ResNet-32 (6n + 2).
    for depth, widening in ((16, 4), (28, 10), (34, 4)):
        wide = {"depth": depth, "widening": widening}
        table[f"wrn-{depth}-{widening}"] = Network(WideResNet, "Zagoruyko & Komodakis 2016", wide)
    for depth in (110, 164):
        source = "He et al. 2016, pre-activated bottlenecks as in Garipov et al. 2018"
        table[f"preresnet{depth}"] = Network(PreResNet, source, {"depth": depth})
    dense = "Huang et al. 2017, growth rate"
    table["densenet40"] = Network(DenseNet, f"{dense} 12", {"depth": 40})
    # The table of snapshot ensembles quotes 3.74 and 19.25 % for a single DenseNet-100. Those are the DenseNet paper's
    # errors for L=100, k=24 without bottleneck (27.2M parameters), so that is what the plain name stands for.
    table["densenet100"] = Network(DenseNet, f"{dense} 24", {"depth": 100}, {"growth": 24})
    compressed = {"depth": 100, "bottleneck": True, "compression": 0.5}
    table["densenet100-bc"] = Network(DenseNet, f"{dense} 12, bottlenecks and compression", compressed)
    source = "Vaswani et al. 2017, encoder and decoder of 6 layers for translation"
    table["transformer"] = Network(Transformer, source, uses=(_MULTI30K,))
    table["transformer-pre"] = Network(Transformer, f"{source}, pre-norm", {"norm": "pre"}, uses=(_MULTI30K,))
    return table


NETWORKS = _table()

# What other programs call these networks; only ever a hint, since those differ in the head.
OTHER_NAMES = {"vgg11": "vgg-a", "vgg13": "vgg-b", "vgg16": "vgg-d", "vgg19": "vgg-e"}


@cache
def _described() -> dict[str, str]:
    lines = {}
    for name, network in NETWORKS.items():
        counts = []
        for use in network.uses:
            with torch.device("meta"):
                module = network.factory(**network.arguments(), **use.sizes)
            counts.append(f"{sum(value.numel() for value in module.parameters()):,} parameters on {use.name}")
        lines[name] = f"{network.source}; {', '.join(counts)}"
    return lines


def known() -> dict[str, str]:
    """Every name that ``build`` takes, with one line that says what it is and how many parameters it has."""
    return dict(_described())
