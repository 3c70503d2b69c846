"""Residual networks for CIFAR: 6n + 2 layers in three stages of 16, 32 and 64 channels.

A block computes ``relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x))))))``. Where a stage halves the map and doubles
the channels, the shortcut is option A of the paper (every second pixel, new channels zero, no parameters) or
option B (a strided 1x1 convolution).

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. Deep Residual Learning for Image Recognition. CVPR 2016,
section 4.2.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from orograph.basics.errors import UsageError
from orograph.models.sizes import ImageSize, check_ends, height_and_width, scaled

Shortcut = Literal["A", "B"]


class ZeroPaddedShortcut(nn.Module):
    """Option A: keep every ``stride``-th row and column, and append ``added`` channels of zeros."""

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.added = added
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.pad(inputs[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them, normalised before each ReLU.

    Without ``batch_norm`` the convolutions have biases and nothing is normalised.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, shortcut: Shortcut, batch_norm: bool) -> None:
        super().__init__()
        bias = not batch_norm
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = norm(outputs, batch_norm)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.bn2 = norm(outputs, batch_norm)
        self.shortcut: nn.Module
        if stride == 1 and inputs == outputs:
            self.shortcut = nn.Identity()
        elif shortcut == "A":
            self.shortcut = ZeroPaddedShortcut(outputs - inputs, stride)
        else:
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=bias)
            self.shortcut = nn.Sequential(OrderedDict(conv=projection, bn=norm(outputs, batch_norm)))
        self.relu2 = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(inputs)))))
        outputs: Tensor = self.relu2(residual + self.shortcut(inputs))
        return outputs


class CifarResNet(nn.Module):
    """The paper's CIFAR networks: a 3x3 stem, three stages of blocks, global average pooling, a linear layer.

    Parameters
    ----------
    depth: layers with weights, 6n + 2: 8, 20, 32, 44, 56, 110, …
    classes, channels: number of outputs and of input channels.
    image_size: any; only checked, since the network ends in global average pooling (8x8 images end as 2x2 maps).
    shortcut: "A" (no parameters, as in the paper) or "B" (1x1 projections).
    batch_norm: False gives convolutions with biases and no normalisation.
    width: multiplier of the channels 16, 32 and 64.

    Initial values: PyTorch's default (weights and biases uniform in ``±1/sqrt(fan_in)``; batch norm 1 and 0), not
    the paper's He normal, so that a study of initialisation starts from what most people use.

    Input of shape (n, channels, height, width), output logits of shape (n, classes).
    """

    def __init__(
        self,
        depth: int,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize = 32,
        *,
        shortcut: Shortcut = "A",
        batch_norm: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise UsageError(f"a CIFAR ResNet has 6n + 2 layers (8, 20, 32, 56, 110), not {depth}")
        if shortcut not in ("A", "B"):
            raise UsageError(f"shortcut is 'A' (zero padding) or 'B' (projection), not {shortcut!r}")
        check_ends(classes, channels, network=f"resnet{depth}")
        height_and_width(image_size, network=f"resnet{depth}")
        base, blocks = scaled(16, width), (depth - 2) // 6
        self.conv = nn.Conv2d(channels, base, 3, padding=1, bias=not batch_norm)
        self.bn = norm(base, batch_norm)
        self.relu = nn.ReLU()
        self.stage1 = stage(base, base, blocks, stride=1, shortcut=shortcut, batch_norm=batch_norm)
        self.stage2 = stage(base, 2 * base, blocks, stride=2, shortcut=shortcut, batch_norm=batch_norm)
        self.stage3 = stage(2 * base, 4 * base, blocks, stride=2, shortcut=shortcut, batch_norm=batch_norm)
        self.classifier = nn.Linear(4 * base, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.bn(self.conv(inputs)))
        maps = self.stage3(self.stage2(self.stage1(maps)))
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits


def stage(
    inputs: int, outputs: int, blocks: int, *, stride: int, shortcut: Shortcut, batch_norm: bool
) -> nn.Sequential:
    """``blocks`` basic blocks in a row; the first one changes the channels and strides."""
    first = BasicBlock(inputs, outputs, stride, shortcut=shortcut, batch_norm=batch_norm)
    rest = (BasicBlock(outputs, outputs, 1, shortcut=shortcut, batch_norm=batch_norm) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


def norm(channels: int, batch_norm: bool) -> nn.Module:
    """Batch norm, or a module that passes its input through."""
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
