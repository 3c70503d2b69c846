"""The module that produced a NaN is named, not those that passed it on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from orograph.diagnose.producer import first_producer


class Log(nn.Module):
    """A logarithm that meets what it should not."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x)


class InPlace(nn.Module):
    """Divides by zero in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.div_(torch.zeros_like(x))


class Named(nn.Module):
    """Wraps its output."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"hidden": (self.inner(x), None)}


class Masked(nn.Module):
    """Attention in which a row may look nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        nowhere = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
        mixed: Tensor = self.attention(x, x, x, attn_mask=nowhere)[0]
        return mixed


class RootAtZero(nn.Module):
    """A square root, whose derivative at zero is infinite."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt((x - x.detach()).square())


def _producer(model: nn.Module, x: Tensor) -> Any:
    def run() -> Tensor:
        out = model(x)
        while not isinstance(out, Tensor):
            out = next(iter(out.values() if isinstance(out, dict) else out))
        return out.sum()

    return first_producer(model, run)


def test_a_nested_producer_and_not_what_follows() -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(4, 4), Log(), nn.Linear(4, 4))
    found = _producer(nn.Sequential(nn.Linear(4, 4), Named(inner)), torch.randn(5, 4))
    assert (found.module, found.kind, found.phase) == ("1.inner.1", "Log", "forward")
    assert found.low < 0
    assert "logarithm" in found.hint


def test_in_place() -> None:
    found = _producer(nn.Sequential(nn.Linear(4, 4), InPlace(), nn.ReLU()), torch.randn(3, 4))
    assert found.module == "1"


def test_attention_with_nothing_to_see() -> None:
    found = _producer(nn.Sequential(nn.Linear(8, 8), Masked(), nn.Linear(8, 2)), torch.randn(2, 3, 8))
    assert found.module == "1.attention"


def test_the_backward_pass() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), RootAtZero(), nn.Linear(4, 1))
    found = _producer(model, torch.randn(6, 4))
    assert (found.module, found.phase) == ("1", "backward")


def test_a_loss_that_produces_it() -> None:
    model = nn.Linear(4, 2)
    found = first_producer(model, lambda: torch.log(-model(torch.randn(3, 4)).square()).sum())
    assert found is not None
    assert found.module == "the loss function"


def test_nothing_to_find_and_masks_of_minus_infinity_let_pass() -> None:
    class Mask(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.masked_fill(torch.eye(4, dtype=torch.bool), float("-inf"))

    model = nn.Sequential(nn.Linear(4, 4), Mask(), nn.Softmax(1), nn.Linear(4, 1))
    assert _producer(model, torch.randn(4, 4)) is None
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
