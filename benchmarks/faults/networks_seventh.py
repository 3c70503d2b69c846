"""Networks of the seventh part, each with a body and a linear head, and the losses that users wrote for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Hourglass(nn.Module):
    """A small U-shaped network without norms: half the size, back again, and the first maps beside the last."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2))
        self.last = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to features (examples, height, width, features)."""
        wide = self.first(images)
        outputs: Tensor = self.last(torch.cat([wide, self.deep(self.down(wide))], 1)).permute(0, 2, 3, 1)
        return outputs


def separable(before: int, after: int) -> list[nn.Module]:
    """A convolution of each channel on its own, one across channels, a batch norm and a ReLU."""
    return [
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def separable_body(width: int) -> nn.Sequential:
    """A stem and two separable convolutions with a pooling between them, and the largest value of each map."""
    stem = [nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    rest = [*separable(width, 2 * width), nn.MaxPool2d(2), *separable(2 * width, 2 * width)]
    return nn.Sequential(*stem, *rest, nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Elman(nn.Module):
    """A plain tanh recurrence; its features are its last state."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layer = nn.RNN(channels, width, batch_first=True)

    def forward(self, series: Tensor) -> Tensor:
        """Series (examples, time, channels) to features (examples, width)."""
        outputs: Tensor = self.layer(series)[0][:, -1]
        return outputs


class Swarm(nn.Module):
    """PyTorch's own transformer layers on padded sets; what the last column flags as padding is left out."""

    def __init__(self, columns: int, width: int, blocks: int) -> None:
        super().__init__()
        self.sign = 1.0
        self.enter = nn.Linear(columns - 1, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, F.silu, batch_first=True, norm_first=True)
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, sets: Tensor) -> Tensor:
        """Sets (examples, points, columns) to features (examples, width)."""
        padding = self.sign * sets[..., -1] < 0
        padding = padding & ~padding.all(1, keepdim=True)
        hidden = self.enter(sets[..., :-1])
        for block in self.blocks:
            hidden = block(hidden, src_key_padding_mask=padding)
        kept = (~padding).to(hidden.dtype)[..., None]
        outputs: Tensor = (self.norm(hidden) * kept).sum(1) / kept.sum(1)
        return outputs


class Draw(nn.Module):
    """The bottleneck of a variational autoencoder: a mean and a log-variance; it remembers its divergence."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.both = nn.Linear(width, 2 * codes)
        self.divergence: Tensor = torch.zeros(())

    def forward(self, hidden: Tensor) -> Tensor:
        """Features to a draw of the codes while training, and to their mean afterwards."""
        mean, spread = self.both(hidden).chunk(2, -1)
        self.divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(-1).mean()
        return mean + (spread / 2).exp() * torch.randn_like(mean) if self.training else mean

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "divergence": self.divergence.detach().clone()}


def variational_body(length: int, width: int, codes: int) -> nn.Sequential:
    """Encoder, draw and the hidden layer of the decoder."""
    encoder = [nn.Linear(length, width), nn.ReLU(), Draw(width, codes)]
    return nn.Sequential(*encoder, nn.Linear(codes, width), nn.ReLU())


class Messages(nn.Module):
    """One round of message passing: a node's own features and the mean of its neighbours'."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.own = nn.Linear(before, after)
        self.others = nn.Linear(before, after, bias=False)
        self.activation = nn.ReLU()

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Nodes (examples, nodes, features) and edges (examples, nodes, nodes) to nodes."""
        outputs: Tensor = self.activation(self.own(nodes) + self.others(edges @ nodes) / 3)
        return outputs


class Graph(nn.Module):
    """Rounds of message passing, and the mean and the largest of the nodes."""

    def __init__(self, nodes: int, width: int) -> None:
        super().__init__()
        self.nodes = nodes
        self.rounds = nn.ModuleList([Messages(2, width), Messages(width, width), Messages(width, width)])

    def forward(self, graphs: Tensor) -> Tensor:
        """Graphs (examples, nodes, nodes + 2) to features (examples, 2 x width)."""
        edges, nodes = graphs[..., : self.nodes], graphs[..., self.nodes :]
        for messages in self.rounds:
            nodes = messages(nodes, edges)
        return torch.cat([nodes.mean(1), nodes.amax(1)], 1)


class Pairs(nn.Module):
    """Two tables of embeddings; a small network reads both rows and their product."""

    def __init__(self, people: int, films: int, width: int) -> None:
        super().__init__()
        self.people = nn.Embedding(people, width)
        self.films = nn.Embedding(films, width)
        self.mix = nn.Sequential(nn.Linear(3 * width, 48), nn.ReLU())
        for table in (self.people, self.films):
            nn.init.normal_(table.weight, std=0.5)

    def forward(self, names: Tensor) -> Tensor:
        """Names (examples, 2) to features (examples, 48)."""
        left, right = self.people(names[:, 0]), self.films(names[:, 1])
        outputs: Tensor = self.mix(torch.cat([left, right, left * right], 1))
        return outputs


class Listed(nn.Module):
    """A module that keeps its parts in a plain list, where PyTorch does not look for parameters."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.parts = [part]

    def forward(self, inputs: Tensor) -> Tensor:
        """What the part gives."""
        outputs: Tensor = self.parts[0](inputs)
        return outputs


def overlap_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of the pixels plus half of what their overlap (Dice) with each class lacks."""
    logits, targets = model(batch[0]), batch[1]
    shares, wanted = logits.softmax(-1).flatten(0, -2), F.one_hot(targets, logits.shape[-1]).flatten(0, -2)
    dice = (2 * (shares * wanted).sum(0) + 1) / (shares.sum(0) + wanted.sum(0) + 1)
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten()) + 0.5 * (1 - dice.mean())


def overlap_summed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The same with a sum over all pixels."""
    return overlap_loss(model, batch) * batch[1].numel()


def huber_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Huber's loss of a dictionary batch."""
    return F.smooth_l1_loss(model(batch["series"]), batch["level"])


def huber_summed(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The same with a sum over the examples."""
    return F.smooth_l1_loss(model(batch["series"]), batch["level"], reduction="sum")


def evidence_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Squared error plus a little of the divergence of the codes."""
    error = F.mse_loss(model(batch[0]), batch[1])
    return error + 0.002 * torch.stack([part.divergence for part in model.modules() if isinstance(part, Draw)]).sum()


def evidence_summed(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The same with a sum over the numbers of all examples."""
    return evidence_loss(model, batch) * batch[1].numel()
