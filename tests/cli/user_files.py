"""A user's folder: a network and data in a file of their own, weights of three trainings, and files that do harm."""

import pickle
from pathlib import Path

import torch
from safetensors.torch import save_file

from user_data import BLOBS

NET = f"""{BLOBS}
import os
from torch import nn

print("the user's file is chatty")

class Net(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3))

    def forward(self, inputs):
        if os.environ.get("NET_BREAKS"):
            raise RuntimeError("my layer broke")
        return super_forward(self, inputs)

def super_forward(net, inputs):
    return net.layers(inputs)

def build(width=6):
    return Net(width)

def loss(model, batch):
    inputs, targets = batch
    return torch.nn.functional.cross_entropy(model(inputs), targets, reduction="none")
"""


class Harm:
    """Unpickling it would create a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def state(seed: int, width: int = 6) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = {
        "layers.0.weight": (width, 4),
        "layers.0.bias": (width,),
        "layers.2.weight": (3, width),
        "layers.2.bias": (3,),
    }
    return {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}


def write_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    save_file(state(0), folder / "a.safetensors")
    torch.save(state(1), folder / "b.pt")
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state(2).items()}}, folder / "c.ckpt")
    save_file({**state(3), "layers.2.bias": torch.tensor([1.0, float("nan"), 0.0])}, folder / "nan.safetensors")
    save_file(state(0, width=5), folder / "other.safetensors")
    (folder / "harm.pt").write_bytes(pickle.dumps({"w": Harm(folder / "marker")}))
    (folder / "cut.safetensors").write_bytes((folder / "a.safetensors").read_bytes()[:-7])
    (folder / "words.pt").write_text("no weights at all")
    return folder
