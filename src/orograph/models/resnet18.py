"""ResNet-18 as CIFAR papers use it: the ImageNet network with a 3x3 stem and no pooling before the first stage.

Four stages of two basic blocks with 64, 128, 256 and 512 channels and projection shortcuts (option B of
He et al. 2016): 11,173,962 parameters for CIFAR-10, as in https://github.com/kuangliu/pytorch-cifar and in the
distance matrices of https://github.com/sql-machine-learning/elasticdl/issues/179.
"""

from __future__ import annotations

from torch import Tensor, nn

from orograph.models.resnet_cifar import norm, stage
from orograph.models.sizes import ImageSize, check_ends, height_and_width, scaled


class ResNet18(nn.Module):
    """The CIFAR ResNet-18.

    Parameters
    ----------
    classes, channels: number of outputs and of input channels.
    image_size: any; only checked, since the network ends in global average pooling (8x8 images end as 1x1 maps).
    batch_norm: False gives convolutions with biases and no normalisation.
    width: multiplier of the channels 64, 128, 256 and 512; k/64 is the width k of Nakkiran et al. 2020.

    Initial values: PyTorch's default, ``Var(w) = 1 / (3 fan_in)`` and batch norm 1 and 0. Two independent networks
    are then ``sqrt(2 · (4800 + 10 + 10/512) / 3) = 56.6`` apart: each of the 4,800 convolution outputs and
    10 linear outputs has weights of total variance 1/3, each of the 10 biases 1/(3 · 512).

    Input of shape (n, channels, height, width), output logits of shape (n, classes).
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize = 32,
        *,
        batch_norm: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        check_ends(classes, channels, network="resnet18")
        height_and_width(image_size, network="resnet18")
        base = scaled(64, width)
        self.conv = nn.Conv2d(channels, base, 3, padding=1, bias=not batch_norm)
        self.bn = norm(base, batch_norm)
        self.relu = nn.ReLU()
        self.stage1 = stage(base, base, 2, stride=1, shortcut="B", batch_norm=batch_norm)
        self.stage2 = stage(base, 2 * base, 2, stride=2, shortcut="B", batch_norm=batch_norm)
        self.stage3 = stage(2 * base, 4 * base, 2, stride=2, shortcut="B", batch_norm=batch_norm)
        self.stage4 = stage(4 * base, 8 * base, 2, stride=2, shortcut="B", batch_norm=batch_norm)
        self.classifier = nn.Linear(8 * base, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.bn(self.conv(inputs)))
        maps = self.stage4(self.stage3(self.stage2(self.stage1(maps))))
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits
