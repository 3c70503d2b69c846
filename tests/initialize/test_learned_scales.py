"""GradInit and MetaInit against finite differences of what they minimise, and what they leave untouched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import orograph as og
from networks import TinyTransformer
from orograph.basics.errors import DataError, ModelError, OrographError, TaskError, UsageError
from orograph.initialize import gradinit, metainit
from orograph.initialize.lookahead import Lookahead
from orograph.initialize.probing import probing, twice_differentiable
from orograph.initialize.quotient import quotient, quotient_by_scale
from orograph.initialize.scale_optimizer import ScaleAdam
from orograph.initialize.scales import ScaledNetwork
from orograph.initialize.written_norms import written_norms
from orograph.objective.criterion import Criterion
from orograph.results import load

_STEP = 1e-5


class Recurrent(nn.Module):
    """An LSTM whose last output is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.cells(x)[0][:, -1])
        return logits


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 6, 3, groups=2), nn.Softplus(),
        nn.Flatten(), nn.Linear(96, 4),
    )  # fmt: skip


def _images(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 6, 6, generator=random).double(), torch.randint(4, (n,), generator=random)


def _series(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, 3, generator=random).double(), torch.randint(4, (n,), generator=random)


def _sentences(n: int, seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    tokens = torch.randint(11, (n, 8), generator=random)
    return {"input_ids": tokens, "labels": tokens.roll(-1, 1)}


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[..., Any]]] = {
    "convolutions and batch norm": (_convolutional, _images),
    "recurrent": (Recurrent, _series),
    "attention and tied embeddings": (TinyTransformer, _sentences),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[ScaledNetwork, Callable[..., Any], nn.Module]:
    make, batches = CASES[request.param]
    model = make().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return ScaledNetwork(model, Criterion("cross_entropy", metrics=())), batches, model


def _differences(value: Callable[[list[float]], float], scales: list[float]) -> np.ndarray:
    found = []
    for index in range(len(scales)):
        up, down = list(scales), list(scales)
        up[index] += _STEP
        down[index] -= _STEP
        found.append((value(up) - value(down)) / (2 * _STEP))
    return np.array(found)


def _close(got: list[float], expected: np.ndarray, tolerance: float = 1e-7) -> None:
    assert np.abs(np.array(got) - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_both_kinds_of_step_follow_the_derivative(case: Any, optimizer: Any) -> None:
    """Objective: the loss after the step, with A[g] held fast. Constraint: the norm of the gradient."""
    network, batches, model = case
    ahead = Lookahead(network, optimizer, 0.01, normalise=False)
    first, second = batches(12, 1), batches(12, 2)
    scales = [0.8 + 0.05 * index for index in range(len(network.scaled))]
    with probing(model), twice_differentiable(model):
        slope = ahead.slope(scales, first, graph=True)
        step = [g.detach().sign() if optimizer == "adam" else g.detach() for g in slope.gradients]

        def after(values: list[float]) -> float:
            with torch.no_grad():
                moved = [t - 0.01 * s for t, s in zip(network.at(values), step, strict=True)]
                return float(network.loss(moved, second))

        value, derivative = ahead.ahead(slope, second)
        assert value == pytest.approx(after(scales), rel=1e-12)
        _close(derivative, _differences(after, scales))
        _close(ahead.constraint(slope), _differences(lambda values: ahead.slope(values, first).length, scales))


def test_the_gradient_quotient_follows_its_derivative(case: Any) -> None:
    network, batches, model = case
    batch = batches(10, 3)
    scales = [0.9 + 0.03 * index for index in range(len(network.scaled))]
    with probing(model, norm="running"), twice_differentiable(model), written_norms():
        value, derivative, _, _ = quotient_by_scale(network, scales, batch, eps=1e-2)
        at = lambda values: float(quotient(network, network.at(values), batch, 1e-2)[0].detach())  # noqa: E731
        assert value == pytest.approx(at(scales), rel=1e-12)
        _close(derivative, _differences(at, scales))


def test_the_gradient_quotient_of_a_quadratic() -> None:
    """Loss w a w / 2 has g = aw and Hg = a^2 w, so GQ is |(1 - a) / (1 + eps / |g|) - 1|, in each entry."""
    a = torch.tensor([0.3, 1.7, 0.9], dtype=torch.float64)

    class Point(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64))

    model = Point()
    network = ScaledNetwork(model, Criterion(lambda m, _: (a * m.w[0] ** 2).sum() / 2, metrics=()))
    value, *_ = quotient(network, network.at([1.0]), torch.zeros(2, 1), 1e-5)
    g = a * model.w.detach()[0]
    expected = (((g - a * g) / (g + 1e-5 * g.sign())) - 1).abs().mean()
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-12)


def _bits(model: nn.Module) -> dict[str, Any]:
    return {
        "values": {n: t.clone() for n, t in model.state_dict().items()},
        "modes": [m.training for m in model.modules()],
        "ids": [id(p) for p in model.parameters()],
        "gradients": [p.grad for p in model.parameters()],
        "random": torch.get_rng_state(),
    }


def _same(before: dict[str, Any], after: dict[str, Any], *, values: bool = True) -> None:
    assert before["modes"] == after["modes"]
    assert before["ids"] == after["ids"]
    assert all(a is b for a, b in zip(before["gradients"], after["gradients"], strict=True))
    assert torch.equal(before["random"], after["random"])
    if values:
        for name, tensor in before["values"].items():
            assert torch.equal(tensor, after["values"][name]), name


def _networks() -> list[tuple[nn.Module, list[Any]]]:
    found = []
    for make, batches in CASES.values():
        model = make().double()
        model.train()
        next(iter(model.children())).eval()
        found.append((model, [batches(9, seed) for seed in range(3)]))
    return found


@pytest.mark.parametrize("index", range(3))
def test_a_rate_of_zero_changes_no_bit(index: int) -> None:
    for method in (gradinit, metainit):
        model, batches = _networks()[index]
        before = _bits(model)
        options: dict[str, Any] = {"iterations": 4, "batch_size": 6}
        options |= {"scale_lr": 0.0} if method is gradinit else {"lr": 0.0, "noise": False}
        found = method(model, batches, **options)
        _same(before, _bits(model))
        assert (found.scales == 1).all()


@pytest.mark.parametrize("index", range(3))
def test_scales_times_the_start_are_the_end(index: int) -> None:
    model, batches = _networks()[index]
    before = _bits(model)
    found = gradinit(model, batches, iterations=6, batch_size=6, scale_lr=0.05, gamma=0.5)
    after = _bits(model)
    _same(before, after, values=False)
    scales = dict(zip(found.tensors, found.scales, strict=True))
    assert not np.allclose(found.scales, 1)
    for name, tensor in model.named_parameters():
        expected = before["values"][name] * scales.get(name, 1.0)
        torch.testing.assert_close(tensor.detach(), expected, rtol=1e-12, atol=0)
    for name, buffer in model.named_buffers():
        if name in before["values"]:
            assert torch.equal(buffer, before["values"][name]), name
    if isinstance(model, TinyTransformer):
        assert model.head.weight is model.tokens.weight
        assert "head.weight" not in found.tensors


def test_a_dry_run_and_equal_seeds() -> None:
    model, batches = _networks()[0]
    before = _bits(model)
    one = gradinit(model, batches, iterations=5, batch_size=6, dry_run=True, seed=3)
    _same(before, _bits(model))
    two = gradinit(model, batches, iterations=5, batch_size=6, dry_run=True, seed=3)
    assert one.equals(two)
    assert not one.applied
    assert not one.equals(gradinit(model, batches, iterations=5, batch_size=6, dry_run=True, seed=4))


def test_the_constraint_is_reached_and_the_loss_ahead_falls() -> None:
    """Weights ten times too large: the gradient is far over its bound, comes under it, and the look-ahead improves."""
    data = og.data.load("digits", train_size=600, test_size=60)
    model = og.models.build("mlp", data, seed=0, hidden=(64, 64, 64))
    og.initialize.apply(model, "he-normal")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    found = gradinit(model, data, iterations=120, batch_size=64, scale_lr=0.03)
    assert found.norm[0] > 10 * found.gamma
    assert np.median(found.norm[-20:]) < 1.5 * found.gamma
    assert 0.2 < found.constraint_share < 1
    controls = {one.name: one for one in found.controls}
    assert controls["learned scales"].loss < 0.2 * controls["as it was"].loss
    assert controls["one global scale"].scale == 0.5


def test_metainit_lowers_its_quotient(tmp_path: Any) -> None:
    data = og.data.load("digits", train_size=400, test_size=60)
    for variant in ("paper", "gradinit"):
        model = og.models.build("mlp", data, seed=0, hidden=(16,) * 8)
        og.initialize.apply(model, "normal(0.6)")
        rate = 0.03 if variant == "gradinit" else None
        found = metainit(model, data, variant=variant, iterations=80, batch_size=64, lr=rate)
        assert np.median(found.value[-20:]) < 0.1 * np.median(found.value[:20]), variant
        assert found.method == {"paper": "metainit", "gradinit": "metainit-gradinit"}[variant]
        assert load(found.save(tmp_path / "r")).equals(found)
        assert "plain training iterations" in found.summary()


def test_scale_adam_is_adam_on_one_kind_of_step() -> None:
    parameter = nn.Parameter(torch.ones(3, dtype=torch.float64))
    theirs = torch.optim.Adam([parameter], lr=0.1)
    ours = ScaleAdam([-9.0] * 3, [9.0] * 3, lr=0.1, clip=1e9)
    random = np.random.default_rng(0)
    for _ in range(20):
        gradient = random.standard_normal(3)
        parameter.grad = torch.from_numpy(gradient)
        theirs.step()
        ours.step(list(gradient))
    np.testing.assert_allclose(ours.scales, parameter.detach().numpy(), rtol=1e-10)


def test_scale_adam_keeps_its_bounds_and_clips() -> None:
    adam = ScaleAdam([0.5, 0.0], [2.0, 1.05], lr=0.1, clip=1.0)
    other = ScaleAdam([0.5, 0.0], [2.0, 1.05], lr=0.1, clip=1.0)
    for _ in range(50):
        adam.step([1e9, -1e9], "constraint")
        other.step([1.0, -1.0], "constraint")
    assert adam.scales == other.scales == [0.5, 1.05]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "lion"}, "sgd or adam"),
        ({"lr": 0.0}, "above 0"),
        ({"gamma": -1}, "gamma"),
        ({"batch_size": 1}, "batches of 2"),
        ({"clip": 0}, "clip above 0"),
        ({"scale_lr": float("inf")}, "scale_lr must be"),
        ({"gain_upper": 0.5}, "gain_upper at least 1"),
        ({"betas": (0.9, 1.0)}, "betas are two numbers"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1)], lr=0.1)}, "named as text, not a SGD$"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    model, batches = _networks()[0]
    with pytest.raises(UsageError, match=words):
        gradinit(model, batches, **options)


def test_what_cannot_be_initialised_is_refused_and_left_as_it_was() -> None:
    model, batches = _networks()[0]
    with pytest.raises(DataError, match="cuts a batch in three"):
        gradinit(model, [_images(2)], iterations=2)
    with pytest.raises(UsageError, match="list of batches"):
        gradinit(model, 3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="noise=False"):
        metainit(TinyTransformer().double(), [_sentences(4)], iterations=2)
    frozen = copy.deepcopy(model).requires_grad_(False)
    with pytest.raises(UsageError, match="no tensor of the network can be scaled"):
        gradinit(frozen, batches, iterations=2)
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    before = _bits(model)
    for method in (gradinit, metainit):
        with pytest.raises(TaskError, match="not finite"):
            method(model, batches, iterations=100, batch_size=6)
        after = _bits(model)
        assert before["modes"] == after["modes"]
        assert torch.equal(before["random"], after["random"])
        assert torch.equal(before["values"]["3.weight"], after["values"]["3.weight"])


@pytest.mark.parametrize("method", [gradinit, metainit])
@pytest.mark.parametrize("iterations", [1, 3, 100])
def test_where_nothing_was_finite_nothing_was_learned(method: Any, iterations: int) -> None:
    model, batches = _networks()[0]
    before = _bits(model)

    def loss(network: nn.Module, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(network(batch[0]), batch[1]) * float("nan")

    with pytest.raises(TaskError, match=r"not finite.*the loss itself"):
        method(model, batches, loss=loss, iterations=iterations, batch_size=6)
    _same(before, _bits(model))


@pytest.mark.parametrize("method", [gradinit, metainit])
def test_losses_of_every_form_and_what_is_none(method: Any) -> None:
    def scales(loss: Any) -> np.ndarray:
        model, batches = _networks()[0]
        model.load_state_dict(first)
        found: np.ndarray = method(model, batches, loss=loss, iterations=3, batch_size=6).scales
        return found

    first = _networks()[0][0].state_dict()
    wanted = scales("cross_entropy")
    entropy = nn.functional.cross_entropy
    for loss in (nn.CrossEntropyLoss(), entropy, lambda a, b: entropy(a, b), lambda a, b: entropy(a(b[0]), b[1])):
        np.testing.assert_allclose(scales(loss), wanted, rtol=1e-6)
    for loss, words in (
        (nn.CrossEntropyLoss, "give an instance"),
        (lambda m, b: 1.0, "has no gradient"),
        (lambda m, b: m(b[0]).detach().mean(), "has no gradient"),
        (5, "a callable"),
    ):
        with pytest.raises(UsageError, match=words):
            scales(loss)
    with pytest.raises(ModelError, match="one value per example"):
        scales(lambda m, b: m(b[0]))


@pytest.mark.parametrize("method", [gradinit, metainit])
def test_what_is_no_network_is_refused_in_a_line(method: Any) -> None:
    data = [_images(9)]
    bag = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(), nn.Linear(20, 4))
    for model, words in (
        (3, r"an nn\.Module, not a int"),
        (nn.Linear, r"give an instance: Linear\(\)"),
        (nn.Sequential(nn.LazyLinear(4)), "on one batch first"),
        (bag, "gradients of 0 are sparse"),
    ):
        with pytest.raises(UsageError, match=words) as told:
            method(model, data, iterations=2)
        assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match="list of batches is empty"):
        method(nn.Linear(3, 2), [], iterations=2)


def test_a_loss_whose_gradient_is_a_constant_teaches_nothing() -> None:
    batches = [(torch.randn(9, 3), torch.zeros(9).long()) for _ in range(2)]
    for method, options in ((gradinit, {"gamma": 1e-9}), (metainit, {"noise": False})):
        model = nn.Linear(3, 2)
        found = method(model, batches, loss=lambda m, b: m(b[0]).mean(), iterations=3, batch_size=6, **options)
        assert (found.scales == 1).all()


def test_a_loss_that_raises_leaves_everything_as_it_was() -> None:
    model, batches = _networks()[0]
    before, calls = _bits(model), []

    def loss(network: nn.Module, batch: Any) -> Tensor:
        calls.append(0)
        if len(calls) > 3:
            raise ValueError("no")
        return nn.functional.cross_entropy(network(batch[0]), batch[1])

    with pytest.raises((ValueError, OrographError)):
        gradinit(model, batches, loss=loss, iterations=5, batch_size=6)
    _same(before, _bits(model))


def test_a_vanishing_and_an_exploding_start_are_counted_not_followed() -> None:
    """Infinite at first: steps are skipped and counted, the scales shrink, and then it goes on."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 4))
    with torch.no_grad():
        model[1].weight.mul_(1e19)
        model[3].weight.mul_(1e20)
    inputs, labels = _images(60)
    found = gradinit(model, [(inputs.float(), labels)], iterations=40, batch_size=20, controls=False)
    assert 0 < found.skipped < 40
    assert np.isfinite(found.scales).all()
    assert (found.scales < 1).any()


def test_cost_is_counted_in_passes() -> None:
    model, batches = _networks()[0]
    found = gradinit(model, batches, iterations=7, batch_size=6, gamma=1e9, controls=False, measure=3)
    assert not found.constraint.any()
    assert found.iterations_worth == pytest.approx(2 * 7)  # objective steps: two plain iterations each
    assert found.provenance.cost.forward == found.provenance.cost.backward == 7 * 2 * 6
    assert found.measured_worth > 0
    # In iterations of the batches that there were, not of those that were asked for.
    asked = {"iterations": 7, "batch_size": 1000}
    assert gradinit(model, batches, gamma=1e9, controls=False, **asked).iterations_worth == pytest.approx(2 * 7)
    assert metainit(model, batches, **asked).iterations_worth == pytest.approx(5 * 7)


@pytest.mark.parametrize(
    ("inputs", "loss", "said"),
    [
        (11, "cross_entropy", r"0 \(Linear\) got \(\d+, 11\)"),
        (10, lambda outputs, targets: outputs.mean() - targets.missing, "the loss <lambda> fails on this batch"),
    ],
)
@pytest.mark.parametrize("verb", ["gradinit", "metainit", "gradient_variance"])
def test_what_fails_in_network_or_loss_is_told_in_a_line(verb: str, inputs: int, loss: Any, said: str) -> None:
    model = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    batch = (torch.randn(64, inputs), torch.randint(0, 3, (64,)))
    data = [batch, batch] if verb == "gradient_variance" else batch
    with pytest.raises(ModelError, match=said) as caught:
        getattr(og.initialize, verb)(model, data, loss=loss)
    assert "\n" not in str(caught.value)
