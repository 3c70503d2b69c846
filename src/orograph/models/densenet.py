"""Densely connected networks for CIFAR: every layer of a block sees the maps of all layers before it.

In a block, layer ``l`` adds ``growth`` maps, ``x_l = H([x_0, x_1, …, x_{l-1}])`` with ``H`` = batch norm, ReLU and a
3x3 convolution; with a bottleneck, batch norm, ReLU and a 1x1 convolution to ``4 growth`` maps come before those.
Three blocks are joined by transitions (batch norm, ReLU, 1x1 convolution, 2x2 average pooling), which may compress.

The concatenations are written plainly. One block of n layers keeps about ``n² growth / 2`` maps for the backward pass.

Gao Huang, Zhuang Liu, Laurens van der Maaten, Kilian Q. Weinberger. Densely Connected Convolutional Networks.
CVPR 2017.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.models.sizes import ImageSize, check_dropout, check_ends, height_and_width, scaled


def composite(inputs: int, outputs: int, kernel: int, *, dropout: float) -> nn.Sequential:
    """The paper's composite function: batch norm, ReLU, a convolution that keeps the map's size, dropout if any."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["bn"] = nn.BatchNorm2d(inputs)
    layers["relu"] = nn.ReLU()
    layers["conv"] = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


def dense_layer(inputs: int, growth: int, *, bottleneck: bool, dropout: float) -> nn.Sequential:
    """``growth`` new maps from all maps before them; a bottleneck keeps the 3x3 convolution small at any depth."""
    if not bottleneck:
        return composite(inputs, growth, 3, dropout=dropout)
    narrow = composite(inputs, 4 * growth, 1, dropout=dropout)
    return nn.Sequential(OrderedDict(narrow=narrow, grow=composite(4 * growth, growth, 3, dropout=dropout)))


def transition(inputs: int, outputs: int, *, dropout: float) -> nn.Sequential:
    """Between two blocks: ``outputs`` mixtures of the maps, and half the side by averaging 2x2 pixels."""
    mix = composite(inputs, outputs, 1, dropout=dropout)
    return nn.Sequential(OrderedDict(mix=mix, pool=nn.AvgPool2d(2)))


class DenseBlock(nn.Module):
    """``layers`` dense layers; its output is its input followed by what each layer added, in order."""

    def __init__(self, inputs: int, growth: int, layers: int, *, bottleneck: bool, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            dense_layer(inputs + layer * growth, growth, bottleneck=bottleneck, dropout=dropout)
            for layer in range(layers)
        )
        self.outputs = inputs + layers * growth

    def forward(self, inputs: Tensor) -> Tensor:
        maps = [inputs]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, dim=1)))
        return torch.cat(maps, dim=1)


class DenseNet(nn.Module):
    """A 3x3 stem, three dense blocks with transitions between them, batch norm, global average pooling, linear.

    Parameters
    ----------
    depth: layers with weights, 3n + 4 (6n + 4 with a bottleneck): 40, 100, 190, 250, …
    classes, channels: number of outputs and of input channels.
    image_size: side in pixels or (height, width), at least 4, so that two poolings leave a pixel.
    growth: maps that each layer adds, k in the paper.
    bottleneck: 1x1 convolutions before the 3x3 ones, and a stem of ``2 growth`` instead of 16 maps.
    compression: share of the maps that a transition keeps, in (0, 1]. The paper's DenseNet-BC is
        ``bottleneck=True, compression=0.5``.
    width: multiplier of ``growth`` and of the stem, and so of all channels; 1 is the paper.
    dropout: share of units dropped after each convolution but the stem (0.2 in the paper, where the images are not
        augmented).

    Initial values: PyTorch's default (weights and biases uniform in ``±1/sqrt(fan_in)``; batch norm 1 and 0), not
    the paper's He normal, as for the residual networks of this folder.

    Input of shape (n, channels, height, width), output logits of shape (n, classes).
    """

    def __init__(
        self,
        depth: int,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize = 32,
        *,
        growth: int = 12,
        bottleneck: bool = False,
        compression: float = 1.0,
        width: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        per_layer = 6 if bottleneck else 3  # convolutions that one more layer in each block costs
        if depth < 4 + per_layer or (depth - 4) % per_layer:
            kind = "a DenseNet with a bottleneck" if bottleneck else "a DenseNet"
            raise UsageError(f"{kind} has {per_layer}n + 4 layers (40, 100, 190, 250), not {depth}")
        if growth < 1 or growth != int(growth):
            raise UsageError(f"growth is the number of maps a layer adds, a whole number from 1, not {growth}")
        if not 0.0 < compression <= 1.0:
            raise UsageError(f"compression is the share of maps a transition keeps, in (0, 1], not {compression}")
        network = f"densenet{depth}"
        check_ends(classes, channels, network=network)
        check_dropout(dropout)
        height_and_width(image_size, network=network, least=4)
        growth, layers = scaled(growth, width), (depth - 4) // per_layer
        stem = 2 * growth if bottleneck else scaled(16, width)

        self.conv = nn.Conv2d(channels, stem, 3, padding=1, bias=False)
        self.block1 = DenseBlock(stem, growth, layers, bottleneck=bottleneck, dropout=dropout)
        kept = _compressed(self.block1.outputs, compression)
        self.transition1 = transition(self.block1.outputs, kept, dropout=dropout)
        self.block2 = DenseBlock(kept, growth, layers, bottleneck=bottleneck, dropout=dropout)
        kept = _compressed(self.block2.outputs, compression)
        self.transition2 = transition(self.block2.outputs, kept, dropout=dropout)
        self.block3 = DenseBlock(kept, growth, layers, bottleneck=bottleneck, dropout=dropout)
        self.bn = nn.BatchNorm2d(self.block3.outputs)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(self.block3.outputs, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.transition1(self.block1(self.conv(inputs)))
        maps = self.block3(self.transition2(self.block2(maps)))
        logits: Tensor = self.classifier(self.relu(self.bn(maps)).mean((2, 3)))
        return logits


def _compressed(maps: int, compression: float) -> int:
    return max(1, int(maps * compression))
