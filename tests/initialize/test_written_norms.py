"""Norm layers in elementary operations: equal to PyTorch's, and with third derivatives that are right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orograph.initialize.written_norms import written_norms

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: nn.LayerNorm(6),
    "layer norm of two axes": lambda: nn.LayerNorm((4, 6)),
    "layer norm without affine": lambda: nn.LayerNorm(6, elementwise_affine=False),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "batch norm": lambda: nn.BatchNorm1d(4),
    "batch norm without affine": lambda: nn.BatchNorm1d(4, affine=False, track_running_stats=False),
    "batch norm in evaluation": lambda: nn.BatchNorm1d(4).eval(),
    "instance norm": lambda: nn.InstanceNorm1d(4, affine=True),
    "instance norm in evaluation": lambda: nn.InstanceNorm1d(4, track_running_stats=True).eval(),
}


@pytest.fixture(params=list(LAYERS))
def layer(request: pytest.FixtureRequest) -> nn.Module:
    made = LAYERS[request.param]().double()
    with torch.no_grad():
        for tensor in [*made.parameters(), *(b for b in made.buffers() if b.is_floating_point())]:
            tensor.add_(torch.rand_like(tensor))
    return made


def test_they_compute_the_same(layer: nn.Module) -> None:
    x = torch.randn(5, 4, 6, dtype=torch.float64)
    buffers = [buffer.clone() for buffer in layer.buffers()]
    with written_norms():
        found = layer(x)
    for before, after in zip(buffers, layer.buffers(), strict=True):
        assert before.is_floating_point() is False or torch.equal(before, after)
    torch.testing.assert_close(found, layer(x), rtol=1e-12, atol=1e-12)


def test_third_derivatives_are_right(layer: nn.Module) -> None:
    random = torch.Generator().manual_seed(0)
    shape = (5, 4, 6)
    one, two, along, x = (torch.randn(shape, dtype=torch.float64, generator=random) for _ in range(4))

    def second(at: Tensor) -> Tensor:
        (first,) = torch.autograd.grad(layer(at).pow(3).sum(), at, create_graph=True)
        (found,) = torch.autograd.grad((first * one).square().sum() / 100, at, create_graph=True)
        return (found * two).sum()

    with written_norms():
        at = x.requires_grad_()
        (third,) = torch.autograd.grad(second(at), at)
        step = 1e-5
        up, down = (second((x + sign * step * along).detach().requires_grad_()) for sign in (1, -1))
    expected = float((up - down).detach()) / (2 * step)
    assert float((third * along).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_functions_called_by_name_are_replaced_too() -> None:
    x, weight = torch.randn(3, 4, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    expected = F.layer_norm(x, (4,), weight=weight)
    with written_norms():
        torch.testing.assert_close(F.layer_norm(input=x, normalized_shape=(4,), weight=weight), expected)
        torch.testing.assert_close(torch.layer_norm(x, (4,), weight, None, 1e-5, False), expected)
