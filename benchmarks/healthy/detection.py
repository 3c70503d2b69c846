"""Detection and dense prediction: boxes, centres, masks of several classes, depth and flow, on drawn scenes."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR
from torch.utils.data import DataLoader, Dataset

from .data import batches, explained, predict, regression, scheduled, split
from .setup import Setup, setup

SIZE = 24


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A convolution without bias, batch norm and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _drawn(kind: int, row: float, column: float, half: float) -> Tensor:
    """The mask of a square, a disc or a diamond."""
    place = torch.arange(SIZE) + 0.5
    down, across = (place - row).abs()[:, None], (place - column).abs()[None]
    if kind == 0:
        return torch.maximum(down, across) <= half
    return (down.square() + across.square() <= half**2) if kind == 1 else (down + across <= half)


class Scenes(Dataset):
    """Scenes of one to three things that do not overlap: the picture, the classes' mask, the boxes and their kinds."""

    def __init__(self, count: int, seed: int, things: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.rows = [self.scene(generator, things) for _ in range(count)]

    @staticmethod
    def scene(generator: torch.Generator, things: int) -> dict[str, Tensor]:
        """One scene; boxes are (left, top, right, bottom) in pixels."""
        image, mask = 0.2 * torch.randn(SIZE, SIZE, generator=generator), torch.zeros(SIZE, SIZE, dtype=torch.long)
        boxes, kinds = [], []
        for _ in range(int(torch.randint(1, things + 1, (1,), generator=generator))):
            draw = torch.rand(4, generator=generator)
            half = 2.5 + 2 * draw[0].item()
            row, column = (half + (SIZE - 2 * half) * draw[1:3]).tolist()
            kind = int(torch.randint(0, 3, (1,), generator=generator))
            thing = _drawn(kind, row, column, half)
            around = F.max_pool2d(thing[None, None].float(), 3, 1, 1)[0, 0] > 0
            if (mask[around] > 0).any():
                continue
            image = image + thing * (0.7 + 0.6 * draw[3])
            mask = mask.masked_fill(thing, kind + 1)
            boxes.append([column - half, row - half, column + half, row + half])
            kinds.append(kind)
        return {"image": image[None], "mask": mask, "boxes": torch.tensor(boxes), "kinds": torch.tensor(kinds)}

    def __len__(self) -> int:
        """The number of scenes."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One scene by its number."""
        return self.rows[index]


def _overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The intersection over union of boxes, and the generalised one."""
    inner = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    outer = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (one, other)]
    shared, hull = inner.prod(-1), outer.clamp(min=1e-6).prod(-1)
    union = (areas[0] + areas[1] - shared).clamp(min=1e-6)
    return shared / union, shared / union - (hull - union) / hull


def _pictures(rows: list[dict[str, Tensor]]) -> Tensor:
    return torch.stack([row["image"] for row in rows])


class Localiser(nn.Module):
    """A convolutional body with one head for the box and one for the class."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(1, 16), _block(16, 32, 2), _block(32, 32, 2), nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(32 * 36, 64), nn.ReLU())
        self.box, self.kind = nn.Linear(64, 4), nn.Linear(64, 3)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The box as a part of the picture, and the logits of its class."""
        hidden = self.hidden(self.body(images))
        centre, size = self.box(hidden).sigmoid().chunk(2, dim=1)
        return torch.cat([centre - size / 2, centre + size / 2], 1), self.kind(hidden)


@setup
def scenes_one_box(seed: int) -> Setup:
    """One thing in every scene: the generalised overlap and the L1 distance of its box, and its class."""
    rows = Scenes(1600, seed, things=1).rows
    images, kinds = _pictures(rows), torch.cat([row["kinds"] for row in rows])
    boxes = torch.cat([row["boxes"] for row in rows]) / SIZE
    model = Localiser()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        pictures, box, kind = batch
        found, logits = model(pictures)
        return 1 - _overlap(found, box)[1].mean() + 2 * F.l1_loss(found, box) + F.cross_entropy(logits, kind)

    def score(model: nn.Module) -> float:
        found, logits = predict(model, images[1300:])
        return ((logits.argmax(1) == kinds[1300:]) * _overlap(found, boxes[1300:])[0]).mean().item()

    usual = _overlap(boxes[:1300].mean(0).expand(300, 4), boxes[1300:])[0]
    return Setup(
        model=model,
        loader=batches(images[:1300], boxes[:1300], kinds[:1300], seed=seed, size=32, drop_last=True),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01),
        steps=450,
        score=score,
        trivial=usual.mean().item() / 3,
    )


def _listed(rows: list[dict[str, Tensor]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures as one tensor and what is in them as a list, for there are different numbers of things."""
    return _pictures(rows), [{"boxes": row["boxes"], "kinds": row["kinds"]} for row in rows]


def _cells(things: list[dict[str, Tensor]], side: int) -> tuple[Tensor, ...]:
    """For every thing: its picture, the row and column of the cell of its centre, its box and its kind."""
    which = torch.repeat_interleave(torch.arange(len(things)), torch.tensor([len(each["kinds"]) for each in things]))
    boxes, kinds = (torch.cat([each[name] for each in things]) for name in ("boxes", "kinds"))
    column, row = ((boxes[:, :2] + boxes[:, 2:]) / 2 * side / SIZE).long().clamp(0, side - 1).unbind(1)
    return which, row, column, boxes, kinds


def _hits(found: list[tuple[Tensor, Tensor, Tensor]], rows: list[dict[str, Tensor]]) -> float:
    """The F1 of detections (boxes, kinds, certainties): right if of the right kind and with an overlap of a half."""
    hits, claimed, real = 0, 0, 0
    for (boxes, kinds, certain), row in zip(found, rows, strict=True):
        free = torch.ones(len(row["kinds"]), dtype=torch.bool)
        for number in certain.argsort(descending=True):
            fits = _overlap(boxes[number], row["boxes"])[0].masked_fill(~free | (row["kinds"] != kinds[number]), 0.0)
            if fits.max() >= 0.5:
                free[fits.argmax()] = False
                hits += 1
        claimed, real = claimed + len(kinds), real + len(row["kinds"])
    return 2 * hits / max(claimed + real, 1)


def _kept(boxes: Tensor, kinds: Tensor, certain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Non-maximum suppression."""
    order, kept = certain.argsort(descending=True).tolist(), []
    for number in order:
        if all(_overlap(boxes[number], boxes[other])[0] < 0.4 for other in kept):
            kept.append(number)
    return boxes[kept], kinds[kept], certain[kept]


class GridDetector(nn.Module):
    """A single-shot detector: objectness, box and class in every cell of six by six."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(1, 16), _block(16, 32, 2), _block(32, 48, 2), _block(48, 48))
        self.head = nn.Conv2d(48, 8, 1)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.bias[0] = -3.0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Objectness, boxes in pixels, and logits of the kinds, each with the cells in the middle."""
        out = self.head(self.body(images)).permute(0, 2, 3, 1)
        down, across = torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")
        centre = (torch.stack([across, down], 2) + out[..., 1:3].sigmoid()) * SIZE / 6
        size = F.softplus(out[..., 3:5] + 2) * 2
        return out[..., 0], torch.cat([centre - size, centre + size], -1), out[..., 5:]


@setup
def scenes_single_shot(seed: int) -> Setup:
    """A one-stage detector on ragged lists of boxes, with focal objectness and a one-cycle schedule."""
    train, test = Scenes(700, seed), Scenes(150, seed + 1000)
    model = GridDetector()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    scheduler = OneCycleLR(optimizer, max_lr=5e-3, total_steps=350)

    def step(model: nn.Module, batch: tuple, optimizer: torch.optim.Optimizer) -> Tensor:
        images, things = batch
        objectness, boxes, logits = model(images)
        which, row, column, real, kinds = _cells(things, 6)
        there = torch.zeros_like(objectness)
        there[which, row, column] = 1.0
        entropy = F.binary_cross_entropy_with_logits(objectness, there, reduction="none")
        focal = ((1 - (-entropy).exp()) ** 2 * entropy).sum() / len(kinds)
        fit = 1 - _overlap(boxes[which, row, column], real)[1].mean()
        loss = focal + 2 * fit + F.cross_entropy(logits[which, row, column], kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    def score(model: nn.Module) -> float:
        found = []
        for objectness, boxes, logits in zip(*predict(model, _pictures(test.rows)), strict=True):
            sure = objectness > 0
            found.append(_kept(boxes[sure], logits[sure].argmax(1), objectness[sure]))
        return _hits(found, test.rows)

    generator = torch.Generator().manual_seed(seed)
    return Setup(
        model=model,
        loader=DataLoader(train, 32, shuffle=True, collate_fn=_listed, drop_last=True, generator=generator),
        loss="mse",
        optimizer=optimizer,
        step=step,
        steps=350,
        score=score,
        trivial=0.0,
    )


class CentreNet(nn.Module):
    """A heat map of centres for every kind, and the size of what is centred there."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(1, 16), _block(16, 32, 2), _block(32, 32), _block(32, 32))
        self.heat, self.extent = nn.Conv2d(32, 3, 1), nn.Conv2d(32, 1, 1)
        nn.init.constant_(self.heat.bias, -2.19)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the heat, and half the size in pixels."""
        features = self.body(images)
        return self.heat(features), 3.5 + self.extent(features)[:, 0]


@setup
def scenes_centres(seed: int) -> Setup:
    """Things as points: the penalty-reduced focal loss on heat maps, and sizes at the centres."""
    train, test = Scenes(700, seed), Scenes(150, seed + 1000)
    model = CentreNet()
    cells = torch.arange(12) + 0.5

    def loss(model: nn.Module, batch: tuple) -> Tensor:
        images, things = batch
        heat, half = model(images)
        which, row, column, real, kinds = _cells(things, 12)
        middle = (real[:, :2] + real[:, 2:]) / 2 * 12 / SIZE
        away = (cells - middle[:, 1:])[:, :, None].square() + (cells - middle[:, :1])[:, None].square()
        bump = torch.zeros_like(heat)
        for picture, kind, blob in zip(which, kinds, torch.exp(-away / 2), strict=True):
            bump[picture, kind] = torch.maximum(bump[picture, kind], blob)
        bump[which, kinds, row, column] = 1.0
        chance = heat.sigmoid().clamp(1e-4, 1 - 1e-4)
        hit = (bump == 1) * (1 - chance) ** 2 * chance.log()
        miss = (bump < 1) * (1 - bump) ** 4 * chance**2 * (1 - chance).log()
        sizes = F.l1_loss(half[which, row, column], (real[:, 2] - real[:, 0]) / 2)
        return -(hit + miss).sum() / len(kinds) + 0.3 * sizes

    def score(model: nn.Module) -> float:
        heats, halves = predict(model, _pictures(test.rows))
        chance = heats.sigmoid()
        peaks = (F.max_pool2d(chance, 3, 1, 1) == chance) & (chance > 0.35)
        found = []
        for peak, likely, half in zip(peaks, chance, halves, strict=True):
            kind, row, column = peak.nonzero().unbind(1)
            centre, reach = torch.stack([column, row], 1) * 2 + 1.0, half[row, column, None]
            found.append(_kept(torch.cat([centre - reach, centre + reach], 1), kind, likely[kind, row, column]))
        return _hits(found, test.rows)

    generator = torch.Generator().manual_seed(seed)
    return Setup(
        model=model,
        loader=DataLoader(train, 32, shuffle=True, collate_fn=_listed, drop_last=True, generator=generator),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=300,
        score=score,
        trivial=0.0,
    )


class UNet(nn.Module):
    """Two levels down and up again, with the details passed across."""

    def __init__(self, inputs: int, outputs: int, width: int = 12) -> None:
        super().__init__()
        self.entry, self.down, self.bottom = (
            _block(inputs, width),
            _block(width, 2 * width, 2),
            _block(2 * width, 4 * width, 2),
        )
        self.raise_bottom = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.join_down = _block(4 * width, 2 * width)
        self.raise_down = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.join_entry = _block(2 * width, width)
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """A map of the size of the picture."""
        entry = self.entry(images)
        down = self.down(entry)
        middle = self.join_down(torch.cat([self.raise_bottom(self.bottom(down)), down], 1))
        return self.head(self.join_entry(torch.cat([self.raise_down(middle), entry], 1)))


def _mean_overlap(guess: Tensor, mask: Tensor, kinds: int = 4) -> float:
    """The mean intersection over union of the classes."""
    overlaps = []
    for kind in range(kinds):
        one, other = guess == kind, mask == kind
        overlaps.append(((one & other).sum() / (one | other).sum().clamp(min=1)).item())
    return sum(overlaps) / kinds


@setup
def scenes_unet_dice(seed: int) -> Setup:
    """A U-Net for four classes, the background among them, with cross-entropy and the soft Dice loss together."""
    train, test = Scenes(400, seed).rows, Scenes(100, seed + 1000).rows
    masks = torch.stack([row["mask"] for row in test])
    model = UNet(1, 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        shares, real = outputs.softmax(1), F.one_hot(targets, 4).permute(0, 3, 1, 2)
        shared, total = (shares * real).sum((0, 2, 3)), (shares + real).sum((0, 2, 3))
        dice = 1 - ((2 * shared + 1) / (total + 1))[1:].mean()
        return F.cross_entropy(outputs, targets) + dice

    return Setup(
        model=model,
        loader=batches(
            _pictures(train), torch.stack([row["mask"] for row in train]), seed=seed, size=16, drop_last=True
        ),
        loss=loss,
        optimizer=optimizer,
        step=scheduled(loss, CosineAnnealingLR(optimizer, T_max=250)),
        steps=250,
        score=lambda model: _mean_overlap(predict(model, _pictures(test)).argmax(1), masks),
        trivial=_mean_overlap(torch.zeros_like(masks), masks),
    )


@setup
def scenes_ignored_pixels(seed: int) -> Setup:
    """Dilated convolutions on masks of which a third of the pixels is unlabelled, with classes weighted."""
    train, test = Scenes(400, seed).rows, Scenes(100, seed + 1000).rows
    masks = torch.stack([row["mask"] for row in train])
    blank = torch.rand(masks.shape, generator=torch.Generator().manual_seed(seed)) < 0.33
    held_out = torch.stack([row["mask"] for row in test])
    layers = [_block(1, 24)]
    for dilation in (2, 4, 1):
        layers += [nn.Conv2d(24, 24, 3, padding=dilation, dilation=dilation), nn.GroupNorm(4, 24), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(24, 4, 1))
    weight = masks.flatten().bincount().float().rsqrt()
    return Setup(
        model=model,
        loader=batches(_pictures(train), masks.masked_fill(blank, 255), seed=seed, size=16),
        loss=nn.CrossEntropyLoss(weight=weight / weight.mean(), ignore_index=255),
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=250,
        score=lambda model: _mean_overlap(predict(model, _pictures(test)).argmax(1), held_out),
        trivial=_mean_overlap(torch.zeros_like(held_out), held_out),
    )


@setup
def scenes_depth_two_scales(seed: int) -> Setup:
    """The distance to the nearest thing at every pixel, by an L1 loss with one on its gradients."""
    rows = Scenes(500, seed).rows
    place = torch.cartesian_prod(torch.arange(SIZE), torch.arange(SIZE)).float()
    away = torch.stack([torch.cdist(place, row["mask"].nonzero().float()).amin(1).view(1, SIZE, SIZE) for row in rows])
    data = split(_pictures(rows), (away - away.mean()) / away.std(), seed)
    model = UNet(1, 1)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        gap = outputs - targets
        return gap.abs().mean() + sum(gap.diff(dim=axis).abs().mean() for axis in (2, 3))

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regression(data, seed, model, optimizer, 250, size=16, loss=loss, drop_last=True)


class Shifted(nn.Module):
    """Two frames through one encoder, and how far the second has moved from their product at every shift."""

    def __init__(self, reach: int = 3) -> None:
        super().__init__()
        self.reach = reach
        self.encoder = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
        self.head = nn.Sequential(nn.Linear((2 * reach + 1) ** 2, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The shift down and across."""
        one, other = self.encoder(first), self.encoder(second)
        shifts = itertools.product(range(-self.reach, self.reach + 1), repeat=2)
        return self.head(torch.stack([(one.roll(by, (2, 3)) * other).mean((1, 2, 3)) for by in shifts], 1))


@setup
def scenes_flow_between_frames(seed: int) -> Setup:
    """The shift between two noisy frames by a correlation volume, from a loader of two inputs and a target."""
    rows = Scenes(800, seed).rows
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(-3, 4, (800, 2), generator=generator)
    first = _pictures(rows)
    second = torch.stack([image.roll(by, (1, 2)) for image, by in zip(first, shift.tolist(), strict=True)])
    second = second + 0.2 * torch.randn(second.shape, generator=generator)
    target = shift.float() / 2
    model = Shifted()
    return Setup(
        model=model,
        loader=batches(first[:600], second[:600], target[:600], seed=seed, size=32),
        loss=lambda model, batch: F.smooth_l1_loss(model(batch[0], batch[1]), batch[2]),
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=300,
        score=lambda model: explained(predict(model, first[600:], second[600:]), target[600:]),
        trivial=0.0,
    )
