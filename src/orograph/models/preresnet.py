"""Pre-activated residual networks for CIFAR: 9n + 2 layers of bottleneck blocks in three stages.

A block computes ``shortcut(x) + conv3(relu(bn3(conv2(relu(bn2(conv1(relu(bn1(x)))))))))``: 1x1, 3x3 and 1x1
convolutions, each behind its own batch norm and ReLU, so that a stage is one sum with nothing in its way. Where the
channels or the map change, the shortcut is a strided 1x1 convolution of ``x``.

Written as in the experiments of Garipov et al. 2018 and Izmailov et al. 2018
(https://github.com/timgaripov/dnn-mode-connectivity), whose tables have these networks: there the 3x3 convolution
strides and the 110 layers are bottlenecks too. In the code of He et al. the first 1x1 convolution strides, the
shortcut starts from ``relu(bn1(x))``, and their ResNet-110 has basic blocks; the number of parameters of ResNet-164
is the same.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun. Identity Mappings in Deep Residual Networks. ECCV 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.models.sizes import ImageSize, check_ends, height_and_width, scaled

#: A block has this many times as many outputs as its 3x3 convolution.
EXPANSION = 4


class PreBottleneck(nn.Module):
    """A pre-activated block: ``inputs`` channels, ``inner`` of them in its 3x3 convolution, ``4 inner`` outputs."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * inner
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(inner)
        self.relu3 = nn.ReLU()
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        branch = self.conv1(self.relu1(self.bn1(inputs)))
        branch = self.conv2(self.relu2(self.bn2(branch)))
        branch = self.conv3(self.relu3(self.bn3(branch)))
        outputs: Tensor = self.shortcut(inputs) + branch
        return outputs


class PreResNet(nn.Module):
    """A 3x3 stem, three stages of pre-activated bottlenecks, batch norm, ReLU, global average pooling, linear.

    Parameters
    ----------
    depth: layers with weights, 9n + 2: 11, 20, 29, 110, 164, 1001, …
    classes, channels: number of outputs and of input channels.
    image_size: any; only checked, since the network ends in global average pooling (8x8 images end as 2x2 maps).
    width: multiplier of the stem's 16 channels and of the stages' 16, 32 and 64 (64, 128 and 256 between blocks).

    Initial values: PyTorch's default (weights and biases uniform in ``±1/sqrt(fan_in)``; batch norm 1 and 0), not
    the paper's He normal, as for the other residual networks of this folder.

    Input of shape (n, channels, height, width), output logits of shape (n, classes).
    """

    def __init__(
        self,
        depth: int,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize = 32,
        *,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if depth < 11 or (depth - 2) % 9:
            raise UsageError(f"a pre-activated ResNet has 9n + 2 layers (11, 20, 29, 110, 164), not {depth}")
        network = f"preresnet{depth}"
        check_ends(classes, channels, network=network)
        height_and_width(image_size, network=network)
        base, blocks = scaled(16, width), (depth - 2) // 9
        outputs = EXPANSION * base
        self.conv = nn.Conv2d(channels, base, 3, padding=1, bias=False)
        self.stage1 = _stage(base, base, blocks, 1)
        self.stage2 = _stage(outputs, 2 * base, blocks, 2)
        self.stage3 = _stage(2 * outputs, 4 * base, blocks, 2)
        self.bn = nn.BatchNorm2d(4 * outputs)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(4 * outputs, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.stage3(self.stage2(self.stage1(self.conv(inputs))))
        logits: Tensor = self.classifier(self.relu(self.bn(maps)).mean((2, 3)))
        return logits


def _stage(inputs: int, inner: int, blocks: int, stride: int) -> nn.Sequential:
    first = PreBottleneck(inputs, inner, stride)
    return nn.Sequential(first, *(PreBottleneck(EXPANSION * inner, inner, 1) for _ in range(blocks - 1)))
