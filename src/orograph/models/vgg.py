"""VGG, configurations A to E, fully convolutional.

3x3 convolutions (in C also 1x1) with ReLU in five stages that end in a 2x2 max-pool, then a head of three layers.
As in the paper's section 3.2 the head's fully connected layers are convolutions, the first as large as the map
that arrives at the training size (7x7 for 224x224 images) and the others 1x1: at that size this is the same
function, and a larger image gives a map of class scores, whose mean over positions is the output.

Karen Simonyan, Andrew Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. ICLR 2015.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal, get_args

from torch import Tensor, nn

from orograph.basics.errors import UsageError, nearest
from orograph.models.sizes import ImageSize, check_dropout, check_ends, height_and_width, scaled

Configuration = Literal["A", "B", "C", "D", "E"]

# Table 1 of the paper: for each of the five stages the kernel sizes of its convolutions.
_KERNELS: dict[str, tuple[tuple[int, ...], ...]] = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
_CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """One of the paper's networks A to E, for images of any size.

    Parameters
    ----------
    configuration: "A" (11 layers with weights), "B" (13), "C" (16), "D" (16, known as VGG-16), "E" (19, VGG-19).
    classes, channels: number of outputs and of input channels.
    image_size: side in pixels or (height, width) of the training images. Five poolings make 224 to 7 and 32 to 1.
        On smaller images a pooling that finds a side of a single pixel is left out (the fifth on 28x28, the fourth
        and fifth on 8x8).
    width: multiplier of all channels, and of ``head``; 1 is the paper.
    batch_norm: normalise after each convolution of the five stages (which then has no bias); not in the paper.
    dropout: share of the head's units dropped in training, after its first and second layer.
    head: channels of the first two layers of the head. None: 4096 as in the paper from 224 pixels on, and 512, as
        in the CIFAR networks of Garipov et al. 2018, for smaller images. 0: no such layers, only a classifier.

    Initial values: He normal with fan-out, ``Var(w) = 2 / fan_out``, and biases 0, because with PyTorch's default
    (six times less variance in every layer) a network this deep without normalisation does not train. The fan-out
    is the number of outputs times the taps of the kernel that an input meets at the training size: nine for a 3x3
    convolution, but one on a map of a single pixel, where the other eight meet only padding, and one in the head.
    With ``batch_norm`` PyTorch's default is kept.

    Input of shape (n, channels, height, width), not smaller than ``image_size``; output logits (n, classes).
    """

    def __init__(
        self,
        configuration: Configuration,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize = 32,
        *,
        width: float = 1.0,
        batch_norm: bool = False,
        dropout: float = 0.5,
        head: int | None = None,
    ) -> None:
        super().__init__()
        if configuration not in _KERNELS:
            known = get_args(Configuration)
            raise UsageError(
                f"VGG has the configurations {', '.join(known)}, not {configuration!r}"
                f"{nearest(str(configuration).upper(), known)}"
            )
        network = f"vgg-{configuration.lower()}"
        check_ends(classes, channels, network=network)
        check_dropout(dropout)
        if head is not None and head < 0:
            raise UsageError(f"head is a number of channels, or 0 for a classifier alone, not {head}")
        size = height_and_width(image_size, network=network)
        if head is None:
            head = 4096 if min(size) >= 224 else 512

        self.features, trunk, size = _features(_KERNELS[configuration], channels, size, width, batch_norm)
        self.head = _head(trunk, scaled(head, width) if head else 0, classes, size, dropout, he=not batch_norm)

    def score_map(self, inputs: Tensor) -> Tensor:
        """Class scores at each position of the image, of shape (n, classes, rows, columns); 1x1 at ``image_size``."""
        scores: Tensor = self.head(self.features(inputs))
        return scores

    def forward(self, inputs: Tensor) -> Tensor:
        return self.score_map(inputs).mean((2, 3))


def _features(
    stages: tuple[tuple[int, ...], ...], channels: int, size: tuple[int, int], width: float, batch_norm: bool
) -> tuple[nn.Sequential, int, tuple[int, int]]:
    """The five stages, the channels that leave them, and the (rows, columns) of the map that leaves them."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, (kernels, outputs) in enumerate(zip(stages, _CHANNELS, strict=True), start=1):
        outputs = scaled(outputs, width)
        for number, kernel in enumerate(kernels, start=1):
            name = f"{stage}_{number}"
            convolution = nn.Conv2d(channels, outputs, kernel, padding=kernel // 2, bias=not batch_norm)
            layers[f"conv{name}"] = convolution
            if batch_norm:
                layers[f"bn{name}"] = nn.BatchNorm2d(outputs)
            else:
                # On a map of one pixel every tap but the centre meets padding: counting it, the signal would die.
                _he_normal(convolution, taps=math.prod(min(kernel, 2 * side - 1) for side in size))
            layers[f"relu{name}"] = nn.ReLU()
            channels = outputs
        if min(size) >= 2:
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
            size = (size[0] // 2, size[1] // 2)
    return nn.Sequential(layers), channels, size


def _head(channels: int, units: int, classes: int, size: tuple[int, int], dropout: float, *, he: bool) -> nn.Sequential:
    """The layers known as fc6, fc7 and fc8, as convolutions; the first has a kernel of ``size``."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    kernel = size
    for number in (6, 7) if units else ():
        layers[f"fc{number}"] = nn.Conv2d(channels, units, kernel)
        layers[f"relu{number}"] = nn.ReLU()
        if dropout:
            layers[f"drop{number}"] = nn.Dropout(dropout)
        channels, kernel = units, (1, 1)
    layers["fc8"] = nn.Conv2d(channels, classes, kernel)
    if he:
        for layer in layers.values():
            if isinstance(layer, nn.Conv2d):
                _he_normal(layer, taps=1)
    return nn.Sequential(layers)


def _he_normal(layer: nn.Conv2d, *, taps: int) -> None:
    # A meta tensor has no values to draw, and its normal_ spends seconds importing torch's decompositions.
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.out_channels * taps)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
