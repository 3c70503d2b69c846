"""What a network computes and what its loss counts: faults that hardly show in the loss, and healthy kin of each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, examine, ids, loader, mlp, sgd
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
_START, _ODD, _EVEN = torch.randint(0, 24, (512, 1)), torch.randint(1, 6, (512, 1)), torch.randint(1, 6, (512, 1))
TEXT = (_START + (torch.arange(13) + 1) // 2 * _ODD + torch.arange(13) // 2 * _EVEN) % 24  # two steps, in turn


class Language(nn.Module):
    """A transformer of one layer from tokens to logits of tokens."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.places = nn.Embedding(24, 32), nn.Parameter(0.1 * torch.randn(12, 32))
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.head, self.causal = nn.Linear(32, 24), causal

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1) if self.causal else None
        logits: Tensor = self.head(self.layer(self.tokens(x) + self.places[: x.shape[1]], src_mask=hidden))
        return logits


def _told(x: Tensor, y: Tensor) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(0))


def _tokens(model: nn.Module, data: Any, **more: Any) -> list[str]:
    return ids(examine(model, data=data, optimizer=torch.optim.Adam(model.parameters(), 3e-3), **more))


@pytest.mark.parametrize(("causal", "expected"), [(False, ["W18"]), (True, [])])
def test_a_language_model_that_sees_the_future(causal: bool, expected: list[str]) -> None:
    assert _tokens(Language(causal), _told(TEXT[:, :-1], TEXT[:, 1:])) == expected


def _next(model: nn.Module, batch: Tensor) -> Tensor:
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


@pytest.mark.parametrize(("causal", "expected"), [(False, ["W18"]), (True, [])])
def test_a_loss_that_moves_the_tokens_itself(causal: bool, expected: list[str]) -> None:
    batches = list(torch.split(TEXT, 32))
    assert _tokens(Language(causal), batches, loss=_next) == expected


def test_tokens_that_are_their_own_targets() -> None:
    assert _tokens(Language(True), _told(TEXT[:, :-1], TEXT[:, :-1])) == ["D10"]


def test_a_reader_of_both_ways_that_fills_in_gaps_is_healthy() -> None:
    x, y = TEXT[:, :-1].clone(), torch.full((512, 12), -100)
    y[:, 3::4], x[:, 3::4] = TEXT[:, :-1][:, 3::4], 0
    assert _tokens(Language(False), _told(x, y)) == []


def test_targets_of_tokens_that_were_shuffled() -> None:
    order = torch.randperm(512, generator=torch.Generator().manual_seed(1))
    found = examine(model := Language(True), data=_told(TEXT[:, :-1], TEXT[order, 1:]),
                    optimizer=torch.optim.Adam(model.parameters(), 3e-3))  # fmt: skip
    assert ids(found) == ["D05"]


def test_a_column_that_is_the_target() -> None:
    x = torch.randn(256, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * x[:, 1]).sign() * x[:, 2].abs() + 1
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    given = torch.cat([x, 3 * y[:, None] - 2], 1)
    assert ids(examine(model, data=loader(given, y, size=32), loss="mse", lr=0.01))[:1] == ["D10"]


def test_columns_on_different_scales() -> None:
    x = torch.randn(512, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    wide = x * torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 3000.0])
    found = examine(model, data=loader(wide, y, size=32), lr=0.05)
    assert ids(found) == ["D02"]
    assert "StandardScaler" in found.findings[0].code
    assert found.findings[0].verified == "verified"


class FirstRow(nn.Module):
    """A recurrent layer of which an index takes the first step or the last."""

    def __init__(self, place: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.place, self.cells, self.head = place, nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.cells(x.squeeze(1))[0][:, self.place])
        return logits


@pytest.mark.parametrize(("place", "expected"), [(0, ["W19"]), (-1, [])])
def test_inputs_without_effect(place: int, expected: list[str]) -> None:
    model = FirstRow(place)
    assert ids(examine(model, optimizer=torch.optim.Adam(model.parameters(), 3e-3))) == expected


def _straight(*between: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), *between, nn.Linear(64, 64), nn.Linear(64, 10))


def test_a_network_without_activations() -> None:
    assert ids(examine(_straight(), lr=0.02)) == ["A02"]
    assert ids(examine(_straight(nn.BatchNorm1d(64)), lr=0.02)) == ["A02"]


@pytest.mark.parametrize("between", [nn.ReLU(), nn.Tanh(), nn.LayerNorm(64), nn.GELU()])
def test_one_activation_is_enough(between: nn.Module) -> None:
    assert ids(examine(_straight(between), lr=0.02)) == []


def test_one_matrix_is_a_linear_network_on_purpose() -> None:
    assert ids(examine(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), lr=0.02)) == []


def test_a_linear_autoencoder_is_asked_about() -> None:
    torch.manual_seed(0)
    flat = X.flatten(1)
    found = examine(nn.Sequential(nn.Linear(64, 16), nn.Linear(16, 64)), data=loader(flat, flat), loss="mse", lr=0.2)
    assert ids(found) == []
    assert [finding.severity for finding in found.findings if finding.id == "A02"] in ([], ["question"])


def test_a_norm_layer_on_the_outputs() -> None:
    y = X.flatten(1)[:, :32].mean(1) - X.flatten(1)[:, 32:].mean(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.LayerNorm(1), nn.Flatten(0))
    found = examine(model, data=loader(X, 5 * y), loss="mse", lr=0.01)
    assert ids(found)[:1] == ["A03"]
    assert found.findings[0].verified == "verified"


@pytest.mark.parametrize(("size", "expected"), [(2, ["W17"]), (32, [])])
def test_batch_norm_with_tiny_batches(size: int, expected: list[str]) -> None:
    model = cnn(norm=True)
    assert ids(examine(model, data=loader(size=size), lr=0.02)) == expected


def test_a_mask_of_nan() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()
            self.mask = torch.ones(10) * float("nan")

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.body(x) + self.mask
            return logits

    found = examine(Masked())
    assert ids(found) == ["W20"]
    assert found.findings[0].where == "mask"
    assert found.findings[0].verified == "verified"


def test_class_weights_that_leave_one_class() -> None:
    weight = torch.full((10,), 1e-4)
    weight[3] = 1.0
    assert ids(examine(mlp(), loss=nn.CrossEntropyLoss(weight=weight)))[:1] == ["L09"]


def test_a_loss_that_leaves_out_half_of_the_classes() -> None:
    weight = torch.ones(10)
    weight[:5] = 0.0
    assert ids(examine(mlp(), loss=nn.CrossEntropyLoss(weight=weight)))[:1] == ["L09"]


def test_balanced_weights_of_rare_classes_are_healthy() -> None:
    kept = (Y == 0) | (torch.rand(len(Y), generator=torch.Generator().manual_seed(0)) < 0.2)
    y = Y[kept]
    weight = len(y) / (10 * torch.bincount(y, minlength=10).float())
    assert ids(examine(mlp(), data=loader(X[kept], y), loss=nn.CrossEntropyLoss(weight=weight))) == []


def test_a_loss_of_the_first_examples_alone() -> None:
    found = examine(mlp(), loss=lambda outputs, targets: F.cross_entropy(outputs[:2], targets[:2]))
    assert ids(found)[:1] == ["L12"]


def by_hand(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy as the textbook has it."""
    chance = outputs.sigmoid().squeeze(1)
    return -(targets * chance.log() + (1 - targets) * (1 - chance).log()).mean()


def of_logits(outputs: Tensor, targets: Tensor) -> Tensor:
    """The same as it should be written."""
    return -(targets * F.logsigmoid(outputs.squeeze(1)) + (1 - targets) * F.logsigmoid(-outputs.squeeze(1))).mean()


@pytest.mark.parametrize(("loss", "expected"), [(by_hand, ["L13"]), (of_logits, [])])
def test_a_loss_that_breaks_on_confident_answers(loss: Any, expected: list[str]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    assert ids(examine(model, data=loader(X, (Y > 4).float()), loss=loss)) == expected


@pytest.mark.parametrize(("loss", "expected"), [(nn.BCELoss(), []), (None, ["L13"])])
def test_a_loss_of_probabilities(loss: Any, expected: list[str]) -> None:
    """torch's own holds the logarithm at -100; the textbook's does not."""

    def textbook(outputs: Tensor, targets: Tensor) -> Tensor:
        return -(targets * outputs.log() + (1 - targets) * (1 - outputs).log()).mean()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid(), nn.Flatten(0))
    assert ids(examine(model, data=loader(X, (Y > 4).float()), loss=loss or textbook)) == expected


def test_another_loss_cures() -> None:
    """A loss that pulls the wrong way round, of a form that no rule knows."""

    def reversed_margin(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.multi_margin_loss(-outputs, targets)

    found = examine(mlp(), loss=reversed_margin)
    assert any(finding.id == "L00" and finding.verified == "verified" for finding in found.findings)


def test_the_user_keeps_everything() -> None:
    model, optimizer = Language(False), None
    optimizer = sgd(model, 0.01)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examine(model, data=_told(TEXT[:, :-1], TEXT[:, 1:]), optimizer=optimizer)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


class Crowd(nn.Module):
    """A transformer that tells classes of sequences, with and without embeddings of the places."""

    def __init__(self, placed: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows, self.places = nn.Linear(8, 32), nn.Parameter(0.5 * torch.randn(8, 32)) if placed else None
        self.layer, self.head = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.rows(x)
        logits: Tensor = self.head(self.layer(tokens if self.places is None else tokens + self.places).mean(1))
        return logits


@pytest.mark.parametrize(("placed", "expected"), [(False, ["A04"]), (True, [])])
def test_a_transformer_without_places(placed: bool, expected: list[str]) -> None:
    model = Crowd(placed)
    data = loader(X.squeeze(1))
    found = examine(model, data=data, optimizer=torch.optim.Adam(model.parameters(), 3e-3))
    assert [one.id for one in found.findings] == expected  # a question: rows of numbers may be a set


def test_gradients_of_the_body_that_are_lost() -> None:
    class Head:
        def __call__(self, model: nn.Sequential, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch[0]), batch[1])
            loss.backward()  # type: ignore[no-untyped-call]
            model[1].zero_grad()
            optimizer.step()
            return loss

    assert ids(examine(mlp(), step=Head())) == ["W06"]


def test_a_step_that_undoes_itself() -> None:
    """A fault of the user's own step that no rule knows: steps and their opposites in turn."""

    class Back:
        def __init__(self) -> None:
            self.count = 0

        def __call__(self, model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch[0]), batch[1])
            (loss if self.count % 2 else -loss).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            self.count += 1
            return loss

    found = examine(mlp(), step=Back())
    assert ids(found)
    assert found.findings[0].id in ("W00", "L04")
    assert found.findings[0].verified == "verified"


def test_an_eps_that_outweighs_the_variance() -> None:
    model = cnn(norm=True)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 100.0
    assert ids(examine(model, lr=0.02))[:1] == ["W15"]


def test_tokens_that_are_all_unknown() -> None:
    x = torch.where(torch.rand(512, 12, generator=torch.Generator().manual_seed(0)) < 0.99, 1, TEXT[:, :-1])
    y = TEXT[:, 12] % 3
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(24, 16), nn.Flatten(), nn.Linear(192, 3))
    assert ids(examine(model, data=_told(x, y)))[:1] == ["D03"]
