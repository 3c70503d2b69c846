"""Pictures: small convolutional networks, augmentation, dense prediction and fine-tuning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR
from torch.utils.data import DataLoader, Dataset

from .data import Data, accuracy, batches, classification, digits, majority, predict, regression, scheduled, split
from .setup import Setup, setup


def small_cnn(outputs: int = 10, channels: int = 1) -> nn.Sequential:
    """Two convolutions with pooling, and a linear classifier of 8 by 8 pictures."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, outputs),
    )


@setup
def digits_mlp(seed: int) -> Setup:
    """The digits flattened into a perceptron, the first network of every course."""
    data = digits(seed, flat=True)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    return classification(data, seed, model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), 300)


@setup
def digits_cnn(seed: int) -> Setup:
    """The digits with a small convolutional network and Adam."""
    model = small_cnn()
    return classification(digits(seed), seed, model, torch.optim.Adam(model.parameters(), lr=2e-3), 300)


class LeNet(nn.Module):
    """A network in the manner of LeNet: tanh, average pooling and log-probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 16, 3, padding=1)
        self.fc1 = nn.Linear(64, 48)
        self.fc2 = nn.Linear(48, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities of the ten digits."""
        features = F.avg_pool2d(torch.tanh(self.conv1(images)), 2)
        features = F.avg_pool2d(torch.tanh(self.conv2(features)), 2)
        features = torch.tanh(self.fc1(features.flatten(1)))
        return F.log_softmax(self.fc2(features), dim=1)


@setup
def digits_lenet_nll(seed: int) -> Setup:
    """A LeNet that returns log-probabilities, with the negative log-likelihood loss."""
    model = LeNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return classification(digits(seed), seed, model, optimizer, 400, loss=F.nll_loss)


class Residual(nn.Module):
    """Two normalised convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """The shortcut plus the body, rectified."""
        return F.relu(self.shortcut(images) + self.body(images))


@setup
def digits_resnet(seed: int) -> Setup:
    """A small residual network with batch norm, weight decay and cosine annealing."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        Residual(12, 12),
        Residual(12, 24, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    step = scheduled(F.cross_entropy, CosineAnnealingLR(optimizer, 250))
    return classification(digits(seed), seed, model, optimizer, 250, step=step, drop_last=True)


class Shifted(Dataset):
    """Pictures moved by up to a pixel at random, and a little noise."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        down, right = torch.randint(-1, 2, (2,)).tolist()
        image = torch.roll(self.images[index], (down, right), dims=(1, 2))
        return image + 0.05 * torch.randn_like(image), int(self.labels[index])


@setup
def digits_augmented(seed: int) -> Setup:
    """Random shifts and noise in the data set, dropout in the head."""
    data = digits(seed)
    model = nn.Sequential(*list(small_cnn())[:-1], nn.Dropout(0.3), nn.Linear(128, 10))
    return Setup(
        model=model,
        loader=DataLoader(Shifted(data.x, data.y), 64, shuffle=True, generator=torch.Generator().manual_seed(seed)),
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3),
        steps=400,
        score=accuracy(data.test_x, data.test_y),
        trivial=majority(data.test_y),
    )


def shapes(seed: int, count: int = 1200, side: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Coloured squares, discs and crosses on a noisy ground: pictures, kinds and masks."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 3, (count,), generator=generator)
    centre = 5 + (side - 10) * torch.rand(count, 2, 1, 1, generator=generator)
    radius = 2.5 + 2 * torch.rand(count, 1, 1, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    down, right = (rows - centre[:, 0]).abs(), (columns - centre[:, 1]).abs()
    square = torch.maximum(down, right) <= radius * 0.8
    disc = (down.square() + right.square()).sqrt() <= radius
    cross = (torch.minimum(down, right) <= 0.8) & (torch.maximum(down, right) <= radius)
    masks = torch.stack([square, disc, cross])[kinds, torch.arange(count)]
    colour = 0.6 + torch.rand(count, 3, 1, 1, generator=generator)
    images = colour * masks[:, None] + 0.2 * torch.randn(count, 3, side, side, generator=generator)
    return (images - images.mean((0, 2, 3), keepdim=True)) / images.std((0, 2, 3), keepdim=True), kinds, masks.float()


@setup
def shapes_label_smoothing(seed: int) -> Setup:
    """Three shapes in colour, group norm instead of batch norm, smoothed labels."""
    images, kinds, _ = shapes(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.GELU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.GroupNorm(4, 32),
        nn.GELU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(512, 3),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    return classification(split(images, kinds, seed), seed, model, optimizer, 250, size=32, loss=loss)


class SmallUNet(nn.Module):
    """One level down, one level up, and a skip between them."""

    def __init__(self, inputs: int = 3, outputs: int = 1) -> None:
        super().__init__()
        self.outer = nn.Sequential(nn.Conv2d(inputs, 12, 3, padding=1), nn.ReLU())
        self.inner = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(24, 12, 2, stride=2)
        self.head = nn.Sequential(nn.Conv2d(24, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, outputs, 1))

    def forward(self, images: Tensor) -> Tensor:
        """A map of logits as large as the pictures."""
        outer = self.outer(images)
        return self.head(torch.cat([outer, self.up(self.inner(outer))], 1))


def overlap(logits: Tensor, masks: Tensor) -> float:
    """The intersection over union of the predicted and the true masks."""
    guess, truth = logits > 0, masks > 0.5
    return ((guess & truth).sum() / (guess | truth).sum()).item()


@setup
def shapes_segmentation(seed: int) -> Setup:
    """A small U-Net that finds the shapes, by cross-entropy of each pixel plus the Dice loss."""
    images, _, masks = shapes(seed, 800)
    data = split(images, masks[:, None], seed)

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        shares = logits.sigmoid()
        dice = 1 - (2 * (shares * masks).sum() + 1) / (shares.sum() + masks.sum() + 1)
        return F.binary_cross_entropy_with_logits(logits, masks) + dice

    model = SmallUNet()
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=16),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=200,
        score=lambda model: overlap(predict(model, data.test_x), data.test_y),
        trivial=data.test_y.mean().item(),
    )


@setup
def shapes_keypoint(seed: int) -> Setup:
    """A network that regresses the centre of each shape in units of the picture."""
    images, _, masks = shapes(seed)
    rows = (masks.sum(2) * torch.arange(16.0)).sum(1) / masks.sum((1, 2))
    columns = (masks.sum(1) * torch.arange(16.0)).sum(1) / masks.sum((1, 2))
    centres = torch.stack([rows, columns], 1) / 8 - 1
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 64),
        nn.ReLU(),
        nn.Linear(64, 2),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    return regression(split(images, centres, seed), seed, model, optimizer, 300, size=32, loss=nn.L1Loss())


@setup
def digits_denoising(seed: int) -> Setup:
    """A convolutional network that removes noise from digits by predicting what is left over."""
    clean = digits(seed)
    generator = torch.Generator().manual_seed(seed)
    noisy = [part + 0.8 * torch.randn(part.shape, generator=generator) for part in (clean.x, clean.test_x)]
    data = Data(noisy[0], clean.x - noisy[0], noisy[1], clean.test_x - noisy[1])
    model = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 1, 3, 1, 1)
    )
    return regression(data, seed, model, torch.optim.Adam(model.parameters(), lr=2e-3), 300, best=0.9)


@setup
def digits_fine_tuning(seed: int) -> Setup:
    """A body trained on the digits 0 to 4 beforehand, then frozen, with a new head for the digits 5 to 9."""
    data = digits(seed)
    body, old_head = small_cnn()[:-1], nn.Linear(128, 5)
    early = data.y < 5
    earlier = torch.optim.Adam([*body.parameters(), *old_head.parameters()], lr=2e-3)
    for _ in range(6):
        for images, labels in batches(data.x[early], data.y[early], seed=seed):
            earlier.zero_grad()
            F.cross_entropy(old_head(body(images)), labels).backward()
            earlier.step()
    body.zero_grad()
    body.requires_grad_(False)
    model = nn.Sequential(body, nn.Linear(128, 5))
    late, held = ~early, data.test_y >= 5
    task = Data(data.x[late], data.y[late] - 5, data.test_x[held], data.test_y[held] - 5)
    return classification(task, seed, model, torch.optim.Adam(model[1].parameters(), lr=5e-3), 200, size=32)


@setup
def digits_mixup(seed: int) -> Setup:
    """Mixup: pairs of digits and of their one-hot labels blended in every step, with a multi-step schedule."""
    model = small_cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = MultiStepLR(optimizer, [250, 350], gamma=0.2)
    mixing = torch.distributions.Beta(0.4, 0.4)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        images, labels = batch
        share, partner = mixing.sample(), torch.randperm(len(images))
        outputs = model(share * images + (1 - share) * images[partner])
        loss = share * F.cross_entropy(outputs, labels) + (1 - share) * F.cross_entropy(outputs, labels[partner])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    return classification(digits(seed), seed, model, optimizer, 400, step=step)


@setup
def digits_channels_last_separable(seed: int) -> Setup:
    """Depthwise separable convolutions in the channels-last layout, with RMSprop."""
    data = digits(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU6(),
        nn.Conv2d(24, 24, 3, stride=2, padding=1, groups=24, bias=False),
        nn.Conv2d(24, 48, 1, bias=False),
        nn.BatchNorm2d(48),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(192, 10),
    ).to(memory_format=torch.channels_last)
    images = data.x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.95)
    return classification(data._replace(x=images), seed, model, optimizer, 300, size=50, drop_last=True)
