"""Tables: the plain tutorials, the course homework and the competition entries."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from .data import Data, classification, diabetes, perceptron, regression, split, standardised, table
from .setup import Setup, setup


@setup
def cancer_mlp(seed: int) -> Setup:
    """A small perceptron on the breast cancer table, as in any tutorial."""
    data = table("breast_cancer", seed)
    model = perceptron(30, 64, 32, 2)
    return classification(data, seed, model, torch.optim.Adam(model.parameters(), lr=1e-3), 250, size=32)


@setup
def cancer_logistic(seed: int) -> Setup:
    """Logistic regression with one logit and binary cross-entropy."""
    data = table("breast_cancer", seed)
    model = nn.Linear(30, 1)
    return classification(
        data,
        seed,
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        200,
        size=32,
        loss=lambda outputs, targets: F.binary_cross_entropy_with_logits(outputs.squeeze(1), targets.float()),
        read=lambda outputs: (outputs.squeeze(1) > 0).long(),
    )


@setup
def cancer_sigmoid_output(seed: int) -> Setup:
    """A perceptron that ends in a sigmoid and is trained by nn.BCELoss, the way of older courses."""
    data = table("breast_cancer", seed)
    data = data._replace(y=data.y.float().unsqueeze(1))
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classification(
        data, seed, model, optimizer, 250, size=32, loss=nn.BCELoss(), read=lambda outputs: (outputs[:, 0] > 0.5).long()
    )


@setup
def wine_softmax_regression(seed: int) -> Setup:
    """Softmax regression of the wine table with weight decay."""
    data = table("wine", seed)
    model = nn.Linear(13, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    return classification(data, seed, model, optimizer, 150, size=16)


@setup
def iris_homework(seed: int) -> Setup:
    """The iris homework: one hidden layer, Adam, small batches."""
    data = table("iris", seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    return classification(data, seed, model, torch.optim.Adam(model.parameters(), lr=0.01), 200, size=16)


@setup
def diabetes_ridge(seed: int) -> Setup:
    """Linear regression of the diabetes table with L2 regularisation as weight decay."""
    data = diabetes(seed)
    model = nn.Linear(10, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=0.01)
    return regression(data, seed, model, optimizer, 300, size=32, best=0.5)


@setup
def diabetes_dropout(seed: int) -> Setup:
    """A perceptron with dropout on the diabetes table, stopped early."""
    data = diabetes(seed)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    return regression(data, seed, model, optimizer, 250, size=32, best=0.5)


def _friedman(seed: int, noise: float = 1.0) -> Data:
    x, y = datasets.make_friedman1(2000, n_features=10, noise=noise, random_state=seed)
    return standardised(x, y, seed, regression=True)


@setup
def friedman_mlp(seed: int) -> Setup:
    """A perceptron on Friedman's first problem with a cosine schedule over the whole run."""
    data = _friedman(seed)
    model = perceptron(10, 64, 64, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = CosineAnnealingLR(optimizer, T_max=500)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        inputs, targets = batch
        optimizer.zero_grad()
        loss = F.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    return regression(data, seed, model, optimizer, 500, step=step)


@setup
def friedman_huber(seed: int) -> Setup:
    """A perceptron with the smooth L1 loss on a table whose targets have outliers."""
    data = _friedman(seed)
    noisy = data.y.clone()
    spoilt = torch.randperm(len(noisy), generator=torch.Generator().manual_seed(seed))[:60]
    noisy[spoilt] += 5 * torch.randn(60, 1)
    model = perceptron(10, 64, 32, 1, activation=nn.SiLU)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regression(data._replace(y=noisy), seed, model, optimizer, 500, loss=nn.SmoothL1Loss())


@setup
def two_moons(seed: int) -> Setup:
    """The two moons with a tanh network and plain gradient descent with momentum."""
    x, y = datasets.make_moons(1000, noise=0.15, random_state=seed)
    data = standardised(x, y, seed)
    model = perceptron(2, 32, 32, 2, activation=nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return classification(data, seed, model, optimizer, 400, size=32)


@setup
def synthetic_batchnorm(seed: int) -> Setup:
    """A competition-style network of linear, batch norm, ReLU and dropout blocks with the one-cycle policy."""
    x, y = datasets.make_classification(
        2000, n_features=20, n_informative=10, n_classes=4, class_sep=1.5, random_state=seed
    )
    data = standardised(x, y, seed)
    blocks = [nn.Sequential(nn.Linear(wide, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1)) for wide in (20, 64)]
    model = nn.Sequential(*blocks, nn.Linear(64, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = OneCycleLR(optimizer, max_lr=1e-2, total_steps=600)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        inputs, targets = batch
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    return classification(data, seed, model, optimizer, 600, step=step, drop_last=True)


class MixedTable(nn.Module):
    """Embeddings of the categories beside the scaled numbers."""

    def __init__(self, sizes: tuple[int, ...], numbers: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = nn.ModuleList(nn.Embedding(size, 6) for size in sizes)
        self.head = perceptron(6 * len(sizes) + numbers, 64, 32, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows hold the categories' codes first and the numbers after them."""
        codes = rows[:, : len(self.sizes)].long()
        embedded = [embedding(codes[:, column]) for column, embedding in enumerate(self.embeddings)]
        return self.head(torch.cat([*embedded, rows[:, len(self.sizes) :]], 1))


@setup
def house_prices(seed: int) -> Setup:
    """Categories by embeddings and numbers together, predicting the logarithm of a price."""
    generator = torch.Generator().manual_seed(seed)
    quarter = torch.randint(0, 12, (2400,), generator=generator)
    style = torch.randint(0, 5, (2400,), generator=generator)
    numbers = torch.randn(2400, 4, generator=generator)
    worth, taste = torch.randn(12, generator=generator), torch.randn(5, generator=generator)
    price = worth[quarter] + 0.5 * taste[style] + 0.6 * numbers[:, 0] + 0.3 * numbers[:, 1] * numbers[:, 2]
    price = price + 0.2 * torch.randn(2400, generator=generator)
    rows = torch.cat([quarter[:, None].float(), style[:, None].float(), numbers], 1)
    data = split(rows, ((price - price.mean()) / price.std())[:, None], seed)
    model = MixedTable((12, 5), 4)
    return regression(data, seed, model, torch.optim.Adam(model.parameters(), lr=2e-3), 500, size=128)


@setup
def churn_rare_class(seed: int) -> Setup:
    """A table with one positive in eight, its loss weighted by pos_weight, scored by balanced accuracy."""
    x, y = datasets.make_classification(
        2400, n_features=16, n_informative=8, weights=[0.88], class_sep=1.6, flip_y=0.0, random_state=seed
    )
    data = standardised(x, y, seed)
    data = data._replace(y=data.y.float())
    model = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 1), nn.Flatten(0))
    weight = ((data.y == 0).sum() / (data.y == 1).sum()).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    made = classification(data, seed, model, optimizer, 400, loss=nn.BCEWithLogitsLoss(pos_weight=weight))

    def balanced(model: nn.Module) -> float:
        with torch.no_grad():
            guess = model(data.test_x) > 0
        recalls = [(guess[data.test_y == label] == bool(label)).float().mean().item() for label in (0, 1)]
        return sum(recalls) / 2

    return Setup(**{**vars(made), "score": balanced, "trivial": 0.5})


@setup
def covertype_step_decay(seed: int) -> Setup:
    """Seven unequal classes of a synthetic table, SGD with Nesterov momentum and step decay by epochs."""
    x, y = datasets.make_classification(
        2800,
        n_features=24,
        n_informative=14,
        n_classes=7,
        n_clusters_per_class=1,
        weights=[0.3, 0.22, 0.16, 0.12, 0.08, 0.06, 0.06],
        class_sep=1.5,
        random_state=seed,
    )
    data = standardised(x, y, seed)
    model = perceptron(24, 96, 48, 7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    scheduler = StepLR(optimizer, step_size=250, gamma=0.2)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    return classification(data, seed, model, optimizer, 600, step=step)
