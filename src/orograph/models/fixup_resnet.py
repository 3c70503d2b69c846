"""Residual networks for CIFAR that train without normalisation: those of He et al. 2016 with Fixup.

A block computes ``relu(shortcut(x) + scale * conv2(relu(conv1(x + bias1) + bias2) + bias3) + bias4)``; scale and the
biases are single numbers, which begin as 1 and 0. The last convolution of a block and the classifier begin as zero, the
first convolution of a block as He normal (fan-out) times ``L^(-1/2)`` for L blocks, so that at the start a network is
its stem, and a step of the optimiser changes it by an amount that does not grow with the depth.

Hongyi Zhang, Yann N. Dauphin, Tengyu Ma. Fixup Initialization: Residual Learning Without Normalization. ICLR 2019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.models.resnet_cifar import ZeroPaddedShortcut
from orograph.models.sizes import ImageSize, check_ends, height_and_width, scaled


class FixupBlock(nn.Module):
    """Two 3x3 convolutions without biases, four scalar biases and a scalar multiplier, around a shortcut (option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int, blocks: int) -> None:
        super().__init__()
        self.bias1 = nn.Parameter(torch.zeros(1))
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bias2 = nn.Parameter(torch.zeros(1))
        self.relu1 = nn.ReLU()
        self.bias3 = nn.Parameter(torch.zeros(1))
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.scale = nn.Parameter(torch.ones(1))
        self.bias4 = nn.Parameter(torch.zeros(1))
        self.relu2 = nn.ReLU()
        changes = stride != 1 or inputs != outputs
        self.shortcut: nn.Module = ZeroPaddedShortcut(outputs - inputs, stride) if changes else nn.Identity()
        _he_fan_out(self.conv1, blocks**-0.5)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        branch = self.relu1(self.conv1(inputs + self.bias1) + self.bias2)
        branch = self.conv2(branch + self.bias3) * self.scale + self.bias4
        outputs: Tensor = self.relu2(branch + self.shortcut(inputs))
        return outputs


class FixupResNet(nn.Module):
    """A 3x3 stem, three stages of Fixup blocks, global average pooling and a linear layer that begins as zero.

    Parameters
    ----------
    depth: layers with weights, 6n + 2: 8, 20, 32, 44, 56, 110, …
    classes, channels: number of outputs and of input channels.
    image_size: any; only checked, since the network ends in global average pooling.
    width: multiplier of the channels 16, 32 and 64.

    Train its biases and scalars at a tenth of the rate (``Recipe(bias_lr=0.1)``), as the authors do.

    Input of shape (n, channels, height, width), output logits of shape (n, classes).
    """

    def __init__(
        self, depth: int, classes: int = 10, channels: int = 3, image_size: ImageSize = 32, *, width: float = 1.0
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise UsageError(f"a CIFAR ResNet has 6n + 2 layers (8, 20, 32, 56, 110), not {depth}")
        check_ends(classes, channels, network=f"resnet{depth}-fixup")
        height_and_width(image_size, network=f"resnet{depth}-fixup")
        base, blocks = scaled(16, width), (depth - 2) // 6
        self.conv = nn.Conv2d(channels, base, 3, padding=1, bias=False)
        self.bias1 = nn.Parameter(torch.zeros(1))
        self.relu = nn.ReLU()
        self.stage1 = _stage(base, base, 1, blocks)
        self.stage2 = _stage(base, 2 * base, 2, blocks)
        self.stage3 = _stage(2 * base, 4 * base, 2, blocks)
        self.bias2 = nn.Parameter(torch.zeros(1))
        self.classifier = nn.Linear(4 * base, classes)
        _he_fan_out(self.conv, 1.0)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.conv(inputs) + self.bias1)
        maps = self.stage3(self.stage2(self.stage1(maps)))
        logits: Tensor = self.classifier(maps.mean((2, 3)) + self.bias2)
        return logits


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    first = FixupBlock(inputs, outputs, stride, 3 * blocks)
    return nn.Sequential(first, *(FixupBlock(outputs, outputs, 1, 3 * blocks) for _ in range(blocks - 1)))


def _he_fan_out(layer: nn.Conv2d, factor: float) -> None:
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, std=factor * math.sqrt(2 / (layer.out_channels * math.prod(layer.kernel_size))))
