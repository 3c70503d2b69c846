"""A multilayer perceptron: linear layers with ReLU between them, ``x -> W_L relu(… relu(W_1 x + b_1) …) + b_L``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.models.sizes import ImageSize, check_ends, height_and_width, scaled


class MLP(nn.Module):
    """Linear layers with ReLU between them; images are flattened first.

    Parameters
    ----------
    classes: number of outputs.
    channels: input channels, or the number of features when ``image_size`` is None.
    image_size: side in pixels or (height, width); None for inputs that are vectors.
    hidden: widths of the hidden layers; an empty sequence gives softmax regression.
    width: multiplier of the widths of all hidden layers.

    Initial values: PyTorch's default, weights and biases uniform in ``±1/sqrt(fan_in)``.

    Input of shape (n, channels, height, width) or (n, features), output logits of shape (n, classes).
    """

    def __init__(
        self,
        classes: int = 10,
        channels: int = 3,
        image_size: ImageSize | None = 32,
        *,
        hidden: Sequence[int] = (64, 64),
        width: float = 1.0,
    ) -> None:
        super().__init__()
        check_ends(classes, channels, network="mlp")
        if any(units < 1 for units in hidden):
            raise UsageError(f"hidden layers need at least 1 unit each, not {tuple(hidden)}")
        rows, columns = (1, 1) if image_size is None else height_and_width(image_size, network="mlp")
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        features = channels * rows * columns
        for number, units in enumerate((scaled(units, width) for units in hidden), start=1):
            layers[f"linear{number}"] = nn.Linear(features, units)
            layers[f"relu{number}"] = nn.ReLU()
            features = units
        layers["classifier"] = nn.Linear(features, classes)
        self.layers = nn.Sequential(layers)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layers(inputs)
        return logits
