"""Loops that are not wired as they should be are told by the cause, and unusual ones that are stay silent."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, mlp, sgd
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.utils.checkpoint import checkpoint

from orograph.diagnose import Monitor
from orograph.results.diagnosis import Diagnosis

Step = Callable[[Any, Any, Tensor, Tensor, int], Any]


def adam(model: nn.Module) -> torch.optim.Adam:
    """With a usual rate."""
    return torch.optim.Adam(model.parameters(), 1e-3)


def batches(steps: int, size: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
    """Random ones, the same each time."""
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(X), (size,), generator=random)
        yield X[rows], Y[rows]


def watched(
    step: Step, model: Any = None, optimizer: Any = None, *, steps: int = 60, every: int = 10, log: bool = True
) -> tuple[Diagnosis, list[str]]:
    """What a monitor finds, and says on the way, while the user's step trains."""
    model = mlp() if model is None else model
    optimizer = sgd(model) if optimizer is None else optimizer
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Monitor(model, optimizer, every=every, on_warning=said.append) as monitor:
            for i, (x, y) in enumerate(batches(steps)):
                loss = step(model, optimizer, x, y, i)
                if log:
                    monitor.log(loss)
    return monitor.diagnosis(), said


def backward(model: Any, x: Tensor, y: Tensor, times: float = 1.0) -> Tensor:
    """A backward pass; the loss."""
    loss = F.cross_entropy(model(x), y)
    (times * loss).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def uncleared(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Without zero_grad."""
    loss = backward(model, x, y)
    optimizer.step()
    return loss


def unstepped(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Without a step."""
    optimizer.zero_grad()
    return backward(model, x, y)


def clipped_and_uncleared(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Clipping writes to the gradients, but clears none."""
    loss = backward(model, x, y)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss


def whole(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """All gradients point the same way, so that only their length tells."""
    loss = backward(model, X[:200], Y[:200])
    optimizer.step()
    return loss


def several(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Accumulation in which nothing is ever cleared."""
    for one in range(4):
        loss = backward(model, x[one::4], y[one::4], 0.25)
    optimizer.step()
    return loss


@pytest.mark.parametrize("step", [uncleared, clipped_and_uncleared, whole, several])
@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("log", [True, False])
def test_gradients_that_are_never_cleared(step: Step, optimizer: Any, log: bool) -> None:
    model = mlp()
    found, said = watched(step, model, optimizer(model), log=log)
    assert [one.id for one in found.findings] == ["W05"]
    first = found.findings[0]
    assert first.severity == "critical"
    assert first.step == 4
    assert first.evidence[0].value > first.evidence[0].threshold
    assert "zero_grad" in first.code
    assert len(said) == 1
    assert said[0].startswith("step 4: the optimiser gets all gradients so far")


def test_what_blows_up_by_old_gradients_is_told_by_them_alone() -> None:
    model = mlp()
    found, said = watched(uncleared, model, sgd(model, 0.2), steps=200)
    assert [one.id for one in found.findings] == ["W05"]
    assert "O01" in found.findings[0].explains
    assert len(said) == 1


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("log", [True, False])
def test_a_step_that_is_never_taken(to_none: bool, log: bool) -> None:
    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        optimizer.zero_grad(set_to_none=to_none)
        return backward(model, x, y)

    found, said = watched(step, log=log)
    assert [(one.id, one.severity) for one in found.findings] == [("W06", "critical")]
    assert "40 backward passes and no step" in found.findings[0].cause
    assert len(said) == 1
    assert not found.healthy


def test_a_short_run_without_a_step_is_told_at_its_end() -> None:
    found, said = watched(unstepped, steps=5)
    assert [one.id for one in found.findings] == ["W06"]
    assert said == []


def test_losses_without_passes_or_steps() -> None:
    other = mlp()
    theirs = sgd(other)

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        theirs.zero_grad()
        loss = backward(other, x, y)
        theirs.step()
        return loss

    found, said = watched(step)
    assert [one.id for one in found.findings] == ["W06"]
    assert said == ["step 0: 50 losses were told, and this network had no backward pass and its optimiser took no step"]


def test_steps_that_a_scaler_always_leaves_out_have_their_reason() -> None:
    scaler = GradScaler("cpu")

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) * float("nan")
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    found, _ = watched(step)
    assert [one.id for one in found.findings] == ["W06"]
    assert "the gradients are not finite" in found.findings[0].cause


def test_a_first_step_that_comes_late_takes_it_back() -> None:
    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        loss = unstepped(model, optimizer, x, y, i)
        if i >= 50:
            optimizer.step()
        return loss

    found, said = watched(step, steps=120)
    assert found.healthy
    assert len(said) == 1


@pytest.mark.parametrize("to_none", [True, False])
def test_gradients_that_are_cleared_before_the_step(to_none: bool) -> None:
    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        loss = backward(model, x, y)
        optimizer.zero_grad(set_to_none=to_none)
        optimizer.step()
        return loss

    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.1)  # which moves weights without gradients
    found, said = watched(step, model, optimizer)
    assert [(one.id, one.title) for one in found.findings] == [("W06", "gradients are cleared before the step")]
    assert len(said) == 1


def test_steps_without_a_backward_pass() -> None:
    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        optimizer.step()
        return loss

    found, _ = watched(step)
    assert [(one.id, one.title) for one in found.findings] == [("W06", "no backward pass is made before the step")]


def test_an_optimiser_that_is_not_the_one_that_steps_is_told() -> None:
    model = mlp()
    real = sgd(model)

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        real.zero_grad()
        loss = backward(model, x, y)
        real.step()
        return loss

    found, said = watched(step, model, sgd(model))
    assert said == ["the weights change without a step of this optimiser: give the monitor the one that steps"]
    assert found.healthy


def ordinary(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """As it should be."""
    optimizer.zero_grad()
    loss = backward(model, x, y)
    optimizer.step()
    return loss


def deep(activation: type[nn.Module], layers: int) -> nn.Module:
    """With PyTorch's own initial weights."""
    torch.manual_seed(0)
    body = [part for _ in range(layers) for part in (nn.Linear(64, 64), activation())]
    return nn.Sequential(nn.Flatten(), *body, nn.Linear(64, 10))


@pytest.mark.parametrize(("activation", "layers"), [(nn.ReLU, 20), (nn.Sigmoid, 8)])
def test_gradients_that_vanish_before_the_first_layer(activation: type[nn.Module], layers: int) -> None:
    model = deep(activation, layers)
    found, said = watched(ordinary, model, steps=120)
    assert [(one.id, one.severity, one.where) for one in found.findings] == [("I06", "critical", "1.weight")]
    assert found.findings[0].evidence[1].value < found.findings[0].evidence[1].threshold
    assert len(said) == 1
    assert "the loss stands still" in said[0]


def test_a_loss_that_falls_takes_vanishing_gradients_back() -> None:
    model = deep(nn.ReLU, 20)
    # The last layers by themselves learn something.
    found, _ = watched(ordinary, nn.Sequential(*deep(nn.ReLU, 0)), steps=60)
    assert found.healthy
    with Monitor(model, optimizer := sgd(model), every=10, on_warning=lambda text: None) as monitor:
        for i, (x, y) in enumerate(batches(300)):
            ordinary(model, optimizer, x, y, i)
            monitor.log(2.3 if i < 100 else 2.3 - i / 300)
    assert any(turn.id == "I06" for turn in monitor.turns)
    assert monitor.diagnosis().healthy


def test_at_the_end_of_training_no_gradient_vanishes() -> None:
    model = mlp()
    optimizer = sgd(model)
    for _ in range(1500):
        ordinary(model, optimizer, X[:32], Y[:32], 0)
    found, said = watched(lambda m, o, x, y, i: ordinary(m, o, X[:32], Y[:32], i), model, optimizer, steps=150)
    assert found.loss[0] < 1e-3
    assert found.healthy, found.summary()
    assert said == []


def test_long_steps_account_for_the_numbers_that_are_not_finite_after_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10))
    found, _ = watched(ordinary, model, sgd(model, 5.0), steps=60, every=1)
    assert [one.id for one in found.findings] == ["O01"]
    assert "A05" in found.findings[0].explains
    assert found.findings[0].severity == "critical"


def test_numbers_that_are_not_finite_from_the_start_are_no_rate_too_high() -> None:
    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) * float("nan")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    found, _ = watched(step)
    assert [one.id for one in found.findings] == ["A05"]


# Healthy loops, each unusual in one way.


def accumulating(count: int) -> Step:
    """A step after so many backward passes."""

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        loss = backward(model, x, y, 1 / count)
        if i % count == count - 1:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return step


def cleared_by(clear: Callable[[Any, Any], object]) -> Step:
    """Cleared in another way."""

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        clear(model, optimizer)
        loss = backward(model, x, y)
        optimizer.step()
        return loss

    return step


def each_to_zero(model: Any, optimizer: Any) -> None:
    """As in old code; it leaves no mark on the gradient."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.data.zero_()


def clipped(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Short gradients."""
    optimizer.zero_grad()
    loss = backward(model, x, y)
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return loss


def scaled(clip: bool, scale: float, times: float) -> Step:
    """Half precision's scaling; with a scale of 2^127 the first few steps are left out."""
    scaler = GradScaler("cpu", init_scale=scale)

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        scaler.scale(times * loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    return step


def by_hand(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Old gradients that are kept on purpose, and shortened."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(0.9)
    loss = backward(model, x, y, 0.1)
    optimizer.step()
    return loss


def assigned(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Gradients of two losses, put where the optimiser finds them."""
    outputs, parameters = model(x), list(model.parameters())
    loss = F.cross_entropy(outputs, y)
    one = torch.autograd.grad(loss, parameters, retain_graph=True)
    two = torch.autograd.grad(0.01 * outputs.square().mean(), parameters)
    for parameter, a, b in zip(parameters, one, two, strict=True):
        parameter.grad = a + b
    optimizer.step()
    return loss


def penalised(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Gradients of gradients."""
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(model(x), y)
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    optimizer.zero_grad()
    (loss + slope.square().sum()).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


def recomputed(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """Nested backward passes."""
    hidden = checkpoint(model[:3], x.clone().requires_grad_(), use_reentrant=True)
    loss = F.cross_entropy(model[3:](hidden), y)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


def hinged(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
    """After a while gradients are zero, since nothing is left to learn."""
    optimizer.zero_grad()
    outputs = model(X[:32])
    others = outputs.masked_fill(F.one_hot(Y[:32], 10).bool(), -9.0).amax(1)
    loss = F.relu(0.1 + others - outputs[torch.arange(32), Y[:32]]).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


HEALTHY: dict[str, tuple[Step, int]] = {
    "ordinary": (ordinary, 60),
    "accumulating": (accumulating(4), 240),
    "accumulating for long": (accumulating(30), 900),
    "zeros": (cleared_by(lambda model, optimizer: optimizer.zero_grad(set_to_none=False)), 60),
    "the network's zero_grad": (cleared_by(lambda model, optimizer: model.zero_grad()), 60),
    "data.zero_": (cleared_by(each_to_zero), 60),
    "clipped": (clipped, 100),
    "scaled": (scaled(False, 65536.0, 1.0), 60),
    "scaled and clipped": (scaled(True, 65536.0, 1.0), 60),
    "scaled too far at first": (scaled(True, 2.0**127, 64.0), 80),
    "momentum by hand": (by_hand, 100),
    "assigned": (assigned, 60),
    "penalised": (penalised, 60),
    "hinged": (hinged, 400),
    "recomputed": (recomputed, 60),
}


@pytest.mark.parametrize("every", [1, 10])
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_loops_stay_silent(name: str, every: int) -> None:
    step, steps = HEALTHY[name]
    model = mlp()
    found, said = watched(step, model, sgd(model, 0.02), steps=steps, every=every)
    assert said == []
    assert found.healthy, found.summary()
    assert found.verdict == "trains"


@pytest.mark.parametrize("times", [1.0, 64.0])
def test_a_fused_optimiser_under_a_scaler(times: float) -> None:
    """It is called with gradients that are still scaled, and too large ones among them."""
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    scale = 65536.0 if times == 1 else 2.0**127
    found, said = watched(scaled(False, scale, times), model, optimizer, steps=100, every=5)
    assert said == []
    assert found.healthy
    norms = [one.gradient_norm for one in found.parameters]
    assert 0 < max(norms) < 10 * times


def test_batch_norm() -> None:
    found, said = watched(ordinary, cnn(norm=True))
    assert said == []
    assert found.healthy


@pytest.mark.parametrize("which", [0, 1])
def test_two_optimisers_of_one_network(which: int) -> None:
    model = mlp()
    both = sgd(model[:3]), adam(model[3:])

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        for one in both:
            one.zero_grad()
        loss = backward(model, x, y)
        for one in both:
            one.step()
        return loss

    found, said = watched(step, model, both[which])
    assert said == []
    assert found.findings == ()
    # One of them alone leaves half of the network untrained, which is told.
    found, _ = watched(ordinary, model, both[which])
    assert [one.id for one in found.findings] == ["W01"]


@pytest.mark.parametrize("follows", [True, False])
def test_a_teacher_that_follows(follows: bool) -> None:
    """Frozen at random values; it is no fault where something moves them."""
    model = nn.ModuleDict({"pupil": mlp(), "teacher": mlp(seed=1).requires_grad_(False)})

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        loss = ordinary(model["pupil"], optimizer, x, y, i)
        model["teacher"](x)
        if follows:
            with torch.no_grad():
                torch._foreach_lerp_(list(model["teacher"].parameters()), list(model["pupil"].parameters()), 0.1)
        return loss

    found, said = watched(step, model, sgd(model["pupil"]))
    assert said == []
    assert [one.id for one in found.findings] == ([] if follows else ["W03"])


@pytest.mark.parametrize("which", [0, 1])
def test_two_networks_against_each_other(which: int) -> None:
    """The second one's gradients come from the first one's loss too, and are cleared before they count."""
    torch.manual_seed(0)
    networks = (
        nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64)),
        nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)),
    )
    optimizers = [torch.optim.Adam(one.parameters(), 2e-4, betas=(0.5, 0.999)) for one in networks]

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        made = networks[0](torch.randn(64, 8))
        real, false = networks[1](x.flatten(1)), networks[1](made.detach())
        optimizers[1].zero_grad()
        (F.softplus(-real) + F.softplus(false)).mean().backward()  # type: ignore[no-untyped-call]
        optimizers[1].step()
        optimizers[0].zero_grad()
        loss = F.softplus(-networks[1](made)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers[0].step()
        return loss

    found, said = watched(step, networks[which], optimizers[which], steps=150, every=3)
    assert said == []
    assert found.findings == ()


@pytest.mark.parametrize("thaw", [False, True])
def test_fine_tuning(thaw: bool) -> None:
    model = mlp()
    watched(ordinary, model, steps=100)
    model[:5].requires_grad_(False)
    model[5] = nn.Linear(64, 10)
    optimizer = torch.optim.Adam(model[5].parameters(), 1e-3)

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        if thaw and i == 50:
            model.requires_grad_(True)
            optimizer.add_param_group({"params": list(model[:5].parameters())})
        return ordinary(model, optimizer, x, y, i)

    found, said = watched(step, model, optimizer, steps=100)
    assert said == []
    assert found.healthy, found.summary()


def test_closures() -> None:
    model = mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[:400]), Y[:400])
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        return torch.as_tensor(optimizer.step(closure))

    found, said = watched(step, model, optimizer, steps=12, every=2)
    assert said == []
    assert found.healthy


def test_the_optimiser_within_an_optimiser() -> None:
    """Two backward passes for each step (sharpness-aware minimisation), with the gradients cleared in between."""

    def step(model: Any, optimizer: Any, x: Tensor, y: Tensor, i: int) -> Tensor:
        parameters = list(model.parameters())
        optimizer.zero_grad()
        loss = backward(model, x, y)
        gradients = [p.grad for p in parameters]
        length = torch.stack([g.norm() for g in gradients]).norm()
        moves = [0.05 * g / length for g in gradients]
        with torch.no_grad():
            torch._foreach_add_(parameters, moves)
        optimizer.zero_grad()
        backward(model, x, y)
        with torch.no_grad():
            torch._foreach_sub_(parameters, moves)
        optimizer.step()
        return loss

    found, said = watched(step)
    assert said == []
    assert found.healthy
