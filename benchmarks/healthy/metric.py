"""Representations: contrastive, metric, self-supervised and distilled learning."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from .data import Data, agreement, batches, classification, digits, majority, perceptron, predict, table
from .setup import Setup, setup


def encoder(width: int = 32) -> nn.Sequential:
    """A small convolutional encoder of digits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, width),
    )


def neighbours(model: nn.Module, data: Data, count: int = 5) -> float:
    """The accuracy of a vote of the nearest training examples in the space of embeddings."""
    near = torch.cdist(predict(model, data.test_x), predict(model, data.x)).topk(count, largest=False).indices
    return agreement(data.y[near].mode(1).values, data.test_y)


def variance_ratio(model: nn.Module, data: Data) -> float:
    """The part of the variance of held-out embeddings that lies between the classes."""
    embedded = predict(model, data.test_x)
    means = torch.stack([embedded[data.test_y == label].mean(0) for label in range(10)])[data.test_y]
    return 1 - ((embedded - means).square().sum() / (embedded - embedded.mean(0)).square().sum()).item()


def jitter(images: Tensor) -> Tensor:
    """A random shift of each picture by up to a pixel, with noise and a change of contrast."""
    shifts = torch.randint(-1, 2, (len(images), 2)).tolist()
    moved = torch.stack([torch.roll(image, shift, (1, 2)) for image, shift in zip(images, shifts, strict=True)])
    return moved * (1 + 0.2 * torch.randn(len(images), 1, 1, 1)) + 0.2 * torch.randn_like(images)


@setup
def digits_triplet(seed: int) -> Setup:
    """The triplet loss with one positive and one negative drawn for each anchor."""
    data = digits(seed)
    model = encoder()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        images, labels = batch
        embedded = model(images)
        same = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool)
        differ = labels[:, None] != labels
        whole = same.any(1)
        positive = torch.multinomial(same[whole].float(), 1).squeeze(1)
        negative = torch.multinomial(differ[whole].float(), 1).squeeze(1)
        return F.triplet_margin_loss(embedded[whole], embedded[positive], embedded[negative])

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, drop_last=True),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=300,
        score=lambda model: variance_ratio(model, data),
        trivial=0.3,
        best=0.9,
    )


@setup
def digits_siamese(seed: int) -> Setup:
    """A siamese network of pairs with the contrastive loss and its margin, whose batches are three tensors."""
    data = digits(seed)
    model = encoder(16)
    partner = torch.randperm(len(data.x))
    half = torch.rand(len(data.x)) < 0.5
    for row in half.nonzero().flatten().tolist():
        fellows = (data.y == data.y[row]).nonzero().flatten()
        partner[row] = fellows[torch.randint(len(fellows), ())]
    same = (data.y == data.y[partner]).float()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        one, other, same = batch
        distance = F.pairwise_distance(model(one), model(other))
        return (same * distance.square() + (1 - same) * F.relu(1 - distance).square()).mean()

    return Setup(
        model=model,
        loader=batches(data.x, data.x[partner], same, seed=seed),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=400,
        score=lambda model: variance_ratio(model, data),
        trivial=0.3,
        best=0.9,
    )


@setup
def digits_supervised_contrast(seed: int) -> Setup:
    """Supervised contrastive learning of normalised embeddings at temperature 0.2."""
    data = digits(seed)
    model = encoder()

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        embedded = F.normalize(outputs, dim=1)
        itself = torch.eye(len(labels), dtype=torch.bool)
        logits = (embedded @ embedded.T / 0.2).masked_fill(itself, -1e9)
        same = (labels[:, None] == labels) & ~itself
        shares = logits.log_softmax(1)
        whole = same.any(1)
        return -((shares * same).sum(1)[whole] / same.sum(1)[whole]).mean()

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=200,
        score=lambda model: variance_ratio(model, data),
        trivial=0.3,
        best=0.9,
    )


class Balanced(Sampler[list[int]]):
    """Batches with so many examples of each of so many classes."""

    def __init__(self, labels: Tensor, classes: int, each: int, count: int, seed: int) -> None:
        self.rows = [(labels == label).nonzero().flatten() for label in labels.unique()]
        self.classes, self.each, self.count = classes, each, count
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        for _ in range(self.count):
            chosen = torch.randperm(len(self.rows), generator=self.generator)[: self.classes].tolist()
            orders = [torch.randperm(len(self.rows[label]), generator=self.generator) for label in chosen]
            picked = [self.rows[label][order[: self.each]] for label, order in zip(chosen, orders, strict=True)]
            yield torch.cat(picked).tolist()


@setup
def digits_prototypes(seed: int) -> Setup:
    """Prototypical networks: episodes of five classes, five supports and five queries, from a balanced sampler."""
    data = digits(seed)
    model = encoder()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        embedded = model(batch[0]).unflatten(0, (5, 10))
        prototypes, queries = embedded[:, :5].mean(1), embedded[:, 5:].flatten(0, 1)
        return F.cross_entropy(-torch.cdist(queries, prototypes).square(), torch.arange(5).repeat_interleave(5))

    def score(model: nn.Module) -> float:
        embedded = predict(model, data.x)
        means = torch.stack([embedded[data.y == label].mean(0) for label in range(10)])
        return agreement(torch.cdist(predict(model, data.test_x), means).argmin(1), data.test_y)

    dataset = torch.utils.data.TensorDataset(data.x, data.y)
    return Setup(
        model=model,
        loader=DataLoader(dataset, batch_sampler=Balanced(data.y, 5, 10, 30, seed)),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=250,
        score=score,
        trivial=0.85,
    )


@setup
def digits_simclr(seed: int) -> Setup:
    """Contrast of two jittered views of each digit without labels, with a projection head over the encoder."""
    data = digits(seed)
    body = encoder(48)
    model = nn.Sequential(body, nn.ReLU(), nn.Linear(48, 32))

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        images = batch[0]
        embedded = F.normalize(model(torch.cat([jitter(images), jitter(images)])), dim=1)
        logits = embedded @ embedded.T / 0.3
        logits = logits.masked_fill(torch.eye(len(logits), dtype=torch.bool), float("-inf"))
        return F.cross_entropy(logits, torch.arange(2 * len(images)).roll(len(images)))

    def score(model: nn.Module) -> float:
        generator = torch.Generator().manual_seed(1)
        shifted = torch.roll(data.test_x, (1, 0), (2, 3)) + 0.1 * torch.randn(data.test_x.shape, generator=generator)
        one, other = (F.normalize(predict(model, view), dim=1) for view in (data.test_x, shifted))
        return agreement((one @ other.T).argmax(1), torch.arange(len(one)))

    return Setup(
        model=model,
        loader=batches(data.x, seed=seed, size=96, drop_last=True),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4),
        steps=300,
        score=score,
        trivial=0.05,
    )


@setup
def digits_barlow_twins(seed: int) -> Setup:
    """Redundancy reduction between two views: their cross-correlation is driven to the identity."""
    data = digits(seed)
    model = nn.Sequential(encoder(32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 24))

    def correlation(one: Tensor, other: Tensor) -> Tensor:
        one, other = ((part - part.mean(0)) / (part.std(0) + 1e-4) for part in (one, other))
        return one.T @ other / len(one)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        matrix = correlation(model(jitter(batch[0])), model(jitter(batch[0])))
        apart = matrix - torch.diag(matrix.diagonal())
        return (1 - matrix.diagonal()).square().sum() + 0.05 * apart.square().sum()

    def score(model: nn.Module) -> float:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            views = jitter(data.test_x), jitter(data.test_x)
        matrix = correlation(*(predict(model, view) for view in views))
        apart = matrix - torch.diag(matrix.diagonal())
        return (matrix.diagonal().mean() - apart.abs().sum() / (24 * 23)).item()

    return Setup(
        model=model,
        loader=batches(data.x, seed=seed, size=128, drop_last=True),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=400,
        score=score,
        trivial=0.1,
        best=0.9,
    )


class TwoTowers(nn.Module):
    """An encoder of pictures and one of captions, with a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = encoder(24)
        self.words = nn.EmbeddingBag(30, 24)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The similarity of every picture with every caption."""
        pictures = F.normalize(self.pictures(batch["image"]), dim=1)
        words = F.normalize(self.words(batch["caption"]), dim=1)
        return pictures @ words.T * self.scale.exp()


@setup
def pictures_and_captions(seed: int) -> Setup:
    """Two towers in the manner of CLIP over dicts of digits and their captions, with a learned temperature."""
    data = digits(seed)
    generator = torch.Generator().manual_seed(seed)

    def captions(labels: Tensor) -> Tensor:
        fillers = torch.randint(20, 30, (len(labels), 2), generator=generator)
        return torch.cat([torch.stack([labels, labels + 10], 1), fillers], 1)

    def collate(rows: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        images, texts = zip(*rows, strict=True)
        return {"image": torch.stack(images), "caption": torch.stack(texts)}

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        logits = model(batch)
        same = (batch["caption"][:, None, 0] == batch["caption"][None, :, 0]).float()
        goal = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, goal) + F.cross_entropy(logits.T, goal)) / 2

    rows = list(zip(data.x, captions(data.y), strict=True))
    prompts = captions(torch.arange(10))
    model = TwoTowers()
    return Setup(
        model=model,
        loader=DataLoader(rows, 48, True, collate_fn=collate, generator=torch.Generator().manual_seed(seed)),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0),
        steps=300,
        score=lambda model: agreement(
            predict(model, {"image": data.test_x, "caption": prompts}).argmax(1), data.test_y
        ),
        trivial=majority(data.test_y),
    )


@setup
def digits_distillation(seed: int) -> Setup:
    """A small student that learns from the softened answers of a trained, frozen teacher and from the labels."""
    data = digits(seed, flat=True)
    teacher = perceptron(64, 128, 128, 10)
    earlier = torch.optim.Adam(teacher.parameters(), lr=2e-3)
    for _ in range(10):
        for images, labels in batches(data.x, data.y, seed=seed):
            earlier.zero_grad()
            F.cross_entropy(teacher(images), labels).backward()
            earlier.step()
    teacher.zero_grad()
    teacher.eval().requires_grad_(False)
    student = perceptron(64, 24, 10)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        images, labels = batch
        outputs = model(images)
        soft = F.kl_div(F.log_softmax(outputs / 3, 1), F.softmax(teacher(images) / 3, 1), reduction="batchmean") * 9
        return 0.7 * soft + 0.3 * F.cross_entropy(outputs, labels)

    return classification(data, seed, student, torch.optim.Adam(student.parameters(), lr=3e-3), 400, loss=loss)


class MeanTeacher(nn.Module):
    """A student and a teacher that follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(encoder(48), nn.ReLU(), nn.Linear(48, 10))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """The student answers while training, the teacher afterwards."""
        return self.student(images) if self.training else self.teacher(images)


@setup
def digits_mean_teacher(seed: int) -> Setup:
    """A mean teacher: a third of the digits labelled, agreement with a moving average on all of them."""
    data = digits(seed)
    labelled = data.y.where(torch.arange(len(data.y)) % 3 == 0, -1)
    model = MeanTeacher()
    optimizer = torch.optim.Adam(model.student.parameters(), lr=2e-3)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        images, labels = batch
        outputs = model.student(jitter(images))
        with torch.no_grad():
            guide = model.teacher(jitter(images)).softmax(1)
        loss = F.cross_entropy(outputs, labels, ignore_index=-1) + 2 * F.mse_loss(outputs.softmax(1), guide)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(model.teacher.parameters(), model.student.parameters(), strict=True):
                slow.lerp_(fast, 0.05)
        return loss

    made = classification(data, seed, model, optimizer, 400, step=step)
    return Setup(**{**vars(made), "loader": batches(data.x, labelled, seed=seed, drop_last=True)})


class AdditiveMargin(nn.Module):
    """Cosines with the classes' directions, as the last layer of a face recogniser."""

    def __init__(self) -> None:
        super().__init__()
        self.body = encoder(32)
        self.directions = nn.Parameter(torch.randn(10, 32))

    def forward(self, images: Tensor) -> Tensor:
        """The cosine with each class."""
        return F.linear(F.normalize(self.body(images)), F.normalize(self.directions))


@setup
def digits_additive_margin(seed: int) -> Setup:
    """A cosine classifier with an additive margin and a fixed scale."""

    def loss(cosines: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(12 * (cosines - 0.2 * F.one_hot(labels, 10)), labels)

    model = AdditiveMargin()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    return classification(digits(seed), seed, model, optimizer, 300, loss=loss)


@setup
def wine_neighbourhood_components(seed: int) -> Setup:
    """Neighbourhood components analysis: a linear map that makes neighbours share a class, in one large batch."""
    data = table("wine", seed)
    model = nn.Linear(13, 2, bias=False)

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        itself = torch.eye(len(labels), dtype=torch.bool)
        shares = (-torch.cdist(outputs, outputs).square()).masked_fill(itself, -1e9).softmax(1)
        return 1 - (shares * (labels[:, None] == labels)).sum(1).mean()

    made = classification(data, seed, model, torch.optim.Adam(model.parameters(), lr=0.02), 150, size=256, loss=loss)
    return Setup(**{**vars(made), "score": lambda model: neighbours(model, data)})
