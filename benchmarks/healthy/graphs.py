"""Graphs, sets and relations: message passing in plain torch, point clouds, links and recommendations."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .data import agreement, batches, determination, explained, majority, perceptron, predict, split
from .setup import Setup, setup


def _communities(seed: int, nodes: int = 300, kinds: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Features, adjacency and labels of a graph whose communities link mostly among themselves."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, kinds, (nodes,), generator=generator)
    chance = torch.where(labels[:, None] == labels, 0.08, 0.01)
    upper = (torch.rand(nodes, nodes, generator=generator) < chance).float().triu(1)
    centres = torch.randn(kinds, 16, generator=generator)
    features = 0.5 * centres[labels] + torch.randn(nodes, 16, generator=generator)
    return features, upper + upper.T, labels


def _normalised(adjacency: Tensor) -> Tensor:
    loops = adjacency + torch.eye(len(adjacency))
    root = loops.sum(1).rsqrt()
    return root[:, None] * loops * root


class GCN(nn.Module):
    """Two graph convolutions with the adjacency kept as a buffer."""

    def __init__(self, adjacency: Tensor, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("propagation", _normalised(adjacency))
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of every node."""
        hidden = F.relu(self.propagation @ self.first(self.dropout(x)))
        return self.propagation @ self.second(self.dropout(hidden))


def _transductive(seed: int, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, graph: tuple) -> Setup:
    """Node classification with a third of the labels known, the whole graph in every step."""
    features, _, labels = graph
    known = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed)) < 0.33

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return F.cross_entropy(model(x)[known], y[known])

    return Setup(
        model=model,
        loader=[(features, labels)],
        loss=loss,
        optimizer=optimizer,
        steps=steps,
        score=lambda model: agreement(predict(model, features)[~known].argmax(1), labels[~known]),
        trivial=majority(labels[~known]),
    )


@setup
def communities_gcn(seed: int) -> Setup:
    """Kipf and Welling's graph convolution with weight decay and dropout, full batch."""
    graph = _communities(seed)
    model = GCN(graph[1], 16, 32, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    return _transductive(seed, model, optimizer, 200, graph)


class GraphAttention(nn.Module):
    """One layer of attention over neighbours with several heads."""

    def __init__(self, inputs: int, outputs: int, heads: int) -> None:
        super().__init__()
        self.heads, self.outputs = heads, outputs
        self.project = nn.Linear(inputs, heads * outputs, bias=False)
        self.source = nn.Parameter(torch.empty(heads, outputs))
        self.target = nn.Parameter(torch.empty(heads, outputs))
        nn.init.xavier_uniform_(self.source)
        nn.init.xavier_uniform_(self.target)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The heads' answers, one after the other."""
        values = self.project(x).view(len(x), self.heads, self.outputs)
        scores = (values * self.target).sum(-1)[:, None] + (values * self.source).sum(-1)[None]
        scores = F.leaky_relu(scores, 0.2).masked_fill(~mask[..., None], float("-inf"))
        return torch.einsum("ijh,jhf->ihf", scores.softmax(1), values)


class GAT(nn.Module):
    """Two attention layers; the heads are joined in the first and averaged in the second."""

    def __init__(self, adjacency: Tensor, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mask", (adjacency + torch.eye(len(adjacency))) > 0)
        self.first, self.second = GraphAttention(inputs, hidden, 4), GraphAttention(4 * hidden, outputs, 2)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        """The logits of every node."""
        hidden = F.elu(self.first(self.dropout(x), self.mask).flatten(1))
        return self.second(self.dropout(hidden), self.mask).mean(1)


@setup
def communities_gat(seed: int) -> Setup:
    """Graph attention with four heads."""
    graph = _communities(seed)
    model = GAT(graph[1], 16, 8, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    return _transductive(seed, model, optimizer, 200, graph)


class APPNP(nn.Module):
    """A perceptron whose logits are spread by personalised PageRank."""

    def __init__(self, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("propagation", _normalised(adjacency).to_sparse(), persistent=False)
        self.encoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))

    def forward(self, x: Tensor) -> Tensor:
        """The logits after ten rounds."""
        local = self.encoder(x)
        spread = local
        for _ in range(10):
            spread = 0.9 * torch.sparse.mm(self.propagation, spread) + 0.1 * local
        return spread


@setup
def communities_pagerank(seed: int) -> Setup:
    """Predict, then propagate, with a sparse adjacency."""
    graph = _communities(seed)
    model = APPNP(graph[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    return _transductive(seed, model, optimizer, 200, graph)


class SAGE(nn.Module):
    """Two mean-aggregating layers over sampled neighbours."""

    def __init__(self, features: Tensor, neighbours: list[Tensor]) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.neighbours = neighbours
        self.first, self.second = nn.Linear(32, 32), nn.Linear(64, 4)

    def sample(self, nodes: Tensor, count: int) -> Tensor:
        """Some neighbours of each node, with repetition."""
        picks = [near[torch.randint(len(near), (count,))] for near in (self.neighbours[int(node)] for node in nodes)]
        return torch.stack(picks)

    def embed(self, nodes: Tensor) -> Tensor:
        """The first layer's answers."""
        near = self.features[self.sample(nodes, 8)].mean(1)
        return F.normalize(F.relu(self.first(torch.cat([self.features[nodes], near], 1))), dim=1)

    def forward(self, nodes: Tensor) -> Tensor:
        """The logits of the nodes asked for."""
        sampled = self.sample(nodes, 6)
        near = self.embed(sampled.flatten()).view(len(nodes), 6, -1).mean(1)
        return self.second(torch.cat([self.embed(nodes), near], 1))


@setup
def communities_sage(seed: int) -> Setup:
    """GraphSAGE with neighbours sampled afresh for every batch of nodes."""
    features, adjacency, labels = _communities(seed)
    adjacency = adjacency + torch.eye(len(labels))
    data = split(torch.arange(len(labels)), labels, seed, held_out=0.5)
    model = SAGE(features, [row.nonzero().flatten() for row in adjacency])
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=32),
        loss="cross_entropy",
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        steps=150,
        score=lambda model: agreement(predict(model, data.test_x).argmax(1), data.test_y),
        trivial=majority(data.test_y),
    )


Graph = tuple[Tensor, Tensor, Tensor]


def _molecules(seed: int, count: int = 600) -> list[Graph]:
    """Small random graphs (atoms, edges, property): what each bond adds depends on the two atoms it joins."""
    generator = torch.Generator().manual_seed(seed)
    bond = torch.randn(4, 4, generator=generator)
    bond, worth = (bond + bond.T) / 2, torch.randn(4, generator=generator)
    made = []
    for size in torch.randint(6, 14, (count,), generator=generator).tolist():
        atoms = torch.randint(0, 4, (size,), generator=generator)
        parents = [int(torch.randint(0, node, (1,), generator=generator)) for node in range(1, size)]
        edges = torch.tensor([list(range(1, size)), parents])
        value = worth[atoms].sum() + bond[atoms[edges[0]], atoms[edges[1]]].sum()
        made.append((atoms, torch.cat([edges, edges.flip(0)], 1), value))
    values = torch.stack([value for _, _, value in made])
    return [(atoms, edges, (value - values.mean()) / values.std()) for atoms, edges, value in made]


def _collate(graphs: list[Graph]) -> tuple[dict[str, Tensor], Tensor]:
    """Many graphs as one with several components."""
    sizes = torch.tensor([len(atoms) for atoms, _, _ in graphs])
    starts = sizes.cumsum(0) - sizes
    inputs = {
        "atoms": torch.cat([atoms for atoms, _, _ in graphs]),
        "edges": torch.cat([edges + start for (_, edges, _), start in zip(graphs, starts, strict=True)], 1),
        "graph": torch.repeat_interleave(torch.arange(len(graphs)), sizes),
        "count": torch.tensor(len(graphs)),
    }
    return inputs, torch.stack([value for _, _, value in graphs])


class GIN(nn.Module):
    """Graph isomorphism layers with residuals and a sum over nodes."""

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, width)
        self.updates = nn.ModuleList(perceptron(width, width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.head = perceptron(width, width, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """One number for every graph."""
        nodes = self.embedding(inputs["atoms"])
        source, target = inputs["edges"]
        for update, norm in zip(self.updates, self.norms, strict=True):
            messages = torch.zeros_like(nodes).index_add(0, target, nodes[source])
            nodes = nodes + update(norm(nodes + messages))
        pooled = nodes.new_zeros(int(inputs["count"]), nodes.shape[1]).index_add(0, inputs["graph"], nodes)
        return self.head(pooled / 10).squeeze(1)


@setup
def molecules_gin(seed: int) -> Setup:
    """A property of whole graphs, batches of graphs as dictionaries, mean absolute error as the loss."""
    graphs = _molecules(seed)
    test_inputs, test_values = _collate(graphs[450:])
    model = GIN()
    loader = DataLoader(
        graphs[:450],
        batch_size=32,
        shuffle=True,
        collate_fn=_collate,
        generator=torch.Generator().manual_seed(seed),
    )
    return Setup(
        model=model,
        loader=loader,
        loss=nn.L1Loss(),
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3),
        steps=500,
        score=determination(test_inputs, test_values),
        trivial=0.0,
    )


class LinkPredictor(nn.Module):
    """A graph convolution's embeddings, compared by dot products."""

    def __init__(self, features: Tensor, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.encoder = GCN(adjacency, features.shape[1], 32, 16)
        self.encoder.dropout.p = 0.1

    def forward(self, pairs: Tensor) -> Tensor:
        """A logit for every pair of nodes."""
        embedded = self.encoder(self.features)
        return (embedded[pairs[:, 0]] * embedded[pairs[:, 1]]).sum(1)


@setup
def communities_links(seed: int) -> Setup:
    """Link prediction: some edges are hidden, the rest are told from sampled pairs of strangers."""
    features, adjacency, labels = _communities(seed)
    edges = adjacency.triu(1).nonzero()
    edges = edges[torch.randperm(len(edges), generator=torch.Generator().manual_seed(seed))]
    cut = len(edges) // 5
    hidden, seen = edges[:cut], edges[cut:]
    visible = torch.zeros_like(adjacency)
    visible[seen[:, 0], seen[:, 1]] = visible[seen[:, 1], seen[:, 0]] = 1.0
    model = LinkPredictor(features, visible)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        strangers = torch.randint(0, len(labels), batch[0].shape)
        logits = model(torch.cat([batch[0], strangers]))
        return F.binary_cross_entropy_with_logits(logits, (torch.arange(len(logits)) < len(batch[0])).float())

    absent = (adjacency + torch.eye(len(labels)) == 0).triu(1).nonzero()

    def area(model: nn.Module) -> float:
        real, unreal = predict(model, hidden), predict(model, absent[::20])
        return (real[:, None] > unreal).float().mean().item()

    # Knowing the communities: within are 0.73 of links and 0.24 of other pairs, hence an area of 0.745.
    return Setup(
        model=model,
        loader=batches(seen, seed=seed, size=256),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        steps=150,
        score=area,
        trivial=0.5,
        best=0.745,
    )


class PointNet(nn.Module):
    """A perceptron for every point and the largest answer over the cloud."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.points = nn.Sequential(
            nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 96, 1), nn.BatchNorm1d(96), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Linear(96, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, kinds))

    def forward(self, clouds: Tensor) -> Tensor:
        """Clouds are (batch, 3, points)."""
        return self.head(self.points(clouds).amax(2))


@setup
def clouds_pointnet(seed: int) -> Setup:
    """Spheres, boxes, cylinders and cones as clouds of points, turned about the vertical."""
    generator = torch.Generator().manual_seed(seed)
    count, points = 800, 64
    labels = torch.randint(0, 4, (count,), generator=generator)
    raw = torch.randn(count, points, 3, generator=generator)
    sphere, box = F.normalize(raw, dim=2), raw / raw.abs().amax(2, keepdim=True)
    height = 2 * torch.rand(count, points, 1, generator=generator) - 1
    ring = F.normalize(raw[..., :2], dim=2)
    solids = torch.stack([sphere, box, torch.cat([ring, height], 2), torch.cat([ring * (1 - height) / 2, height], 2)])
    clouds = solids[labels, torch.arange(count)]
    angle = 6.283 * torch.rand(count, generator=generator)
    sine, cosine = angle.sin(), angle.cos()
    zero, one = torch.zeros(count), torch.ones(count)
    turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).view(count, 3, 3)
    clouds = clouds @ turn + 0.08 * torch.randn(count, points, 3, generator=generator)
    data = split(clouds.transpose(1, 2).contiguous(), labels, seed)
    model = PointNet(4)
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=32, drop_last=True),
        loss="cross_entropy",
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        steps=250,
        score=lambda model: agreement(predict(model, data.test_x).argmax(1), data.test_y),
        trivial=majority(data.test_y),
    )


class DeepSet(nn.Module):
    """An encoder of the members, the sum over those that are there, and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.members, self.whole = perceptron(2, 32, 32), perceptron(32, 32, 1)

    def forward(self, members: Tensor, present: Tensor) -> Tensor:
        """Members are padded; `present` tells which are real."""
        pooled = (self.members(members) * present[..., None]).sum(1) / present.sum(1, keepdim=True)
        return self.whole(pooled).squeeze(1)


class SetStream:
    """An endless source of padded sets: the weighted spread of each is asked for."""

    def __init__(self, seed: int, size: int = 64) -> None:
        self.generator, self.size = torch.Generator().manual_seed(seed), size

    def batch(self, size: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Sets of four to twelve members."""
        lengths = torch.randint(4, 13, (size, 1), generator=self.generator)
        present = (torch.arange(12) < lengths).float()
        members = torch.randn(size, 12, 2, generator=self.generator) * present[..., None]
        mean = members.sum(1, keepdim=True) / lengths[..., None]
        spread = ((members - mean).square().sum(2) * present).sum(1) / lengths.squeeze(1)
        return (members, present), spread.log()

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        """Fresh sets for ever."""
        while True:
            yield self.batch(self.size)


@setup
def sets_streamed(seed: int) -> Setup:
    """Deep sets over an endless stream of freshly drawn sets."""
    held_out, values = SetStream(seed + 1000).batch(500)
    model = DeepSet()
    return Setup(
        model=model,
        loader=SetStream(seed),
        loss=lambda model, batch: F.mse_loss(model(*batch[0]), batch[1]),
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=500,
        score=lambda model: explained(predict(model, *held_out), values),
        trivial=0.0,
    )


class Factors(nn.Module):
    """Users and items as vectors with biases."""

    def __init__(self, users: int, items: int, width: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, width), nn.Embedding(items, width)
        self.user_bias, self.item_bias = nn.Embedding(users, 1), nn.Embedding(items, 1)
        for factors in (self.users, self.items):
            nn.init.normal_(factors.weight, std=0.1)
        for bias in (self.user_bias, self.item_bias):
            nn.init.zeros_(bias.weight)

    def forward(self, pairs: Tensor) -> Tensor:
        """The rating of each pair of a user and an item."""
        user, item = pairs.unbind(1)
        taste = (self.users(user) * self.items(item)).sum(1)
        return taste + self.user_bias(user).squeeze(1) + self.item_bias(item).squeeze(1)


@setup
def ratings_factorised(seed: int) -> Setup:
    """Matrix factorisation of ratings with weight decay, as for any recommendation tutorial."""
    generator = torch.Generator().manual_seed(seed)
    users, items = torch.randn(120, 3, generator=generator), torch.randn(80, 3, generator=generator)
    ratings = users @ items.T + torch.randn(120, 1, generator=generator) + torch.randn(80, generator=generator)
    pairs = torch.rand(120, 80, generator=generator).lt(0.5).nonzero()
    values = ratings[pairs[:, 0], pairs[:, 1]]
    values = values + 0.3 * torch.randn(len(values), generator=generator)
    data = split(pairs, (values - values.mean()) / values.std(), seed)
    model = Factors(120, 80, 6)
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=128),
        loss="mse",
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-5),
        steps=500,
        score=determination(data.test_x, data.test_y),
        trivial=0.0,
    )


class TwoTowers(nn.Module):
    """A tower for who asks and a tower for what is found, both of unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.item = perceptron(12, 64, 16), perceptron(20, 64, 16)
        self.temperature = 0.1

    def forward(self, queries: Tensor, items: Tensor) -> Tensor:
        """The scaled cosines of every query with every item."""
        return F.normalize(self.query(queries), dim=1) @ F.normalize(self.item(items), dim=1).T / self.temperature


@setup
def retrieval_two_towers(seed: int) -> Setup:
    """Retrieval with two towers and the other items of the batch as negatives."""
    generator = torch.Generator().manual_seed(seed)
    topic = torch.randn(1600, 6, generator=generator)
    queries = torch.tanh(topic @ torch.randn(6, 12, generator=generator) / 2)
    items = torch.tanh(topic @ torch.randn(6, 20, generator=generator) / 2)
    queries, items = (part + 0.05 * torch.randn(part.shape, generator=generator) for part in (queries, items))
    model = TwoTowers()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        logits = model(*batch)
        return F.cross_entropy(logits, torch.arange(len(logits)))

    def found(model: nn.Module) -> float:
        logits = predict(model, queries[1400:], items[1400:])
        return agreement(logits.argmax(1), torch.arange(200))

    return Setup(
        model=model,
        loader=batches(queries[:1400], items[:1400], seed=seed, size=64, drop_last=True),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01),
        steps=400,
        score=found,
        trivial=1 / 200,
    )
