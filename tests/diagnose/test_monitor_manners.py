"""Whatever is watched, and whatever fails in watching it, the training goes on as it would."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, mlp, sgd
from patients import train as an_ordinary_loop
from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.diagnose import Monitor, MonitorWarning, watching

TOKENS = (X.flatten(1) * 4 + 8).clamp(0, 16).long()


class Embedded(nn.Module):
    """Symbols, whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(17, 8, sparse=True)
        self.head = nn.Linear(64 * 8, 10)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.table(x).flatten(1))


class WithNothing(nn.Module):
    """A parameter without entries beside ordinary ones."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.nothing = nn.Parameter(torch.zeros(0, 3))

    def forward(self, x: Tensor) -> Any:
        return self.body(x) + self.nothing.sum()


class Waves(nn.Module):
    """Complex weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(64, 32, dtype=torch.cfloat) / 8)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Any:
        return self.head((x.flatten(1).to(torch.cfloat) @ self.weight).abs())


train = partial(an_ordinary_loop, steps=40)


def both(made: Callable[[], nn.Module], x: Tensor = X) -> Monitor:
    """Train a network without and with a monitor: the losses have to be the same, with no warning on the way."""
    one, two = made(), made()
    plain = train(one, torch.optim.SGD(one.parameters(), 0.1), x=x)
    optimizer = torch.optim.SGD(two.parameters(), 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Monitor(two, optimizer, every=4) as monitor:
            assert train(two, optimizer, monitor, x=x) == plain
    assert len(monitor.series.steps) == 10
    return monitor


def test_sparse_gradients_are_read_where_they_have_entries() -> None:
    monitor = both(Embedded, TOKENS)
    table = next(one for one in monitor.diagnosis().parameters if one.parameter == "table.weight")
    assert table.size == 17 * 8
    assert table.gradient_norm > 0
    assert monitor.diagnosis().healthy


def test_a_sparse_gradient_has_the_norm_of_the_dense_one() -> None:
    norms = []
    for sparse in (True, False):
        model = Embedded()
        model.table.sparse = sparse
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with Monitor(model, optimizer, every=1) as monitor:
            train(model, optimizer, monitor, TOKENS, steps=1)
        norms.append(monitor.series.gradients[0]["table.weight"].norm)
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_parameters_without_entries_are_passed_over() -> None:
    assert "nothing" not in both(WithNothing).series.norms[0]


def test_complex_weights_count_with_both_their_parts() -> None:
    monitor = both(Waves)
    first = monitor.series.norms[0]["weight"]
    assert first == pytest.approx(float(Waves().weight.detach().norm()), rel=1e-5)
    assert monitor.series.gradients[0]["weight"].norm > 0
    assert 0 < monitor.series.updates[0]["weight"] < 1


def test_a_complex_gradient_has_its_norm() -> None:
    model = Waves()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Monitor(model, optimizer, every=1) as monitor:
        train(model, optimizer, monitor, steps=1)
    assert model.weight.grad is not None
    # 4096 of 4096 real numbers are sampled, so it is exact.
    assert monitor.series.gradients[0]["weight"].norm == pytest.approx(float(model.weight.grad.norm()), rel=1e-5)


def test_networks_whose_parameters_have_no_values_yet() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(10))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with Monitor(model, optimizer, every=4) as monitor:
        assert monitor.diagnosis().verdict == "not run"
        train(model, optimizer, monitor)
    assert len(monitor.series.steps) == 10


def test_of_a_script_module_the_gradients_are_read() -> None:
    model = torch.jit.script(mlp())
    optimizer = sgd(model)
    with pytest.warns(MonitorWarning, match="its outputs are not read") as caught, Monitor(model, optimizer) as monitor:
        train(model, optimizer, monitor)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", MonitorWarning)
        with pytest.raises(MonitorWarning):
            Monitor(model, optimizer).__enter__()
    assert not optimizer._optimizer_step_pre_hooks
    assert monitor.diagnosis().verdict == "trains"
    assert monitor.series.outputs[-1] == {}
    assert len(monitor.series.gradients[-1]) == 6


def test_scripted_parts_of_a_network_are_passed_over_and_the_rest_is_watched() -> None:
    model = nn.Sequential(torch.jit.script(mlp()[:3]), nn.Linear(64, 10))
    with watching(model) as watch:
        model(X[:8])
    assert [one.layer for one in watch.readings] == ["1"]
    assert not model._forward_hooks


def test_a_compiled_network_is_read_and_not_compiled_anew_at_each_reading() -> None:
    compiled = 0

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal compiled
        compiled += 1
        return graph.forward

    torch._dynamo.reset()  # type: ignore[attr-defined]
    model = mlp()
    optimizer, fast = sgd(model), torch.compile(model, backend=backend, fullgraph=True)
    with Monitor(model, optimizer, every=4) as monitor:
        train(fast, optimizer, monitor)
    assert [len(row) for row in monitor.series.outputs] == [6] * 10
    assert compiled == 2


def test_an_optimiser_whose_step_calls_its_parents_steps_once() -> None:
    class Decayed(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:  # type: ignore[override]
            return super().step(closure)

    model = mlp()
    optimizer = Decayed(model.parameters(), 0.05)
    with Monitor(model, optimizer, every=5) as monitor:
        train(model, optimizer, monitor, steps=20)
    assert monitor.step == 20
    assert monitor.series.steps == [1, 6, 11, 16]


def test_a_step_that_raises_and_is_caught_does_not_blind_it() -> None:
    model = mlp()
    optimizer = sgd(model)

    def fails() -> Any:
        raise RuntimeError("of the user's own")

    with Monitor(model, optimizer, every=5) as monitor:
        with pytest.raises(RuntimeError, match="of the user's own"):
            optimizer.step(fails)
        train(model, optimizer, monitor, steps=20)
    assert monitor.series.steps == [1, 6, 11, 16]


@pytest.mark.filterwarnings("error")
def test_copies_and_files_of_the_network_are_not_watched() -> None:
    model = cnn(norm=True)
    optimizer = sgd(model)
    with Monitor(model, optimizer, every=1) as monitor:
        file = io.BytesIO()
        torch.save(model, file)  # a hook that cannot be pickled would end the training here
        file.seek(0)
        loaded, copied = torch.load(file, weights_only=False), copy.deepcopy(model)
        for other in (loaded, copied):
            F.cross_entropy(other(X[:8]), Y[:8]).backward()  # type: ignore[no-untyped-call]
        assert not monitor._watcher._outputs
        train(model, optimizer, monitor, steps=5)
    assert len(monitor.series.outputs[-1]) == len(monitor.series.kinds) > 3


def test_outputs_of_any_kind_are_passed_over() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return {"none": None, "sparse": x.relu().to_sparse(), "other": [object()]}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.odd = mlp(), Odd()

        def forward(self, x: Tensor) -> Any:
            self.odd(x.flatten(1))
            return self.body(x)

    assert "odd" in both(Net).series.outputs[0]


def test_what_fails_in_a_reading_is_told_once_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise ArithmeticError("of the monitor's own")

    monkeypatch.setattr("orograph.diagnose.recording.read", broken)
    model = mlp()
    with Monitor(model, optimizer := sgd(model), every=4) as monitor:
        with pytest.warns(MonitorWarning, match="a reading failed .ArithmeticError: of the monitor's own.") as caught:
            train(model, optimizer, monitor, steps=20)
        monkeypatch.undo()
        train(model, optimizer, monitor, steps=20)
    assert len(caught) == 1
    assert caught[0].filename == an_ordinary_loop.__code__.co_filename
    assert monitor.series.steps == [21, 25, 29, 33, 37]
    assert monitor.diagnosis().healthy


@pytest.mark.parametrize("where", ["recording.sample", "freshness.sample", "monitor.turns", "arriving.row_of"])
def test_whatever_fails_the_training_goes_on(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise ArithmeticError("of the monitor's own")

    monkeypatch.setattr(f"orograph.diagnose.{where}", broken)
    model, said = mlp(), list[str]()
    with Monitor(model, optimizer := sgd(model), every=4, on_warning=said.append) as monitor:
        train(model, optimizer, monitor, steps=20)
    assert said
    assert len(said) == len(set(said)) <= 3
    assert all("ArithmeticError" in text for text in said)
    assert monitor.step == 20


def test_what_on_warning_raises_ends_the_training() -> None:
    def stop(text: str) -> None:
        raise KeyError(text)

    model = mlp()
    with (
        pytest.raises(KeyError, match="a step changes"),
        Monitor(model, optimizer := sgd(model, 20.0), on_warning=stop) as monitor,
    ):
        train(model, optimizer, monitor)
    assert not optimizer._optimizer_step_pre_hooks
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(p._backward_hooks for p in model.parameters())


def test_no_hooks_are_left_and_none_on_parameters_between_readings() -> None:
    model = mlp()
    with Monitor(model, optimizer := sgd(model), every=10) as monitor:
        train(model, optimizer, monitor, steps=17)
        assert not any(p._backward_hooks for p in model.parameters())
        train(model, optimizer, monitor, steps=3)
        assert any(p._backward_hooks for p in model.parameters())
    assert not any(p._backward_hooks for p in model.parameters())
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_a_loop_outside_the_with_statement_is_told() -> None:
    monitor = Monitor(model := mlp(), optimizer := sgd(model))
    with pytest.warns(MonitorWarning, match="with statement") as caught:
        train(model, optimizer, monitor)
    assert len(caught) == 1


def test_entering_twice_watches_once() -> None:
    model = mlp()
    with Monitor(model, optimizer := sgd(model), every=5) as monitor, monitor:
        train(model, optimizer, monitor, steps=10)
    assert monitor.step == 10


def test_an_optimiser_that_takes_no_hooks_is_told_in_one_line() -> None:
    class Wrapper(torch.optim.Optimizer):
        def __init__(self, inner: Any) -> None:
            self.inner, self.param_groups = inner, inner.param_groups

    model = mlp()
    with pytest.raises(UsageError, match=r"Wrapper takes no hooks .*; give the monitor the optimiser inside it"):
        Monitor(model, Wrapper(sgd(model))).__enter__()
    assert not any(module._forward_hooks for module in model.modules())


def wrong(**given: Any) -> dict[str, Any]:
    """Arguments of which one is wrong."""
    model = given.pop("model", None) or mlp()
    return {"model": model, "optimizer": sgd(mlp()), **given}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (wrong(optimizer=None), "the torch optimiser that trains the model, not None"),
        (wrong(optimizer="sgd"), "not one of type str"),
        (wrong(optimizer=torch.optim.SGD), "not the class SGD"),
        (wrong(optimizer=[sgd(mlp())]), "not one of type list"),
        (wrong(model=F.relu), "the model must be a torch.nn.Module, not one of type"),
        (wrong(every=1.5), "a whole number of 1 or more, not 1.5"),
        (wrong(on_warning="print"), "on_warning must be a function of a text, not one of type str"),
        (wrong(wandb="project"), "wandb must be a run"),
        (wrong(tensorboard=7), "tensorboard must be a SummaryWriter or a folder"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Monitor(**given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "loss",
    [torch.ones(3), None, "1.5", {"loss": 1.0}, [1.0], np.ones(2), torch.ones(0), torch.ones((), dtype=torch.cfloat)],
)
def test_a_loss_that_is_no_number_is_refused_at_once(loss: Any) -> None:
    with Monitor(model := mlp(), sgd(model)) as monitor, pytest.raises(UsageError, match="the loss of a step"):
        monitor.log(loss)
    assert monitor.losses == []


def test_losses_keep_their_order_and_values() -> None:
    with Monitor(model := mlp(), sgd(model)) as monitor:
        for loss in (torch.tensor([[1.5]]), 2, np.float32(3.5), torch.tensor(4), np.array([5.0]), float("nan"), True):
            monitor.log(loss)
    assert monitor.losses == pytest.approx([1.5, 2, 3.5, 4, 5, float("nan"), 1], nan_ok=True)


def test_a_folder_without_tensorboard_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        Monitor(model := mlp(), sgd(model), tensorboard=tmp_path)
