"""Who is decayed, and moments that travel without losing a bit."""

import pytest
import torch
from torch import nn

from orograph.basics.errors import UsageError
from orograph.data import Split
from orograph.train.fitting import fit
from orograph.train.optimizer import build_optimizer, optimizer_state, parameter_groups, restore_optimizer
from orograph.train.recipe import Recipe


class Mixed(nn.Module):
    """A bias, a batch norm, a layer norm with a two-dimensional weight, and a plain parameter called bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.batch = nn.BatchNorm1d(4)
        self.norm = nn.LayerNorm((2, 2))
        self.bias = nn.Parameter(torch.ones(2, 2))
        self.table = nn.Parameter(torch.ones(2, 2))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)


def names(model: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    chosen = {id(parameter) for parameter in parameters}
    return {name for name, parameter in model.named_parameters() if id(parameter) in chosen}


def test_everything_trainable_is_decayed_by_default():
    model = Mixed()
    (group,) = parameter_groups(model, Recipe(weight_decay=0.1))
    assert names(model, group["params"]) == {n for n, _ in model.named_parameters()} - {"frozen"}
    assert group["weight_decay"] == 0.1


def test_norms_and_biases_are_spared_on_request():
    model = Mixed()
    decayed, spared = parameter_groups(model, Recipe(weight_decay=0.1, decay_norm_and_bias=False))
    assert names(model, decayed["params"]) == {"layer.weight", "table"}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert names(model, spared["params"]) == {
        "layer.bias", "batch.weight", "batch.bias", "norm.weight", "norm.bias", "bias",
    }  # fmt: skip


def test_with_zero_gradients_a_step_shrinks_only_what_is_decayed():
    model = Mixed()
    optimizer = build_optimizer(model, Recipe(lr=0.5, momentum=0, weight_decay=0.1, decay_norm_and_bias=False))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.5 * 0.1 if name in ("layer.weight", "table") else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor, msg=name)


def test_a_network_with_nothing_to_train_is_refused():
    with pytest.raises(UsageError, match="requires_grad"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), Recipe())


def test_sparse_gradients_are_refused():
    with pytest.raises(UsageError, match="1 makes sparse gradients"):
        build_optimizer(nn.Sequential(nn.Identity(), nn.Embedding(3, 2, sparse=True)), Recipe())


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_moments_that_were_saved_and_put_back_continue_identically(kind):
    def network() -> nn.Module:
        torch.manual_seed(3)
        # Channels last: the moments must come back in the parameters' own strides.
        layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 4, 2))
        return layers.to(memory_format=torch.channels_last)

    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            inputs = torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(number))
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()

    recipe = Recipe(optimizer=kind, lr=0.01)
    whole, first = network(), network()
    optimizer = build_optimizer(whole, recipe)
    steps(whole, optimizer, range(6))
    before = build_optimizer(first, recipe)
    steps(first, before, range(3))
    tensors, numbers = optimizer_state(before)
    packed = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    second = network()
    second.load_state_dict(first.state_dict())
    after = build_optimizer(second, recipe)
    restore_optimizer(after, packed, numbers)
    for parameter in second.parameters():
        for name, value in after.state[parameter].items():
            if name != "step":
                assert value.stride() == parameter.stride()
    steps(second, after, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_biases_may_have_a_rate_of_their_own() -> None:
    """A tenth of the step for the bias, none for what is in a norm layer; the schedule goes on above it."""
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    groups = parameter_groups(model, Recipe(weight_decay=0.0, bias_lr=0.1))
    factors = {id(p): group["rate_factor"] for group in groups for p in group["params"]}
    assert [factors[id(p)] for p in model.parameters()] == [1.0, 0.1, 1.0, 1.0]
    data = Split(torch.randn(8, 3), torch.randn(8, 2))
    moved = []
    for factor in (1.0, 0.25):
        torch.manual_seed(0)
        line = nn.Linear(3, 2)
        before = [p.detach().clone() for p in line.parameters()]
        recipe = Recipe(epochs=1, batch_size=8, lr=0.1, weight_decay=0.0, momentum=0.0, bias_lr=factor)
        fit(line, data, recipe, loss="mse", test=False)
        moved.append([(p.detach() - b) for p, b in zip(line.parameters(), before, strict=True)])
    torch.testing.assert_close(moved[1][0], moved[0][0])
    torch.testing.assert_close(moved[1][1], 0.25 * moved[0][1])
