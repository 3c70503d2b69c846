"""The smallest study that still has every part, and a user's file with a network and data."""

from user_data import BLOBS

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

NET = f"""{BLOBS}
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8, classes=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.Tanh(), nn.Linear(width, classes))

    def forward(self, inputs):
        return self.layers(inputs)

def build(width=8):
    return Net(width)

def narrow():
    return Net(classes=2)
"""
