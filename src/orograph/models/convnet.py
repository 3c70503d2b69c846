"""A small convolutional network for small images: the network of the default study.

Three times (3x3 convolution, ReLU, 2x2 max-pool), then one linear layer. About 14,000 parameters on 8x8 digits and
17,000 on 28x28 Fashion-MNIST: small enough that a laptop trains many replicas in minutes.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.models.sizes import ImageSize, check_dropout, check_ends, height_and_width


class ConvNet(nn.Module):
    """Three 3x3 convolutions of ``width``, ``2 width`` and ``2 width`` channels, each pooled, and a linear layer.

    Parameters
    ----------
    classes, channels: number of outputs and of input channels.
    image_size: side in pixels or (height, width), at least 8, so that three poolings leave a pixel.
    width: channels of the first convolution.
    batch_norm: normalise after each convolution (which then has no bias).
    dropout: share of units dropped after each pooling.

    Initial values: PyTorch's default, weights and biases uniform in ``±1/sqrt(fan_in)``; batch norm 1 and 0.

    Input of shape (n, channels, height, width), output logits of shape (n, classes).
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize = 32,
        *,
        width: int = 16,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_ends(classes, channels, network="convnet")
        rows, columns = height_and_width(image_size, network="convnet", least=8)
        if width < 1 or width != int(width):
            raise UsageError(f"convnet's width is its first number of channels, a whole number from 1, not {width}")
        check_dropout(dropout)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        fan = channels
        for number, outputs in enumerate((int(width), 2 * int(width), 2 * int(width)), start=1):
            layers[f"conv{number}"] = nn.Conv2d(fan, outputs, 3, padding=1, bias=not batch_norm)
            if batch_norm:
                layers[f"bn{number}"] = nn.BatchNorm2d(outputs)
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"pool{number}"] = nn.MaxPool2d(2)
            if dropout:
                layers[f"dropout{number}"] = nn.Dropout(dropout)
            fan = outputs
        self.features = nn.Sequential(layers)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(fan * (rows // 8) * (columns // 8), classes)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.flatten(self.features(inputs)))
        return logits
