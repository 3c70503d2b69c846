"""Recipes: precision, accumulation, averaging, adapters, experts, several tasks, and less common optimisers."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, LinearLR, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from .data import (
    Data,
    agreement,
    batches,
    classification,
    diabetes,
    digits,
    explained,
    majority,
    perceptron,
    predict,
    regression,
    scheduled,
    split,
    standardised,
    table,
)
from .setup import Setup, setup


def _friedman(seed: int) -> Data:
    x, y = datasets.make_friedman1(2000, n_features=10, noise=0.5, random_state=seed)
    return standardised(x, y, seed, regression=True)


class Autocast(nn.Module):
    """A model that runs in bfloat16 where that is safe, and answers in single precision."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The inner model's answer as float32."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.inner(x).float()


@setup
def digits_bfloat16(seed: int) -> Setup:
    """A perceptron with layer norm under autocast to bfloat16."""
    data = digits(seed, flat=True)
    model = Autocast(nn.Sequential(nn.Linear(64, 96), nn.LayerNorm(96), nn.GELU(), nn.Linear(96, 10)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    return classification(data, seed, model, optimizer, 250, step=scheduled(F.cross_entropy, clip=1.0))


@setup
def digits_accumulated(seed: int) -> Setup:
    """Gradients gathered over four small batches before the optimiser moves."""
    data = digits(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 16, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    calls = itertools.count(1)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        loss = F.cross_entropy(model(batch[0]), batch[1])
        (loss / 4).backward()
        if next(calls) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return classification(data, seed, model, optimizer, 480, size=16, step=step)


class Averaged(nn.Module):
    """A network with its moving average, which answers in evaluation."""

    def __init__(self, network: nn.Module, averaging: Callable | None = None) -> None:
        super().__init__()
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=averaging)

    def forward(self, x: Tensor) -> Tensor:
        """The fast weights' answer while training, the averaged ones' afterwards."""
        return self.network(x) if self.training else self.average(x)


@setup
def friedman_moving_average(seed: int) -> Setup:
    """An exponential moving average of the weights, used for evaluation."""
    model = Averaged(perceptron(10, 64, 64, 1, activation=nn.SiLU), get_ema_multi_avg_fn(0.98))
    optimizer = torch.optim.Adam(model.network.parameters(), lr=3e-3)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        model.average.update_parameters(model.network)
        return loss

    return regression(_friedman(seed), seed, model, optimizer, 400, step=step)


@setup
def digits_stochastic_averaging(seed: int) -> Setup:
    """Stochastic weight averaging: a constant rate, and an average of the weights over the last half."""
    data = digits(seed, flat=True)
    model = Averaged(perceptron(64, 64, 10))
    optimizer = torch.optim.SGD(model.network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    calls = itertools.count(1)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        call = next(calls)
        if call > 150 and call % 10 == 0:
            model.average.update_parameters(model.network)
        return loss

    return classification(data, seed, model, optimizer, 300, step=step)


def _pretrained(seed: int) -> tuple[nn.Sequential, Data]:
    """A small convolutional body trained on the digits 0 to 4, and the digits 5 to 9 as a task of their own."""
    data = digits(seed)
    old, later, tested = data.y < 5, data.y >= 5, data.test_y >= 5
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(),
    )  # fmt: skip
    network = nn.Sequential(body, nn.Linear(64, 5))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(8):
        for images, labels in batches(data.x[old], data.y[old], seed=seed):
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimizer.step()
    optimizer.zero_grad()
    return body, Data(data.x[later], data.y[later] - 5, data.test_x[tested], data.test_y[tested] - 5)


class Frozen(nn.Module):
    """A frozen body that stays in evaluation mode, and a new head."""

    def __init__(self, body: nn.Module, width: int, kinds: int) -> None:
        super().__init__()
        self.body, self.head = body.requires_grad_(False), nn.Linear(width, kinds)

    def train(self, mode: bool = True) -> Frozen:
        """The body's running statistics are left alone."""
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits on features that need no gradient."""
        with torch.no_grad():
            features = self.body(images)
        return self.head(features)


@setup
def digits_frozen_body(seed: int) -> Setup:
    """Linear probing: new digits on the frozen features of old ones."""
    body, data = _pretrained(seed)
    model = Frozen(body, 64, 5)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=5e-3)
    return classification(data, seed, model, optimizer, 250, size=32)


@setup
def digits_discriminative_rates(seed: int) -> Setup:
    """Fine-tuning with a low rate for the body and a high one for the head, warmed up and then annealed."""
    body, data = _pretrained(seed)
    model = nn.Sequential(body, nn.Linear(64, 5))
    groups = [{"params": body.parameters(), "lr": 2e-4}, {"params": model[1].parameters(), "lr": 3e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    warm, cool = LinearLR(optimizer, 0.1, total_iters=20), CosineAnnealingLR(optimizer, T_max=180)
    step = scheduled(F.cross_entropy, SequentialLR(optimizer, [warm, cool], milestones=[20]))
    return classification(data, seed, model, optimizer, 200, size=32, step=step, drop_last=True)


class LowRank(nn.Module):
    """A frozen linear layer with a trained low-rank addition that starts at nothing."""

    def __init__(self, linear: nn.Linear, rank: int = 4, alpha: float = 8.0) -> None:
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The old answer and the correction."""
        return self.linear(x) + self.scale * F.linear(F.linear(x, self.down), self.up)


@setup
def digits_low_rank_adaptation(seed: int) -> Setup:
    """LoRA: a network that knows digits learns them turned by a quarter, through low-rank additions alone."""
    data = digits(seed, flat=True)
    base = perceptron(64, 96, 96, 10)
    earlier = torch.optim.Adam(base.parameters(), lr=2e-3)
    for _ in range(10):
        for images, labels in batches(data.x, data.y, seed=seed):
            earlier.zero_grad()
            F.cross_entropy(base(images), labels).backward()
            earlier.step()
    earlier.zero_grad()

    def turned(images: Tensor) -> Tensor:
        return images.view(-1, 8, 8).rot90(1, (1, 2)).flatten(1)

    data = data._replace(x=turned(data.x), test_x=turned(data.test_x))
    model = nn.Sequential(
        *(LowRank(layer, rank=8, alpha=16) if isinstance(layer, nn.Linear) else layer for layer in base)
    )
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return classification(data, seed, model, torch.optim.AdamW(trained, lr=3e-3), 400)


class Experts(nn.Module):
    """The two best of several experts for every row, weighted by a gate, and a loss that keeps them equally busy."""

    def __init__(self, inputs: int, outputs: int, count: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs, count)
        self.experts = nn.ModuleList(perceptron(inputs, 32, outputs) for _ in range(count))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted answer and how unequal the work was."""
        shares = self.gate(x).softmax(1)
        best, chosen = shares.topk(2, dim=1)
        weights = torch.zeros_like(shares).scatter(1, chosen, best / best.sum(1, keepdim=True))
        answer = torch.zeros(len(x), self.experts[0][-1].out_features)
        for number, expert in enumerate(self.experts):
            rows = weights[:, number].nonzero().flatten()
            answer = answer.index_add(0, rows, weights[rows, number, None] * expert(x[rows]))
        busy = (weights > 0).float().mean(0) / 2
        return answer, len(self.experts) * (busy * shares.mean(0)).sum()


@setup
def regimes_sparse_experts(seed: int) -> Setup:
    """A sparse mixture of experts on data of four regimes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3000, 8, generator=generator)
    regime = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    slopes = torch.randn(4, 8, generator=generator)
    y = (x * slopes[regime]).sum(1, keepdim=True) + 0.1 * torch.randn(3000, 1, generator=generator)
    data = split(x, y / y.std(), seed)

    def loss(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        return F.mse_loss(outputs[0], targets) + 0.01 * outputs[1]

    model = Experts(8, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    return regression(data, seed, model, optimizer, 500, loss=loss, read=lambda outputs: outputs[0])


class DigitTasks(nn.Module):
    """One body; a head for the digit, one for its ink and one for its oddness, and how uncertain each task is."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU())
        self.heads = nn.ModuleDict({"digit": nn.Linear(48, 10), "ink": nn.Linear(48, 1), "odd": nn.Linear(48, 1)})
        self.log_variances = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in self.heads})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """All answers by name."""
        features = self.body(images)
        return {task: head(features) for task, head in self.heads.items()}


@setup
def digits_three_tasks(seed: int) -> Setup:
    """Multi-task learning with the tasks weighted by learned uncertainties, from batches that are dictionaries."""
    data = digits(seed, flat=True)
    inks = data.x.mean(1)

    def ink(images: Tensor) -> Tensor:
        return (images.mean(1) - inks.mean()) / inks.std()

    def rows(x: Tensor, y: Tensor) -> list[dict[str, Tensor]]:
        return [
            {"image": image, "digit": label, "ink": amount, "odd": (label % 2).float()}
            for image, label, amount in zip(x, y, ink(x), strict=True)
        ]

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        outputs = model(batch["image"])
        losses = {
            "digit": F.cross_entropy(outputs["digit"], batch["digit"]),
            "ink": F.mse_loss(outputs["ink"].squeeze(1), batch["ink"]),
            "odd": F.binary_cross_entropy_with_logits(outputs["odd"].squeeze(1), batch["odd"]),
        }
        return sum(
            torch.exp(-model.log_variances[task]) * losses[task] + model.log_variances[task] / 2 for task in losses
        )

    def score(model: nn.Module) -> float:
        outputs = predict(model, data.test_x)
        digit = agreement(outputs["digit"].argmax(1), data.test_y)
        odd = agreement(outputs["odd"][:, 0] > 0, data.test_y % 2 == 1)
        return (digit + odd + explained(outputs["ink"][:, 0], ink(data.test_x))) / 3

    model = DigitTasks()
    loader = DataLoader(rows(data.x, data.y), 64, shuffle=True, generator=torch.Generator().manual_seed(seed))
    return Setup(
        model=model,
        loader=loader,
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=350,
        score=score,
        trivial=(majority(data.test_y) + majority(data.test_y % 2)) / 3,
    )


class ReZero(nn.Module):
    """A residual block behind a gate that starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.gate = perceptron(width, width, width), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """At first, the identity."""
        return x + self.gate * self.inner(x)


@setup
def friedman_rezero(seed: int) -> Setup:
    """A deep residual perceptron of ReZero blocks without normalisation, with warm restarts."""
    model = nn.Sequential(nn.Linear(10, 48), *(ReZero(48) for _ in range(8)), nn.Linear(48, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    step = scheduled(F.mse_loss, CosineAnnealingWarmRestarts(optimizer, T_0=60, T_mult=2))
    return regression(_friedman(seed), seed, model, optimizer, 420, step=step)


class Fixup(nn.Module):
    """A convolutional residual block with Fixup's initialisation: scalars in place of normalisation."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        nn.init.kaiming_normal_(self.first.weight)
        with torch.no_grad():
            self.first.weight.mul_(depth**-0.5)
        nn.init.zeros_(self.second.weight)
        self.biases, self.scale = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """The block as in the paper."""
        before, between, middle, after = self.biases
        hidden = F.relu(self.first(x + before) + between)
        return F.relu(x + self.scale * self.second(hidden + middle) + after)


@setup
def digits_fixup(seed: int) -> Setup:
    """A residual network without normalisation; scalars have a tenth of the rate."""
    head = nn.Linear(24, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    stem = nn.Conv2d(1, 24, 3, stride=2, padding=1)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(stem, nn.ReLU(), *(Fixup(24, 4) for _ in range(4)), pool, head)
    scalars = [value for name, value in model.named_parameters() if name.endswith(("biases", "scale"))]
    rest = [value for name, value in model.named_parameters() if not name.endswith(("biases", "scale"))]
    groups = [{"params": rest}, {"params": scalars, "lr": 0.005, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=5e-4)
    return classification(digits(seed), seed, model, optimizer, 300, step=scheduled(F.cross_entropy, clip=5.0))


class Lion(torch.optim.Optimizer):
    """The sign of an interpolated momentum, with decoupled weight decay."""

    def __init__(
        self, params: Iterable, lr: float, betas: tuple[float, float] = (0.9, 0.99), decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            quick, slow = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                parameter.mul_(1 - group["lr"] * group["decay"])
                parameter.add_(momentum.lerp(parameter.grad, 1 - quick).sign(), alpha=-group["lr"])
                momentum.lerp_(parameter.grad, 1 - slow)
        return loss


@setup
def digits_lion(seed: int) -> Setup:
    """A perceptron by a handwritten Lion with a cosine schedule."""
    model = perceptron(64, 96, 96, 10, activation=nn.GELU)
    optimizer = Lion(model.parameters(), lr=5e-4, decay=0.1)
    step = scheduled(F.cross_entropy, CosineAnnealingLR(optimizer, T_max=300))
    return classification(digits(seed, flat=True), seed, model, optimizer, 300, step=step)


@setup
def wine_rprop(seed: int) -> Setup:
    """Resilient propagation on the whole table at once."""
    data = table("wine", seed)
    model = perceptron(13, 16, 3, activation=nn.Tanh)
    made = classification(data, seed, model, torch.optim.Rprop(model.parameters(), lr=0.01), 60)
    return dataclasses.replace(made, loader=[(data.x, data.y)])


@setup
def diabetes_double_precision(seed: int) -> Setup:
    """A small regression in double precision with averaged SGD."""
    data = Data(*(part.double() for part in diabetes(seed)))
    model = perceptron(10, 16, 1, activation=nn.Tanh).double()
    optimizer = torch.optim.ASGD(model.parameters(), lr=0.03, weight_decay=1e-3)
    return regression(data, seed, model, optimizer, 250, size=32, best=0.5)


@setup
def circles_spectral_norm(seed: int) -> Setup:
    """Two rings by a network with spectral normalisation and RMSprop with momentum."""
    x, y = datasets.make_circles(1200, noise=0.08, factor=0.5, random_state=seed)
    hidden = [parametrizations.spectral_norm(nn.Linear(wide, 48)) for wide in (2, 48)]
    model = nn.Sequential(hidden[0], nn.LeakyReLU(0.2), hidden[1], nn.LeakyReLU(0.2), nn.Linear(48, 2))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3, momentum=0.9)
    return classification(standardised(x, y, seed), seed, model, optimizer, 300, size=32)


class HashedClicks(nn.Module):
    """A factorisation machine over hashed categories, each with two hash functions."""

    def __init__(self, buckets: int = 256, width: int = 8) -> None:
        super().__init__()
        self.buckets = buckets
        self.vectors, self.weights = nn.Embedding(2 * buckets, width), nn.Embedding(2 * buckets, 1)
        nn.init.normal_(self.vectors.weight, std=0.1)
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, fields: Tensor) -> Tensor:
        """The logit of a click from the codes of all fields."""
        keyed = fields + 100003 * torch.arange(fields.shape[1])
        first = (keyed * 2654435761 >> 7) % self.buckets
        second = (keyed * 40503 + 97 >> 3) % self.buckets + self.buckets
        vectors = self.vectors(first) + self.vectors(second)
        pairs = (vectors.sum(1).square() - vectors.square().sum(1)).sum(1) / 2
        return self.bias + pairs + (self.weights(first) + self.weights(second)).sum((1, 2))


@setup
def clicks_hashed_factorisation(seed: int) -> Setup:
    """Clicks by a factorisation machine with hashed embeddings and Adagrad, scored by the area under the curve."""
    generator = torch.Generator().manual_seed(seed)
    fields = torch.stack([torch.randint(0, size, (6000,), generator=generator) for size in (60, 40, 12, 7)], 1)
    user, item = torch.randn(60, 3, generator=generator), torch.randn(40, 3, generator=generator)
    hour = torch.randn(12, generator=generator)
    leaning = (user[fields[:, 0]] * item[fields[:, 1]]).sum(1) + hour[fields[:, 2]] - 0.5
    clicks = (torch.rand(6000, generator=generator) < torch.sigmoid(2 * leaning)).float()
    data = split(fields, torch.stack([clicks, leaning], 1), seed)

    def area(scores: Tensor) -> float:
        clicked = data.test_y[:, 0] > 0
        return (scores[clicked][:, None] > scores[~clicked]).float().mean().item()

    model = HashedClicks()
    return Setup(
        model=model,
        loader=batches(data.x, data.y[:, 0], seed=seed, size=128),
        loss=nn.BCEWithLogitsLoss(),
        optimizer=torch.optim.Adagrad(model.parameters(), lr=0.1),
        steps=500,
        score=lambda model: area(predict(model, data.test_x)),
        trivial=0.5,
        best=area(data.test_y[:, 1]),
    )


@setup
def digits_born_again(seed: int) -> Setup:
    """Self-distillation: a copy of the architecture learns from its trained forerunner's soft answers alone."""
    data = digits(seed)
    teacher = nn.Sequential(nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 36, 10))
    student = copy.deepcopy(teacher)
    student.apply(lambda layer: layer.reset_parameters() if hasattr(layer, "reset_parameters") else None)
    earlier = torch.optim.Adam(teacher.parameters(), lr=2e-3)
    for _ in range(6):
        for images, labels in batches(data.x, data.y, seed=seed):
            earlier.zero_grad()
            F.cross_entropy(teacher(images), labels).backward()
            earlier.step()
    teacher.zero_grad()
    teacher.requires_grad_(False).eval()
    with torch.no_grad():
        soft = (teacher(data.x) / 2).softmax(1)
    return Setup(
        model=student,
        loader=batches(data.x, soft, seed=seed),
        loss=lambda outputs, targets: 4 * F.kl_div(F.log_softmax(outputs / 2, 1), targets, reduction="batchmean"),
        optimizer=torch.optim.RAdam(student.parameters(), lr=3e-3),
        steps=250,
        score=lambda model: agreement(predict(model, data.test_x).argmax(1), data.test_y),
        trivial=majority(data.test_y),
    )
