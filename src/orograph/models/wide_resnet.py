"""Wide residual networks: WRN-d-k has d layers and k times the channels of a CIFAR ResNet.

Blocks are pre-activated, ``x + conv2(dropout(relu(bn2(conv1(relu(bn1(x)))))))``; where the channels or the map
change, the shortcut is a strided 1x1 convolution of ``relu(bn1(x))``, as in the authors' code.

Sergey Zagoruyko, Nikos Komodakis. Wide Residual Networks. BMVC 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.models.sizes import ImageSize, check_dropout, check_ends, height_and_width, scaled


class WideBlock(nn.Module):
    """A pre-activated block that keeps its input's shape: the shortcut is the identity."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)

    def residual(self, activated: Tensor) -> Tensor:
        """The branch beside the shortcut, from ``relu(bn1(x))`` on."""
        branch: Tensor = self.conv2(self.dropout(self.relu2(self.bn2(self.conv1(activated)))))
        return branch

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.residual(self.relu1(self.bn1(inputs)))


class WideProjectionBlock(WideBlock):
    """The first block of a stage: its channels or its map change, and both branches start from ``relu(bn1(x))``."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, dropout: float) -> None:
        super().__init__(inputs, outputs, stride, dropout=dropout)
        self.projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(inputs))
        shortcut: Tensor = self.projection(activated)
        return shortcut + self.residual(activated)


class WideResNet(nn.Module):
    """WRN-depth-widening: a 3x3 stem of 16 channels, three stages, batch norm, global average pooling, linear.

    Parameters
    ----------
    depth: layers with weights, 6n + 4: 16, 22, 28, 40, …
    widening: the factor k on the stages' 16, 32 and 64 channels.
    classes, channels: number of outputs and of input channels.
    image_size: any; only checked, since the network ends in global average pooling (8x8 images end as 2x2 maps).
    width: multiplier of all channels, the stem's included; ``widening`` says which network of the paper it is of.
    dropout: share of units dropped between the two convolutions of a block (0.3 in the paper's variant for CIFAR).

    Initial values: PyTorch's default (weights and biases uniform in ``±1/sqrt(fan_in)``; batch norm 1 and 0).

    Input of shape (n, channels, height, width), output logits of shape (n, classes).
    """

    def __init__(
        self,
        depth: int,
        widening: int,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize = 32,
        *,
        width: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise UsageError(f"a wide ResNet has 6n + 4 layers (10, 16, 22, 28, 40), not {depth}")
        if widening < 1:
            raise UsageError(f"widening multiplies the channels and is at least 1, not {widening}")
        network = f"wrn-{depth}-{widening}"
        check_ends(classes, channels, network=network)
        check_dropout(dropout)
        height_and_width(image_size, network=network)
        blocks, stem, base = (depth - 4) // 6, scaled(16, width), scaled(16 * widening, width)
        self.conv = nn.Conv2d(channels, stem, 3, padding=1, bias=False)
        self.stage1 = _stage(stem, base, blocks, 1, dropout)
        self.stage2 = _stage(base, 2 * base, blocks, 2, dropout)
        self.stage3 = _stage(2 * base, 4 * base, blocks, 2, dropout)
        self.bn = nn.BatchNorm2d(4 * base)
        self.relu = nn.ReLU()
        self.classifier = nn.Linear(4 * base, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.stage3(self.stage2(self.stage1(self.conv(inputs))))
        logits: Tensor = self.classifier(self.relu(self.bn(maps)).mean((2, 3)))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, stride: int, dropout: float) -> nn.Sequential:
    changes = stride != 1 or inputs != outputs
    first = (WideProjectionBlock if changes else WideBlock)(inputs, outputs, stride, dropout=dropout)
    rest = (WideBlock(outputs, outputs, 1, dropout=dropout) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
