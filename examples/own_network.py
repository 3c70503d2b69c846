"""Your own network, data and training loop: record three runs, then draw the plane through their ends.

Run it with ``python examples/own_network.py``; it takes a few seconds and writes own_network.png and own_network.html.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import orograph as og


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.head = nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(self.body(x))}


def rings(n: int, seed: int) -> TensorDataset:
    """Two noisy rings, one inside the other."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 2, (n,), generator=generator)
    angle = 2 * torch.pi * torch.rand(n, generator=generator)
    radius = 1 + label + 0.2 * torch.randn(n, generator=generator)
    return TensorDataset(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), label)


def train(folder: str, train_set: TensorDataset, seed: int) -> Net:
    """Any loop of yours; the three lines with ``recorder`` are all that orograph needs."""
    torch.manual_seed(seed)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    recorder = og.train.Recorder(folder, model)
    for epoch in range(1, 9):
        for x, y in DataLoader(train_set, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x)["logits"], y)
            loss.backward()
            optimizer.step()
        recorder.step(epoch=epoch, loss=loss.item())
    recorder.close()
    return model


def main(folder: str = "runs/own", resolution: int = 21) -> None:
    train_set, test_set = rings(1000, 0), rings(500, 1)
    for seed in range(3):
        model = train(f"{folder}/{seed}", train_set, seed)
    runs = [og.train.load_run(f"{folder}/{seed}") for seed in range(3)]

    data = og.data.load((train_set, test_set))
    objective = og.Objective(model, data.test, calibration=data.train)
    ends = [run.final for run in runs]
    print(og.landscape.distances(ends).summary())
    plane = og.landscape.plane(
        objective,
        *ends,
        resolution=resolution,
        trajectories={name: run.checkpoints for name, run in zip("ABC", runs, strict=True)},
    )
    print(plane.summary())
    plane.plot().savefig(f"{folder}/own_network.png", dpi=120)
    print(og.report.write(plane, f"{folder}/own_network.html"))


if __name__ == "__main__":
    main()
