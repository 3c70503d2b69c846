"""Loops of their own kinds: several optimisers, steps whose loss only they know, dictionaries, codes, drawn places."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils.data import DataLoader, TensorDataset

import orograph as og
from orograph.basics.errors import UsageError
from orograph.diagnose.losses import Loss
from orograph.diagnose.patient import Patient
from orograph.diagnose.step_loss import StepLoss, fit_loss
from orograph.diagnose.together import Together, as_one, name_of

Container = Any


def _classes(n: int = 512, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, classes, (n,), generator=generator)
    return torch.randn(classes, 12, generator=generator)[y] + 0.3 * torch.randn(n, 12, generator=generator), y


def _network(outputs: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, outputs))


def _loader(x: Tensor, y: Tensor) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x, y), 32, shuffle=True, generator=torch.Generator().manual_seed(0))


def _alarms(found: og.diagnose.Diagnosis) -> list[str]:
    return [one.id for one in found.findings if one.alarms]


def _parts(container: Container) -> list[torch.optim.Optimizer]:
    return list(container.values()) if isinstance(container, dict) else list(container)


def _stepwise(model: nn.Module, batch: list[Tensor], optimizers: Container) -> Tensor:
    for optimizer in _parts(optimizers):
        optimizer.zero_grad()
    loss = F.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    for optimizer in _parts(optimizers):
        optimizer.step()
    return loss


def _two(model: nn.Sequential, container: str, lr: float = 3e-3) -> Container:
    two = [torch.optim.Adam(model[0].parameters(), lr=lr), torch.optim.SGD(model[2].parameters(), lr=10 * lr)]
    return {"list": two, "tuple": tuple(two), "dict": dict(zip(("body", "head"), two, strict=True))}[container]


@pytest.mark.parametrize("container", ["list", "tuple", "dict"])
def test_several_optimisers_come_as_the_loop_has_them(container: str) -> None:
    model = _network()
    given = _two(model, container)
    before = copy.deepcopy(model.state_dict())

    def step(model: nn.Module, batch: list[Tensor], optimizers: Container) -> Tensor:
        assert type(optimizers).__name__ == container
        return _stepwise(model, batch, optimizers)

    found = og.diagnose.doctor(model, _loader(*_classes()), optimizer=given, step=step)
    assert not _alarms(found)
    assert found.verdict == "trains"
    assert found.provenance.options["optimizer"] == "Adam and SGD"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(one.state for one in _parts(given))


def test_several_optimisers_with_the_ordinary_step() -> None:
    model = _network()
    assert og.diagnose.doctor(model, _loader(*_classes()), optimizer=_two(model, "list")).verdict == "trains"


def test_what_several_optimisers_leave_out_is_found() -> None:
    model = _network()
    lazy = [torch.optim.Adam([model[2].weight], lr=1e-2),
            torch.optim.SGD([model[2].bias], lr=1e-2)]  # fmt: skip
    found = og.diagnose.doctor(model, _loader(*_classes()), optimizer=lazy, step=_stepwise)
    assert "W01" in [one.id for one in found.findings]


def test_a_rate_of_nothing_in_several_optimisers_is_found() -> None:
    model = _network()
    found = og.diagnose.doctor(model, _loader(*_classes()), optimizer=_two(model, "list", lr=1e-9), step=_stepwise)
    assert _alarms(found)[0] in ("O02", "O03")


def test_originals_that_a_step_reaches_by_itself_are_put_back_with_all_their_optimisers() -> None:
    model = _network()
    given = _two(model, "list")
    x, y = _classes()
    _stepwise(model, [x, y], given)
    before = copy.deepcopy([model.state_dict(), *(one.state_dict() for one in given)])

    def step(batch: list[Tensor]) -> Tensor:
        return _stepwise(model, batch, given)

    og.diagnose.doctor(model, _loader(x, y), optimizer=given, step=step)
    after = [model.state_dict(), *(one.state_dict() for one in given)]
    flat_before, flat_after = (torch.utils._pytree.tree_leaves(one) for one in (before, after))
    assert len(flat_before) == len(flat_after)
    for one, other in zip(flat_before, flat_after, strict=True):
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other


def test_a_round_of_several_optimisers_is_one_step() -> None:
    model = _network()
    both = as_one(_two(model, "list"))
    assert isinstance(both, Together)
    told: list[str] = []
    handles = [both.register_step_pre_hook(lambda *_: told.append("before")),
               both.register_step_post_hook(lambda *_: told.append("after"))]  # fmt: skip
    x, y = _classes()
    F.cross_entropy(model(x), y).backward()
    both.step()
    first, second = both.members
    assert told == ["before", "after"]
    first.step()
    first.step()  # a critic that steps more often begins a new round
    second.step()
    assert told[2:] == ["before", "after", "before", "after"]
    for handle in handles:
        handle.remove()
    both.step()
    assert len(told) == 6
    assert not first._optimizer_step_pre_hooks
    assert not second._optimizer_step_post_hooks
    assert name_of(both) == "Adam and SGD"


def test_anything_else_is_no_optimiser() -> None:
    for wrong in ([], [1], {"a": 3}, "adam"):
        with pytest.raises(UsageError, match="optimizer must be"):
            og.diagnose.doctor(_network(), _loader(*_classes()), optimizer=wrong)  # type: ignore[arg-type]


def _unlabelled(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
    loss = F.cross_entropy(model(batch[0]), batch[1], ignore_index=-1)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss


def test_the_loss_of_a_step_is_what_it_goes_down_by() -> None:
    model = _network()
    x, y = _classes()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = copy.deepcopy(model.state_dict())
    found = StepLoss(_unlabelled, optimizer)(model, [x, y])
    assert torch.equal(found, F.cross_entropy(model(x), y))
    got = torch.autograd.grad(found, list(model.parameters()))
    wanted = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not optimizer.state


def test_the_loss_of_a_step_with_a_closure() -> None:
    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Any:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(model(batch[0]), batch[1])
            loss.backward()
            return loss

        return optimizer.step(closure)

    model = _network(1)
    x, y = torch.randn(16, 12), torch.randn(16, 1)
    found = StepLoss(step, torch.optim.LBFGS(model.parameters()))(model, [x, y])
    assert torch.equal(found, F.mse_loss(model(x), y))


def test_a_step_on_half_labelled_data_is_examined_by_its_own_loss() -> None:
    x, y = _classes()
    y = y.where(torch.arange(len(y)) % 3 == 0, -1)
    model = _network()
    found = og.diagnose.doctor(model, _loader(x, y), optimizer=torch.optim.Adam(model.parameters(), lr=1e-2),
                               step=_unlabelled)  # fmt: skip
    assert not _alarms(found)
    assert found.verdict == "trains"


def test_the_same_step_that_forgets_to_clear_gradients_is_told() -> None:
    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        loss = F.cross_entropy(model(batch[0]), batch[1], ignore_index=-1)
        loss.backward()
        optimizer.step()
        return loss

    x, y = _classes()
    model = _network()
    found = og.diagnose.doctor(model, _loader(x, y.where(y > 0, -1)), step=step,
                               optimizer=torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9))  # fmt: skip
    assert "W05" in _alarms(found)


def test_a_step_that_fails_as_the_loss_does_is_told_as_before() -> None:
    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        raise ValueError("no such column")

    x, y = _classes()
    model = _network()
    found = og.diagnose.doctor(model, _loader(x, y + 1), step=step,
                               optimizer=torch.optim.Adam(model.parameters()))  # fmt: skip
    assert [one.id for one in found.findings] == ["W11"]
    assert "class 4" in found.findings[0].cause


def test_a_loss_that_fits_is_not_replaced() -> None:
    x, y = _classes()
    model = _network()
    patient = Patient(model, [[x, y]], Loss("cross_entropy"), torch.optim.Adam(model.parameters()), _unlabelled)
    fit_loss(patient)
    assert patient.loss.loss == "cross_entropy"


def test_a_policy_that_learns_by_what_its_answers_earn() -> None:
    x, y = _classes()
    model = _network()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        policy = Categorical(logits=model(batch[0]))  # type: ignore[no-untyped-call]
        drawn = policy.sample()  # type: ignore[no-untyped-call]
        reward = (drawn == batch[1]).float()
        return -((reward - reward.mean()) * policy.log_prob(drawn)).mean()  # type: ignore[no-untyped-call]

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    assert not _alarms(og.diagnose.doctor(model, _loader(x, y), loss=loss, optimizer=optimizer))


def test_a_network_that_takes_a_dictionary_as_it_is() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _network()

        def forward(self, graph: dict[str, Tensor]) -> Tensor:
            return self.body(graph["left"] + graph["right"])  # type: ignore[no-any-return]

    x, y = _classes()
    batches = [({"left": 0.5 * x[i : i + 32], "right": 0.5 * x[i : i + 32]}, y[i : i + 32]) for i in range(0, 512, 32)]
    torch.manual_seed(0)
    model = Reads()
    found = og.diagnose.doctor(model, batches, optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))
    assert not _alarms(found)
    assert found.verdict == "trains"


def test_codes_of_categories_need_no_gradient() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(4, 8)
            self.head = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))

        def forward(self, rows: Tensor) -> Tensor:
            return self.head(torch.cat([self.table(rows[:, 0].long()), rows[:, 1:]], 1))  # type: ignore[no-any-return]

    x, y = _classes()
    codes = torch.randint(0, 4, (len(x), 1), generator=torch.Generator().manual_seed(1)).float()
    torch.manual_seed(0)
    model = Mixed()
    found = og.diagnose.doctor(model, _loader(torch.cat([codes, x], 1), y),
                               optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))  # fmt: skip
    assert not _alarms(found)


def test_places_that_are_drawn_are_no_forgotten_dropout_and_dropout_is() -> None:
    class Sampled(nn.Module):
        def __init__(self, dropout: bool) -> None:
            super().__init__()
            self.dropout = dropout
            self.body = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4))

        def forward(self, x: Tensor) -> Tensor:
            if self.dropout:
                return self.body(F.dropout(x, 0.5))  # type: ignore[no-any-return]
            near = x[:, torch.randint(0, 12, (6,))].mean(1, keepdim=True)
            return self.body(x + 0.3 * near)  # type: ignore[no-any-return]

    x, y = _classes()
    for dropout in (False, True):
        torch.manual_seed(0)
        model = Sampled(dropout)
        found = og.diagnose.doctor(model, _loader(x, y), optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))
        assert _alarms(found) == (["W23"] if dropout else [])


def test_one_number_that_only_shifts_an_energy_is_a_question() -> None:
    class Slope(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.energy = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

        def forward(self, place: Tensor) -> Tensor:
            with torch.enable_grad():
                place = place.detach().requires_grad_()
                (slope,) = torch.autograd.grad(self.energy(place).sum(), place, create_graph=True)
            return slope

    place = torch.rand(512, 2, generator=torch.Generator().manual_seed(0)) * 4 - 2
    torch.manual_seed(0)
    model = Slope()
    found = og.diagnose.doctor(model, _loader(place, torch.sin(place)), loss="mse",
                               optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))  # fmt: skip
    assert not _alarms(found)
    assert [one.severity for one in found.findings if one.id == "W04"] == ["question"]
