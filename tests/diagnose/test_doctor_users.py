"""What real users bring: unusual but healthy loops that must stay silent, mistakes as they are made, and odd input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, examine, ids, loader, mlp, sgd
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

import orograph as og
from orograph.basics.errors import UsageError


class Auxiliary(nn.Module):
    """A second head in training mode only, as in GoogLeNet and in detectors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()[:5]
        self.head, self.second = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        h = self.body(x)
        return (self.head(h), self.second(h)) if self.training else self.head(h)


def _auxiliary() -> Any:
    torch.manual_seed(0)

    def loss(model: nn.Module, batch: Any) -> Tensor:
        one, two = model(batch[0])
        return F.cross_entropy(one, batch[1]) + 0.3 * F.cross_entropy(two, batch[1])

    return examine(Auxiliary(), loss=loss)


def _physics() -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    x = torch.linspace(0, 3.14, 256)[:, None]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x = batch[0].clone().requires_grad_(True)
        u = model(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        return (slope + u).square().mean() + (model(torch.zeros(1, 1)) - 1).square().mean()

    data = DataLoader(TensorDataset(x), 64, shuffle=True, generator=torch.Generator().manual_seed(0))
    return examine(model, data=data, loss=loss, optimizer=torch.optim.Adam(model.parameters(), lr=2e-3))


class Variational(nn.Module):
    """Draws noise in every pass, also in evaluation mode; its loader yields labels that its loss does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(64, 16), nn.Linear(8, 64)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log = self.encode(x.flatten(1)).chunk(2, 1)
        return self.decode(mean + (0.5 * log).exp() * torch.randn_like(mean)), mean, log


def _variational() -> Any:
    torch.manual_seed(0)
    model = Variational()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x = batch[0].flatten(1)
        out, mean, log = model(x)
        return (out - x).square().sum(1).mean() + 0.5 * (mean.square() + log.exp() - log - 1).sum(1).mean()

    return examine(model, loss=loss, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


def _weighted() -> Any:
    weights = torch.where(Y == 0, 30.0, 1.0)
    sampler = WeightedRandomSampler(weights.tolist(), len(Y), generator=torch.Generator().manual_seed(0))
    return examine(mlp(), data=DataLoader(TensorDataset(X, Y), 64, sampler=sampler))


class WithTeacher(nn.Module):
    """A frozen teacher within the network, which the step moves."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = mlp(), mlp(seed=1).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.student(x)  # type: ignore[no-any-return]


def _teacher() -> Any:
    def step(model: Any, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            for kept, new in zip(model.teacher.parameters(), model.student.parameters(), strict=True):
                kept.lerp_(new, 0.1)
        return loss

    model = WithTeacher()
    return examine(model, step=step, optimizer=sgd(model.student))


def _rare() -> Any:
    x = torch.randn(2048, 20, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0]))
    return examine(model, data=loader(x, (x[:, 0] > 1.65).long()), loss=loss,
                   optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))  # fmt: skip


def _noisy() -> Any:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(2048, 20, generator=random)
    y = x[:, :1] + 2 * torch.randn(2048, 1, generator=random)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1))
    return examine(model, data=loader(x, y), loss="mse", optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))


def _lbfgs() -> Any:
    model = mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    return examine(model, optimizer=optimizer, data=[(X[:512], Y[:512])] * 30)


def _words() -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 32, sparse=True), nn.Flatten(), nn.Linear(160, 2))
    x = torch.randint(0, 50, (1024, 5))
    return examine(model, data=loader(x, (x[:, 0] > 24).long()), optimizer=torch.optim.SGD(model.parameters(), lr=0.5))


def _masks() -> Any:
    torch.manual_seed(0)
    x = torch.randn(128, 1, 32, 32)
    y = (F.avg_pool2d(x, 3, 1, 1) > 0).float()
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
    return examine(model, data=loader(x, y, size=16), loss=nn.BCEWithLogitsLoss(),
                   optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))  # fmt: skip


def _wanting_gradients() -> Any:
    return examine(mlp(), data=[(x.clone().requires_grad_(True), y) for x, y in loader()])


HEALTHY: dict[str, Callable[[], Any]] = {
    "heads in training mode only": _auxiliary,
    "a loss that differentiates": _physics,
    "noise in every pass, labels unused": _variational,
    "weighted sampling with replacement": _weighted,
    "a teacher that the step moves": _teacher,
    "one in twenty is positive": _rare,
    "a fifth of the variance is signal": _noisy,
    "sparse gradients": _words,
    "masks of many pixels": _masks,
    "inputs that require gradients": _wanting_gradients,
}


@pytest.mark.parametrize("name", list(HEALTHY))
def test_unusual_and_healthy(name: str) -> None:
    found = HEALTHY[name]()
    assert not ids(found), found.summary()
    assert found.verdict in ("trains", "unclear"), found.summary()


def test_an_optimiser_that_calls_the_loss_again_is_copied_whole() -> None:
    found = _lbfgs()
    assert "W14" not in ids(found), found.summary()
    assert found.verdict == "trains"


class Listed(nn.Module):
    """Its layers stand in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Flatten(), nn.Linear(64, 64), nn.ReLU()]
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)  # type: ignore[no-any-return]


class Sideways(nn.Module):
    """A recurrent layer that takes the batch for time."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.GRU(8, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rows(x.squeeze(1))[0][:, -1])  # type: ignore[no-any-return]


class Across(nn.Module):
    """Attention over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.look, self.head = nn.Linear(8, 32), nn.MultiheadAttention(32, 4), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x.squeeze(1))
        return self.head(self.look(h, h, h)[0].mean(1))  # type: ignore[no-any-return]


def _still() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=0.0), nn.ReLU(), nn.Linear(64, 10)
    )


def _with_rate(lr: float) -> Any:
    model = mlp()
    optimizer = sgd(model)
    optimizer.param_groups[0]["lr"] = lr
    return examine(model, optimizer=optimizer)


def _one_group_still() -> Any:
    model = mlp()
    groups = [
        {"params": model[1].parameters(), "lr": 0.0},
        {"params": model[3].parameters()},
        {"params": model[5].parameters()},
    ]
    return examine(model, optimizer=torch.optim.SGD(groups, lr=0.05, momentum=0.9))


def _reset() -> Any:
    model = mlp()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    count = [0]

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        if count[0] % 10 == 0:
            model.load_state_dict(kept)
        count[0] += 1
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return examine(model, step=step)


def _fresh_leaf() -> Any:
    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1]).detach().requires_grad_(True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return examine(mlp(), step=step)


def _ignored() -> Any:
    targets = Y.clone()
    targets[torch.rand(len(Y), generator=torch.Generator().manual_seed(0)) < 0.96] = -100
    return examine(mlp(), data=loader(X, targets))


def _slow_group() -> Any:
    model = mlp()
    groups = [{"params": model[:5].parameters(), "lr": 5e-6}, {"params": model[5].parameters()}]
    return examine(model, optimizer=torch.optim.SGD(groups, lr=0.05, momentum=0.9))


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "layers in a list": (lambda: examine(Listed()), "W10"),
    "batch taken for time": (lambda: examine(Sideways()), "W09"),
    "attention over the batch": (lambda: examine(Across()), "W09"),
    "still statistics": (lambda: examine(_still()), "W15"),
    "weights loaded again and again": (_reset, "W16"),
    "loss made a fresh leaf": (_fresh_leaf, "L08"),
    "targets left out": (_ignored, "D07"),
    "label smoothing of 0.995": (lambda: examine(mlp(), loss=nn.CrossEntropyLoss(label_smoothing=0.995)), "L07"),
    "one group far below the others": (_slow_group, "W12"),
    "rate 0": (lambda: _with_rate(0.0), "W12"),
    "rate NaN": (lambda: _with_rate(float("nan")), "W12"),
    "rate infinite": (lambda: _with_rate(float("inf")), "W12"),
    "one group's rate 0": (_one_group_still, "W12"),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_mistakes_as_they_are_made(name: str) -> None:
    plant, expected = FAULTS[name]
    found = plant()
    assert ids(found)[:1] == [expected], found.summary()
    assert found.findings[0].verified in ("verified", "not tried", "no effect")
    assert "nan without" not in found.summary()


def test_a_warm_up_may_begin_at_zero() -> None:
    model = mlp()
    optimizer = sgd(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 10, 1.0))

    def step(batch: Any) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        return loss

    found = examine(model, optimizer=optimizer, step=step)
    assert not ids(found), found.summary()
    assert schedule.last_epoch == 0


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "lazy layers": (lambda: og.diagnose.doctor(nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), loader()), "lazy"),
    "a network on meta": (lambda: examine(mlp().to("meta")), "meta device"),
    "data on meta": (lambda: examine(mlp(), data=[(X[:8].to("meta"), Y[:8])]), "meta device"),
    "a scripted network": (lambda: examine(torch.jit.script(mlp())), "scripted"),
    "a name for an optimiser": (lambda: examine(mlp(), optimizer="adam"), "torch.optim.Optimizer"),
    "a step that is a number": (lambda: examine(mlp(), step=5), "step must be a function"),
    "a class for a loss": (lambda: examine(mlp(), loss=nn.CrossEntropyLoss), "give an instance"),
}


@pytest.mark.parametrize("name", list(REFUSED))
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_examined_is_refused_in_a_line(name: str) -> None:
    attempt, words = REFUSED[name]
    with pytest.raises(UsageError, match=words) as caught:
        attempt()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(8))
def test_a_formula_of_the_loss_is_not_guessed_from_one_batch(seed: int) -> None:
    """Near ln C many formulas agree on a batch by chance: class weights must not pass for a softmax too many."""
    loss = nn.CrossEntropyLoss(weight=torch.linspace(0.5, 1.5, 10))
    found = examine(mlp(seed=seed), loss=loss)
    assert not ids(found), found.summary()


def _of_words(model: Any, batch: Any) -> Any:
    return F.cross_entropy(model(batch["picture"]), batch["digit"])


def test_targets_under_a_name_of_their_own() -> None:
    """A dictionary whose keys say nothing: the entry that the network never gets holds the targets."""
    order = torch.randperm(len(Y), generator=torch.Generator().manual_seed(0))

    def batches(labels: Any) -> list[Any]:
        return [{"digit": labels[i : i + 64], "picture": X[i : i + 64]} for i in range(0, 1280, 64)]

    found = examine(mlp(), data=batches(Y), loss=_of_words)
    assert not ids(found)
    assert found.task.startswith("10 classes")
    assert ids(examine(mlp(), data=batches(Y[order]), loss=_of_words)) == ["D05"]

    def step(model: Any, batch: Any, optimizer: Any) -> Any:
        loss = _of_words(model, batch)
        loss.backward()
        optimizer.step()
        return loss

    assert ids(examine(mlp(), data=batches(Y), loss=_of_words, step=step)) == ["W05"]


def _every_optimizer() -> list[type[torch.optim.Optimizer]]:
    kinds = [one for one in vars(torch.optim).values() if isinstance(one, type) and issubclass(one, Optimizer)]
    return [one for one in kinds if one not in (Optimizer, torch.optim.SparseAdam, torch.optim.LBFGS)]


@pytest.mark.parametrize("kind", _every_optimizer(), ids=lambda kind: kind.__name__)
def test_every_optimizer_of_torch_can_be_examined(kind: type[torch.optim.Optimizer]) -> None:
    model = mlp()
    wanted = [p for p in model.parameters() if p.dim() == 2 or kind.__name__ != "Muon"]  # which takes matrices alone
    found = examine(model, optimizer=kind(wanted, lr=1e-2))  # type: ignore[call-arg]
    assert found.loss.size
    assert found.provenance.options["steps"] > 0


def test_a_rule_that_breaks_on_odd_objects_is_noted_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(chart: Any) -> Any:
        raise TypeError("an odd object")
        yield

    monkeypatch.setattr("orograph.diagnose.examination.settings", breaks)
    model = mlp()
    found = og.diagnose.doctor(model, loader(), optimizer=sgd(model, 50.0))
    assert [one.note for one in found.stages if one.note] == ["a rule could not be applied (TypeError: an odd object)"]
    assert found.findings[0].id == "O01"
