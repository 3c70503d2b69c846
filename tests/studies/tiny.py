"""The smallest study that still has every part, and a user's file with a network and data."""

TINY = {
    "replicas": 3,
    "train.epochs": 0.5,
    "train_size": 200,
    "test_size": 60,
    "line_points": 7,
    "plane_points": 5,
    "neighbourhood_points": 5,
    "branch_epochs": (0.2,),
}
PARTS = ("lines", "planes", "same_start", "branches", "abyss", "neighbourhoods")
BARE = {**TINY, **dict.fromkeys(PARTS, False)}

NET = """
import torch
from torch import nn
from torch.utils.data import Dataset

class Net(nn.Module):
    def __init__(self, width=8, classes=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.Tanh(), nn.Linear(width, classes))

    def forward(self, inputs):
        return self.layers(inputs)

class Blobs(Dataset):
    def __init__(self, count, seed):
        random = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % 3
        self.points = torch.randn(count, 4, generator=random) + 2 * self.labels[:, None]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.points[index], int(self.labels[index])

def build(width=8):
    return Net(width)

def narrow():
    return Net(classes=2)

def blobs():
    return Blobs(90, 0), Blobs(30, 1)
"""
