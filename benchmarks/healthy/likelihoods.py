"""Losses that follow from the kind of target: counts, durations, ranks, grades, spreads, and rare or many labels."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from .data import (
    Data,
    agreement,
    batches,
    classification,
    digits,
    explained,
    majority,
    perceptron,
    predict,
    scheduled,
    split,
    standardised,
    table,
)
from .setup import Setup, setup


class Risks(NamedTuple):
    """Covariates and the true signal that what is seen was drawn from."""

    x: Tensor
    signal: Tensor
    generator: torch.Generator


def _risks(seed: int, count: int = 2000) -> Risks:
    """Six covariates and a curved signal of about unit variance."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=generator)
    signal = 0.6 * x[:, 0] - 0.5 * x[:, 1] + 0.5 * x[:, 2] * x[:, 3] + 0.4 * torch.sin(2 * x[:, 4])
    return Risks(x, signal, generator)


def _concordance(risk: Tensor, time: Tensor, event: Tensor) -> float:
    """Harrell's index: of the pairs that can be compared, how many are in the right order."""
    usable = (time[:, None] < time[None]) & event[:, None].bool()
    return (risk[:, None] > risk[None])[usable].float().mean().item()


def _survival(seed: int) -> tuple[Data, float]:
    """Times of exponential lives, censored at random, and the concordance of the true risks."""
    x, signal, generator = _risks(seed)
    life = torch.empty(len(x)).exponential_(generator=generator) * torch.exp(-1.5 * signal)
    censor = torch.empty(len(x)).exponential_(0.4, generator=generator)
    seen = torch.stack([torch.minimum(life, censor), (life <= censor).float()], 1)
    return split(x, seen, seed), _concordance(signal, *seen.unbind(1))


@setup
def survival_cox(seed: int) -> Setup:
    """The partial likelihood of Cox with a network for the risk, over large batches."""
    data, best = _survival(seed)
    model = nn.Sequential(nn.Linear(6, 64), nn.SELU(), nn.Linear(64, 32), nn.SELU(), nn.Linear(32, 1, bias=False))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        order = targets[:, 0].argsort(descending=True)
        risk, event = outputs[order, 0], targets[order, 1]
        return -((risk - risk.logcumsumexp(0)) * event).sum() / event.sum()

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=256),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01),
        steps=200,
        score=lambda model: _concordance(predict(model, data.test_x)[:, 0], *data.test_y.unbind(1)),
        trivial=0.5,
        best=best,
    )


@setup
def survival_discrete_hazards(seed: int) -> Setup:
    """A hazard for each of ten intervals, with the likelihood of surviving up to the last one seen."""
    data, best = _survival(seed)
    edges = data.y[:, 0].quantile(torch.linspace(0.1, 0.9, 9))
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        last = torch.bucketize(targets[:, 0].contiguous(), edges)[:, None]
        survived = (torch.arange(10) < last).float()
        died = F.one_hot(last[:, 0], 10) * targets[:, 1:]
        return -(survived * F.logsigmoid(-outputs) + died * F.logsigmoid(outputs)).sum(1).mean()

    def risk(model: nn.Module) -> float:
        surviving = F.logsigmoid(-predict(model, data.test_x)).cumsum(1).exp()
        return _concordance(-surviving.sum(1), *data.test_y.unbind(1))

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=64),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=400,
        score=risk,
        trivial=0.5,
        best=best,
    )


def _log_rates(data: Data, seed: int, truth: Tensor, model: nn.Module, loss: nn.Module) -> Setup:
    """A regression on what was drawn, scored by how much of the true logarithm of the mean it explains."""
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=400,
        score=lambda model: explained(predict(model, data.test_x)[:, 0], truth),
        trivial=0.0,
    )


@setup
def counts_poisson(seed: int) -> Setup:
    """Poisson regression of counts by nn.PoissonNLLLoss with a logarithmic link."""
    x, signal, generator = _risks(seed, 3000)
    counts = torch.poisson(torch.exp(1.0 + 0.7 * signal), generator=generator)
    data = split(x, torch.stack([counts, 1.0 + 0.7 * signal], 1), seed)
    model = perceptron(6, 64, 64, 1)
    seen = data._replace(y=data.y[:, :1])
    return _log_rates(seen, seed, data.test_y[:, 1], model, nn.PoissonNLLLoss(log_input=True))


@setup
def claims_with_exposure(seed: int) -> Setup:
    """Insurance claims: a Poisson likelihood with the logarithm of the exposure as an offset, in a dictionary."""
    x, signal, generator = _risks(seed, 4000)
    exposure = 0.2 + 0.8 * torch.rand(4000, generator=generator)
    claims = torch.poisson(exposure * torch.exp(-0.5 + 0.8 * signal), generator=generator)
    rows = [dict(zip(("x", "exposure", "claims"), row, strict=True)) for row in zip(x, exposure, claims, strict=True)]
    model = perceptron(6, 48, 24, 1, activation=nn.GELU)

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        log_mean = model(batch["x"]).squeeze(1) + batch["exposure"].log()
        return F.poisson_nll_loss(log_mean, batch["claims"])

    return Setup(
        model=model,
        loader=DataLoader(rows[:3200], 128, shuffle=True, generator=torch.Generator().manual_seed(seed)),
        loss=loss,
        optimizer=torch.optim.RMSprop(model.parameters(), lr=1e-3),
        steps=400,
        score=lambda model: explained(predict(model, x[3200:])[:, 0], -0.5 + 0.8 * signal[3200:]),
        trivial=0.0,
    )


class NegativeBinomial(nn.Module):
    """The negative log-likelihood of counts, with a dispersion that is learned along."""

    def __init__(self) -> None:
        super().__init__()
        self.log_size = nn.Parameter(torch.zeros(()))

    def forward(self, log_mean: Tensor, counts: Tensor) -> Tensor:
        """The mean over the batch, up to nothing."""
        size = self.log_size.exp()
        logits = log_mean - self.log_size
        return -torch.distributions.NegativeBinomial(size, logits=logits).log_prob(counts).mean()


@setup
def counts_overdispersed(seed: int) -> Setup:
    """Overdispersed counts by a negative binomial whose dispersion belongs to the loss."""
    x, signal, generator = _risks(seed, 3000)
    frailty = torch.randn(3000, generator=generator).mul(0.5).exp()
    counts = torch.poisson(frailty * torch.exp(1.5 + 0.7 * signal), generator=generator)
    data = split(x, torch.stack([counts, 1.6 + 0.7 * signal], 1), seed)
    model, loss = perceptron(6, 64, 32, 1), NegativeBinomial()
    made = _log_rates(data._replace(y=data.y[:, :1]), seed, data.test_y[:, 1], model, loss)
    optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=2e-3)
    return dataclasses.replace(made, optimizer=optimizer)


@setup
def spread_gaussian_nll(seed: int) -> Setup:
    """A mean and a variance for every row by nn.GaussianNLLLoss; the log-deviation is what is scored."""
    x, signal, generator = _risks(seed, 3000)
    log_deviation = 0.6 * x[:, 5] - 0.5
    y = signal + log_deviation.exp() * torch.randn(3000, generator=generator)
    data = split(x, torch.stack([y, log_deviation], 1), seed)
    model = perceptron(6, 64, 64, 2, activation=nn.SiLU)
    likelihood = nn.GaussianNLLLoss()
    return Setup(
        model=model,
        loader=batches(data.x, data.y[:, 0], seed=seed),
        loss=lambda outputs, targets: likelihood(outputs[:, 0], targets, F.softplus(outputs[:, 1]) + 1e-4),
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=500,
        score=lambda model: explained(F.softplus(predict(model, data.test_x)[:, 1]).sqrt().log(), data.test_y[:, 1]),
        trivial=0.0,
    )


@setup
def pinball_band(seed: int) -> Setup:
    """The 10, 50 and 90 per cent quantiles by the pinball loss, kept in order by softplus gaps."""
    x, signal, generator = _risks(seed, 3000)
    spread = 0.3 + 0.4 * x[:, 5].abs()
    y = signal + spread * torch.randn(3000, generator=generator)
    data = split(x, y, seed)
    levels = torch.tensor([0.1, 0.5, 0.9])
    model = perceptron(6, 64, 64, 3)

    def ordered(outputs: Tensor) -> Tensor:
        middle = outputs[:, 1:2]
        return torch.cat([middle - F.softplus(outputs[:, :1]), middle, middle + F.softplus(outputs[:, 2:])], 1)

    def pinball(outputs: Tensor, targets: Tensor) -> Tensor:
        gap = targets[:, None] - ordered(outputs)
        return torch.maximum(levels * gap, (levels - 1) * gap).mean()

    constant = data.y.quantile(levels)
    gap = data.test_y[:, None] - constant
    plain = torch.maximum(levels * gap, (levels - 1) * gap).mean().item()
    ideal = y[:, None] - signal[:, None] - spread[:, None] * torch.tensor([-1.2816, 0.0, 1.2816])
    known = torch.maximum(levels * ideal, (levels - 1) * ideal).mean().item()
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed),
        loss=pinball,
        optimizer=torch.optim.NAdam(model.parameters(), lr=2e-3),
        steps=500,
        score=lambda model: 1 - pinball(predict(model, data.test_x), data.test_y).item() / plain,
        trivial=0.0,
        best=1 - known / plain,
    )


class Cumulative(nn.Module):
    """One score and ordered thresholds, as in CORAL: a logit for 'higher than each grade'."""

    def __init__(self, inputs: int, grades: int) -> None:
        super().__init__()
        self.body = perceptron(inputs, 48, 24, 1)
        self.thresholds = nn.Parameter(torch.linspace(1.5, -1.5, grades - 1))

    def forward(self, x: Tensor) -> Tensor:
        """The logits of being above grade 0, above grade 1, and so on."""
        return self.body(x) + self.thresholds


@setup
def grades_ordinal(seed: int) -> Setup:
    """Five ordered grades by cumulative logits, with the rate lowered when the loss stalls."""
    x, signal, generator = _risks(seed, 2500)
    noisy = signal + 0.15 * torch.randn(2500, generator=generator)
    grades = torch.bucketize(noisy, noisy.quantile(torch.tensor([0.15, 0.4, 0.65, 0.85])))
    data = split(x, grades, seed)
    model = Cumulative(6, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=50)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        outputs = model(batch[0])
        above = (batch[1][:, None] > torch.arange(4)).float()
        loss = F.binary_cross_entropy_with_logits(outputs, above)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        plateau.step(loss.item())
        return loss

    return classification(
        data, seed, model, optimizer, 500, step=step, read=lambda outputs: (outputs > 0).sum(1), best=0.85
    )


@setup
def search_pairwise_ranking(seed: int) -> Setup:
    """RankNet: lists of ten documents, the logistic loss of every pair of unequal relevance."""
    x, signal, generator = _risks(seed, 6000)
    relevance = torch.bucketize(signal + 0.2 * torch.randn(6000, generator=generator), torch.tensor([0.0, 0.6, 1.2]))
    data = split(x.view(600, 10, 6), relevance.view(600, 10), seed)
    model = nn.Sequential(perceptron(6, 32, 32, 1), nn.Flatten(1))

    def loss(scores: Tensor, grades: Tensor) -> Tensor:
        better = grades[:, :, None] > grades[:, None, :]
        return F.softplus(scores[:, None, :] - scores[:, :, None])[better].mean()

    def ordered(model: nn.Module) -> float:
        scores = predict(model, data.test_x)
        better = data.test_y[:, :, None] > data.test_y[:, None, :]
        return (scores[:, :, None] > scores[:, None, :])[better].float().mean().item()

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=16),
        loss=loss,
        optimizer=torch.optim.Adagrad(model.parameters(), lr=0.02),
        steps=400,
        score=ordered,
        trivial=0.5,
    )


@setup
def search_listwise(seed: int) -> Setup:
    """ListNet: the softmax over the documents of a query against the softmax of their relevance."""
    x, signal, generator = _risks(seed, 6000)
    gain = signal + 0.2 * torch.randn(6000, generator=generator)
    data = split(x.view(750, 8, 6), gain.view(750, 8), seed)
    model = nn.Sequential(perceptron(6, 48, 48, 1), nn.Flatten(1))
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=32),
        loss=lambda scores, gains: F.cross_entropy(scores, (2 * gains).softmax(1)),
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3),
        steps=400,
        score=lambda model: agreement(predict(model, data.test_x).argmax(1), data.test_y.argmax(1)),
        trivial=1 / 8,
    )


@setup
def labels_many_at_once(seed: int) -> Setup:
    """Multi-label classification with independent sigmoids, scored by the F1 over all labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2500, 24, generator=generator)
    leaning = torch.tanh(x @ torch.randn(24, 12, generator=generator) / 4) @ torch.randn(12, 8, generator=generator)
    leaning = leaning + 0.2 * torch.randn(2500, 8, generator=generator)
    data = split(x, (leaning > leaning.quantile(0.75, 0)).float(), seed)
    model = nn.Sequential(nn.Linear(24, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = CosineAnnealingLR(optimizer, T_max=400)

    def f1(guess: Tensor) -> float:
        both = (guess & data.test_y.bool()).sum()
        return (2 * both / (guess.sum() + data.test_y.sum())).item()

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, drop_last=True),
        loss=nn.BCEWithLogitsLoss(),
        optimizer=optimizer,
        step=scheduled(nn.BCEWithLogitsLoss(), scheduler),
        steps=400,
        score=lambda model: f1(predict(model, data.test_x) > 0),
        trivial=f1(torch.ones(data.test_y.shape, dtype=torch.bool)),
    )


def _balanced(model: nn.Module, data: Data) -> float:
    """The mean over classes of the part recalled."""
    guess = predict(model, data.test_x).argmax(1)
    return (
        torch.stack([(guess[data.test_y == label] == label).float().mean() for label in data.y.unique()]).mean().item()
    )


def _fraud(seed: int) -> Data:
    x, y = datasets.make_classification(
        4000, n_features=16, n_informative=8, weights=[0.95], class_sep=2.0, flip_y=0.0, random_state=seed
    )
    return standardised(x, y, seed)


@setup
def fraud_focal(seed: int) -> Setup:
    """One positive in twenty and the focal loss with class weights."""
    data = _fraud(seed)
    model = perceptron(16, 64, 32, 2)
    weights = torch.tensor([0.25, 0.75])

    def focal(outputs: Tensor, targets: Tensor) -> Tensor:
        entropy = F.cross_entropy(outputs, targets, reduction="none")
        return (weights[targets] * (1 - (-entropy).exp()) ** 2 * entropy).mean()

    made = classification(data, seed, model, torch.optim.Adam(model.parameters(), lr=3e-3), 500, size=128, loss=focal)
    return dataclasses.replace(made, score=lambda model: _balanced(model, data), trivial=0.5)


@setup
def fraud_weighted_sampler(seed: int) -> Setup:
    """One positive in twenty and a sampler that draws both classes equally often."""
    data = _fraud(seed)
    share = 1.0 / data.y.bincount()[data.y].double()
    generator = torch.Generator().manual_seed(seed)
    sampler = WeightedRandomSampler(share, len(data.y), generator=generator)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 2))
    made = classification(data, seed, model, torch.optim.AdamW(model.parameters(), lr=2e-3), 400)
    loader = DataLoader(TensorDataset(data.x, data.y), 64, sampler=sampler)
    return dataclasses.replace(made, loader=loader, score=lambda model: _balanced(model, data), trivial=0.5)


@setup
def digits_long_tail_logit_adjusted(seed: int) -> Setup:
    """Digits of which later classes are ever rarer, with logits adjusted by the classes' frequencies."""
    data = digits(seed, flat=True)
    keep = torch.rand(len(data.y), generator=torch.Generator().manual_seed(seed)) < 0.78 ** data.y.float()
    data = data._replace(x=data.x[keep], y=data.y[keep])
    prior = (data.y.bincount(minlength=10) / len(data.y)).log()
    model = perceptron(64, 96, 10)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs + prior, targets)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    made = classification(data, seed, model, optimizer, 300, size=32, loss=loss)
    return dataclasses.replace(made, score=lambda model: _balanced(model, data), trivial=0.1)


@setup
def cancer_hinge(seed: int) -> Setup:
    """A linear support vector machine: the squared hinge loss and weight decay."""
    data = table("breast_cancer", seed)
    data = data._replace(y=2.0 * data.y - 1)
    model = nn.Sequential(nn.Linear(30, 1), nn.Flatten(0))
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=32),
        loss=lambda outputs, targets: F.relu(1 - outputs * targets).square().mean(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01, weight_decay=0.01),
        steps=300,
        score=lambda model: agreement(predict(model, data.test_x) > 0, data.test_y == 1),
        trivial=majority(data.test_y),
    )
