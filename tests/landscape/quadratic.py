"""A landscape known in closed form: L(w) = c + (w - m)' H (w - m) / 2, in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orograph.data import Split
from orograph.objective import Objective
from orograph.weights import Weights


class Bowl(nn.Module):
    """Parameters in two tensors, so that layouts matter; the data are ignored."""

    def __init__(self, dimension: int = 7, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        root = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
        self.hessian = root @ root.T / dimension
        self.minimum = torch.randn(dimension, generator=generator, dtype=torch.float64)
        self.first = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.second = nn.Parameter(torch.zeros(dimension - 3, dtype=torch.float64))

    def height(self, w: Tensor) -> float:
        r = w.double() - self.minimum
        return float(0.5 + r @ self.hessian @ r / 2)

    def forward(self, x: Tensor) -> Tensor:
        r = torch.cat([self.first, self.second]) - self.minimum
        return 0.5 + r @ self.hessian @ r / 2


def bowl_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return model(batch[0]).expand(len(batch[0]))


def bowl(dimension: int = 7, seed: int = 0) -> tuple[Bowl, Objective]:
    model = Bowl(dimension, seed)
    split = Split(torch.zeros(5, 2), torch.zeros(5, dtype=torch.long))
    return model, Objective(model, split, loss=bowl_loss, precision="float64")


def points(model: nn.Module, count: int, seed: int = 1, scale: float = 1.0) -> list[Weights]:
    generator = torch.Generator().manual_seed(seed)
    origin = Weights.of(model)
    return [
        origin.with_vector(scale * torch.randn(len(origin), generator=generator, dtype=origin.vector.dtype))
        for _ in range(count)
    ]
