"""The doctor leaves everything as it was, answers bad input in words, and its result travels."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, examine, loader, mlp, sgd
from torch import Tensor, nn

import orograph as og
from orograph import report
from orograph.basics.errors import ModelError, UsageError
from orograph.results import Diagnosis, load


def _bits(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        "values": {n: t.clone() for n, t in model.state_dict().items()},
        "ids": [id(p) for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "wanted": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "state": copy.deepcopy(optimizer.state_dict()),
        "step hooks": (len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)),
        "random": torch.get_rng_state(),
    }


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _used(model: nn.Module) -> torch.optim.Optimizer:
    """An optimiser with moments, and gradients left behind."""
    optimizer = sgd(model)
    F.cross_entropy(model(X[:8]), Y[:8]).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("lr", [0.05, 50.0])
def test_everything_comes_out_as_it_went_in(lr: float) -> None:
    model = cnn(norm=True)
    optimizer = _used(model)
    optimizer.param_groups[0]["lr"] = lr
    data = loader()
    assert data.generator is not None
    order, before = data.generator.get_state(), _bits(model, optimizer)
    examine(model, optimizer=optimizer, data=data)
    after = _bits(model, optimizer)
    for key in before:
        assert _equal(before[key], after[key]), key
    assert torch.equal(order, data.generator.get_state())


def test_a_step_that_holds_the_originals_is_run_on_them_and_undone() -> None:
    model = mlp()
    optimizer = _used(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)

    def step(batch: Any) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        return loss

    before, plan = _bits(model, optimizer), copy.deepcopy(schedule.state_dict())
    found = examine(model, optimizer=optimizer, step=step)
    after = _bits(model, optimizer)
    assert len(found.loss) >= 60
    for key in before:
        assert _equal(before[key], after[key]), key
    assert schedule.state_dict()["last_epoch"] == plan["last_epoch"]


def test_a_trainer_is_copied_with_what_it_holds() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.model = mlp()
            self.optimizer = _used(self.model)
            self.count = 0

        def step(self, batch: Any) -> Tensor:
            self.count += 1
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(batch[0]), batch[1])
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            return loss

    trainer = Trainer()
    before = _bits(trainer.model, trainer.optimizer)
    found = examine(trainer.model, optimizer=trainer.optimizer, step=trainer.step)
    assert found.verdict == "trains"
    assert trainer.count == 0
    after = _bits(trainer.model, trainer.optimizer)
    for key in before:
        assert _equal(before[key], after[key]), key


def test_a_step_that_raises_is_a_finding_and_changes_nothing() -> None:
    model = mlp()
    optimizer = _used(model)
    before = _bits(model, optimizer)

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        model[1].weight.data.zero_()
        raise ValueError("out of tune")

    found = examine(model, optimizer=optimizer, step=step)
    assert any("out of tune" in finding.cause for finding in found.findings)
    after = _bits(model, optimizer)
    for key in before:
        assert _equal(before[key], after[key]), key


def test_equal_seeds_give_equal_diagnoses() -> None:
    one, two = (examine(mlp(), lr=5.0, seed=3) for _ in range(2))
    assert [f.id for f in one.findings] == [f.id for f in two.findings]
    assert [f.trial for f in one.findings] == [f.trial for f in two.findings]
    assert (one.loss == two.loss).all()


class Fails(nn.Module):
    """Its second layer does not fit the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 20), nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.second(self.first(x.flatten(1)))
        return logits


def test_a_forward_pass_that_fails_names_layer_and_shapes() -> None:
    (finding,) = examine(Fails()).findings
    assert finding.id == "W11"
    assert "second (Linear)" in finding.cause
    assert "(64, 20)" in finding.cause


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": lambda outputs, y: F.cross_entropy(outputs, y, reduction="none")}, "take their mean"),
        ({"loss": lambda outputs, y: None}, "not a tensor"),
        ({"data": [(X[:8], Y[:8] + 40)]}, "class"),
        ({"data": [(X[:8, :, :4], Y[:8])]}, "shapes"),
    ],
)
def test_what_fails_on_the_first_batch_is_a_finding(options: dict[str, Any], words: str) -> None:
    found = examine(mlp(), **options)
    assert found.findings[0].id == "W11"
    assert words in found.findings[0].cause
    assert found.verdict == "not run"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": []}, "yields no batches"),
        ({"data": iter([(X[:8], Y[:8])])}, "give the loader itself"),
        ({"data": 3}, "a loader of batches"),
        ({"loss": "cross_entrpy"}, "did you mean"),
        ({"loss": 3}, "a name or a callable"),
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"steps": "5"}, "steps must be a whole number from 1"),
        ({"steps": None}, "steps must be a whole number from 1"),
        ({"steps": 1.5}, "steps must be a whole number from 1"),
        ({"steps": True}, "steps must be a whole number from 1"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"seconds": float("nan")}, "seconds must be a number above 0"),
        ({"seed": "one"}, "seed must be a whole number"),
        ({"data": "digits"}, "loader of batches.*not a str"),
        ({"data": nn.Sequential(nn.Linear(2, 2))}, "not a Sequential"),
        ({"data": {"train": []}}, "not a dict"),
        ({"data": (1, 2)}, "yields a int where a batch of tensors is expected"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], words: str) -> None:
    model = mlp()
    data = options.pop("data", loader())
    with pytest.raises(UsageError, match=words):
        og.diagnose.doctor(model, data, optimizer=sgd(model), **options)
    with pytest.raises(UsageError, match=r"nn\.Module"):
        og.diagnose.doctor(3, loader())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no parameters"):
        og.diagnose.doctor(nn.Flatten(), loader())


def test_parameters_on_several_devices_are_named() -> None:
    model = mlp()
    model[5].to("meta")
    found = examine(model)
    assert [finding.id for finding in found.findings] == ["W08", "W11"]
    assert "4 parameters on cpu, 2 parameters on meta" in found.summary()


def test_everything_frozen_is_a_finding() -> None:
    model = mlp().requires_grad_(False)
    found = og.diagnose.doctor(model, loader())
    assert found.findings[0].id == "W13"


@pytest.mark.parametrize("batches", [1, 2])
def test_one_batch_is_enough(batches: int) -> None:
    found = examine(mlp(), data=[(X[k * 128 : k * 128 + 128], Y[k * 128 : k * 128 + 128]) for k in range(batches)])
    assert found.verdict == "trains"


def test_losses_of_every_style() -> None:
    styles: list[Any] = [
        "cross_entropy",
        nn.CrossEntropyLoss(),
        F.cross_entropy,
        lambda out, y: F.cross_entropy(out, y),
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        lambda a, b: F.cross_entropy(a(b[0]), b[1]) if isinstance(a, nn.Module) else F.cross_entropy(a, b),
    ]
    found = [examine(mlp(), loss=style) for style in styles]
    for one in found[1:]:
        assert one.task == found[0].task
        assert one.loss == pytest.approx(found[0].loss)


def test_a_diagnosis_is_saved_and_drawn(tmp_path: Any) -> None:
    found = examine(mlp(nn.Softmax(1)))
    again = load(found.save(tmp_path / "d"))
    assert isinstance(again, Diagnosis)
    assert again.equals(found)
    assert again.findings[0].prescription == found.findings[0].prescription
    page = report.write(found, tmp_path / "d.html").read_text()
    assert "Probabilities go into a loss that expects logits" in page
    assert "nan" not in found.summary()
    found.plot()
    assert found.activations is not None
    found.activations.plot()
    found.activations.figure()


def test_a_loader_that_cannot_begin_is_told_in_one_line() -> None:
    class Unplugged:
        def __iter__(self) -> Any:
            raise OSError("no such disk")

    with pytest.raises(ModelError, match="no such disk"):
        examine(mlp(), data=Unplugged())


def test_pairs_of_arrays_are_data() -> None:
    assert examine(mlp(), data=(X.numpy(), Y.numpy())).verdict == "trains"


def test_any_whole_number_is_a_seed() -> None:
    for seed in (-1, 2**63, 10**30):
        assert examine(mlp(), seed=seed).provenance.seeds == {"seed": seed}


@pytest.mark.parametrize("given", [True, False])
def test_unfreezing_is_tried_against_what_stays_as_it_is(given: bool) -> None:
    model = mlp().requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2) if given else None
    found = og.diagnose.doctor(model, loader(), optimizer=optimizer)
    first = found.findings[0]
    assert first.id == "W13"
    assert first.trial is not None
    assert first.trial.outcome == "verified"
    assert not any(p.requires_grad for p in model.parameters())


def test_a_step_that_does_nothing_is_named_with_no_optimiser_given() -> None:
    found = og.diagnose.doctor(mlp(), loader(), step=lambda model, batch, optimizer: 0.0)
    assert found.findings[0].id == "W06"
    assert found.findings[0].title == "the training step changes no weight"


def test_probabilities_that_do_no_harm_are_a_warning() -> None:
    drawing = torch.Generator().manual_seed(0)
    along, arm = 3 * torch.rand(900, generator=drawing), torch.arange(900) % 3
    angle = 2 * along + 2.1 * arm
    x = torch.stack([along * angle.cos(), along * angle.sin()], 1)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3), nn.Softmax(1)
    )  # fmt: skip
    found = og.diagnose.doctor(model, (x, arm), optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))
    (one,) = found.findings
    assert one.trial is not None
    assert (found.verdict, one.id, one.trial.outcome) == ("trains", "L01", "no effect")
    assert one.severity == "warning"
    assert "it learns all the same" in one.cause
